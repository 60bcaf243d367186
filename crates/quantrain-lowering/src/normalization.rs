//! Normalisation outside of blocks: by each sample's own statistics; and a BatchNormalization that no block took, an affine map.

use quantrain_graph::fold::BatchNorm;
use quantrain_graph::op::{BatchNormalization, InstanceNormalization, LayerNormalization};
use quantrain_kernels::normalize::RowNorm;

use crate::memory_order::channel_stride;
use crate::{Site, Unsupported};

/// `y = x·factor + offset` by channels.
pub struct Affine {
    factor: Vec<f32>,
    offset: Vec<f32>,
    /// Elements between one channel and the next.
    stride: usize,
}

impl Affine {
    /// Of a BatchNormalization, its statistics and parameters as they are.
    ///
    /// # Errors
    /// A parameter is not constant.
    pub fn new(op: &BatchNormalization, site: &Site) -> Result<Self, Unsupported> {
        let values = |i: usize| site.constant(i).ok_or_else(|| site.unsupported("its parameters must be constants"));
        let norm = BatchNorm { gamma: values(1)?, beta: values(2)?, mean: values(3)?, variance: values(4)?, epsilon: op.epsilon };
        let factor = norm.factors();
        let offset = (0..factor.len()).map(|c| norm.beta[c] - norm.mean[c] * factor[c]).collect();
        Ok(Affine { factor, offset, stride: channel_stride(&site.input(0)) })
    }

    /// The factor of the channel of element `i`.
    pub fn factor(&self, i: usize) -> f32 {
        self.factor[self.channel(i)]
    }

    /// Writes the map of `x · scale`, in steps of `out_scale`.
    pub fn forward(&self, x: &[f32], scale: f32, out_scale: f32, y: &mut [f32]) {
        for (i, (y, x)) in y.iter_mut().zip(x).enumerate() {
            let c = self.channel(i);
            *y = (x * scale * self.factor[c] + self.offset[c]) / out_scale;
        }
    }

    fn channel(&self, i: usize) -> usize {
        i / self.stride % self.factor.len()
    }
}

/// The rows that a LayerNormalization normalises.
///
/// # Errors
/// Its axis does not fit the input.
pub fn layer_rows(op: &LayerNormalization, site: &Site) -> Result<RowNorm, Unsupported> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let len = op.normalised(shape).map_err(|_| site.unsupported("its axis does not fit the input"))?;
    Ok(RowNorm { len, epsilon: op.epsilon, channels: None })
}

/// The rows that an InstanceNormalization normalises: those of each channel.
pub fn instance_rows(op: &InstanceNormalization, site: &Site) -> RowNorm {
    let x = site.input(0);
    RowNorm { len: x[2..].iter().product(), epsilon: op.epsilon, channels: Some(x[1]) }
}
