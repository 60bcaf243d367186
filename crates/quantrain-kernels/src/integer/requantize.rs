//! From an integer sum to a stored code.

use super::pairs::{Lanes, MOST_LANES};

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

/// What turns a register of sums into what is stored.
pub(super) trait Finish: Copy + Send + Sync {
    type Out: Copy + Default + Send + Sync;

    /// Whether [`Finish::write`] is so few instructions that a loop over a tile unrolls, and its sums need no memory. Elsewhere they must be
    /// moved there first, or they are there while they are summed.
    fn is_short<V: Lanes>() -> bool;

    /// Writes what the sums of as many channels from `channel` on become as the register has lanes.
    ///
    /// # Safety
    /// As [`Lanes`]; parameters of these channels are readable.
    unsafe fn write<V: Lanes>(self, channel: usize, sums: V, to: *mut Self::Out);
}

/// The sums themselves.
#[derive(Clone, Copy)]
pub(super) struct Keep;

impl Finish for Keep {
    type Out = i32;

    #[inline(always)]
    fn is_short<V: Lanes>() -> bool {
        true
    }

    #[inline(always)]
    unsafe fn write<V: Lanes>(self, _: usize, sums: V, to: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { sums.store(to) }
    }
}

/// [`Requantize::Multiply`].
#[derive(Clone, Copy)]
pub(super) struct Multiply<'a> {
    multiplier: &'a [f32],
    limits: Limits,
}

/// [`Codes`] as [`round_to_stored`] wants them.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub lo: f32,
    pub hi: f32,
    pub zero: i32,
}

impl<'a> Multiply<'a> {
    /// `multiplier` reaches beyond the channels by what a tile may read.
    pub fn new(multiplier: &'a [f32], codes: Codes) -> Self {
        Self { multiplier, limits: Limits { lo: codes.lo as f32, hi: codes.hi as f32, zero: codes.zero } }
    }
}

/// Added to a value below 2^22 it leaves the nearest integer, half to even, in the low bits.
pub(super) const SHIFT: f32 = 12_582_912.0;

/// The low bits of `rint(clamp(t, lo, hi)) + zero`.
#[inline(always)]
pub(super) fn round_to_stored(t: f32, Limits { lo, hi, zero }: Limits) -> u8 {
    // Limits are whole numbers, so that clamping before rounding is clamping after it.
    let t = if t > lo { t } else { lo };
    let t = if t < hi { t } else { hi };
    ((t + SHIFT).to_bits() as i32).wrapping_add(zero) as u8
}

impl Finish for Multiply<'_> {
    type Out = u8;

    #[inline(always)]
    fn is_short<V: Lanes>() -> bool {
        V::ROUNDS
    }

    #[inline(always)]
    unsafe fn write<V: Lanes>(self, channel: usize, sums: V, to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { sums.store_rounded(self.multiplier.as_ptr().add(channel), self.limits, to) }
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
    fn is_short<V: Lanes>() -> bool {
        false
    }

    #[inline(always)]
    unsafe fn write<V: Lanes>(self, channel: usize, sums: V, to: *mut u8) {
        // As in `Lanes::store_rounded`.
        let (mut line, mut stored) = ([0; MOST_LANES], [0; MOST_LANES]);
        // SAFETY: a line has room for any register; the rest is the caller's promise.
        unsafe {
            sums.store(line.as_mut_ptr());
            for l in 0..V::LANES {
                let shift = *self.shift.as_ptr().add(channel + l);
                let (left, right) = ((-shift).max(0), shift.max(0));
                let half = 1i32.wrapping_shl(right as u32) >> 1;
                let q = line[l].wrapping_shl(left as u32).wrapping_add(half).wrapping_shr(right as u32);
                stored[l] = (q.clamp(self.codes.lo, self.codes.hi) + self.codes.zero) as u8;
            }
            to.copy_from_nonoverlapping(stored.as_ptr(), V::LANES);
        }
    }
}
