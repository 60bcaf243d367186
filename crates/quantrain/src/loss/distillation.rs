//! Distillation: the float network's outputs are the targets, so no labels are needed.

use super::MeanSquaredError;
use crate::LossError;

/// How outputs are compared with a teacher's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distillation {
    /// `T²·KL(softmax(t/T) ‖ softmax(y/T))` of each row, for logits (Hinton et al. 2015, section 2; T² keeps the size of the gradient).
    KullbackLeibler {
        /// The temperature T, greater than 0.
        temperature: f32,
    },
    /// Mean squared error of the raw outputs, for any task.
    MeanSquaredError,
    /// `1 − cos(y, t)` of each row, for outputs whose direction matters; a row of zeros counts as 1 and has no gradient.
    Cosine,
}

impl Distillation {
    /// Loss of `output` against `teacher`, both `[rows, width]`, and its gradient: a mean over the rows (for the squared error, over all
    /// values).
    ///
    /// # Errors
    /// Slices whose lengths do not fit, a loss that is not finite.
    pub fn loss_and_gradient(&self, output: &[f32], teacher: &[f32], width: usize, gradient: &mut [f32]) -> Result<f32, LossError> {
        let rows = super::rows("output", output.len(), width, None)?;
        super::same_length("teacher", teacher.len(), output.len())?;
        super::same_length("gradient", gradient.len(), output.len())?;
        let row_loss = match *self {
            Distillation::MeanSquaredError => return MeanSquaredError.loss_and_gradient(output, teacher, gradient),
            Distillation::Cosine => cosine,
            Distillation::KullbackLeibler { temperature } => return kullback_leibler(output, teacher, width, temperature, gradient),
        };
        let mut loss = 0.0f64;
        for ((y, t), g) in output.chunks_exact(width).zip(teacher.chunks_exact(width)).zip(gradient.chunks_exact_mut(width)) {
            loss += row_loss(y, t, 1.0 / rows as f64, g);
        }
        super::finite(loss / rows as f64)
    }
}

/// `∂/∂y = T·(softmax(y/T) − softmax(t/T))`.
fn kullback_leibler(output: &[f32], teacher: &[f32], width: usize, temperature: f32, gradient: &mut [f32]) -> Result<f32, LossError> {
    let rows = output.len() / width;
    let scale = 1.0 / temperature;
    let factor = temperature / rows as f32;
    let mut wanted = vec![0.0; width];
    let mut loss = 0.0f64;
    for ((y, t), g) in output.chunks_exact(width).zip(teacher.chunks_exact(width)).zip(gradient.chunks_exact_mut(width)) {
        let log_sum = super::softmax(y, scale, g);
        let wanted_log_sum = super::softmax(t, scale, &mut wanted);
        for c in 0..width {
            // ln p_t − ln p_y; where p_t has underflown its share is 0 whatever the logarithm says.
            let log_ratio = (scale * t[c] - wanted_log_sum) - (scale * y[c] - log_sum);
            loss += f64::from(wanted[c]) * f64::from(log_ratio);
            g[c] = factor * (g[c] - wanted[c]);
        }
    }
    super::finite(f64::from(temperature) * f64::from(temperature) * loss / rows as f64)
}

/// `∂/∂y = −(t/(|y|·|t|) − cos·y/|y|²)`.
fn cosine(y: &[f32], t: &[f32], factor: f64, gradient: &mut [f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let (yy, tt) = (dot(y, y), dot(t, t));
    if yy == 0.0 || tt == 0.0 {
        gradient.fill(0.0);
        return 1.0;
    }
    let product = (yy * tt).sqrt();
    let cosine = dot(y, t) / product;
    for ((g, &y), &t) in gradient.iter_mut().zip(y).zip(t) {
        *g = (factor * (cosine * f64::from(y) / yy - f64::from(t) / product)) as f32;
    }
    1.0 - cosine
}
