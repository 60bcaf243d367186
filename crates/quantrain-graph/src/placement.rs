//! Places quantizers by the rules of a target.
//!
//! Every unit's output is quantized, carries its input's quantizer, shares one with its inputs, or stays in float; an input of a quantized
//! unit is always quantized. What a calibration finds out about ranges may change that ([`crate::Separation`]); then the same rules are gone
//! through once more.

mod paths;
mod placer;

use std::collections::HashMap;

use crate::block::{self, Unit};
use crate::graph::{Graph, NodeId, Note, TensorId};
use crate::levels::Levels;
use crate::pairs::Pairs;
use crate::pass;
use crate::quant_graph::{ActivationQuantizer, FloatReason, QuantGraph, QuantizerId, WeightQuantizer};
use crate::separation::Separation;
use crate::target::Placement;
use crate::{BiasLimit, ChannelScales, Granularity, Op, PlacementError, Range, Scheme, Target, norm_block};
pub(crate) use paths::{Paths, asks, has_weights, is_flat, is_function, is_mean, moves, takes_greatest};
use placer::{Placer, WIDE};

/// What a user may change of a target's rules. `None` leaves the target's word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Width of weights.
    pub weight_bits: Option<u8>,
    /// Width of activations.
    pub activation_bits: Option<u8>,
    /// Width of weights and inputs of the first and the last blocks, and of the network's outputs. Up to 8 bits, weights get at most the
    /// target's own width by it: a target with fewer than 8 has a reason, such as sums that saturate.
    pub edge_bits: Option<u8>,
    /// Which weights have a scale for each output channel.
    pub per_channel: Option<ChannelScales>,
    /// The network's outputs are quantized.
    pub quantize_output: Option<bool>,
    /// What is done with a bias of more than 16 bits.
    pub bias_limit: Option<BiasLimit>,
    /// Layers by name: a node's name, or a pattern with `*`; the last that matches wins.
    pub layers: Vec<LayerSettings>,
    /// Tensors by name, in the same way.
    pub tensors: Vec<TensorSettings>,
}

/// What is special about some layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerSettings {
    /// Name of a node, `*` standing for any text.
    pub pattern: String,
    /// Width of the weights.
    pub weight_bits: Option<u8>,
    /// Width of the output.
    pub activation_bits: Option<u8>,
    /// A scale for each output channel of the weights.
    pub per_channel: Option<bool>,
    /// The layer stays in float.
    pub float: bool,
}

/// What is special about some tensors: the devkit's ranges by hand, and its markers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorSettings {
    /// Name of a tensor that is quantized, `*` standing for any text.
    pub pattern: String,
    /// The range, which nothing moves.
    pub range: Option<Range>,
    /// Width of the codes.
    pub bits: Option<u8>,
    /// What writes the tensor stays in float.
    pub float: bool,
}

pub(crate) fn place_nothing(graph: Graph) -> QuantGraph {
    let target = Target::onnxruntime();
    let (graph, fusions) = pass::run(graph.without_idle_nodes(), pass::ALL);
    let graph = norm_block::give_blocks(graph.own_parameters(), &target);
    let units = block::units(&graph, &target);
    let float = (0..graph.nodes().len()).map(|n| (NodeId(n), FloatReason::Off)).collect();
    QuantGraph {
        weights: vec![None; units.len()],
        of_tensor: vec![None; graph.tensors().len()],
        quantizers: Vec::new(),
        float,
        fusions,
        codes: Vec::new(),
        weight_limits: Vec::new(),
        settings: None,
        separations: Vec::new(),
        units,
        target,
        graph,
    }
}

pub(crate) fn place(graph: Graph, target: Target, settings: &Settings) -> Result<QuantGraph, PlacementError> {
    let (graph, fusions) = pass::run(graph.without_idle_nodes(), pass::ALL);
    let graph = norm_block::give_blocks(graph.own_parameters(), &target).split_compared_inputs(&target);
    let units = block::units(&graph, &target);
    let Assignment { quantizers, of_tensor, weights, float } = assign(&graph, &units, &target, settings, &[])?;
    Ok(QuantGraph {
        graph,
        target,
        units,
        quantizers,
        of_tensor,
        weights,
        float,
        fusions,
        codes: Vec::new(),
        weight_limits: Vec::new(),
        settings: Some(settings.clone()),
        separations: Vec::new(),
    })
}

/// Who is quantized how.
pub(crate) struct Assignment {
    pub quantizers: Vec<ActivationQuantizer>,
    pub of_tensor: Vec<Option<QuantizerId>>,
    pub weights: Vec<Option<WeightQuantizer>>,
    pub float: Vec<(NodeId, FloatReason)>,
}

