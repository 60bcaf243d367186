//! The values of a tensor as they lie in memory, index by index of one of its axes.

use quantrain_engine::{physical_permutation, physical_shape};
use quantrain_graph::Shape;

/// Where the values at each index of an axis lie, for any batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisValues {
    axis: usize,
    count: usize,
    /// Values from one index to the next: extents of the axes behind it in memory, multiplied.
    step: usize,
}

impl AxisValues {
    /// Along `axis`, in ONNX's order, of tensors of a shape; `None` for the batch, and where that has a free extent elsewhere.
    pub fn of(shape: &Shape, axis: usize) -> Option<Self> {
        let at = physical_permutation(shape.rank()).iter().position(|&a| a == axis).filter(|_| axis > 0)?;
        let count = shape.fixed_at(axis).ok()?;
        Some(AxisValues { axis, count, step: physical_shape(shape, 1)[at + 1..].iter().product() })
    }

    /// The axis, in ONNX's order.
    pub fn axis(&self) -> usize {
        self.axis
    }

    /// Its indices.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Calls `f` with each index and runs of its values, as often as they lie apart.
    pub fn each<'v>(&self, values: &'v [f32], mut f: impl FnMut(usize, &'v [f32])) {
        for (i, run) in values.chunks(self.step.max(1)).enumerate() {
            f(i % self.count.max(1), run);
        }
    }

    /// As [`AxisValues::each`], of two tensors of the shape.
    pub fn each_of_two<'v>(&self, a: &'v [f32], b: &'v [f32], mut f: impl FnMut(usize, &'v [f32], &'v [f32])) {
        let step = self.step.max(1);
        for (i, (a, b)) in a.chunks(step).zip(b.chunks(step)).enumerate() {
            f(i % self.count.max(1), a, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::Dim;

    use super::*;

    #[test]
    fn channels_of_images_lie_innermost_and_other_axes_in_order() {
        let image = Shape(vec![Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(1), Dim::Fixed(3)]);
        let rows = Shape(vec![Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(2)]);
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0];
        let of = |shape: &Shape, axis: usize| {
            let along = AxisValues::of(shape, axis).unwrap();
            let mut found = vec![Vec::new(); along.count()];
            along.each(&values, |i, run| found[i].extend_from_slice(run));
            found
        };
        assert_eq!(of(&image, 1), [[0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]]);
        assert_eq!(of(&image, 3), [[0.0, 1.0, 6.0, 7.0], [2.0, 3.0, 8.0, 9.0], [4.0, 5.0, 10.0, 11.0]]);
        assert_eq!(of(&rows, 1), [[0.0, 1.0, 6.0, 7.0], [2.0, 3.0, 8.0, 9.0], [4.0, 5.0, 10.0, 11.0]]);
        assert_eq!(of(&rows, 2), [[0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]]);
        assert!(AxisValues::of(&rows, 0).is_none());
    }
}
