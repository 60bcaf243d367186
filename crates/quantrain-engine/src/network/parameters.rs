//! The float masters that a network takes from its graph.

use quantrain_graph::{Op, QuantGraph, TensorId};

use super::weights::to_engine_order;
use crate::block::{BlockParameters, NormParameters, Trained};

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
    parameters.fixed = net.codes_of(u).cloned().map(|mut codes| {
        codes.weight.codes = to_engine_order(net, u, &codes.weight.codes);
        codes
    });
    Some(parameters)
}
