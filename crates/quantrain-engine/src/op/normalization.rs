//! A BatchNormalization that no block took: an affine map per channel, its statistics and parameters as they are.

use quantrain_graph::fold::BatchNorm;
use quantrain_graph::op::BatchNormalization;

use super::{Kernel, Scaled, Site, write};
use crate::EngineError;
use crate::layout::physical_axis;

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
