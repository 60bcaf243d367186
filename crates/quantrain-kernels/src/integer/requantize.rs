//! From an integer sum to a stored code.

/// The codes of an output, its activation included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    /// The least centred code.
    pub lo: i32,
    /// The greatest centred code.
    pub hi: i32,
    /// The stored code of 0.0: `stored = centred + zero`.
    pub zero: i32,
}

/// The formula of a runtime, one value a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Requantize {
    /// `clamp(rint(f32(sum)·m), lo, hi) + zero`, rint half to even (ONNX Runtime).
    Multiply(Vec<f32>),
    /// `clamp(floor(sum/2^n + ½), lo, hi) + zero` in integers; a negative n shifts left (TIDL). n is −31 to 30, and no step may leave 32 bits.
    Shift(Vec<i32>),
}

/// What turns the sums of a tile into what is stored.
pub(super) trait Finish: Copy + Send + Sync {
    type Out: Copy + Default + Send + Sync;

    /// Finishes the sums of `W` channels from `channel` on; there may be fewer channels than that, and what comes after them is dropped.
    ///
    /// # Safety
    /// To be inlined into a function compiled for the machine's instructions; parameters of `W` channels from `channel` on are readable.
    unsafe fn finish<const W: usize>(self, channel: usize, sums: &[i32; W]) -> [Self::Out; W];
}

/// The sums themselves.
#[derive(Clone, Copy)]
pub(super) struct Keep;

impl Finish for Keep {
    type Out = i32;

    #[inline(always)]
    unsafe fn finish<const W: usize>(self, _: usize, sums: &[i32; W]) -> [i32; W] {
        *sums
    }
}

/// [`Requantize::Multiply`].
#[derive(Clone, Copy)]
pub(super) struct Multiply<'a> {
    multiplier: &'a [f32],
    lo: f32,
    hi: f32,
    zero: i32,
}

impl<'a> Multiply<'a> {
    /// `multiplier` reaches beyond the channels by what a tile may read.
    pub fn new(multiplier: &'a [f32], codes: Codes) -> Self {
        Self { multiplier, lo: codes.lo as f32, hi: codes.hi as f32, zero: codes.zero }
    }
}

/// Added to a value below 2^22 it leaves the nearest integer, half to even, in the low bits.
const SHIFT: f32 = 12_582_912.0;

/// The low bits of `rint(clamp(t, lo, hi)) + zero`.
#[inline(always)]
pub(super) fn round_to_stored(t: f32, lo: f32, hi: f32, zero: i32) -> u8 {
    // Limits are whole numbers, so that clamping before rounding is clamping after it.
    let t = if t > lo { t } else { lo };
    let t = if t < hi { t } else { hi };
    ((t + SHIFT).to_bits() as i32).wrapping_add(zero) as u8
}

impl Finish for Multiply<'_> {
    type Out = u8;

    #[inline(always)]
    unsafe fn finish<const W: usize>(self, channel: usize, sums: &[i32; W]) -> [u8; W] {
        // SAFETY: the caller's promise.
        let multiplier = unsafe { &*self.multiplier.as_ptr().add(channel).cast::<[f32; W]>() };
        let mut stored = [0; W];
        for l in 0..W {
            stored[l] = round_to_stored(sums[l] as f32 * multiplier[l], self.lo, self.hi, self.zero);
        }
        stored
    }
}

/// [`Requantize::Shift`], as a shift to the left, an addition and a shift to the right.
#[derive(Clone, Copy)]
pub(super) struct Shift<'a> {
    shift: &'a [i32],
    codes: Codes,
}

impl<'a> Shift<'a> {
    /// `shift` reaches beyond the channels by what a tile may read.
    pub fn new(shift: &'a [i32], codes: Codes) -> Self {
        Self { shift, codes }
    }
}

impl Finish for Shift<'_> {
    type Out = u8;

    #[inline(always)]
    unsafe fn finish<const W: usize>(self, channel: usize, sums: &[i32; W]) -> [u8; W] {
        // SAFETY: the caller's promise.
        let shift = unsafe { &*self.shift.as_ptr().add(channel).cast::<[i32; W]>() };
        let mut stored = [0; W];
        for l in 0..W {
            let (left, right) = ((-shift[l]).max(0), shift[l].max(0));
            let half = 1i32.wrapping_shl(right as u32) >> 1;
            let q = sums[l].wrapping_shl(left as u32).wrapping_add(half).wrapping_shr(right as u32);
            stored[l] = (q.clamp(self.codes.lo, self.codes.hi) + self.codes.zero) as u8;
        }
        stored
    }
}
