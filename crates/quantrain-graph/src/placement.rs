//! Places quantizers by the rules of a target (design section 7).
//!
//! Every unit's output is quantized, carries its input's quantizer, shares one with its inputs, or stays in float; an input of a quantized
//! unit is always quantized.

use crate::block::{self, Unit};
use crate::graph::{Graph, NodeId, TensorId};
use crate::op::PadMode;
use crate::pass::{self, FuseActivations};
use crate::quant_graph::{ActivationQuantizer, FloatReason, QuantGraph, QuantizerId, WeightQuantizer};
use crate::target::Placement;
use crate::{BiasLimit, Granularity, Op, PlacementError, Scheme, Target, norm_block};

/// What a user may change of a target's rules. `None` leaves the target's word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Width of weights.
    pub weight_bits: Option<u8>,
    /// Width of activations.
    pub activation_bits: Option<u8>,
    /// Width of weights and inputs of the first and the last blocks, and of the network's outputs.
    pub edge_bits: Option<u8>,
    /// A weight scale for each output channel.
    pub per_channel: Option<bool>,
    /// The network's outputs are quantized.
    pub quantize_output: Option<bool>,
    /// What is done with a bias of more than 16 bits.
    pub bias_limit: Option<BiasLimit>,
    /// Layers by name: a node's name, or a pattern with `*`; the last that matches wins.
    pub layers: Vec<LayerSettings>,
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
    /// The layer stays in float.
    pub float: bool,
}

pub(crate) fn place_nothing(graph: Graph) -> QuantGraph {
    let target = Target::onnxruntime();
    let (graph, fusions) = pass::run(graph.own_parameters(), &[&FuseActivations]);
    let graph = norm_block::give_blocks(graph, &target);
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
        units,
        target,
        graph,
    }
}

pub(crate) fn place(graph: Graph, target: Target, settings: &Settings) -> Result<QuantGraph, PlacementError> {
    let widths = Widths::check(&target, settings)?;
    let (graph, fusions) = pass::run(graph.own_parameters(), &[&FuseActivations]);
    let graph = norm_block::give_blocks(graph, &target);
    let units = block::units(&graph, &target);
    let layers = layer_settings(&graph, &units, &settings.layers)?;
    let mut placer = Placer::new(&graph, &target);
    let mut weights = vec![None; units.len()];
    let mut float = Vec::new();
    let bias_limit = settings.bias_limit.unwrap_or(target.bias_limit());
    if target.quantizes_input() {
        for &input in graph.inputs() {
            placer.own(input, widths.activation);
        }
    }
    for (u, unit) in units.iter().enumerate() {
        let layer = layers[u];
        let bits = layer.and_then(|l| l.activation_bits).unwrap_or(widths.activation);
        let verdict = if layer.is_some_and(|l| l.float) { Err(FloatReason::Pinned) } else { placer.place(unit, bits, widths.activation) };
        match verdict {
            Ok(()) if unit.block(&graph).is_some() => {
                let bits = layer.and_then(|l| l.weight_bits).unwrap_or(widths.weight);
                let scheme = weight_scheme(&graph, unit, widths.weights.with_bits(bits));
                weights[u] = Some(WeightQuantizer { scheme, bias_limit });
            }
            Ok(()) => {}
            Err(reason) => float.extend(unit.nodes().map(|n| (n, reason.clone()))),
        }
    }
    if let Some(bits) = settings.edge_bits {
        for u in edge_units(&graph, &units) {
            placer.widen_input(&units[u], bits);
            if let Some(w) = weights[u].as_mut().filter(|_| layers[u].is_none_or(|l| l.weight_bits.is_none())) {
                w.scheme = w.scheme.with_bits(bits);
            }
        }
        for &output in graph.outputs() {
            placer.widen(output, bits);
        }
    }
    if !settings.quantize_output.unwrap_or(target.quantizes_output()) {
        placer.release_outputs();
    }
    let (quantizers, of_tensor) = placer.finish(target.activations());
    Ok(QuantGraph { graph, target, units, quantizers, of_tensor, weights, float, fusions, codes: Vec::new(), weight_limits: Vec::new() })
}

/// A scale for each channel needs an axis of channels; a ConvTranspose in groups is stored `[C, O/groups, …]` and has none.
fn weight_scheme(graph: &Graph, unit: &Unit, scheme: Scheme) -> Scheme {
    match graph.node(unit.core).op {
        Op::ConvTranspose(op) if op.groups > 1 => Scheme { granularity: Granularity::PerTensor, ..scheme },
        _ => scheme,
    }
}

/// The widths of a run, checked against the target.
struct Widths {
    weights: Scheme,
    weight: u8,
    activation: u8,
}

