//! Tensors repeated until they have a shape, of which the batch may be part.

use crate::{Dim, Shape, ShapeError};

/// The first input, a constant or not, repeated to a shape. Where that depends on the batch, the first axis of the second input is the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expand {
    /// The shape.
    pub to: Shape,
}

impl Expand {
    /// The shape, to which x broadcasts.
    pub(super) fn output_shape(&self, x: &Shape, batch: Option<&Shape>) -> Result<Shape, ShapeError> {
        let shape = x.broadcast(&self.to)?;
        let known = batch.is_some_and(|b| b.0.first() == Some(&Dim::Batch(1)));
        if shape != self.to {
            return Err(ShapeError::NoBroadcast { left: x.clone(), right: self.to.clone() });
        }
        match self.to.0.iter().position(|d| d.fixed().is_none()) {
            Some(axis) if !known => Err(ShapeError::AxisNotFixed { axis, shape }),
            _ => Ok(shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_comes_from_the_second_input() {
        let (token, images) = (Shape::fixed(&[1, 8]), Shape::batched(&[3, 4, 4]));
        let op = Expand { to: Shape::batched(&[1, 8]) };
        assert_eq!(op.output_shape(&token, Some(&images)).unwrap(), op.to);
        assert!(matches!(op.output_shape(&token, None), Err(ShapeError::AxisNotFixed { axis: 0, .. })));
        assert!(op.output_shape(&token, Some(&token)).is_err());
        assert!(op.output_shape(&Shape::fixed(&[2, 8]), Some(&images)).is_err());
        let fixed = Expand { to: Shape::fixed(&[2, 1, 8]) };
        assert_eq!(fixed.output_shape(&token, None).unwrap(), fixed.to);
        assert!(fixed.output_shape(&Shape::fixed(&[3, 2, 1, 8]), None).is_err());
    }
}
