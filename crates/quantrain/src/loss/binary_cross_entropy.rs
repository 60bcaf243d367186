//! Binary cross entropy of logits and truths: several labels may hold at once.

use crate::LossError;

/// `−t·ln σ(x) − (1 − t)·ln(1 − σ(x)) = max(x, 0) − x·t + ln(1 + e^−|x|)` of each logit x and truth t, a mean over all elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinaryCrossEntropy;

impl BinaryCrossEntropy {
    /// Loss of `logits` against `truths`, 0 to 1, of one shape, and its gradient `(σ(x) − t)/n`.
    ///
    /// # Errors
    /// Slices whose lengths differ or that are empty, a loss that is not finite.
    pub fn loss_and_gradient(&self, logits: &[f32], truths: &[f32], gradient: &mut [f32]) -> Result<f32, LossError> {
        super::elementwise(logits, truths, gradient, |x, t| {
            let small = (-x.abs()).exp();
            let sigmoid = if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
            (x.max(0.0) - x * t + small.ln_1p(), sigmoid - t)
        })
    }
}
