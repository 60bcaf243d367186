//! How tensors lie in memory: images as NHWC, everything else in ONNX's axis order.

use quantrain_kernels::permute::MOST_AXES;

/// `[N, C, H, W]` as `[N, H, W, C]`; other ranks as they are.
pub fn to_physical(logical: &[usize]) -> Vec<usize> {
    match *logical {
        [n, c, h, w] => vec![n, h, w, c],
        _ => logical.to_vec(),
    }
}

/// Where an ONNX axis, counted from the front, lies in memory.
pub fn physical_axis(rank: usize, axis: usize) -> usize {
    if rank == 4 { [0, 3, 1, 2][axis] } else { axis }
}

/// How far a channel of axis 1 is from the next in memory, for extents in ONNX's order.
pub fn channel_stride(extents: &[usize]) -> usize {
    if physical_axis(extents.len(), 1) + 1 == extents.len() { 1 } else { extents.iter().skip(2).product() }
}

/// An axis that the graph has checked, counted from the front.
pub fn axis_from_front(axis: i64, rank: usize) -> usize {
    if axis < 0 { (axis + rank as i64) as usize } else { axis as usize }
}

/// The permutation from memory order to ONNX's: axis i of the result is axis `p[i]` in memory.
pub fn logical_permutation(rank: usize) -> Vec<usize> {
    (0..rank).map(|axis| physical_axis(rank, axis)).collect()
}

/// The permutation from ONNX's order to memory's.
pub fn physical_permutation(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 2, 3, 1] } else { (0..rank).collect() }
}

/// Another order of axes: axis i of the result is axis `permutation[i]` of what has these extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permuted {
    /// Extents before.
    pub extents: Vec<usize>,
    /// Where each axis comes from.
    pub permutation: Vec<usize>,
}

impl Permuted {
    /// Whether it leaves elements where they are: only extents of 1 change places.
    pub fn keeps_order(&self) -> bool {
        self.permutation.iter().filter(|&&axis| self.extents[axis] != 1).is_sorted()
    }

    /// The way back.
    pub fn inverse(&self) -> Self {
        let mut back = vec![0; self.permutation.len()];
        self.permutation.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        Permuted { extents: self.permutation.iter().map(|&axis| self.extents[axis]).collect(), permutation: back }
    }
}

/// Calls `f(i, places)` for each element i of a tensor of `extents`, in order; places go by their strides along its axes, of which there are
/// at most [`MOST_AXES`].
#[inline]
pub fn walk<const N: usize>(extents: &[usize], strides: [&[usize]; N], mut f: impl FnMut(usize, [usize; N])) {
    let (mut index, mut places) = ([0; MOST_AXES], [0; N]);
    for i in 0..extents.iter().product() {
        f(i, places);
        for axis in (0..extents.len()).rev() {
            index[axis] += 1;
            for (place, strides) in places.iter_mut().zip(strides) {
                *place += strides[axis];
            }
            if index[axis] < extents[axis] {
                break;
            }
            for (place, strides) in places.iter_mut().zip(strides) {
                *place -= strides[axis] * index[axis];
            }
            index[axis] = 0;
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
        let moved = Permuted { extents: vec![2, 3, 4, 5], permutation: there };
        assert_eq!(moved.inverse(), Permuted { extents: vec![2, 4, 5, 3], permutation: back });
        assert_eq!(moved.inverse().inverse(), moved);
    }

    #[test]
    fn moving_extents_of_one_moves_nothing() {
        let keeps = |extents: [usize; 4]| Permuted { extents: extents.to_vec(), permutation: logical_permutation(4) }.keeps_order();
        assert!(keeps([8, 1, 1, 64]));
        assert!(!keeps([8, 2, 1, 64]));
        assert!(keeps([8, 7, 5, 1]));
    }
}
