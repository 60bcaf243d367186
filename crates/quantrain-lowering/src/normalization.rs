//! Normalisation outside of blocks: by each sample's own statistics; and a BatchNormalization that no block took, an affine map.

use quantrain_graph::Op;
use quantrain_graph::fold::BatchNorm;
use quantrain_graph::op::{self as graph, BatchNormalization};
use quantrain_kernels::normalize::{Epsilon, RowNorm};

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

/// The rows that a normalisation by each sample's own statistics normalises.
///
/// # Errors
/// Its attributes do not fit the input, or it is another operator.
pub fn rows(op: &Op, site: &Site) -> Result<RowNorm, Unsupported> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let whole = |len: Result<usize, _>| len.map_err(|_| site.unsupported("its axis does not fit the input"));
    let pixels = || site.input(0)[2..].iter().product::<usize>();
    let of_channels = |epsilon, len, turns, share| RowNorm { len, epsilon: Epsilon::OfVariance(epsilon), centred: true, turns, share };
    Ok(match op {
        Op::LayerNormalization(op) => {
            RowNorm { len: whole(op.normalised(shape))?, epsilon: epsilon(op.epsilon), centred: true, turns: 1, share: 1 }
        }
        Op::RmsNormalization(op) => {
            RowNorm { len: whole(op.normalised(shape))?, epsilon: epsilon(op.epsilon), centred: false, turns: 1, share: 1 }
        }
        Op::InstanceNormalization(op) => of_channels(op.epsilon, pixels(), site.input(0)[1], pixels()),
        Op::GroupNormalization(op) => {
            let len = site.input(0)[1] / op.groups * pixels();
            of_channels(op.epsilon, len, op.groups, pixels())
        }
        _ => return Err(site.unsupported("it is no normalisation")),
    })
}

fn epsilon(epsilon: graph::Epsilon) -> Epsilon {
    match epsilon {
        graph::Epsilon::OfVariance(epsilon) => Epsilon::OfVariance(epsilon),
        graph::Epsilon::OfDeviation(epsilon) => Epsilon::OfDeviation(epsilon),
        graph::Epsilon::Least(epsilon) => Epsilon::Least(epsilon),
    }
}
