//! A register of 32-bit sums, and products of pairs of 16-bit numbers, or of fours of bytes, added to them.

use super::requantize::{Limits, round_to_stored};
use crate::simd::{Level, Simd};

/// Sums of the widest register.
pub(super) const MOST_LANES: usize = 16;

/// The instructions that products of pairs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with products and sum in one instruction.
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Path {
    pub fn of(simd: Simd) -> Self {
        match simd.level() {
            Level::Portable => Path::Portable,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Path::Avx2,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if is_x86_feature_detected!("avx512vnni") => Path::Vnni,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Path::Avx512,
        }
    }

    /// Sums of a register.
    pub fn lanes(self) -> usize {
        match self {
            Path::Portable => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 | Path::Vnni => Avx512::LANES,
        }
    }

    /// Channels in a lane of a dense convolution.
    pub fn channels_of_a_lane(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Path::Vnni => 4,
            _ => 2,
        }
    }

    /// Which of `2·lanes` channels lane `lane` of part `part` of [`Pairs::interleave`] holds.
    pub fn channel_of(self, part: usize, lane: usize) -> usize {
        match self {
            Path::Portable => part * Portable::LANES + lane,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 | Path::Avx512 | Path::Vnni => lane / 4 * 8 + part * 4 + lane % 4,
        }
    }
}

/// One register of 32-bit sums, or of as many groups of numbers that are multiplied and added to one sum.
///
/// # Safety
/// Every function may be called only where the machine has the type's instructions, and is to be inlined into a function compiled for
/// them. Pointers are valid for what is read or written, aligned or not.
pub(super) trait Lanes: Copy {
    /// What activations are read as.
    type Element;
    const LANES: usize;
    /// Whether [`Lanes::store_rounded`] is in instructions of its own.
    const ROUNDS: bool = false;
    unsafe fn load(from: *const i32) -> Self;
    unsafe fn store(self, to: *mut i32);
    /// One group in every lane.
    unsafe fn splat(from: *const Self::Element) -> Self;
    /// `self + Σ x·w` over the group in every lane, wrapping.
    unsafe fn add_products(self, x: Self, w: Self) -> Self;

    /// Writes [`round_to_stored`] of every sum times its multiplier.
    #[inline(always)]
    unsafe fn store_rounded(self, multiplier: *const f32, limits: Limits, to: *mut u8) {
        // Written to a place of its own first: `to` might be where multipliers lie, for all the compiler knows.
        let (mut line, mut stored) = ([0; MOST_LANES], [0; MOST_LANES]);
        // SAFETY: a line has room for any register; the rest is the trait's contract.
        unsafe {
            self.store(line.as_mut_ptr());
            for l in 0..Self::LANES {
                stored[l] = round_to_stored(line[l] as f32 * *multiplier.add(l), limits);
            }
            to.copy_from_nonoverlapping(stored.as_ptr(), Self::LANES);
        }
    }
}

/// [`Lanes`] of pairs of 16-bit numbers.
///
/// # Safety
/// As there.
pub(super) trait Pairs: Lanes<Element = i16> {
    /// The pairs `(a[c], b[c])` of `2·LANES` channels, in the order of [`Path::channel_of`].
    unsafe fn interleave(a: *const i16, b: *const i16) -> [Self; 2];
    /// The sums of two parts in the order of channels.
    unsafe fn in_order(parts: [Self; 2]) -> [Self; 2];
}

/// What the compilation target has for certain.
#[derive(Clone, Copy)]
pub(super) struct Portable([i32; 8]);

