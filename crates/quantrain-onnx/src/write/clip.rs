//! Float models with trained ranges as Clip nodes, the form that TIDL's own import takes from quantization-aware training.

use std::path::Path;

use quantrain_graph::op::Activation;
use quantrain_graph::{QuantGraph, TensorId, fold};

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

/// Writes a float model in which each quantized activation is clipped to the values of its outermost codes, where an importer finds its
/// range (TIDL user guide, quantization-aware training: ranges are read from Clip, Minimum, PACT, ReLU6).
///
/// BatchNormalization is folded, and weights are clipped to learned limits: an importer takes their range from them. A fused Relu or Clip that the range lies within becomes the range's Clip. Operators that only carry values
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
    let range_of = |t: TensorId| net.quantizer_of(t).map(|q| quantizers[q.0].range());
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
        let range = range_of(output).filter(|_| carried(net, u).is_none());
        let mut activation = unit::activation(net, u);
        if let Some(range) = range {
            let name = &graph.tensor(output).name;
            names.written[output.0] = w.fresh(&format!("{name}_unclipped"));
            let (low, high) = net.units()[u].clip(graph);
            activation = activation.filter(|_| !(low <= range.min && range.max <= high));
        }
        let values = if options.quantized_weights { quantized_values(net, u)? } else { limited_weights(net, u) };
        let parameters = unit::float_parameters(&mut w, net, u, values);
        unit::write(&mut w, net, u, &names, parameters, activation)?;
        if let Some(range) = range {
            let name = &graph.tensor(output).name;
            let clip = Activation::Clip { min: range.min, max: range.max };
            activation::write(&mut w, &format!("{name}_Clip"), &clip, names.written[output.0].clone(), name);
        }
    }
    let metadata =
        [("quantrain.format", "clip"), ("quantrain.target", net.target().name()), ("quantrain.version", env!("CARGO_PKG_VERSION"))];
    w.finish(graph, &metadata)
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
