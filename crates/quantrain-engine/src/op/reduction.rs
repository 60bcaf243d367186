//! Operators that gather an axis.

use quantrain_graph::op::{ReduceMean, Softmax};
use quantrain_kernels::permute::MOST_AXES;
use quantrain_kernels::softmax;

use super::{Codes, Kernel, Replays, Scaled, Site, with_real};
use crate::EngineError;
use crate::layout::{physical_axis, to_physical};

pub(super) struct Mean {
    extents: Vec<usize>,
    /// Stride of the output along each axis of the input; 0 where it is reduced.
    strides: Vec<usize>,
    count: usize,
}

/// Whether an image's pixels are all gathered, and nothing else: a global average pool by another name.
pub(super) fn is_image_mean(op: &ReduceMean, site: &Site) -> bool {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    matches!(op.reduced(x).as_deref(), Ok([false, false, true, true]))
}

pub(super) fn mean(op: &ReduceMean, site: &Site) -> Result<Mean, EngineError> {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    let reduced = op.reduced(x).map_err(|_| site.unsupported("an axis lies outside the rank"))?;
    let logical = site.input(0);
    if !op.keep_dims && logical.len() == 4 && !(reduced[2] && reduced[3]) {
        return Err(site.unsupported("without keepdims only the mean over both spatial axes is supported; export it with keepdims"));
    }
    let rank = logical.len();
    if rank > 4 && site.output().len() == 4 {
        return Err(site.unsupported("a mean that leaves an image of a tensor of more axes is not supported; export it with keepdims"));
    }
    let (mut extents, mut physical) = (to_physical(&logical), vec![false; rank]);
    for axis in 0..rank {
        physical[physical_axis(rank, axis)] = reduced[axis];
    }
    let mut stride = 1;
    let mut strides = vec![0; rank];
    for axis in (0..rank).rev() {
        if !physical[axis] {
            strides[axis] = stride;
            stride *= extents[axis];
        }
    }
    let count = extents.iter().zip(&physical).filter(|(_, r)| **r).map(|(n, _)| n).product();
    if extents.is_empty() {
        extents.push(1);
        strides.push(0);
    }
    Ok(Mean { extents, strides, count })
}

impl Mean {
    /// Calls `f(input index, output index)` in order.
    fn walk(&self, mut f: impl FnMut(usize, usize)) {
        let mut index = [0; MOST_AXES];
        let index = &mut index[..self.extents.len()];
        let mut out = 0;
        for i in 0..self.extents.iter().product() {
            f(i, out);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                out += self.strides[axis];
                if index[axis] < self.extents[axis] {
                    break;
                }
                out -= self.strides[axis] * index[axis];
                index[axis] = 0;
            }
        }
    }
}

impl Kernel for Mean {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        y.fill(0.0);
        self.walk(|i, o| y[o] += x[0].values[i]);
        let factor = x[0].scale / (out_scale * self.count as f32);
        y.iter_mut().for_each(|v| *v *= factor);
    }

    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        if !codes.exceed_f32(&[0], self.count) {
            return false;
        }
        let mut sums = vec![0.0; y.len()];
        self.walk(|i, o| sums[o] += f64::from(x[0].values[i]));
        let factor = x[0].scale / (codes.output.map_or(1.0, |q| q.scale()) * self.count as f32);
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum as f32 * factor);
        true
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
        let factor = 1.0 / self.count as f32;
        self.walk(|i, o| dx[i] += dy[o] * factor);
    }
}

pub(super) struct LastAxisSoftmax {
    classes: usize,
}

pub(super) fn softmax(op: &Softmax, site: &Site) -> Result<LastAxisSoftmax, EngineError> {
    let x = site.input(0);
    let axis = if op.axis < 0 { (op.axis + x.len() as i64) as usize } else { op.axis as usize };
    if physical_axis(x.len(), axis) + 1 != x.len() {
        return Err(site.unsupported("only a softmax over channels, or over the last axis of a tensor that is no image, is supported"));
    }
    Ok(LastAxisSoftmax { classes: x[axis] })
}

impl Kernel for LastAxisSoftmax {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        with_real(x[0], |real| softmax::forward(self.classes, real, y));
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// `dx = y·(dy − Σ y·dy)`
    fn backward(&self, _: usize, _: &[Scaled], y: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        with_real(y, |real| softmax::backward(self.classes, real, dy, dx, accumulate));
    }

    fn replays(&self) -> Replays {
        Replays { inputs: false, output: true }
    }
}
