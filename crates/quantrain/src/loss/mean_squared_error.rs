//! Mean squared error of outputs and targets.

use crate::LossError;

/// `mean((y − t)²)` over all values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanSquaredError;

impl MeanSquaredError {
    /// Loss of `output` against `target`, of one shape, and its gradient `2·(y − t)/n`.
    ///
    /// # Errors
    /// Slices whose lengths differ or that are empty, a loss that is not finite.
    pub fn loss_and_gradient(&self, output: &[f32], target: &[f32], gradient: &mut [f32]) -> Result<f32, LossError> {
        super::rows("output", output.len(), 1, None)?;
        super::same_length("target", target.len(), output.len())?;
        super::same_length("gradient", gradient.len(), output.len())?;
        let factor = 2.0 / output.len() as f32;
        let mut sum = 0.0f64;
        for ((g, &y), &t) in gradient.iter_mut().zip(output).zip(target) {
            let difference = y - t;
            sum += f64::from(difference) * f64::from(difference);
            *g = factor * difference;
        }
        super::finite(sum / output.len() as f64)
    }
}
