//! Losses: a number for how wrong a batch of outputs is, and its gradient.
//!
//! Every loss is a mean over the batch, works on plain slices and writes the gradient of that mean with respect to each output. Sums run
//! in f64 and in the order of the rows, so a result does not depend on threads. A task with a loss of its own implements [`Loss`] and hands it
//! to [`crate::Job::set_loss`] or [`crate::Trainer::minimizing`].

mod binary_cross_entropy;
mod cross_entropy;
mod distillation;
mod mean_squared_error;
mod power;
mod values;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use distillation::Distillation;
pub use mean_squared_error::MeanSquaredError;
pub(crate) use power::{Power, relative};
pub use values::ValueLoss;

use quantrain_data::Batch;

use crate::metric::Output;
use crate::{LossError, RunError};

/// What a training minimises.
pub trait Loss {
    /// The loss of a network's outputs for a batch. Writes its derivative by each value of each output to `gradients`, which holds zeros in the
    /// order of the outputs' values.
    ///
    /// # Errors
    /// The annotations do not fit the outputs, or the loss is not finite; [`RunError::Metric`] for what only this loss knows.
    fn loss(&mut self, batch: &Batch, outputs: &[Output<'_>], gradients: &mut [Vec<f32>]) -> Result<f32, RunError>;
}

/// Checks that `values` are rows of `width`, as many as `expected` if given, and gives their count.
fn rows(what: &'static str, values: usize, width: usize, expected: Option<usize>) -> Result<usize, LossError> {
    let rows = values.checked_div(width).unwrap_or(0);
    if rows == 0 || rows * width != values {
        return Err(LossError::Rows { what, values, width });
    }
    match expected {
        Some(expected) if expected != rows => Err(LossError::Length { what, found: rows, expected }),
        _ => Ok(rows),
    }
}

/// Checks that a slice has as many values as the outputs.
fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), LossError> {
    if found == expected { Ok(()) } else { Err(LossError::Length { what, found, expected }) }
}

/// The mean of `f(output, target)`, which gives a loss and its derivative, over all elements; writes its gradient.
fn elementwise(output: &[f32], target: &[f32], gradient: &mut [f32], f: impl Fn(f32, f32) -> (f32, f32)) -> Result<f32, LossError> {
    rows("output", output.len(), 1, None)?;
    same_length("target", target.len(), output.len())?;
    same_length("gradient", gradient.len(), output.len())?;
    let count = output.len() as f32;
    let mut sum = 0.0f64;
    for ((g, &y), &t) in gradient.iter_mut().zip(output).zip(target) {
        let (loss, slope) = f(y, t);
        sum += f64::from(loss);
        *g = slope / count;
    }
    finite(sum / output.len() as f64)
}

/// Refuses a loss that is NaN or infinite.
fn finite(loss: f64) -> Result<f32, LossError> {
    let loss = loss as f32;
    if loss.is_finite() { Ok(loss) } else { Err(LossError::NotFinite { loss }) }
}

/// Writes `softmax(scale·row)` to `probabilities` and returns `ln Σ exp(scale·row)`; the largest value is taken out first, so nothing
/// overflows.
fn softmax(row: &[f32], scale: f32, probabilities: &mut [f32]) -> f32 {
    let largest = scale * row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f32;
    for (p, &x) in probabilities.iter_mut().zip(row) {
        *p = (scale * x - largest).exp();
        sum += *p;
    }
    for p in probabilities {
        *p /= sum;
    }
    largest + sum.ln()
}

#[cfg(test)]
mod tests;
