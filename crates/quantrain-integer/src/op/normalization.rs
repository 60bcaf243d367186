//! A BatchNormalization that no block took: an affine map per channel.

use quantrain_graph::fold::BatchNorm;
use quantrain_graph::op::BatchNormalization;

use super::steps::{Scaled, Steps};
use super::{Site, physical_axis};
use crate::LowerError;

pub(super) struct Affine {
    factor: Vec<f32>,
    offset: Vec<f32>,
    /// Elements between one channel and the next.
    stride: usize,
}

pub(super) fn build(op: &BatchNormalization, site: &Site) -> Result<Affine, LowerError> {
    let values = |i: usize| site.graph.constant(site.node.inputs[i]).ok_or_else(|| site.unsupported("its parameters must be constants"));
    let norm = BatchNorm { gamma: values(1)?, beta: values(2)?, mean: values(3)?, variance: values(4)?, epsilon: op.epsilon };
    let factor = norm.factors();
    let offset = (0..factor.len()).map(|c| norm.beta[c] - norm.mean[c] * factor[c]).collect();
    let x = site.input(0);
    let stride = if physical_axis(x.len(), 1) + 1 == x.len() { 1 } else { x[2..].iter().product() };
    Ok(Affine { factor, offset, stride })
}

impl Steps for Affine {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        for (i, y) in y.iter_mut().enumerate() {
            let c = i / self.stride % self.factor.len();
            *y = (x[0].values[i] * x[0].scale * self.factor[c] + self.offset[c]) / out_scale;
        }
    }
}
