//! A user's function, and values of one path.

use quantrain_graph::op::StraightThrough;
use quantrain_kernels::permute::permute;
use quantrain_lowering::Site;
use quantrain_lowering::memory_order::to_physical;

use super::steps::{Scaled, Steps};

/// A function that the user gave.
pub struct Wrapped {
    op: StraightThrough,
    shape: Vec<usize>,
}

pub(super) fn function(op: &StraightThrough, site: &Site) -> Wrapped {
    Wrapped { op: op.clone(), shape: site.input(0) }
}

impl Steps for Wrapped {
    /// Exactly f(x), on real values in ONNX's axis order.
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let real: Vec<f32> = x[0].values.iter().map(|v| v * x[0].scale).collect();
        if self.shape.len() == 4 {
            let (mut logical, mut result) = (vec![0.0; real.len()], vec![0.0; real.len()]);
            permute(&real, &to_physical(&self.shape), &[0, 3, 1, 2], &mut logical);
            self.op.function().apply(&self.shape, &logical, &mut result);
            permute(&result, &self.shape, &[0, 2, 3, 1], y);
        } else {
            self.op.function().apply(&self.shape, &real, y);
        }
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}

/// The value of the first input.
pub struct Propagate;

impl Steps for Propagate {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let factor = x[0].scale / out_scale;
        if factor == 1.0 { y.copy_from_slice(&x[0].values) } else { y.iter_mut().zip(&x[0].values).for_each(|(y, v)| *y = v * factor) }
    }
}
