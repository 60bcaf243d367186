//! A vector register, for the kernels whose speed rests on keeping sums in registers; all others leave that to LLVM.

/// One register of f32s (the portable one stands for two or so). Plain loads and stores need no alignment.
///
/// # Safety
/// Every function may be called only where the machine has the type's instructions, and is to be inlined into a
/// function compiled for them. Pointers are valid for [`Vector::LANES`] elements, or for the `count` given.
pub(crate) trait Vector: Copy {
    const LANES: usize;
    /// Rows of a register tile of one and of two vectors a row: as many as the registers hold beside the operands.
    const ROWS: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` elements, at most [`Vector::LANES`]; zeros after them.
    unsafe fn load_partial(from: *const f32, count: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_partial(self, to: *mut f32, count: usize);
    unsafe fn add(self, other: Self) -> Self;
    /// `self·factor + addend`, rounded once where the machine can.
    unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self;
}

/// What the compilation target has for certain.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Vector for Portable {
    const LANES: usize = 8;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 6 } else { 2 };

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's pointer is valid for eight elements.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        for (l, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller's pointer is valid for `count` elements.
            *lane = unsafe { *from.add(l) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's pointer is valid for eight elements.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize) {
        for (l, lane) in self.0.iter().enumerate().take(count) {
            // SAFETY: the caller's pointer is valid for `count` elements.
            unsafe { *to.add(l) = *lane };
        }
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for l in 0..8 {
            self.0[l] += other.0[l];
        }
        self
    }

    #[inline(always)]
    unsafe fn multiply_add(mut self, factor: Self, addend: Self) -> Self {
        for l in 0..8 {
            // A fused product is one instruction on AArch64 but a function call on baseline x86-64.
            self.0[l] = if cfg!(target_arch = "aarch64") {
                self.0[l].mul_add(factor.0[l], addend.0[l])
            } else {
                self.0[l] * factor.0[l] + addend.0[l]
            };
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

    /// Eight set words, then eight clear ones: a mask of `count` lanes starts at `8 − count`.
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    /// # Safety
    /// The machine has AVX.
    #[inline(always)]
    unsafe fn mask(count: usize) -> __m256i {
        // SAFETY: `count` is at most 8, so the eight words lie inside the table.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - count.min(8)).cast()) }
    }

    impl Vector for Avx2 {
        const LANES: usize = 8;
        const ROWS: usize = 6;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn load_partial(from: *const f32, count: usize) -> Self {
            // SAFETY: the trait's contract; lanes that the mask clears are not read.
            Self(unsafe { _mm256_maskload_ps(from, mask(count)) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the trait's contract.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn store_partial(self, to: *mut f32, count: usize) {
            // SAFETY: the trait's contract; lanes that the mask clears are not written.
            unsafe { _mm256_maskstore_ps(to, mask(count), self.0) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    /// The first `count` of sixteen lanes.
    #[inline(always)]
    fn mask16(count: usize) -> __mmask16 {
        ((1u32 << count.min(16)) - 1) as __mmask16
    }

    impl Vector for Avx512 {
        const LANES: usize = 16;
        const ROWS: usize = 12;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn load_partial(from: *const f32, count: usize) -> Self {
            // SAFETY: the trait's contract; lanes that the mask clears are not read.
            Self(unsafe { _mm512_maskz_loadu_ps(mask16(count), from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the trait's contract.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn store_partial(self, to: *mut f32, count: usize) {
            // SAFETY: the trait's contract; lanes that the mask clears are not written.
            unsafe { _mm512_mask_storeu_ps(to, mask16(count), self.0) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }
    }
}
