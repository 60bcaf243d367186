//! Normalisation with stored statistics.

use crate::{Shape, ShapeError};

/// `y = γ·(x − μ)/√(σ² + ε) + β` over axis 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormalization {
    /// ε, added to the variance.
    pub epsilon: f32,
    /// Share of the old running statistics that a training step keeps (ONNX's convention; PyTorch's momentum is 1 minus this).
    pub momentum: f32,
}

impl BatchNormalization {
    pub(super) fn output_shape(&self, x: &Shape, scale: &Shape) -> Result<Shape, ShapeError> {
        let channels = x.fixed_at(1)?;
        if *scale == Shape::fixed(&[channels]) {
            Ok(x.clone())
        } else {
            Err(ShapeError::WeightMismatch { weights: scale.clone(), input: x.clone(), groups: 1 })
        }
    }
}
