//! Operators that gather axes: which elements fall together.

use quantrain_graph::op::{ArgMax, Reduce, Softmax};

use crate::memory_order::{Permuted, physical_axis, to_physical, walk};
use crate::{Site, Unsupported};

/// Which element of the output each element of the input falls to.
pub struct Falls {
    /// Extents of the input in memory order.
    extents: Vec<usize>,
    /// Stride of the output along each of them; 0 where it is reduced.
    strides: Vec<usize>,
    /// Elements that fall to one.
    count: usize,
}

impl Falls {
    /// `reduced` has, for each axis of input 0 in ONNX's order, whether it goes; such an axis stays with extent 1 where `keep_dims`.
    pub fn new(site: &Site, reduced: &[bool], keep_dims: bool) -> Self {
        let (input, output) = (site.input(0), site.output());
        let (rank, left) = (input.len(), output.len());
        let stored = to_physical(&output);
        let stride_of = |axis: usize| stored[physical_axis(left, axis) + 1..].iter().product::<usize>();
        let mut extents = to_physical(&input);
        let mut strides = vec![0; rank];
        for (kept, axis) in (0..rank).filter(|&axis| !reduced[axis]).enumerate() {
            strides[physical_axis(rank, axis)] = stride_of(if keep_dims { axis } else { kept });
        }
        let count = input.iter().zip(reduced).filter(|(_, r)| **r).map(|(n, _)| n).product();
        if rank == 0 {
            extents.push(1);
            strides.push(0);
        }
        Falls { extents, strides, count }
    }

    /// Of a reduction.
    ///
    /// # Errors
    /// An axis lies outside the rank.
    pub fn of_reduce(op: &Reduce, site: &Site) -> Result<Self, Unsupported> {
        let x = &site.graph.tensor(site.node.inputs[0]).shape;
        let reduced = op.reduced(x).map_err(|_| site.unsupported("an axis lies outside the rank"))?;
        Ok(Falls::new(site, &reduced, op.keep_dims))
    }

    /// Of an ArgMax: along the axis elements come in order.
    ///
    /// # Errors
    /// As [`Falls::of_reduce`].
    pub fn of_arg_max(op: &ArgMax, site: &Site) -> Result<Self, Unsupported> {
        let x = &site.graph.tensor(site.node.inputs[0]).shape;
        let axis = x.axis(op.axis).map_err(|_| site.unsupported("its axis lies outside the rank"))?;
        let reduced: Vec<bool> = (0..x.rank()).map(|a| a == axis).collect();
        Ok(Falls::new(site, &reduced, op.keep_dims))
    }

    /// Elements that fall to one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `[images, pixels, channels]` where the pixels of images fall together, and nothing else.
    pub fn whole_images(&self) -> Option<[usize; 3]> {
        let whole = self.extents.len() == 4 && self.strides[1..3] == [0, 0] && self.count == self.extents[1] * self.extents[2];
        whole.then(|| [self.extents[0], self.count, self.extents[3]])
    }

    /// Calls `f(input index, output index)` in order.
    #[inline]
    pub fn walk(&self, mut f: impl FnMut(usize, usize)) {
        walk(&self.extents, [&self.strides], |i, [out]| f(i, out));
    }
}

/// Elements of a row of a Softmax, and the order of axes that brings rows together.
///
/// # Errors
/// An axis lies outside the rank, or is the batch.
pub fn softmax_rows(op: &Softmax, site: &Site) -> Result<(usize, Permuted), Unsupported> {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    let axes = op.normalized(x).map_err(|_| site.unsupported("its axis lies outside the rank, or is the batch"))?;
    let rank = x.rank();
    let extents = to_physical(&site.input(0));
    let mut inside = vec![false; rank];
    axes.for_each(|axis| inside[physical_axis(rank, axis)] = true);
    let permutation = (0..rank).filter(|&a| !inside[a]).chain((0..rank).filter(|&a| inside[a])).collect();
    let classes = (0..rank).filter(|&a| inside[a]).map(|a| extents[a]).product();
    Ok((classes, Permuted { extents, permutation }))
}
