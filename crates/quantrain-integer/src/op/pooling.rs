//! Pools over height and width.

use quantrain_graph::op::{AveragePool, MaxPool};
use quantrain_kernels::pooling::{self as kernels, PoolShape};
use quantrain_lowering::Site;
use quantrain_lowering::pooling::shape;
use rayon::prelude::*;

use super::moving::Element;
use super::steps::{Bytes, Scaled, Steps, change_unit};

/// The largest element of each window; codes of one quantizer are in the order of their values.
pub struct Windows(pub PoolShape);

pub(super) fn max(op: &MaxPool, site: &Site) -> Windows {
    Windows(shape(&op.window, false, site))
}

impl Windows {
    pub(super) fn apply<T: Element>(&self, x: &[T], y: &mut [T]) {
        let s = &self.0;
        let (line, image) = (s.out_width * s.channels, s.in_height * s.in_width * s.channels);
        y.par_chunks_mut(line.max(1)).enumerate().for_each(|(i, y)| {
            let (n, oh) = (i / s.out_height, i % s.out_height);
            let x = &x[n * image..][..image];
            for (ow, y) in y.chunks_exact_mut(s.channels).enumerate() {
                y.fill(T::LEAST);
                for row in self.inside(0, oh, s.in_height) {
                    for column in self.inside(1, ow, s.in_width) {
                        let x = &x[(row * s.in_width + column) * s.channels..][..s.channels];
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > *y { x } else { *y });
                    }
                }
            }
        });
    }

    /// The places of a window along one axis that lie on the image.
    fn inside(&self, axis: usize, out: usize, length: usize) -> impl Iterator<Item = usize> {
        let (start, step, before) = (out * self.0.stride[axis], self.0.dilation[axis], self.0.padding_begin[axis]);
        (0..self.0.kernel[axis]).filter_map(move |k| (start + k * step).checked_sub(before)).filter(move |&i| i < length)
    }
}

/// The mean of each window, of real values.
pub struct Average {
    /// The windows.
    pub shape: PoolShape,
    /// ONNX Runtime has an integer kernel for it.
    pub integer: bool,
}

pub(super) fn average(op: &AveragePool, site: &Site) -> Average {
    let shape = shape(&op.window, op.count_include_pad, site);
    Average { integer: op.is_integer_kernel(shape.in_height, shape.in_width), shape }
}

impl Steps for Average {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        kernels::average_forward(&self.shape, &x[0].real(), y);
        change_unit(y, 1.0, out_scale);
    }

    /// ONNX Runtime's QLinearAveragePool: rounded with the zero point on top.
    fn forward_codes(&self, x: &[Scaled], bytes: &Bytes, y: &mut [f32]) -> bool {
        if !self.integer {
            return false;
        }
        self.forward(x, bytes.output.scale(), y);
        let (rounding, zero) = (bytes.output.rounding(), bytes.output.zero_point() as f32);
        y.iter_mut().for_each(|v| *v = rounding.round(*v + zero) - zero);
        true
    }
}
