//! Pools over height and width.

use quantrain_graph::op::{AveragePool, MaxPool, Window};
use quantrain_kernels::pooling::{self as kernels, PoolShape};

use super::{Kernel, Replays, Scaled, Site};

fn shape(window: &Window, count_padding: bool, site: &Site) -> PoolShape {
    let (x, y) = (site.input(0), site.output());
    PoolShape {
        batch: x[0],
        in_height: x[2],
        in_width: x[3],
        channels: x[1],
        out_height: y[2],
        out_width: y[3],
        kernel: window.kernel,
        stride: window.strides,
        padding_begin: [window.pads[0], window.pads[1]],
        padding_end: [window.pads[2], window.pads[3]],
        dilation: window.dilations,
        count_padding,
    }
}

/// Multiplies by a factor that is often 1.
fn rescale(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.iter_mut().for_each(|v| *v *= factor);
    }
}

pub(super) struct Max(PoolShape);

pub(super) fn max(op: &MaxPool, site: &Site) -> Max {
    Max(shape(&op.window, false, site))
}

impl Kernel for Max {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        kernels::max_forward(&self.0, x[0].values, y);
        rescale(y, x[0].scale / out_scale);
    }

    /// The whole gradient goes to the first maximum of each window.
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        kernels::max_backward(&self.0, x[0].values, dy, dx, accumulate);
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }

    fn moves(&self) -> bool {
        true
    }
}

pub(super) struct Average(PoolShape);

pub(super) fn average(op: &AveragePool, site: &Site) -> Average {
    Average(shape(&op.window, op.count_include_pad, site))
}

impl Kernel for Average {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        kernels::average_forward(&self.0, x[0].values, y);
        rescale(y, x[0].scale / out_scale);
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        kernels::average_backward(&self.0, dy, dx, accumulate);
    }
}

pub(super) struct GlobalAverage {
    batch: usize,
    pixels: usize,
    channels: usize,
}

pub(super) fn global_average(site: &Site) -> GlobalAverage {
    let x = site.input(0);
    GlobalAverage { batch: x[0], pixels: x[2] * x[3], channels: x[1] }
}

impl Kernel for GlobalAverage {
    /// ONNX Runtime's order: the integer sum times `s_x / (s_y·H·W)`, that divisor rounded to f32 first.
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let factor = x[0].scale / (out_scale * self.pixels as f32);
        kernels::global_average_forward(self.batch, self.pixels, self.channels, x[0].values, factor, y);
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let factor = 1.0 / self.pixels as f32;
        kernels::global_average_backward(self.batch, self.pixels, self.channels, dy, factor, dx, accumulate);
    }
}
