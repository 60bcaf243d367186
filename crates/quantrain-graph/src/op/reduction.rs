//! Operators that gather axes.

use crate::{Dim, Shape, ShapeError};

/// What becomes of the values that a reduction gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The greatest.
    Max,
    /// The least.
    Min,
    /// The square root of the sum of their squares.
    L2,
    /// Their product.
    Product,
}

/// A reduction over some axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// What is made of the values.
    pub function: Reduction,
    /// The axes, negative ones counted from the back.
    pub axes: Vec<i64>,
    /// Reduced axes stay as 1.
    pub keep_dims: bool,
}

impl Reduce {
    /// The mean over some axes.
    pub fn mean(axes: &[i64], keep_dims: bool) -> Self {
        Reduce { function: Reduction::Mean, axes: axes.to_vec(), keep_dims }
    }

    /// The name of the ONNX operator.
    pub fn name(&self) -> &'static str {
        match self.function {
            Reduction::Mean => "ReduceMean",
            Reduction::Sum => "ReduceSum",
            Reduction::Max => "ReduceMax",
            Reduction::Min => "ReduceMin",
            Reduction::L2 => "ReduceL2",
            Reduction::Product => "ReduceProd",
        }
    }

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
        without(x, &self.reduced(x)?, self.keep_dims)
    }
}

/// The shape that is left of `x`; samples of a batch are never gathered.
fn without(x: &Shape, reduced: &[bool], keep_dims: bool) -> Result<Shape, ShapeError> {
    let mut left = Vec::with_capacity(x.rank());
    for (axis, &reduced) in reduced.iter().enumerate() {
        if !reduced {
            left.push(x.0[axis]);
            continue;
        }
        x.fixed_at(axis)?;
        if keep_dims {
            left.push(Dim::Fixed(1));
        }
    }
    Ok(Shape(left))
}

/// The index of the greatest value along an axis, as a float. Its derivative is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgMax {
    /// The axis, negative ones counted from the back.
    pub axis: i64,
    /// The axis stays as 1.
    pub keep_dims: bool,
    /// Of equal values the last one counts, not the first.
    pub last: bool,
}

impl ArgMax {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let axis = x.axis(self.axis)?;
        let reduced: Vec<bool> = (0..x.rank()).map(|a| a == axis).collect();
        without(x, &reduced, self.keep_dims)
    }
}

/// `e^xᵢ / Σ e^xⱼ` along an axis, or the logarithm of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis, negative ones counted from the back.
    pub axis: i64,
    /// All axes from that one on are one, as ONNX had it before operator set 13.
    pub joined: bool,
    /// LogSoftmax.
    pub log: bool,
}

impl Softmax {
    /// A Softmax along one axis.
    pub fn along(axis: i64) -> Self {
        Softmax { axis, joined: false, log: false }
    }

    /// The name of the ONNX operator.
    pub fn name(&self) -> &'static str {
        if self.log { "LogSoftmax" } else { "Softmax" }
    }

    /// The axes of `x` that sum to 1.
    ///
    /// # Errors
    /// The axis lies outside the rank, or one of them is the batch.
    pub fn normalized(&self, x: &Shape) -> Result<std::ops::Range<usize>, ShapeError> {
        let first = x.axis(self.axis)?;
        let axes = first..if self.joined { x.rank() } else { first + 1 };
        axes.clone().try_for_each(|axis| x.fixed_at(axis).map(|_| ()))?;
        Ok(axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduced_axes_stay_only_on_request() {
        let x = Shape::batched(&[8, 4, 4]);
        let mean = |keep_dims| Reduce::mean(&[2, -1], keep_dims).output_shape(&x).unwrap();
        assert_eq!(mean(true), Shape::batched(&[8, 1, 1]));
        assert_eq!(mean(false), Shape::batched(&[8]));
        let index = |keep_dims| ArgMax { axis: -3, keep_dims, last: false }.output_shape(&x).unwrap();
        assert_eq!(index(true), Shape::batched(&[1, 4, 4]));
        assert_eq!(index(false), Shape::batched(&[4, 4]));
    }

    #[test]
    fn samples_are_never_gathered() {
        let x = Shape::batched(&[8]);
        assert!(Reduce::mean(&[0], true).output_shape(&x).is_err());
        assert!(ArgMax { axis: 0, keep_dims: true, last: false }.output_shape(&x).is_err());
        assert!(Softmax::along(0).normalized(&x).is_err());
        assert_eq!(Softmax { joined: true, ..Softmax::along(1) }.normalized(&Shape::batched(&[8, 2])).unwrap(), 1..3);
    }
}
