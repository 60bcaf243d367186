//! Normalisation outside of blocks: with the statistics of each sample; and a BatchNormalization that no block took, an affine map per
//! channel, its statistics and parameters as they are.

use quantrain_graph::fold::BatchNorm;
use quantrain_graph::op::{BatchNormalization, InstanceNormalization, LayerNormalization};
use quantrain_kernels::normalize::RowNorm;

use super::{Kernel, Replays, Scaled, Site, with_real, write};
use crate::EngineError;
use crate::layout::{InOnnxOrder, physical_axis};

pub(super) struct Affine {
    factor: Vec<f32>,
    offset: Vec<f32>,
    /// Elements between one channel and the next.
    stride: usize,
}

pub(super) fn build(op: &BatchNormalization, site: &Site) -> Result<Affine, EngineError> {
    let values = |i: usize| site.graph.constant(site.node.inputs[i]).ok_or_else(|| site.unsupported("its parameters must be constants"));
    let norm = BatchNorm { gamma: values(1)?, beta: values(2)?, mean: values(3)?, variance: values(4)?, epsilon: op.epsilon };
    let factor = norm.factors();
    let offset = (0..factor.len()).map(|c| norm.beta[c] - norm.mean[c] * factor[c]).collect();
    let x = site.input(0);
    let stride = if physical_axis(x.len(), 1) + 1 == x.len() { 1 } else { x[2..].iter().product() };
    Ok(Affine { factor, offset, stride })
}

impl Affine {
    fn channel(&self, i: usize) -> usize {
        i / self.stride % self.factor.len()
    }
}

impl Kernel for Affine {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        for (i, y) in y.iter_mut().enumerate() {
            let c = self.channel(i);
            *y = (x[0].values[i] * x[0].scale * self.factor[c] + self.offset[c]) / out_scale;
        }
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        write(dx, accumulate, |i| dy[i] * self.factor[self.channel(i)]);
    }
}

/// Rows normalised by their own mean and variance; scale and, where there is one, offset come as inputs behind x.
pub(super) struct OfSamples {
    rows: RowNorm,
    order: InOnnxOrder,
}

pub(super) fn layer(op: &LayerNormalization, site: &Site) -> Result<OfSamples, EngineError> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let len = op.normalised(shape).map_err(|_| site.unsupported("its axis does not fit the input"))?;
    Ok(OfSamples { rows: RowNorm { len, epsilon: op.epsilon, channels: None }, order: InOnnxOrder::new(&site.input(0)) })
}

pub(super) fn instance(op: &InstanceNormalization, site: &Site) -> OfSamples {
    let x = site.input(0);
    let rows = RowNorm { len: x[2..].iter().product(), epsilon: op.epsilon, channels: Some(x[1]) };
    OfSamples { rows, order: InOnnxOrder::new(&x) }
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
