//! Normalisation outside of blocks: by each sample's own statistics; and a BatchNormalization that no block took, an affine map per channel.

use quantrain_graph::fold::BatchNorm;
use quantrain_graph::op::{BatchNormalization, InstanceNormalization, LayerNormalization};
use quantrain_kernels::normalize::RowNorm;

use super::steps::{Scaled, Steps};
use super::{Site, in_memory_order, in_onnx_order, physical_axis};
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

/// Rows normalised by their own mean and variance.
pub(super) struct OfSamples {
    rows: RowNorm,
    shape: Vec<usize>,
    scale: Vec<f32>,
    offset: Option<Vec<f32>>,
}

pub(super) fn layer(op: &LayerNormalization, site: &Site) -> Result<OfSamples, LowerError> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let len = op.normalised(shape).map_err(|_| site.unsupported("its axis does not fit the input"))?;
    of_samples(RowNorm { len, epsilon: op.epsilon, channels: None }, site)
}

pub(super) fn instance(op: &InstanceNormalization, site: &Site) -> Result<OfSamples, LowerError> {
    let x = site.input(0);
    of_samples(RowNorm { len: x[2..].iter().product(), epsilon: op.epsilon, channels: Some(x[1]) }, site)
}

fn of_samples(rows: RowNorm, site: &Site) -> Result<OfSamples, LowerError> {
    let values = |i: usize| site.node.inputs.get(i).and_then(|&t| site.graph.constant(t)).map(<[f32]>::to_vec);
    let scale = values(1).ok_or_else(|| site.unsupported("its parameters must be constants"))?;
    Ok(OfSamples { rows, shape: site.input(0), scale, offset: values(2) })
}

impl Steps for OfSamples {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let mut normalised = vec![0.0; y.len()];
        self.rows.forward(&in_onnx_order(x[0].real(), &self.shape), &self.scale, self.offset.as_deref(), &mut normalised);
        y.copy_from_slice(&in_memory_order(normalised, &self.shape));
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}
