//! Float models with trained ranges as Clip nodes, the form that TIDL's own import takes from quantization-aware training.

use std::path::Path;

use quantrain_graph::op::Activation;
use quantrain_graph::{QuantGraph, Quantizer, Range, TensorId, fold};

use super::error::WriteError;
use super::model::ModelWriter;
use super::unit::{self, Names};
use super::{activation, activation_quantizers, carried, operator, write_atomically};

/// What may be chosen about a file with Clip nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClipOptions {
    /// Weights and biases are the values of their codes instead of the trained floats.
    pub quantized_weights: bool,
    /// The operator set; the graph's own, at least 13 and what its operators need, if it is not given.
    pub opset: Option<i64>,
}

/// Writes a float model in which each quantized activation is clipped to its range, where an importer finds it (TIDL user guide,
/// quantization-aware training: ranges are read from Clip, Minimum, PACT, ReLU6). Limits that are powers of two are written as such, as the
/// devkit's files have them: `Clip(-8, 8)`, though the largest code is a step lower.
///
/// BatchNormalization is folded, and weights are clipped to learned limits: an importer takes their range from them. A fused Relu or Clip and
/// the range's Clip are one, of the nearer limits; two where the importer would find another range in one. Operators that only carry values
/// have none. Tensors keep their names behind their Clip, a network's input is read as `<name>_clipped`.
///
/// # Errors
/// A quantizer without a range, an operator that ONNX does not have, or a file that cannot be written.
pub fn write_clip(net: &QuantGraph, path: impl AsRef<Path>, options: &ClipOptions) -> Result<(), WriteError> {
    write_atomically(path, &clip_bytes(net, options)?)
}

/// Whether [`write_clip`] would write the network, without a file.
///
/// # Errors
/// As [`write_clip`].
pub fn check_clip(net: &QuantGraph, options: &ClipOptions) -> Result<(), WriteError> {
    clip_bytes(net, options).map(drop)
}

pub(super) fn clip_bytes(net: &QuantGraph, options: &ClipOptions) -> Result<Vec<u8>, WriteError> {
    let graph = net.graph();
    let quantizers = activation_quantizers(net)?;
    let mut w = ModelWriter::new(graph, operator::opset(graph, options.opset)?);
    let mut names = Names::of(net);
    let range_of = |t: TensorId| net.quantizer_of(t).map(|q| importers_range(&quantizers[q.0]));
    for &input in graph.inputs() {
        if let Some(range) = range_of(input) {
            let name = &graph.tensor(input).name;
            names.read[input.0] = w.fresh(&format!("{name}_clipped"));
            let clip = Activation::Clip { min: range.min, max: range.max };
            activation::write(&mut w, &format!("{name}_Clip"), &clip, name.clone(), &names.read[input.0]);
        }
    }
    for u in 0..net.units().len() {
        let output = net.units()[u].output(graph);
        let mut activation = unit::activation(net, u);
        let mut limits = None;
        if let Some(id) = net.quantizer_of(output).filter(|_| carried(net, u).is_none()) {
            let name = &graph.tensor(output).name;
            names.written[output.0] = w.fresh(&format!("{name}_unclipped"));
            let range = importers_range(&quantizers[id.0]);
            let joined = clipped(range, net.units()[u].clip(graph));
            let found = Quantizer::from_range(&net.quantizers()[id.0].scheme, joined);
            // Two where one would be read as another range.
            let is_one = activation.is_some_and(|a| a.clip().is_some()) && found.is_ok_and(|found| same_grid(&found, &quantizers[id.0]));
            limits = Some(if is_one { joined } else { range });
            activation = activation.filter(|_| !is_one);
        }
        let values = if options.quantized_weights { quantized_values(net, u)? } else { limited_weights(net, u) };
        let parameters = unit::float_parameters(&mut w, net, u, values);
        unit::write(&mut w, net, u, &names, parameters, activation)?;
        if let Some(limits) = limits {
            let name = &graph.tensor(output).name;
            let clip = Activation::Clip { min: limits.min, max: limits.max };
            activation::write(&mut w, &format!("{name}_Clip"), &clip, names.written[output.0].clone(), name);
        }
    }
    let metadata =
        [("quantrain.format", "clip"), ("quantrain.target", net.target().name()), ("quantrain.version", env!("CARGO_PKG_VERSION"))];
    w.finish(graph, &metadata)
}

/// The range as an importer looks for it: limits that are powers of two are written as these, though the largest code lies a step below.
fn importers_range(q: &Quantizer) -> Range {
    let range = q.range();
    let limit = range.max + q.scale();
    if q.zero_point() == 0 && limit.to_bits() & 0x7f_ffff == 0 { Range::new(range.min, limit) } else { range }
}

/// What is left of a range behind an activation's limits.
fn clipped(range: Range, (low, high): (f32, f32)) -> Range {
    Range::new(range.min.max(low), range.max.min(high))
}

fn same_grid(a: &Quantizer, b: &Quantizer) -> bool {
    // A range that is free comes back to within a rounding.
    (a.scale() / b.scale() - 1.0).abs() < 1e-5 && (a.zero_point(), a.qmin(), a.qmax()) == (b.zero_point(), b.qmin(), b.qmax())
}

/// The parameters of a block whose limits are learned, as an importer should see them.
fn limited_weights(net: &QuantGraph, unit: usize) -> Option<fold::Folded> {
    let (limits, mut folded) = (net.weight_limits(unit)?, net.folded(unit)?);
    let each = folded.weight.len() / limits.len();
    for (weights, limit) in folded.weight.chunks_exact_mut(each).zip(limits) {
        weights.iter_mut().for_each(|w| *w = w.clamp(-limit, *limit));
    }
    Some(folded)
}

/// The values of a block's codes.
fn quantized_values(net: &QuantGraph, unit: usize) -> Result<Option<fold::Folded>, WriteError> {
    let Some(block) = net.quantized_block(unit)? else { return Ok(None) };
    let rows = block.weight.codes.len() / block.bias.len();
    let weight = block.weight.codes.iter().enumerate().map(|(i, &c)| c * block.weight.scale(i / rows)).collect();
    let bias_scale = |c: usize| fold::accumulator_scale(block.input.scale(), block.weight.scale(c));
    let bias = block.bias.iter().enumerate().map(|(c, &b)| b as f32 * bias_scale(c)).collect();
    Ok(Some(fold::Folded { weight, bias }))
}
