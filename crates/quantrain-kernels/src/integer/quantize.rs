//! From real values to stored codes.

use super::requantize::SHIFT;
use crate::fake_quantize::{CodeRange, Quantize, with_quantize};
use crate::parallel::TASK;
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// What a code is stored in.
pub trait Stored: Copy + Send + Sync {
    /// The low bits.
    fn truncate(code: i32) -> Self;
}

impl Stored for u8 {
    #[inline(always)]
    fn truncate(code: i32) -> u8 {
        code as u8
    }
}

impl Stored for u16 {
    #[inline(always)]
    fn truncate(code: i32) -> u16 {
        code as u16
    }
}

/// `y = clamp(round(x / scale), lo, hi) + zero`, where `zero` is the stored code of 0.0; NaN becomes `zero`.
///
/// # Panics
/// Lengths differ.
pub fn quantize<T: Stored>(range: &CodeRange, zero: i32, scale: f32, x: &[f32], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "integer::quantize: one code a value");
    let simd = simd();
    with_quantize!(Some(*range), formula => {
        if x.len() <= TASK {
            return quantize_task(simd, formula, zero, scale, x, y);
        }
        (x.par_chunks(TASK), y.par_chunks_mut(TASK))
            .into_par_iter()
            .for_each(|(x, y)| quantize_task(simd, formula, zero, scale, x, y));
    });
}

simd_kernel! {
    fn quantize_task<Q: Quantize, T: Stored>(formula: Q, zero: i32, scale: f32, x: &[f32], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            // Whole numbers of at most 17 bits: what `SHIFT` moves to the low bits.
            let code = (formula.quantize(*x / scale) + SHIFT).to_bits() as i32;
            *y = T::truncate(code.wrapping_add(zero));
        }
    }
}
