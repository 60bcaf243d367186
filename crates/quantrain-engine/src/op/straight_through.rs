//! Values of one path, derivative of another.

use quantrain_graph::op::StraightThrough;
use quantrain_kernels::permute::permute;
use quantrain_lowering::Site;
use quantrain_lowering::memory_order::{logical_permutation, physical_permutation, to_physical};

use super::{Kernel, Scaled, write};

pub(super) struct Wrapped {
    op: StraightThrough,
    shape: Vec<usize>,
}

pub(super) fn function(op: &StraightThrough, site: &Site) -> Wrapped {
    Wrapped { op: op.clone(), shape: site.input(0) }
}

impl Kernel for Wrapped {
    /// Exactly f(x), on real values in ONNX's axis order.
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let real: Vec<f32> = x[0].values.iter().map(|v| v * x[0].scale).collect();
        if self.shape.len() == 4 {
            let mut logical = vec![0.0; real.len()];
            permute(&real, &to_physical(&self.shape), &logical_permutation(4), &mut logical);
            let mut result = vec![0.0; real.len()];
            self.op.function().apply(&self.shape, &logical, &mut result);
            permute(&result, &self.shape, &physical_permutation(4), y);
        } else {
            self.op.function().apply(&self.shape, &real, y);
        }
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        write(dx, accumulate, |i| dy[i]);
    }
}

/// Value of the first input, derivative as if it were the second.
pub(super) struct Propagate;

impl Kernel for Propagate {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let factor = x[0].scale / out_scale;
        // A factor of 1 must hand the bits on, NaN payloads and all.
        if factor == 1.0 { y.copy_from_slice(x[0].values) } else { write(y, false, |i| x[0].values[i] * factor) }
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        write(dx, accumulate, |i| dy[i]);
    }
}
