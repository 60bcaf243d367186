//! Blocks that the target leaves in float: codes in are dequantized, codes out are quantized, all in the order of the engine.

use quantrain_graph::QuantGraph;
use quantrain_kernels::block_pass::{self, BlockPass};
use quantrain_kernels::convolution::{self, ConvolutionShape};

use super::{Ends, clip_steps, to_memory_order, weight_extents};
use crate::buffer::{Buffer, View};
use crate::grid::{centred, scale};

/// `y = clip(acc·multiplier + after)` in steps of the output, `acc` the product of the input in its own steps with float weights.
pub(crate) struct Float {
    weights: Vec<f32>,
    multiplier: Vec<f32>,
    after: Vec<f32>,
    ends: Ends,
}

impl Float {
    pub(super) fn new(net: &QuantGraph, u: usize, shape: ConvolutionShape, ends: Ends) -> Self {
        let (graph, unit) = (net.graph(), net.units()[u]);
        let weights = net.weights_of(u).expect("a block has weights");
        let bias = unit.block(graph).and_then(|b| b.bias).and_then(|b| graph.constant(b));
        let norm = net.batch_norm_of(u);
        let (s_x, s_y) = (scale(ends.input), scale(ends.output));
        let line = |c: usize| {
            let bias = bias.map_or(0.0, |b| b[c]);
            let (mean, deviation, gamma, beta) = match &norm {
                Some(n) => (n.mean[c], (n.variance[c] + n.epsilon).sqrt(), n.gamma[c], n.beta[c]),
                None => (0.0, 1.0, 1.0, 0.0),
            };
            let k = gamma / deviation;
            (s_x * k / s_y, ((bias - mean) * k + beta) / s_y)
        };
        let (multiplier, after) = (0..shape.out_channels).map(line).unzip();
        Float { weights: to_memory_order(&weights, weight_extents(net, &unit)), multiplier, after, ends }
    }

    pub(super) fn run(&self, shape: &ConvolutionShape, x: View, y: &mut Buffer) {
        let x = centred(self.ends.input, x);
        let mut sums = vec![0.0; shape.output_len()];
        convolution::forward(shape, &x, &self.weights, &mut sums);
        let before = vec![0.0; self.multiplier.len()];
        let (multiplier, after) = (&self.multiplier, &self.after);
        let pass = BlockPass { before: &before, multiplier, after, clip: clip_steps(&self.ends), quantize: None };
        match (self.ends.output, y) {
            (None, Buffer::Reals(y)) => drop(block_pass::forward(&pass, &sums, &mut y[..sums.len()])),
            (None, _) => unreachable!("a tensor without a grid holds reals"),
            (Some(grid), y) => {
                let mut steps = vec![0.0; sums.len()];
                block_pass::forward(&pass, &sums, &mut steps);
                grid.store(1.0, &steps, y);
            }
        }
    }
}
