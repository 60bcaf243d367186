//! The limits of weights, where they are learned: as learned quantizers and checkpoints see them.

use quantrain_kernels::weights::Grid;

use super::Network;
use crate::block::{BlockParameters, Limits};

/// The learned limits of one block: one for each step size, of which there is one, or one for each channel.
pub struct WeightLimits<'a> {
    /// Name of the weights' tensor in the graph.
    pub name: &'a str,
    /// The largest magnitudes that folded weights are quantized for.
    pub values: &'a mut [f32],
    /// What a unit of a master weight is in folded weights.
    pub units: &'a [f32],
    /// The derivative by each step size, after a backward along the quantized path.
    pub step_gradients: &'a [f64],
    /// Step sizes and codes of the last forward; none before.
    pub grids: &'a [Grid],
    /// Weights that share a step.
    pub weights: usize,
}

impl Network {
    /// From here on, weights are quantized for limits that are learned. They begin as the extents of the weights, unless there are some.
    pub fn learn_weight_limits(&mut self) {
        for u in 0..self.blocks.len() {
            let (Some(p), Some(quantizer)) = (&mut self.blocks[u], self.net.weight_quantizer(u)) else { continue };
            if p.limits.is_some() || p.fixed.is_some() {
                continue;
            }
            p.update_factors();
            let row = p.weight.value.len() / p.channels;
            let each = p.weight.value.len() / quantizer.scheme.grids(p.channels);
            let largest = |(g, weights): (usize, &[f32])| {
                let folded = weights.iter().enumerate().map(|(i, w)| (w * p.factors[(g * each + i) / row]).abs());
                folded.fold(0.0, f32::max)
            };
            let mut limits = Limits::new(p.weight.value.chunks_exact(each).enumerate().map(largest).collect());
            limits.follow(&p.factors);
            p.limits = Some(limits);
        }
    }

    /// The learned limits of every block that has some, in the order of the graph, in the units of BatchNorm's factors as they are now.
    pub fn weight_limits(&mut self) -> Vec<WeightLimits<'_>> {
        let (net, mut all) = (&self.net, Vec::new());
        for (u, p) in self.blocks.iter_mut().enumerate() {
            let (Some(p), Some(block)) = (p, net.units()[u].block(net.graph())) else { continue };
            let Some(limits) = &mut p.limits else { continue };
            let (values, units, step_gradients) = limits.parts();
            let grids = p.simulated.as_ref().map_or(&[][..], |s| &s.grids);
            let (name, weights) = (net.graph().tensor(block.weight).name.as_str(), p.weight.value.len() / values.len());
            all.push(WeightLimits { name, values, units, step_gradients, grids, weights });
        }
        all
    }

    /// Brings limits to the units of BatchNorm's factors as they are now, as the next forward would.
    pub fn settle_weight_limits(&mut self) {
        self.blocks.iter_mut().flatten().filter(|p| p.limits.is_some()).for_each(BlockParameters::update_factors);
    }

    /// Gives the weights of this name limits to be learned, in the units of BatchNorm's factors as they are. False where there is no such
    /// quantized block, or as many limits do not fit.
    pub fn set_weight_limits(&mut self, name: &str, values: &[f32]) -> bool {
        let net = &self.net;
        let found = self.blocks.iter_mut().enumerate().find_map(|(u, p)| {
            let (p, block, weights) = (p.as_mut()?, net.units()[u].block(net.graph())?, net.weight_quantizer(u)?);
            let fits = weights.scheme.grids(p.channels) == values.len();
            (net.graph().tensor(block.weight).name == name && fits).then_some(p)
        });
        let Some(p) = found else { return false };
        p.limits = Some(Limits::new(values.to_vec()));
        true
    }
}
