//! Normalisation with stored statistics, and with those of each sample.

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

/// `y = s·(x − mean)/√(variance + ε) + b`, mean and variance of each sample over the axes from `axis` on, which s and b have too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormalization {
    /// The first axis that is normalised, negative ones counted from the back.
    pub axis: i64,
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl LayerNormalization {
    /// The number of values that are normalised together.
    ///
    /// # Errors
    /// An axis lies outside the rank, or depends on the batch.
    pub fn normalised(&self, x: &Shape) -> Result<usize, ShapeError> {
        (x.axis(self.axis)?..x.rank()).map(|axis| x.fixed_at(axis)).product()
    }

    pub(super) fn output_shape(&self, x: &Shape, parameters: &[&Shape]) -> Result<Shape, ShapeError> {
        let count = self.normalised(x)?;
        match parameters.iter().find(|p| p.elements(1) != count) {
            Some(&p) => Err(ShapeError::WeightMismatch { weights: p.clone(), input: x.clone(), groups: 1 }),
            None => Ok(x.clone()),
        }
    }
}

/// `y = s·(x − mean)/√(variance + ε) + b`, mean and variance over the pixels of each channel of each sample; s and b over axis 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstanceNormalization {
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl InstanceNormalization {
    pub(super) fn output_shape(&self, x: &Shape, parameters: &[&Shape]) -> Result<Shape, ShapeError> {
        let channels = Shape::fixed(&[x.fixed_at(1)?]);
        (2..x.rank().max(3)).try_for_each(|axis| x.fixed_at(axis).map(drop))?;
        match parameters.iter().find(|p| ***p != channels) {
            Some(&p) => Err(ShapeError::WeightMismatch { weights: p.clone(), input: x.clone(), groups: 1 }),
            None => Ok(x.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_shape_of_what_is_normalised() {
        let (x, layer) = (Shape::batched(&[5, 8]), LayerNormalization { axis: -1, epsilon: 1e-5 });
        assert_eq!(layer.output_shape(&x, &[&Shape::fixed(&[8])]).unwrap(), x);
        assert!(matches!(layer.output_shape(&x, &[&Shape::fixed(&[5])]), Err(ShapeError::WeightMismatch { .. })));
        assert!(LayerNormalization { axis: 0, ..layer }.output_shape(&x, &[]).is_err());
        let instance = InstanceNormalization { epsilon: 1e-5 };
        assert!(instance.output_shape(&x, &[&Shape::fixed(&[5]), &Shape::fixed(&[5])]).is_ok());
        assert!(instance.output_shape(&Shape::batched(&[5]), &[&Shape::fixed(&[5])]).is_err());
    }
}