impl Lanes for Portable {
    type Element = i16;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller's pointer is valid for eight sums.
        Self(unsafe { from.cast::<[i32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i32) {
        // SAFETY: the caller's pointer is valid for eight sums.
        unsafe { to.cast::<[i32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const i16) -> Self {
        // SAFETY: the caller's pointer is valid for a pair.
        let [first, second] = unsafe { from.cast::<[i16; 2]>().read_unaligned() };
        Self([pair(first, second); 8])
    }

    #[inline(always)]
    unsafe fn add_products(mut self, a: Self, b: Self) -> Self {
        for l in 0..8 {
            let (a, b) = (a.0[l], b.0[l]);
            let products = (a as i16 as i32 * (b as i16 as i32)).wrapping_add((a >> 16) * (b >> 16));
            self.0[l] = self.0[l].wrapping_add(products);
        }
        self
    }
}

impl Pairs for Portable {
    #[inline(always)]
    unsafe fn interleave(a: *const i16, b: *const i16) -> [Self; 2] {
        // SAFETY: the caller's pointers are valid for sixteen numbers.
        let (a, b) = unsafe { (a.cast::<[i16; 16]>().read_unaligned(), b.cast::<[i16; 16]>().read_unaligned()) };
        let part = |p: usize| Self(std::array::from_fn(|l| pair(a[8 * p + l], b[8 * p + l])));
        [part(0), part(1)]
    }

    #[inline(always)]
    unsafe fn in_order(parts: [Self; 2]) -> [Self; 2] {
        parts
    }
}

/// Two numbers as they lie in one lane.
#[inline(always)]
pub(super) fn pair(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Quads, Vnni};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::requantize::{Limits, SHIFT};
    use super::{Lanes, Pairs};
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256i);

    impl Lanes for Avx2 {
        type Element = i16;
        const LANES: usize = 8;
        const ROUNDS: bool = true;

        #[inline(always)]
        unsafe fn load(from: *const i32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_loadu_si256(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut i32) {
            // SAFETY: the trait's contract.
            unsafe { _mm256_storeu_si256(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const i16) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) })
        }

        #[inline(always)]
        unsafe fn add_products(self, a: Self, b: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_add_epi32(self.0, _mm256_madd_epi16(a.0, b.0)) })
        }

