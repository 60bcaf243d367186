//! Operators that gather an axis.

use crate::{Dim, Shape, ShapeError};

/// Mean over some axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceMean {
    /// The axes, negative ones counted from the back.
    pub axes: Vec<i64>,
    /// Reduced axes stay as 1.
    pub keep_dims: bool,
}

impl ReduceMean {
    /// Which axes of `x` are reduced.
    ///
    /// # Errors
    /// An axis lies outside the rank.
    pub fn reduced(&self, x: &Shape) -> Result<Vec<bool>, ShapeError> {
        let mut reduced = vec![false; x.rank()];
        for &axis in &self.axes {
            reduced[x.axis(axis)?] = true;
        }
        Ok(reduced)
    }

    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let reduced = self.reduced(x)?;
        let keep = |(&d, r): (&Dim, bool)| match (r, self.keep_dims) {
            (false, _) => Some(d),
            (true, true) => Some(Dim::Fixed(1)),
            (true, false) => None,
        };
        Ok(Shape(x.0.iter().zip(reduced).filter_map(keep).collect()))
    }
}

/// `e^xᵢ / Σ e^xⱼ` along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis, negative ones counted from the back.
    pub axis: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduced_axes_stay_only_on_request() {
        let x = Shape::batched(&[8, 4, 4]);
        let mean = |keep_dims| ReduceMean { axes: vec![2, -1], keep_dims }.output_shape(&x).unwrap();
        assert_eq!(mean(true), Shape::batched(&[8, 1, 1]));
        assert_eq!(mean(false), Shape::batched(&[8]));
    }
}
