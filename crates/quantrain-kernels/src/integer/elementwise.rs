//! Element-wise functions of stored codes.

use super::requantize::{Limits, round_to_stored};
use crate::elementwise::CodeSum;
use crate::parallel::TASK;
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// `y = clamp(rint(t), lo, hi)` with `t` by [`CodeSum`] (ONNX Runtime's QLinearAdd), all of them codes as they are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    /// The formula.
    pub sum: CodeSum,
    /// The stored codes of code 0 of the operands and of the result: 128 where codes are signed.
    pub offsets: [i32; 3],
    /// Least and greatest code of the result.
    pub limits: (i32, i32),
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
        let Add { sum, offsets: [of_a, of_b, of_y], limits } = add;
        let limits = Limits { lo: limits.0 as f32, hi: limits.1 as f32, zero: of_y };
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            let t = sum.of_codes((i32::from(*a) - of_a) as f32, (i32::from(*b) - of_b) as f32);
            *y = round_to_stored(t, limits);
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
