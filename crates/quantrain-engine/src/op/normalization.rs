//! Normalisation outside of blocks: with the statistics of each sample; and a BatchNormalization that no block took, its statistics and
//! parameters as they are.

use quantrain_kernels::normalize::RowNorm;
use quantrain_lowering::Site;
use quantrain_lowering::normalization::Affine;

use super::{Kernel, Replays, Scaled, with_real, write};
use crate::layout::InOnnxOrder;

impl Kernel for Affine {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        Affine::forward(self, x[0].values, x[0].scale, out_scale, y);
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        write(dx, accumulate, |i| dy[i] * self.factor(i));
    }
}

/// Rows normalised by their own mean and variance; scale and, where there is one, offset come as inputs behind x.
pub(super) struct OfSamples {
    rows: RowNorm,
    order: InOnnxOrder,
}

impl OfSamples {
    pub fn new(rows: RowNorm, site: &Site) -> Self {
        OfSamples { rows, order: InOnnxOrder::new(&site.input(0)) }
    }
}

impl Kernel for OfSamples {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let (scale, offset) = (x[1].values, x.get(2).map(|b| b.values));
        with_real(x[0], |real| {
            self.order.read(real, |x| self.order.write(y, false, |y, _| self.rows.forward(x, scale, offset, y)));
        });
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// `dx = (g − mean(g) − x̂·mean(g·x̂))/σ` with `g = dy·s`; `ds = Σ dy·x̂`, `db = Σ dy`.
    fn backward(&self, which: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let (rows, scale) = (&self.rows, x[1].values);
        self.order.read(dy, |dy| match which {
            0 => with_real(x[0], |real| {
                self.order.read(real, |x| {
                    self.order.write(dx, accumulate, |dx, accumulate| rows.input_gradient(x, scale, dy, dx, accumulate));
                });
            }),
            1 => with_real(x[0], |real| self.order.read(real, |x| rows.scale_gradient(x, dy, dx))),
            _ => rows.offset_gradient(dy, dx),
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