impl Widths {
    fn check(target: &Target, settings: &Settings) -> Result<Self, PlacementError> {
        let mut weights = target.weights();
        if let Some(per_channel) = settings.per_channel {
            weights.granularity = if per_channel { Granularity::PerChannel } else { Granularity::PerTensor };
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
        Ok(Widths { weights, weight, activation })
    }
}

/// The settings of each unit; a pattern that matches no unit is an error.
fn layer_settings<'s>(
    graph: &Graph,
    units: &[Unit],
    layers: &'s [LayerSettings],
) -> Result<Vec<Option<&'s LayerSettings>>, PlacementError> {
    let mut found = vec![None; units.len()];
    for layer in layers {
        let mut any = false;
        for (u, unit) in units.iter().enumerate() {
            if unit.nodes().any(|n| matches(&layer.pattern, &graph.node(n).name)) {
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

/// Whether `name` fits `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
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

/// Quantizers on their way; those that turn out to share are joined.
struct Placer<'g> {
    graph: &'g Graph,
    target: &'g Target,
    of_tensor: Vec<Option<usize>>,
    /// Of each quantizer an earlier one that it was joined to, or itself.
    joined: Vec<usize>,
    bits: Vec<u8>,
    names: Vec<TensorId>,
}

impl<'g> Placer<'g> {
    fn new(graph: &'g Graph, target: &'g Target) -> Self {
        let of_tensor = vec![None; graph.tensors().len()];
        Placer { graph, target, of_tensor, joined: Vec::new(), bits: Vec::new(), names: Vec::new() }
    }

    /// The quantizer of a tensor; of joined ones the first.
    fn find(&mut self, tensor: TensorId) -> Option<usize> {
        let mut q = self.of_tensor[tensor.0]?;
        while self.joined[q] != q {
            // Every other step is spared to whoever comes next.
            self.joined[q] = self.joined[self.joined[q]];
            q = self.joined[q];
        }
        self.of_tensor[tensor.0] = Some(q);
        Some(q)
    }

    fn place(&mut self, unit: &Unit, bits: u8, input_bits: u8) -> Result<(), FloatReason> {
        let output = unit.output(self.graph);
        let op = &self.graph.node(unit.core).op;
        let inputs: Vec<TensorId> = unit.inputs(self.graph).collect();
        let placement = match op {
            // A pad with another value than 0 brings values that the input's quantizer may not have.
            Op::Pad(p) if p.mode != PadMode::Constant(0.0) && matches!(p.mode, PadMode::Constant(_)) => Placement::Quantized,
            op => self.target.placement(op),
        };
        let first = self.graph.node(unit.core).inputs.first();
        match placement {
            Placement::Float => return Err(FloatReason::NotInTarget),
            Placement::Quantized => {
                inputs.iter().for_each(|&t| self.ensure(t, input_bits));
                self.own(output, bits);
            }
            // A constant has no quantizer to carry.
            Placement::Carried if first.is_some_and(|&t| self.graph.constant(t).is_some()) => self.own(output, bits),
            Placement::Carried => {
                let carried = inputs.first().and_then(|t| self.of_tensor[t.0]).ok_or(FloatReason::InputIsFloat)?;
                self.of_tensor[output.0] = Some(carried);
            }
            Placement::Shared => {
                inputs.iter().for_each(|&t| self.ensure(t, input_bits));
                self.own(output, bits);
                inputs.iter().for_each(|&t| self.join(t, output));
            }
        }
        Ok(())
    }

    fn own(&mut self, tensor: TensorId, bits: u8) {
        self.of_tensor[tensor.0] = Some(self.bits.len());
        self.joined.push(self.bits.len());
        self.bits.push(bits);
        self.names.push(tensor);
    }

    fn ensure(&mut self, tensor: TensorId, bits: u8) {
        if self.of_tensor[tensor.0].is_none() {
            self.own(tensor, bits);
        }
    }

    fn join(&mut self, a: TensorId, b: TensorId) {
        let (Some(a), Some(b)) = (self.find(a), self.find(b)) else { return };
        let (low, high) = (a.min(b), a.max(b));
        self.bits[low] = self.bits[low].max(self.bits[high]);
        self.joined[high] = low;
    }

    fn widen(&mut self, tensor: TensorId, bits: u8) {
        if let Some(q) = self.find(tensor) {
            self.bits[q] = self.bits[q].max(bits);
        }
    }

    fn widen_input(&mut self, unit: &Unit, bits: u8) {
        let inputs: Vec<TensorId> = unit.inputs(self.graph).collect();
        inputs.into_iter().for_each(|t| self.widen(t, bits));
    }

    /// Takes the quantizers from outputs that nothing inside the network reads and that share theirs with no other tensor.
    fn release_outputs(&mut self) {
        let mut tensors = self.count();
        let mut is_read = vec![false; self.of_tensor.len()];
        self.graph.nodes().iter().flat_map(|n| &n.inputs).for_each(|t| is_read[t.0] = true);
        for &output in self.graph.outputs() {
            let Some(q) = self.find(output).filter(|&q| !is_read[output.0] && tensors[q] == 1) else { continue };
            self.of_tensor[output.0] = None;
            tensors[q] = 0;
        }
    }

    /// How many tensors each quantizer has, joined ones counted with the first.
    fn count(&mut self) -> Vec<usize> {
        let mut tensors = vec![0; self.bits.len()];
        for t in 0..self.of_tensor.len() {
            self.find(TensorId(t)).into_iter().for_each(|q| tensors[q] += 1);
        }
        tensors
    }

    /// Numbers the quantizers that are left in the order of their tensors.
    fn finish(mut self, scheme: Scheme) -> (Vec<ActivationQuantizer>, Vec<Option<QuantizerId>>) {
        let tensors = self.count();
        let mut number = vec![None; self.bits.len()];
        let mut quantizers = Vec::new();
        for (q, &tensor) in self.names.iter().enumerate() {
            if tensors[q] > 0 {
                number[q] = Some(QuantizerId(quantizers.len()));
                let tensor = self.graph.tensor(tensor).name.clone();
                quantizers.push(ActivationQuantizer { tensor, scheme: scheme.with_bits(self.bits[q]), range: None, fixed: None });
            }
        }
        let of_tensor = self.of_tensor.iter().map(|q| q.and_then(|q| number[q])).collect();
        (quantizers, of_tensor)
    }
}

#[cfg(test)]
mod tests;
