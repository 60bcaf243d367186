//! How tensors lie in memory: images as NHWC, everything else in ONNX's axis order.

use quantrain_graph::Shape;
use quantrain_kernels::Scratch;
use quantrain_kernels::elementwise::add_assign;
use quantrain_kernels::permute::permute;
use quantrain_lowering::memory_order::{Permuted, logical_permutation, physical_permutation, to_physical};

/// The extents of a tensor as it lies in memory, for a batch of `batch`: `[N, H, W, C]` for rank 4.
pub fn physical_shape(shape: &Shape, batch: usize) -> Vec<usize> {
    to_physical(&shape.at(batch))
}

/// Values of a tensor of these ONNX extents, given in ONNX's order, as they lie in memory.
///
/// # Panics
/// There is not a value for each element.
pub fn in_memory_order(extents: &[usize], values: &[f32], to: &mut Vec<f32>) {
    to.resize(values.len(), 0.0);
    permute(values, extents, &physical_permutation(extents.len()), to);
}

/// The way back: values as they lie in memory, in the order of these ONNX extents.
///
/// # Panics
/// There is not a value for each element.
pub fn in_onnx_order(extents: &[usize], values: &[f32], to: &mut Vec<f32>) {
    to.resize(values.len(), 0.0);
    permute(values, &to_physical(extents), &logical_permutation(extents.len()), to);
}

/// A tensor that an operator reads and writes in ONNX's order, whatever its order in memory.
pub(crate) struct InOnnxOrder {
    /// The extents in memory, where the orders differ.
    moved: Option<[usize; 4]>,
}

impl InOnnxOrder {
    /// A tensor of these extents in ONNX's order.
    pub fn new(logical: &[usize]) -> Self {
        let order = Permuted { extents: to_physical(logical), permutation: logical_permutation(logical.len()) };
        InOnnxOrder { moved: <[usize; 4]>::try_from(&order.extents[..]).ok().filter(|_| !order.keeps_order()) }
    }

    /// Calls `f` with the values in ONNX's order.
    pub fn read<R>(&self, x: &[f32], f: impl FnOnce(&[f32]) -> R) -> R {
        let Some(shape) = &self.moved else { return f(x) };
        let mut scratch = Scratch::take(x.len());
        let logical = &mut scratch.as_mut_slice()[..x.len()];
        permute(x, shape, &[0, 3, 1, 2], logical);
        f(logical)
    }

    /// Calls `f` with room for the values in ONNX's order, which it writes, or adds to where it is told so.
    pub fn write(&self, y: &mut [f32], accumulate: bool, f: impl FnOnce(&mut [f32], bool)) {
        let Some([n, h, w, c]) = self.moved else { return f(y, accumulate) };
        let mut scratch = Scratch::take(2 * y.len());
        let (logical, rest) = scratch.as_mut_slice().split_at_mut(y.len());
        f(logical, false);
        if accumulate {
            let added = &mut rest[..y.len()];
            permute(logical, &[n, c, h, w], &[0, 2, 3, 1], added);
            add_assign(added, y);
        } else {
            permute(logical, &[n, c, h, w], &[0, 2, 3, 1], y);
        }
    }
}
