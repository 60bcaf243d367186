//! Elements picked by indices that the network computes or is fed with: embeddings of token ids.

use crate::{Dim, Shape, ShapeError};

/// Inputs x, a constant table or not, and indices: `y[…, i…, …] = x[…, indices[i…], …]`. The shape of the indices replaces an axis of x, as in
/// ONNX's Gather; negative indices count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The axis of x, negative ones counted from the back.
    pub axis: i64,
}

impl Lookup {
    pub(super) fn output_shape(self, x: &Shape, indices: &Shape) -> Result<Shape, ShapeError> {
        let axis = x.axis(self.axis)?;
        x.fixed_at(axis)?;
        let shape = Shape([&x.0[..axis], &indices.0, &x.0[axis + 1..]].concat());
        // Of each sample's elements, those that its own indices name, are not a Gather.
        match shape.0.iter().enumerate().filter(|(_, dim)| matches!(dim, Dim::Batch(_))).nth(1) {
            Some((axis, _)) => Err(ShapeError::AxisNotFixed { axis, shape }),
            None => Ok(shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_the_indices_replaces_the_axis() {
        let (table, ids) = (Shape::fixed(&[100, 16]), Shape::batched(&[8]));
        assert_eq!(Lookup { axis: 0 }.output_shape(&table, &ids).unwrap(), Shape::batched(&[8, 16]));
        let of_columns = Lookup { axis: -1 }.output_shape(&table, &Shape::batched(&[])).unwrap();
        assert_eq!(of_columns, Shape(vec![Dim::Fixed(100), Dim::Batch(1)]));
        assert!(Lookup { axis: 2 }.output_shape(&table, &ids).is_err());
        assert!(Lookup { axis: 1 }.output_shape(&Shape::batched(&[8, 16]), &ids).is_err(), "two axes of the batch");
        assert!(Lookup { axis: 0 }.output_shape(&Shape::batched(&[8]), &ids).is_err(), "an axis without an extent");
    }
}
