//! Units as nodes: what all writers of prepared networks share.

use quantrain_graph::op::Activation;
use quantrain_graph::{Node, Op, QuantGraph, TensorId, fold};

use super::error::WriteError;
use super::model::ModelWriter;
use super::{activation, operator};

/// Under which names tensors are written by their producers and read by the others.
pub(super) struct Names {
    pub written: Vec<String>,
    pub read: Vec<String>,
}

impl Names {
    /// Every tensor under its own name.
    pub fn of(net: &QuantGraph) -> Self {
        let names: Vec<String> = net.graph().tensors().iter().map(|t| t.name.clone()).collect();
        Names { written: names.clone(), read: names }
    }
}

/// The names of a block's parameters as its node reads them.
pub(super) struct Parameters {
    pub weight: String,
    pub bias: Option<String>,
}

/// Adds a unit's nodes: the core, its BatchNormalization folded into `parameters`, and the activation given.
pub(super) fn write(
    w: &mut ModelWriter,
    net: &QuantGraph,
    unit: usize,
    names: &Names,
    parameters: Option<Parameters>,
    activation: Option<Activation>,
) -> Result<(), WriteError> {
    let (unit, graph) = (&net.units()[unit], net.graph());
    let core = graph.node(unit.core);
    let mut inputs = Vec::with_capacity(core.inputs.len());
    for (position, &t) in core.inputs.iter().enumerate() {
        inputs.push(match (&parameters, position) {
            (Some(p), 1) => p.weight.clone(),
            (Some(_), 2) => continue,
            _ if graph.constant(t).is_some() => w.constant(graph, t),
            _ => names.read[t.0].clone(),
        });
    }
    inputs.extend(parameters.and_then(|p| p.bias));
    let output = &names.written[unit.output(graph).0];
    let x = &graph.tensor(core.inputs[0]).shape;
    match (activation, unit.activation) {
        (Some(activation), Some(node)) => {
            let between = &graph.tensor(graph.node(unit.batch_norm.unwrap_or(unit.core)).output).name;
            operator::write(w, core, x, inputs, between)?;
            activation::write(w, &graph.node(node).name, &activation, between.clone(), output);
            Ok(())
        }
        _ => operator::write(w, core, x, inputs, output),
    }
}

/// The activation of a unit as the graph has it.
pub(super) fn activation(net: &QuantGraph, unit: usize) -> Option<Activation> {
    let node: &Node = net.graph().node(net.units()[unit].activation?);
    match node.op {
        Op::Activation(activation) => Some(activation),
        _ => None,
    }
}

/// Float parameters of a block: those given, or the trained ones with BatchNormalization folded in. `None` where the unit is no block.
pub(super) fn float_parameters(w: &mut ModelWriter, net: &QuantGraph, unit: usize, values: Option<fold::Folded>) -> Option<Parameters> {
    let block = net.units()[unit].block(net.graph())?;
    let graph = net.graph();
    if values.is_none() && net.units()[unit].batch_norm.is_none() {
        // As in the graph, so that nothing is renamed.
        return Some(Parameters { weight: w.constant(graph, block.weight), bias: block.bias.map(|b| w.constant(graph, b)) });
    }
    let values = values.or_else(|| net.folded(unit))?;
    let weight = stored_layout(net, unit, &values.weight);
    let weight = w.floats(&format!("{}_folded", tensor_name(net, block.weight)), &graph.tensor(block.weight).shape.at(1), &weight);
    let bias = has_bias(net, unit).then(|| w.floats(&bias_name(net, unit, "folded"), &[block.channels], &values.bias));
    Some(Parameters { weight, bias })
}

/// Whether a block's node adds a bias once BatchNormalization is folded in.
pub(super) fn has_bias(net: &QuantGraph, unit: usize) -> bool {
    let unit = &net.units()[unit];
    unit.batch_norm.is_some() || unit.block(net.graph()).is_some_and(|b| b.bias.is_some())
}

/// Values of weights, channels first, in the layout that the graph stores.
pub(super) fn stored_layout<T: Copy>(net: &QuantGraph, unit: usize, values: &[T]) -> Vec<T> {
    match net.units()[unit].block(net.graph()) {
        Some(block) => block.layout.stored(values, block.channels),
        None => values.to_vec(),
    }
}

/// A name for the bias of a block: its own, or one made from its node.
pub(super) fn bias_name(net: &QuantGraph, unit: usize, suffix: &str) -> String {
    let unit = &net.units()[unit];
    match unit.block(net.graph()).and_then(|b| b.bias) {
        Some(bias) => format!("{}_{suffix}", tensor_name(net, bias)),
        None => format!("{}.bias_{suffix}", net.graph().node(unit.core).name),
    }
}

pub(super) fn tensor_name(net: &QuantGraph, id: TensorId) -> &str {
    &net.graph().tensor(id).name
}
