//! From integer sums to codes by a multiplier of 31 bits and a shift, rounded twice, as TensorFlow Lite's kernels do
//! (`MultiplyByQuantizedMultiplier` without `TFLITE_SINGLE_ROUNDING`): the closed form that the simulation runs.
//!
//! ```text
//! a = sum · 2^max(e, 0)                          saturated at 32 bits
//! h = floor((a·m + 2^30) / 2^31)                 half up
//! y = h / 2^max(−e, 0)                           half away from zero
//! ```
//!
//! | function | what it gives |
//! |---|---|
//! | [`block_codes`] | centred codes of a block |
//! | [`Factor::apply`] | one number |

use crate::parallel::{OneByOne, TASK};
use rayon::prelude::*;

#[cfg(test)]
mod tests;

/// A positive factor as `multiplier·2^(exponent − 31)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    multiplier: i64,
    exponent: i32,
}

impl Factor {
    /// The nearest factor; one below 2^−32 is 0.
    ///
    /// # Panics
    /// The factor is negative, infinite or NaN.
    pub fn new(factor: f64) -> Self {
        assert!(factor >= 0.0 && factor.is_finite(), "Factor: positive and finite");
        const FRACTION: u32 = 52;
        let bits = factor.to_bits();
        let biased = (bits >> FRACTION) as i32;
        // The mantissa with its leading one, cut to 31 bits half away from zero; a number below all normal ones is far below 2^−32.
        let mantissa = (bits & ((1 << FRACTION) - 1)) | (1 << FRACTION);
        let rounded = ((mantissa >> (FRACTION - 31)) as i64 + 1) >> 1;
        let carried = rounded >> 31;
        let exponent = biased - 1022 + carried as i32;
        if biased == 0 || exponent < -31 {
            return Factor { multiplier: 0, exponent: 0 };
        }
        Factor { multiplier: rounded >> carried, exponent }
    }

    /// The factor over a count, as TensorFlow Lite's Mean folds it in: `⌊m·2^k / n⌋` with k as large as bits allow.
    pub fn over(self, count: usize) -> Self {
        let count = count.max(1) as i64;
        let shift = (63 - count.leading_zeros() as i32).min(32).min(31 + self.exponent);
        Factor { multiplier: (self.multiplier << shift) / count, exponent: self.exponent - shift }
    }

    /// The sum times the factor.
    #[inline(always)]
    pub fn apply(self, sum: i64) -> i64 {
        let (left, right) = (self.exponent.clamp(0, 31), (-self.exponent).clamp(0, 62));
        let limits = (i64::from(i32::MIN), i64::from(i32::MAX));
        let a = (sum.clamp(limits.0, limits.1) << left).clamp(limits.0, limits.1);
        let high = (a * self.multiplier + (1 << 30)) >> 31;
        let half = (1i64 << right) >> 1;
        // Half away from zero: half up, a step less below zero.
        let nudge = i64::from(high < 0 && right > 0);
        (high + half - nudge) >> right
    }
}

/// What a block's sums are held in.
#[derive(Clone, Copy, Debug)]
pub enum Sums<'a> {
    /// Floats without their bias, and the bias of each channel.
    Floats(&'a [i32]),
    /// The bits of 32-bit integers, bias and all.
    Bits,
}

/// `y = clamp(sum·factor, limits)`: centred codes of rows of channels.
///
/// # Panics
/// `sums` and `y` are no rows of one element for each factor.
pub fn block_codes(factors: &[Factor], held: Sums, limits: (i32, i32), sums: &[f32], y: &mut [f32]) {
    let channels = factors.len().max(1);
    assert!(sums.len() == y.len() && sums.len().is_multiple_of(channels), "block_codes: whole rows of channels");
    let (lo, hi) = (i64::from(limits.0), i64::from(limits.1));
    let task = (TASK / channels).max(1) * channels;
    (sums.par_chunks(task), y.par_chunks_mut(task)).into_par_iter().one_by_one().for_each(|(sums, y)| {
        for (sums, y) in sums.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            match held {
                Sums::Floats(bias) => {
                    for (((sum, y), factor), bias) in sums.iter().zip(y).zip(factors).zip(bias) {
                        *y = factor.apply(*sum as i64 + i64::from(*bias)).clamp(lo, hi) as f32;
                    }
                }
                Sums::Bits => {
                    for ((sum, y), factor) in sums.iter().zip(y).zip(factors) {
                        *y = factor.apply((sum.to_bits() as i32).into()).clamp(lo, hi) as f32;
                    }
                }
            }
        }
    });
}
