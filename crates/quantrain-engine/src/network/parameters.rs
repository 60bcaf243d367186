//! The float masters that a network takes from its graph, as optimizers and checkpoints see them.

use quantrain_graph::{Op, QuantGraph, TensorId};

use super::weights::to_engine_order;
use super::{Network, Parameter};
use crate::block::{BlockParameters, Limits, NormParameters, Trained};

impl Network {
    /// Calls `f` with every trained tensor, in the order of the graph.
    pub fn for_each_parameter(&mut self, mut f: impl FnMut(Parameter)) {
        for parameter in self.parameters() {
            f(parameter);
        }
    }

    /// Every trained tensor, in the order of the graph.
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        let (net, mut all) = (&self.net, Vec::new());
        for (u, (p, own)) in self.blocks.iter_mut().zip(&mut self.own).enumerate() {
            let graph = net.graph();
            let name = |t: TensorId| graph.tensor(t).name.as_str();
            all.extend(own.iter_mut().map(|(t, p)| Parameter { name: name(*t), value: &mut p.value, gradient: &p.gradient }));
            let Some(p) = p else { continue };
            let unit = net.units()[u];
            let Some(block) = unit.block(graph) else { continue };
            all.push(Parameter { name: name(block.weight), value: &mut p.weight.value, gradient: &p.weight.gradient });
            if let (Some(tensor), Some(b)) = (block.bias, &mut p.bias) {
                all.push(Parameter { name: name(tensor), value: &mut b.value, gradient: &b.gradient });
            }
            if let (Some(node), Some(norm)) = (unit.batch_norm, &mut p.norm) {
                let inputs = &graph.node(node).inputs;
                all.push(Parameter { name: name(inputs[1]), value: &mut norm.gamma.value, gradient: &norm.gamma.gradient });
                all.push(Parameter { name: name(inputs[2]), value: &mut norm.beta.value, gradient: &norm.beta.gradient });
            }
        }
        all
    }

    /// The running statistics of every BatchNormalization, by tensor name: what a checkpoint holds beside the parameters.
    pub fn statistics(&mut self) -> Vec<(&str, &mut [f32])> {
        let (net, mut all) = (&self.net, Vec::new());
        for (u, p) in self.blocks.iter_mut().enumerate() {
            let (Some(node), Some(norm)) = (net.units()[u].batch_norm, p.as_mut().and_then(|p| p.norm.as_mut())) else { continue };
            let inputs = &net.graph().node(node).inputs;
            all.push((net.graph().tensor(inputs[3]).name.as_str(), norm.mean.as_mut_slice()));
            all.push((net.graph().tensor(inputs[4]).name.as_str(), norm.variance.as_mut_slice()));
        }
        all
    }

    /// Of every block of the last simulated step: its node's name and the largest sum that an accumulator can reach. Sums below 2^24 are
    /// exact, and then the codes are the device's.
    pub fn accumulator_bounds(&self) -> Vec<(&str, f64)> {
        self.blocks.iter().flatten().filter_map(|p| Some((p.name.as_str(), p.accumulator_bound()?))).collect()
    }
}

/// The constants that training changes in a unit that is no block.
pub(super) fn own_parameters(net: &QuantGraph, u: usize) -> Vec<(TensorId, Trained)> {
    let graph = net.graph();
    let node = graph.node(net.units()[u].core);
    let tensors = node.op.trained_inputs().filter_map(|i| node.inputs.get(i));
    tensors.filter_map(|&t| Some((t, Trained::new(graph.constant(t)?.to_vec())))).collect()
}

/// The parameters of a unit, where it is a block.
pub(super) fn block_parameters(net: &QuantGraph, u: usize) -> Option<BlockParameters> {
    let (graph, unit) = (net.graph(), net.units()[u]);
    let block = unit.block(graph)?;
    let node = graph.node(unit.core);
    let weight = to_engine_order(net, u, &net.weights_of(u)?);
    let bias = block.bias.and_then(|b| graph.constant(b)).map(<[f32]>::to_vec);
    let norm = unit.batch_norm.and_then(|n| match &graph.node(n).op {
        Op::BatchNormalization(op) => Some(op),
        _ => None,
    });
    let norm = norm.zip(net.batch_norm_of(u)).map(|(op, values)| NormParameters {
        gamma: Trained::new(values.gamma.to_vec()),
        beta: Trained::new(values.beta.to_vec()),
        mean: values.mean.to_vec(),
        variance: values.variance.to_vec(),
        epsilon: values.epsilon,
        momentum: op.momentum,
    });
    let mut parameters = BlockParameters::new(node.name.clone(), weight, bias, norm, block.channels, net.weight_quantizer(u));
    parameters.limits = net.weight_limits(u).map(|limits| Limits::new(limits.to_vec()));
    parameters.fixed = net.codes_of(u).cloned().map(|mut codes| {
        codes.weight.codes = to_engine_order(net, u, &codes.weight.codes);
        codes
    });
    Some(parameters)
}