        #[inline(always)]
        unsafe fn store_rounded(self, multiplier: *const f32, limits: Limits, to: *mut u8) {
            // SAFETY: the trait's contract.
            unsafe {
                let t = _mm256_mul_ps(_mm256_cvtepi32_ps(self.0), _mm256_loadu_ps(multiplier));
                let t = _mm256_min_ps(_mm256_max_ps(t, _mm256_set1_ps(limits.lo)), _mm256_set1_ps(limits.hi));
                let rounded = _mm256_castps_si256(_mm256_add_ps(t, _mm256_set1_ps(SHIFT)));
                let stored = _mm256_add_epi32(rounded, _mm256_set1_epi32(limits.zero));
                // Only low bytes are left, so that packing saturates nothing.
                let low = _mm256_and_si256(stored, _mm256_set1_epi32(0xff));
                let words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
            }
        }
    }

    impl Pairs for Avx2 {
        #[inline(always)]
        unsafe fn interleave(a: *const i16, b: *const i16) -> [Self; 2] {
            // SAFETY: the trait's contract.
            unsafe {
                let (a, b) = (_mm256_loadu_si256(a.cast()), _mm256_loadu_si256(b.cast()));
                [Self(_mm256_unpacklo_epi16(a, b)), Self(_mm256_unpackhi_epi16(a, b))]
            }
        }

        #[inline(always)]
        unsafe fn in_order(parts: [Self; 2]) -> [Self; 2] {
            let [low, high] = parts.map(|p| p.0);
            // SAFETY: the trait's contract.
            unsafe { [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)] }.map(Self)
        }
    }

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512i);

    impl Lanes for Avx512 {
        type Element = i16;
        const LANES: usize = 16;
        const ROUNDS: bool = true;

        #[inline(always)]
        unsafe fn load(from: *const i32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_loadu_si512(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut i32) {
            // SAFETY: the trait's contract.
            unsafe { _mm512_storeu_si512(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const i16) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) })
        }

        #[inline(always)]
        unsafe fn add_products(self, a: Self, b: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_add_epi32(self.0, _mm512_madd_epi16(a.0, b.0)) })
        }

        #[inline(always)]
        unsafe fn store_rounded(self, multiplier: *const f32, limits: Limits, to: *mut u8) {
            // SAFETY: the trait's contract.
            unsafe {
                let t = _mm512_mul_ps(_mm512_cvtepi32_ps(self.0), _mm512_loadu_ps(multiplier));
                let t = _mm512_min_ps(_mm512_max_ps(t, _mm512_set1_ps(limits.lo)), _mm512_set1_ps(limits.hi));
                let rounded = _mm512_castps_si512(_mm512_add_ps(t, _mm512_set1_ps(SHIFT)));
                let stored = _mm512_add_epi32(rounded, _mm512_set1_epi32(limits.zero));
                _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(stored));
            }
        }
    }

    impl Pairs for Avx512 {
        #[inline(always)]
        unsafe fn interleave(a: *const i16, b: *const i16) -> [Self; 2] {
            // SAFETY: the trait's contract.
            unsafe {
                let (a, b) = (_mm512_loadu_si512(a.cast()), _mm512_loadu_si512(b.cast()));
                [Self(_mm512_unpacklo_epi16(a, b)), Self(_mm512_unpackhi_epi16(a, b))]
            }
        }

        #[inline(always)]
        unsafe fn in_order(parts: [Self; 2]) -> [Self; 2] {
            let [low, high] = parts.map(|p| p.0);
            // SAFETY: the trait's contract.
            unsafe {
                // Quarters of four sums, taken in turn from both parts.
                let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
                let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
                [_mm512_permutex2var_epi64(low, first, high), _mm512_permutex2var_epi64(low, second, high)].map(Self)
            }
        }
    }

    /// [`Avx512`] with one instruction for products and sum.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Vnni(Avx512);

    impl Lanes for Vnni {
        type Element = i16;
        const LANES: usize = 16;
        const ROUNDS: bool = true;

        #[inline(always)]
        unsafe fn load(from: *const i32) -> Self {
            // SAFETY: passed on.
            Self(unsafe { Avx512::load(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut i32) {
            // SAFETY: passed on.
            unsafe { self.0.store(to) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const i16) -> Self {
            // SAFETY: passed on.
            Self(unsafe { Avx512::splat(from) })
        }

        #[inline(always)]
        unsafe fn add_products(self, a: Self, b: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(Avx512(unsafe { _mm512_dpwssd_epi32(self.0.0, a.0.0, b.0.0) }))
        }

        #[inline(always)]
        unsafe fn store_rounded(self, multiplier: *const f32, limits: Limits, to: *mut u8) {
            // SAFETY: passed on.
            unsafe { self.0.store_rounded(multiplier, limits, to) }
        }
    }

    impl Pairs for Vnni {
        #[inline(always)]
        unsafe fn interleave(a: *const i16, b: *const i16) -> [Self; 2] {
            // SAFETY: passed on.
            unsafe { Avx512::interleave(a, b) }.map(Self)
        }

        #[inline(always)]
        unsafe fn in_order(parts: [Self; 2]) -> [Self; 2] {
            // SAFETY: passed on.
            unsafe { Avx512::in_order(parts.map(|p| p.0)) }.map(Self)
        }
    }

    /// AVX-512 with four products of bytes in a lane: those of activations unsigned, those of weights signed.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Quads(Avx512);

    impl Lanes for Quads {
        type Element = u8;
        const LANES: usize = 16;
        const ROUNDS: bool = true;

        #[inline(always)]
        unsafe fn load(from: *const i32) -> Self {
            // SAFETY: passed on.
            Self(unsafe { Avx512::load(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut i32) {
            // SAFETY: passed on.
            unsafe { self.0.store(to) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const u8) -> Self {
            // SAFETY: passed on; four bytes lie where two numbers of 16 bits would.
            Self(unsafe { Avx512::splat(from.cast()) })
        }

        #[inline(always)]
        unsafe fn add_products(self, x: Self, w: Self) -> Self {
            // SAFETY: the trait's contract. The four products are summed with 32 bits; nothing saturates.
            Self(Avx512(unsafe { _mm512_dpbusd_epi32(self.0.0, x.0.0, w.0.0) }))
        }

        #[inline(always)]
        unsafe fn store_rounded(self, multiplier: *const f32, limits: Limits, to: *mut u8) {
            // SAFETY: passed on.
            unsafe { self.0.store_rounded(multiplier, limits, to) }
        }
    }
}