/// Gives the units of a graph their quantizers, by the rules of a target and what measured ranges change of them.
pub(crate) fn assign(
    graph: &Graph,
    units: &[Unit],
    target: &Target,
    settings: &Settings,
    separations: &[Separation],
) -> Result<Assignment, PlacementError> {
    let widths = Widths::check(target, settings)?;
    let layers = layer_settings(graph, units, &settings.layers)?;
    let paths = paths_around(graph, units, target, &layers);
    let levels = Levels::of(graph);
    let mut placer = Placer::new(graph, target, (&paths, &levels), separations, widths.activation);
    let mut weights = vec![None; units.len()];
    let mut float = Vec::new();
    let bias_limit = settings.bias_limit.unwrap_or(target.bias_limit());
    let float_outputs = !settings.quantize_output.unwrap_or(target.quantizes_output());
    if target.quantizes_input() {
        let has_codes = |input: TensorId| graph.readers(input).any(|n| graph.gives_codes(n));
        for &input in graph.inputs().iter().filter(|t| !paths.leads_to_truth(**t) && !paths.leads_to_index(**t) && !has_codes(**t)) {
            placer.own(input, widths.activation);
        }
    }
    for (u, unit) in units.iter().enumerate() {
        let layer = layers[u];
        let bits = layer.and_then(|l| l.activation_bits).unwrap_or(widths.activation);
        let marked = tensor_settings(graph, unit.output(graph), &settings.tensors).is_some_and(|t| t.float);
        let verdict = match marked || layer.is_some_and(|l| l.float) {
            true => Err(FloatReason::Pinned),
            false if float_outputs && placer.is_behind_layers(unit) => Err(FloatReason::LeadsToOutput),
            false => placer.place(unit, bits),
        };
        match verdict {
            Ok(()) if unit.block(graph).is_some() => {
                let bits = layer.and_then(|l| l.weight_bits).unwrap_or_else(|| widths.of_weights(placer.is_apart(unit)));
                let all = layer.and_then(|l| l.per_channel).map(|all| if all { ChannelScales::All } else { ChannelScales::None });
                let scheme = weight_scheme(graph, unit, widths.weights.with_bits(bits), all.or(settings.per_channel));
                weights[u] = Some(WeightQuantizer { scheme, bias_limit, pairs: Pairs::of(graph, unit, target) });
            }
            Ok(()) => {}
            Err(reason) => float.extend(unit.nodes().map(|n| (n, reason.clone()))),
        }
    }
    if let Some(bits) = settings.edge_bits {
        for u in edge_units(graph, units) {
            placer.widen_input(&units[u], bits);
            if let Some(w) = weights[u].as_mut().filter(|_| layers[u].is_none_or(|l| l.weight_bits.is_none())) {
                w.scheme = w.scheme.with_bits(widths.of_edge_weights(bits));
            }
        }
        for &output in graph.outputs() {
            placer.widen(output, bits);
        }
    }
    if float_outputs {
        placer.release_outputs();
    }
    let (mut quantizers, of_tensor) = placer.finish(target.activations());
    give_ranges(graph, &mut quantizers, &of_tensor, &settings.tensors)?;
    Ok(Assignment { quantizers, of_tensor, weights, float })
}

/// Where the values of a network go under these settings; a pattern that matches no unit counts for nothing.
pub(crate) fn paths(graph: &Graph, units: &[Unit], target: &Target, settings: &Settings) -> Paths {
    let layers = layer_settings(graph, units, &settings.layers).unwrap_or_else(|_| vec![None; units.len()]);
    paths_around(graph, units, target, &layers)
}

fn paths_around(graph: &Graph, units: &[Unit], target: &Target, layers: &[Option<&LayerSettings>]) -> Paths {
    let in_float = |u: usize| target.placement(&graph.node(units[u].core).op) == Placement::Float || layers[u].is_some_and(|l| l.float);
    Paths::of(graph, units, in_float)
}

/// A scale for each channel needs an axis of channels; a ConvTranspose in groups is stored `[C, O/groups, …]` and has none.
fn weight_scheme(graph: &Graph, unit: &Unit, mut scheme: Scheme, channels: Option<ChannelScales>) -> Scheme {
    let node = graph.node(unit.core);
    if let Some(channels) = channels {
        let inputs = || node.inputs.get(1).and_then(|&w| graph.tensor(w).shape.0.get(1)?.fixed());
        let depthwise = matches!(&node.op, Op::Convolution(op) if op.groups > 1) && inputs() == Some(1);
        let each = channels == ChannelScales::All || (channels == ChannelScales::Depthwise && depthwise);
        scheme.granularity = if each { Granularity::PerChannel } else { Granularity::PerTensor };
    }
    match node.op {
        Op::ConvTranspose(op) if op.groups > 1 => Scheme { granularity: Granularity::PerTensor, ..scheme },
        _ => scheme,
    }
}

/// Width of codes in bytes; more are integers of two, which other sums hold.
const BYTE: u8 = 8;

/// The widths of a run, checked against the target.
struct Widths {
    weights: Scheme,
    weight: u8,
    /// The most bits that weights can have, up to 16.
    widest: u8,
    activation: u8,
}

