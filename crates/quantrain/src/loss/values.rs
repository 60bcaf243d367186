//! Distances of outputs from labels that are numbers.

use super::MeanSquaredError;
use crate::LossError;

/// How an output is compared with values: a mean over all elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueLoss {
    /// `(y − t)²`
    MeanSquaredError,
    /// `|y − t|`
    L1,
    /// `½·d²` for `|d| ≤ δ`, else `δ·(|d| − ½·δ)`, of `d = y − t` (Huber 1964, as PyTorch's `HuberLoss`).
    Huber {
        /// δ, greater than 0.
        delta: f32,
    },
}

impl ValueLoss {
    /// Loss of `output` against `target`, of one shape, and its gradient; that of `L1` is 0 where they are equal.
    ///
    /// # Errors
    /// Slices whose lengths differ or that are empty, a loss that is not finite.
    pub fn loss_and_gradient(&self, output: &[f32], target: &[f32], gradient: &mut [f32]) -> Result<f32, LossError> {
        let of = match *self {
            ValueLoss::MeanSquaredError => return MeanSquaredError.loss_and_gradient(output, target, gradient),
            ValueLoss::L1 => |d: f32, _: f32| (d.abs(), if d == 0.0 { 0.0 } else { d.signum() }),
            ValueLoss::Huber { .. } => |d: f32, delta: f32| match d.abs() {
                size if size <= delta => (0.5 * d * d, d),
                size => (delta * (size - 0.5 * delta), delta * d.signum()),
            },
        };
        let delta = if let ValueLoss::Huber { delta } = *self { delta } else { 0.0 };
        super::elementwise(output, target, gradient, |y, t| of(y - t, delta))
    }
}
