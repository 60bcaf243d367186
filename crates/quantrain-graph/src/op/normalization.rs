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

/// How ε keeps a deviation `√variance` from being 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epsilon {
    /// `√(variance + ε)`, as ONNX's own operators have it.
    OfVariance(f32),
    /// `√variance + ε`
    OfDeviation(f32),
    /// `√max(variance, ε)`
    Least(f32),
}

impl Epsilon {
    /// ε where it is added to the variance.
    pub fn of_variance(self) -> Option<f32> {
        match self {
            Epsilon::OfVariance(epsilon) => Some(epsilon),
            Epsilon::OfDeviation(_) | Epsilon::Least(_) => None,
        }
    }
}

/// `y = s·(x − mean)/√(variance + ε) + b`, mean and variance of each sample over the axes from `axis` on, which s and b have too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormalization {
    /// The first axis that is normalised, negative ones counted from the back.
    pub axis: i64,
    /// What keeps the deviation from being 0.
    pub epsilon: Epsilon,
}

impl LayerNormalization {
    /// The number of values that are normalised together.
    ///
    /// # Errors
    /// An axis lies outside the rank, or depends on the batch.
    pub fn normalised(&self, x: &Shape) -> Result<usize, ShapeError> {
        normalised(self.axis, x)
    }

    pub(super) fn output_shape(&self, x: &Shape, parameters: &[&Shape]) -> Result<Shape, ShapeError> {
        fitting(x, parameters, self.normalised(x)?)
    }
}

/// `y = s·x/√(mean of x² + ε)`, the mean of each sample over the axes from `axis` on, which s has too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNormalization {
    /// The first axis that is normalised, negative ones counted from the back.
    pub axis: i64,
    /// What keeps the root mean square from being 0.
    pub epsilon: Epsilon,
}

impl RmsNormalization {
    /// As [`LayerNormalization::normalised`].
    ///
    /// # Errors
    /// An axis lies outside the rank, or depends on the batch.
    pub fn normalised(&self, x: &Shape) -> Result<usize, ShapeError> {
        normalised(self.axis, x)
    }

    pub(super) fn output_shape(&self, x: &Shape, parameters: &[&Shape]) -> Result<Shape, ShapeError> {
        fitting(x, parameters, self.normalised(x)?)
    }
}

/// The number of values from an axis on.
fn normalised(axis: i64, x: &Shape) -> Result<usize, ShapeError> {
    (x.axis(axis)?..x.rank()).try_fold(1usize, |count, axis| Ok(count.saturating_mul(x.fixed_at(axis)?)))
}

/// The shape of x, where every parameter has `count` values.
fn fitting(x: &Shape, parameters: &[&Shape], count: usize) -> Result<Shape, ShapeError> {
    match parameters.iter().find(|p| p.elements(1) != count) {
        Some(&p) => Err(ShapeError::WeightMismatch { weights: p.clone(), input: x.clone(), groups: 1 }),
        None => Ok(x.clone()),
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

/// `y = s·(x − mean)/√(variance + ε) + b`, mean and variance over groups of channels of each sample and their pixels; s and b over axis 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormalization {
    /// Number of groups.
    pub groups: usize,
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl GroupNormalization {
    pub(super) fn output_shape(&self, x: &Shape, parameters: &[&Shape]) -> Result<Shape, ShapeError> {
        let channels = x.fixed_at(1)?;
        (2..x.rank()).try_for_each(|axis| x.fixed_at(axis).map(drop))?;
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            return Err(ShapeError::WeightMismatch { weights: Shape::fixed(&[channels]), input: x.clone(), groups: self.groups });
        }
        fitting(x, parameters, channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_shape_of_what_is_normalised() {
        let (x, layer) = (Shape::batched(&[5, 8]), LayerNormalization { axis: -1, epsilon: Epsilon::OfVariance(1e-5) });
        assert_eq!(layer.output_shape(&x, &[&Shape::fixed(&[8])]).unwrap(), x);
        assert!(matches!(layer.output_shape(&x, &[&Shape::fixed(&[5])]), Err(ShapeError::WeightMismatch { .. })));
        assert!(LayerNormalization { axis: 0, ..layer }.output_shape(&x, &[]).is_err());
        let instance = InstanceNormalization { epsilon: 1e-5 };
        assert!(instance.output_shape(&x, &[&Shape::fixed(&[5]), &Shape::fixed(&[5])]).is_ok());
        assert!(instance.output_shape(&Shape::batched(&[5]), &[&Shape::fixed(&[5])]).is_err());
        let (image, channels) = (Shape::batched(&[6, 4, 4]), Shape::fixed(&[6]));
        let grouped = |groups| GroupNormalization { groups, epsilon: 1e-5 }.output_shape(&image, &[&channels, &channels]);
        assert!(grouped(3).is_ok() && grouped(4).is_err() && grouped(0).is_err());
    }
}
