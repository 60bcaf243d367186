//! Operators that gather axes: means and Softmax.

use quantrain_graph::op::{ReduceMean, Softmax};
use quantrain_kernels::integer::pooling::sum_pixels;
use quantrain_kernels::softmax;

use super::steps::{Scaled, Steps, put};
use super::{Kernel, Site, axis_from_front, physical_axis, to_physical};
use crate::LowerError;
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred_integers, scale};

/// The mean over some axes: `Σ·(s_x/(s_y·count))`, the divisor rounded to f32 first; sums of codes are integers (ONNX Runtime's order).
struct Mean {
    extents: Vec<usize>,
    /// Stride of the output along each axis of the input; 0 where it is reduced.
    strides: Vec<usize>,
    count: usize,
    /// `[images, pixels, channels]` where the mean is over whole images.
    image: Option<[usize; 3]>,
    input: Option<Grid>,
    output: Option<Grid>,
    clip: (f32, f32),
    len: usize,
}

pub(super) fn global_average(site: &Site) -> Box<dyn Kernel> {
    Box::new(Mean::new(site, &[false, false, true, true]))
}

pub(super) fn mean(op: &ReduceMean, site: &Site) -> Result<Box<dyn Kernel>, LowerError> {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    let reduced = op.reduced(x).map_err(|_| site.unsupported("an axis lies outside the rank"))?;
    if !op.keep_dims && reduced.len() == 4 && !(reduced[2] && reduced[3]) {
        return Err(site.unsupported("without keepdims only the mean over both spatial axes is supported; export it with keepdims"));
    }
    if reduced.len() > 4 && site.output().len() == 4 {
        return Err(site.unsupported("a mean that leaves an image of a tensor of more axes is not supported; export it with keepdims"));
    }
    Ok(Box::new(Mean::new(site, &reduced)))
}

impl Mean {
    fn new(site: &Site, reduced: &[bool]) -> Self {
        let logical = site.input(0);
        let rank = logical.len();
        let (mut extents, mut physical) = (to_physical(&logical), vec![false; rank]);
        for axis in 0..rank {
            physical[physical_axis(rank, axis)] = reduced[axis];
        }
        let mut stride = 1;
        let mut strides = vec![0; rank];
        for axis in (0..rank).rev().filter(|&axis| !physical[axis]) {
            strides[axis] = stride;
            stride *= extents[axis];
        }
        let count = extents.iter().zip(&physical).filter(|(_, r)| **r).map(|(n, _)| n).product();
        let image = (physical == [false, true, true, false]).then(|| [extents[0], extents[1] * extents[2], extents[3]]);
        if extents.is_empty() {
            extents.push(1);
            strides.push(0);
        }
        let len = site.output_len();
        Mean { extents, strides, count, image, input: site.inputs[0], output: site.output, clip: site.clip_steps(), len }
    }

    /// Calls `f(input index, output index)` in order.
    fn walk(&self, mut f: impl FnMut(usize, usize)) {
        let (mut index, mut out) = (vec![0; self.extents.len()], 0);
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

    /// The sums of centred codes, as floats.
    fn integer_sums(&self, grid: &Grid, x: View) -> Vec<f32> {
        if let (Some([images, pixels, channels]), View::Bytes(x)) = (self.image, x)
            && pixels < (1 << 22)
        {
            let mut sums = vec![0; self.len];
            sum_pixels(images, pixels, channels, x, &mut sums);
            let zeros = grid.zero() * pixels as i32;
            return sums.into_iter().map(|s| (s - zeros) as f32).collect();
        }
        let x = centred_integers(grid, x);
        let mut sums = vec![0i64; self.len];
        self.walk(|i, o| sums[o] += i64::from(x[i]));
        sums.into_iter().map(|s| s as f32).collect()
    }
}

impl Kernel for Mean {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let mut sums = match (&self.input, x[0]) {
            (Some(grid), x) => self.integer_sums(grid, x),
            (None, View::Reals(x)) => {
                let mut sums = vec![0.0; self.len];
                self.walk(|i, o| sums[o] += x[i]);
                sums
            }
            (None, _) => unreachable!("a tensor without a grid holds reals"),
        };
        let factor = scale(self.input) / (scale(self.output) * self.count as f32);
        sums.iter_mut().for_each(|s| *s *= factor);
        put(self.output, self.clip, &mut sums, y);
    }
}

/// Normalised exponentials along the axis that lies last in memory.
pub(super) struct LastAxis {
    classes: usize,
}

pub(super) fn softmax(op: &Softmax, site: &Site) -> Result<LastAxis, LowerError> {
    let x = site.input(0);
    let axis = axis_from_front(op.axis, x.len());
    if physical_axis(x.len(), axis) + 1 != x.len() {
        return Err(site.unsupported("only a softmax over channels, or over the last axis of a tensor that is no image, is supported"));
    }
    Ok(LastAxis { classes: x[axis] })
}

impl Steps for LastAxis {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let real: Vec<f32> = x[0].values.iter().map(|v| v * x[0].scale).collect();
        softmax::forward(self.classes, &real, y);
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}
