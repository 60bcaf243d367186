//! Element-wise functions of stored codes.

use super::requantize::{Codes, round_to_stored};
use crate::parallel::TASK;
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// `y = clamp(rint((a − a_zero)·ka + (b − b_zero)·kb), lo, hi) + zero`, each operation rounded (ONNX Runtime's QLinearAdd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    /// The factors of the operands: `s_a/s_y`, `s_b/s_y`.
    pub factors: [f32; 2],
    /// The stored codes of 0.0 of the operands.
    pub zeros: [u8; 2],
    /// The result's codes.
    pub codes: Codes,
}

impl Add {
    /// # Panics
    /// Lengths differ.
    pub fn run(&self, a: &[u8], b: &[u8], y: &mut [u8]) {
        assert!(a.len() == b.len() && a.len() == y.len(), "integer::Add: operands and result of one length");
        let simd = simd();
        if y.len() <= TASK {
            return add_task(simd, *self, a, b, y);
        }
        (a.par_chunks(TASK), b.par_chunks(TASK), y.par_chunks_mut(TASK))
            .into_par_iter()
            .for_each(|(a, b, y)| add_task(simd, *self, a, b, y));
    }
}

simd_kernel! {
    fn add_task(add: Add, a: &[u8], b: &[u8], y: &mut [u8]) {
        let Add { factors: [ka, kb], zeros, codes } = add;
        let [za, zb] = zeros.map(i32::from);
        let (lo, hi) = (codes.lo as f32, codes.hi as f32);
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            let t = (i32::from(*a) - za) as f32 * ka + (i32::from(*b) - zb) as f32 * kb;
            *y = round_to_stored(t, lo, hi, codes.zero);
        }
    }
}

/// `y = table[x]`: any function of one code.
///
/// # Panics
/// Lengths differ.
pub fn look_up(table: &[u8; 256], x: &[u8], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "integer::look_up: one result a code");
    (x.par_chunks(TASK), y.par_chunks_mut(TASK))
        .into_par_iter()
        .for_each(|(x, y)| x.iter().zip(y).for_each(|(x, y)| *y = table[usize::from(*x)]));
}
