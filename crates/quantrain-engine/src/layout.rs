//! How tensors lie in memory: images as NHWC, everything else in ONNX's axis order.

use quantrain_graph::Shape;
use quantrain_kernels::Scratch;
use quantrain_kernels::elementwise::add_assign;
use quantrain_kernels::permute::permute;

/// The extents of a tensor as it lies in memory, for a batch of `batch`: `[N, H, W, C]` for rank 4.
pub fn physical_shape(shape: &Shape, batch: usize) -> Vec<usize> {
    to_physical(&shape.at(batch))
}

/// `[N, C, H, W]` as `[N, H, W, C]`; other ranks as they are.
pub(crate) fn to_physical(logical: &[usize]) -> Vec<usize> {
    match *logical {
        [n, c, h, w] => vec![n, h, w, c],
        _ => logical.to_vec(),
    }
}

/// Where an ONNX axis lies in memory.
pub(crate) fn physical_axis(rank: usize, axis: usize) -> usize {
    if rank == 4 { [0, 3, 1, 2][axis] } else { axis }
}

/// The permutation from memory order to ONNX's: axis i of the result is axis `p[i]` in memory.
pub(crate) fn logical_permutation(rank: usize) -> Vec<usize> {
    (0..rank).map(|axis| physical_axis(rank, axis)).collect()
}

/// The permutation from ONNX's order to memory's.
pub(crate) fn physical_permutation(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 2, 3, 1] } else { (0..rank).collect() }
}

/// Whether a permutation of axes leaves elements where they are: only extents of 1 change places.
pub(crate) fn keeps_order(shape: &[usize], permutation: &[usize]) -> bool {
    let moving: Vec<usize> = permutation.iter().copied().filter(|&axis| shape[axis] != 1).collect();
    moving.windows(2).all(|w| w[0] < w[1])
}

/// A tensor that an operator reads and writes in ONNX's order, whatever its order in memory.
pub(crate) struct InOnnxOrder {
    /// The extents in memory, where the orders differ.
    moved: Option<[usize; 4]>,
}

impl InOnnxOrder {
    /// A tensor of these extents in ONNX's order.
    pub fn new(logical: &[usize]) -> Self {
        let image = <[usize; 4]>::try_from(to_physical(logical)).ok();
        InOnnxOrder { moved: image.filter(|shape| logical.len() == 4 && !keeps_order(shape, &logical_permutation(4))) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_there_and_back_cancel() {
        let (there, back) = (physical_permutation(4), logical_permutation(4));
        assert_eq!((0..4).map(|i| there[back[i]]).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(to_physical(&[2, 3, 4, 5]), [2, 4, 5, 3]);
    }

    #[test]
    fn moving_extents_of_one_moves_nothing() {
        assert!(keeps_order(&[8, 1, 1, 64], &logical_permutation(4)));
        assert!(!keeps_order(&[8, 2, 1, 64], &logical_permutation(4)));
        assert!(keeps_order(&[8, 7, 5, 1], &logical_permutation(4)));
    }
}