impl Widths {
    fn check(target: &Target, settings: &Settings) -> Result<Self, PlacementError> {
        let weights = target.weights();
        for tensor in &settings.tensors {
            tensor.bits.map(|b| target.check_activation_bits(b)).transpose()?;
        }
        for layer in &settings.layers {
            layer.weight_bits.map(|b| target.check_weight_bits(b)).transpose()?;
            layer.activation_bits.map(|b| target.check_activation_bits(b)).transpose()?;
        }
        if let Some(bits) = settings.edge_bits {
            target.check_weight_bits(bits)?;
            target.check_activation_bits(bits)?;
        }
        let weight = target.check_weight_bits(settings.weight_bits.unwrap_or(weights.bits))?;
        let activation = target.check_activation_bits(settings.activation_bits.unwrap_or(target.activations().bits))?;
        let widest = target.check_weight_bits(WIDE).unwrap_or(weight).max(weight);
        Ok(Widths { weights, weight, widest, activation })
    }

    /// Of a layer; one that makes values of very different ranges has weights of such, which need bits where they share a scale.
    fn of_weights(&self, is_apart: bool) -> u8 {
        if is_apart && self.weights.granularity == Granularity::PerTensor { self.widest } else { self.weight }
    }

    /// What a width of edges is for their weights.
    fn of_edge_weights(&self, edge: u8) -> u8 {
        if edge > BYTE { edge } else { edge.min(self.weights.bits.max(self.weight)) }
    }
}

/// What is said of a tensor; the last rule that matches wins.
fn tensor_settings<'s>(graph: &Graph, tensor: TensorId, tensors: &'s [TensorSettings]) -> Option<&'s TensorSettings> {
    tensors.iter().rev().find(|rule| quantrain_pattern::matches(&rule.pattern, &graph.tensor(tensor).name))
}

/// Gives quantizers the ranges and widths that are said of their tensors. A rule that is about no quantized tensor is an error, but for one
/// that keeps a tensor in float.
fn give_ranges(
    graph: &Graph,
    quantizers: &mut [ActivationQuantizer],
    of_tensor: &[Option<QuantizerId>],
    tensors: &[TensorSettings],
) -> Result<(), PlacementError> {
    for rule in tensors {
        let named = (0..graph.tensors().len()).filter(|&t| quantrain_pattern::matches(&rule.pattern, &graph.tensors()[t].name));
        let named: Vec<usize> = named.collect();
        let found: Vec<QuantizerId> = named.iter().filter_map(|&t| of_tensor[t]).collect();
        if named.is_empty() || (found.is_empty() && !rule.float) {
            return Err(PlacementError::PatternMatchesNothing { pattern: rule.pattern.clone() });
        }
        for q in found {
            let q = &mut quantizers[q.0];
            q.given = rule.range.or(q.given);
            q.scheme.bits = rule.bits.unwrap_or(q.scheme.bits);
        }
    }
    Ok(())
}

/// The settings of each unit; a pattern that matches no unit is an error.
fn layer_settings<'s>(
    graph: &Graph,
    units: &[Unit],
    layers: &'s [LayerSettings],
) -> Result<Vec<Option<&'s LayerSettings>>, PlacementError> {
    let mut found = vec![None; units.len()];
    let in_file = names_in_file(graph);
    let meets = |layer: &LayerSettings, name: &str| {
        let names = [Some(name), in_file.get(name).copied()];
        names.into_iter().flatten().any(|name| quantrain_pattern::matches(&layer.pattern, name))
    };
    for layer in layers {
        let mut any = false;
        for (u, unit) in units.iter().enumerate() {
            if unit.nodes().any(|n| meets(layer, &graph.node(n).name)) {
                found[u] = Some(layer);
                any = true;
            }
        }
        if !any {
            return Err(PlacementError::PatternMatchesNothing { pattern: layer.pattern.clone() });
        }
    }
    Ok(found)
}

/// Of nodes that have another name than in the file, since several have one there: that of the file.
fn names_in_file(graph: &Graph) -> HashMap<&str, &str> {
    let notes = graph.notes.iter();
    notes
        .filter_map(|note| match note {
            Note::NodeRenamed { node, renamed, .. } => Some((renamed.as_str(), node.as_str())),
            _ => None,
        })
        .collect()
}

/// Blocks that no other block comes before, and blocks that no other block comes after.
fn edge_units(graph: &Graph, units: &[Unit]) -> Vec<usize> {
    let is_block: Vec<bool> = units.iter().map(|unit| unit.block(graph).is_some()).collect();
    let mut is_edge = vec![false; units.len()];
    let mut after_block = vec![false; graph.tensors().len()];
    let mut edges = Vec::new();
    for (u, unit) in units.iter().enumerate() {
        let after = unit.inputs(graph).any(|t| after_block[t.0]);
        if is_block[u] && !after {
            is_edge[u] = true;
            edges.push(u);
        }
        after_block[unit.output(graph).0] = after || is_block[u];
    }
    let mut before_block = vec![false; graph.tensors().len()];
    for (u, unit) in units.iter().enumerate().rev() {
        let before = before_block[unit.output(graph).0];
        if is_block[u] && !before && !is_edge[u] {
            edges.push(u);
        }
        if before || is_block[u] {
            unit.inputs(graph).for_each(|t| before_block[t.0] = true);
        }
    }
    edges
}

#[cfg(test)]
mod tests;
