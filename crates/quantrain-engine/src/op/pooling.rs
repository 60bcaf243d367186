//! Pools over height and width.

use quantrain_graph::op::{AveragePool, MaxPool};
use quantrain_graph::{KernelLibrary, Quantizer};
use quantrain_kernels::pooling::{self as kernels, PoolShape};
use quantrain_lowering::Site;
use quantrain_lowering::pooling::shape;

use super::{Codes, Kernel, Replays, Scaled, change_unit, with_real};

pub(super) struct Max(PoolShape);

pub(super) fn max(op: &MaxPool, site: &Site) -> Max {
    Max(shape(&op.window, false, site))
}

impl Kernel for Max {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        kernels::max_forward(&self.0, x[0].values, y);
        change_unit(y, x[0].scale, out_scale);
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

pub(super) struct Average {
    shape: PoolShape,
    /// ONNX Runtime has an integer kernel for it.
    integer: bool,
}

pub(super) fn average(op: &AveragePool, site: &Site) -> Average {
    let shape = shape(&op.window, op.count_include_pad, site);
    Average { integer: op.is_integer_kernel(shape.in_height, shape.in_width), shape }
}

impl Average {
    /// TensorFlow Lite's: the sum of the codes, zero point and all, over their number, half away from zero.
    fn of_codes(&self, x: &[f32], to: &Quantizer, y: &mut [f32]) {
        let s = &self.shape;
        kernels::average_forward(s, x, y);
        let zero = f64::from(to.zero_point());
        for (i, y) in y.chunks_exact_mut(s.channels.max(1)).enumerate() {
            let pixel = i % (s.out_height * s.out_width);
            let count = s.count(pixel / s.out_width, pixel % s.out_width) as f64;
            // A mean times its count is the sum again, but for the roundings of both.
            y.iter_mut().for_each(|y| *y = (((f64::from(*y) * count).round() + zero * count) / count).round() as f32 - zero as f32);
        }
    }
}

impl Kernel for Average {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        with_real(x[0], |real| kernels::average_forward(&self.shape, real, y));
        change_unit(y, 1.0, out_scale);
    }

    /// ONNX Runtime's QLinearAveragePool: the mean of real values, rounded with the zero point on top.
    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        if let Some(to) = codes.all_bytes().filter(|_| codes.kernels.average_pool == KernelLibrary::Tflite) {
            self.of_codes(x[0].values, &to, y);
            return true;
        }
        let Some(to) = codes.of_bytes().filter(|_| self.integer) else { return false };
        self.forward(x, to.scale(), y);
        let zero = to.zero_point() as f32;
        y.iter_mut().for_each(|v| *v = to.rounding().round(*v + zero) - zero);
        true
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        kernels::average_backward(&self.shape, dy, dx, accumulate);
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

    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        let of_codes = codes.factor_of_mean(self.pixels).filter(|_| codes.kernels.mean == KernelLibrary::Tflite);
        if of_codes.is_none() && !codes.exceed_f32(&[0], self.pixels) {
            return false;
        }
        let factor = x[0].scale / (codes.output.map_or(1.0, |q| q.scale()) * self.pixels as f32);
        let images = x[0].values.chunks_exact((self.pixels * self.channels).max(1));
        for (image, y) in images.zip(y.chunks_exact_mut(self.channels)) {
            for (c, y) in y.iter_mut().enumerate() {
                let sum = image[c..].iter().step_by(self.channels).map(|&v| f64::from(v)).sum::<f64>();
                *y = of_codes.map_or(sum as f32 * factor, |f| f.apply(sum as i64) as f32);
            }
        }
        true
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let factor = 1.0 / self.pixels as f32;
        kernels::global_average_backward(self.batch, self.pixels, self.channels, dy, factor, dx, accumulate);
    }
}
