//! QDQ models: float operators between QuantizeLinear and DequantizeLinear pairs, integers for weights and biases.

use std::path::Path;

use quantrain_graph::op::Activation;
use quantrain_graph::{Op, Placement, QuantGraph, QuantizedBlock, Quantizer, TensorId, fold};

use super::error::WriteError;
use super::model::{ModelWriter, int};
use super::unit::{self, Names, Parameters};
use super::{activation_quantizers, operator, write_atomically};
use crate::proto::data_type;

/// What may be chosen about a QDQ file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdqOptions {
    /// Weights of at most 4 bits are stored as INT4 (operator set 21) instead of INT8.
    pub int4_weights: bool,
    /// Signed 8-bit codes of activations are written as UINT8, their zero point 128 higher: every activation then has one type.
    pub uint8_activations: bool,
    /// The operator set; the graph's own, at least 13 and what its operators and types need, if it is not given.
    pub opset: Option<i64>,
}

/// Writes a QDQ model: each quantized activation passes a QuantizeLinear and a DequantizeLinear, weights are integers with a
/// DequantizeLinear, biases 32-bit integers on scale s_x·s_w. ONNX Runtime turns such groups into integer kernels.
///
/// BatchNormalization is folded. Value-preserving operators stand between pairs of the same numbers; there is no pair between a
/// block's core and its fused Relu or Clip. A fused Clip whose limits lie within the outermost codes' steps is written with the values of
/// these codes, which changes no code and lets the runtime drop it. Codes narrower than their type (4 bits in UINT8) are not clamped by
/// QuantizeLinear, so a Clip to their range stands before it. A pool that ONNX Runtime's integer kernel computes otherwise is followed by a
/// Sum of one operand, and a block in float has one before it: that keeps them in float there. An output keeps its name: its DequantizeLinear writes it.
///
/// Codes are rounded half to even as ONNX defines, whatever the target's rounding. 16-bit and 4-bit types need operator set 21.
///
/// # Errors
/// A quantizer without a range, a bias that does not fit 32 bits, an operator or a type that ONNX does not have, in the operator set asked for
/// or at all, or a file that cannot be written.
pub fn write_qdq(net: &QuantGraph, path: impl AsRef<Path>, options: &QdqOptions) -> Result<(), WriteError> {
    write_atomically(path, &qdq_bytes(net, options)?)
}

/// Whether [`write_qdq`] would write the network, without a file.
///
/// # Errors
/// As [`write_qdq`].
pub fn check_qdq(net: &QuantGraph, options: &QdqOptions) -> Result<(), WriteError> {
    qdq_bytes(net, options).map(drop)
}

pub(crate) fn qdq_bytes(net: &QuantGraph, options: &QdqOptions) -> Result<Vec<u8>, WriteError> {
    let graph = net.graph();
    let mut quantizers = activation_quantizers(net)?;
    if options.uint8_activations {
        quantizers.iter_mut().for_each(|q| *q = as_unsigned(*q));
    }
    let blocks: Vec<Option<QuantizedBlock>> = (0..net.units().len()).map(|u| net.quantized_block(u)).collect::<Result<_, _>>()?;
    let activation_types = quantizers.iter().map(activation_type);
    let weight_types = blocks.iter().flatten().map(|b| weight_type(&b.weight.quantizers[0], options));
    let needed = activation_types.chain(weight_types).max_by_key(|&kind| opset(kind)).unwrap_or(data_type::UINT8);
    if let Some(asked) = options.opset.filter(|&asked| asked < opset(needed)) {
        return Err(WriteError::Opset { asked, needed: opset(needed), what: format!("a pair of {} codes", data_type::name(needed)) });
    }
    let mut w = ModelWriter::new(graph, operator::opset(graph, options.opset)?.max(opset(needed)));
    let mut names = names(&mut w, net);
    let pair = |w: &mut ModelWriter, names: &Names, t: TensorId| {
        if let Some(q) = net.quantizer_of(t) {
            let (name, owner) = (&graph.tensor(t).name, &net.quantizers()[q.0].tensor);
            write_pair(w, name, owner, &quantizers[q.0..=q.0], names.written[t.0].clone(), &names.read[t.0]);
        }
    };
    graph.inputs().iter().for_each(|&t| pair(&mut w, &names, t));
    for (u, block) in blocks.iter().enumerate() {
        let parameters = match block {
            Some(block) => Some(integer_parameters(&mut w, net, u, block, options)),
            None => unit::float_parameters(&mut w, net, u, None),
        };
        let output = net.units()[u].output(graph);
        let quantizer = net.quantizer_of(output).map(|q| &quantizers[q.0]);
        let activation = unit::activation(net, u).map(|a| quantizer.map_or(a, |q| on_codes(a, q)));
        let kept = block.is_none().then(|| keep_in_float(&mut w, net, u, &mut names)).flatten();
        quantizer.into_iter().for_each(|q| write_table(&mut w, net, u, q));
        unit::write(&mut w, net, u, &names, parameters, activation)?;
        kept.into_iter().for_each(|(input, name)| names.read[input.0] = name);
        if quantizer.is_some() && !has_integer_kernel(net, u) {
            names.written[output.0] = kept_in_float(&mut w, names.written[output.0].clone(), &graph.tensor(output).name);
        }
        pair(&mut w, &names, output);
    }
    let metadata =
        [("quantrain.format", "qdq"), ("quantrain.target", net.target().name()), ("quantrain.version", env!("CARGO_PKG_VERSION"))];
    w.finish(graph, &metadata)
}

/// False where ONNX Runtime's integer kernel for the node between two pairs computes something else, or does not take it.
fn has_integer_kernel(net: &QuantGraph, unit: usize) -> bool {
    let core = net.graph().node(net.units()[unit].core);
    let image = core.inputs.first().and_then(|&x| net.graph().tensor(x).shape.image().ok());
    match (&core.op, image) {
        (Op::AveragePool(pool), Some((_, height, width))) => pool.is_integer_kernel(height, width),
        _ => true,
    }
}

/// A quantized tensor is read behind its DequantizeLinear; where it is an output, that one has its name.
fn names(w: &mut ModelWriter, net: &QuantGraph) -> Names {
    let mut names = Names::of(net);
    let graph = net.graph();
    for (t, tensor) in graph.tensors().iter().enumerate() {
        let id = TensorId(t);
        if net.quantizer_of(id).is_none() {
            continue;
        }
        if graph.outputs().contains(&id) && !graph.inputs().contains(&id) {
            names.written[t] = w.fresh(&format!("{}_float", tensor.name));
        } else {
            names.read[t] = w.fresh(&format!("{}_dequantized", tensor.name));
        }
    }
    names
}

/// Adds a Sum of one operand, which ONNX Runtime keeps: it makes no integer kernel of pairs that it stands between. Gives its result.
fn kept_in_float(w: &mut ModelWriter, operand: String, near: &str) -> String {
    let sum = w.fresh(&format!("{near}_Sum"));
    w.node("Sum", &sum, vec![operand], &sum, vec![]);
    sum
}

/// Puts a Sum of one operand before a block that stays in float; gives the tensor that it read so far, and the name of that.
///
/// ONNX Runtime quantizes the weights of a Conv, ConvTranspose or Gemm between a DequantizeLinear and a QuantizeLinear while it loads a file,
/// with one scale for all.
fn keep_in_float(w: &mut ModelWriter, net: &QuantGraph, unit: usize, names: &mut Names) -> Option<(TensorId, String)> {
    let graph = net.graph();
    let unit = &net.units()[unit];
    unit.block(graph)?;
    let input = unit.inputs(graph).next()?;
    let is_read = graph.readers(unit.output(graph)).next().is_some();
    if !is_read || !reads_codes(net, input) {
        return None;
    }
    let kept = kept_in_float(w, names.read[input.0].clone(), &graph.node(unit.core).name);
    Some((input, std::mem::replace(&mut names.read[input.0], kept)))
}

/// Whether a tensor is quantized, or is one that is behind operators that only move values: runtimes take a DequantizeLinear past them.
fn reads_codes(net: &QuantGraph, mut tensor: TensorId) -> bool {
    let graph = net.graph();
    while net.quantizer_of(tensor).is_none() {
        let moved = graph.producer(tensor).map(|n| graph.node(n)).filter(|node| net.target().placement(&node.op) == Placement::Carried);
        match moved.and_then(|node| node.inputs.first()) {
            Some(&before) => tensor = before,
            None => return false,
        }
    }
    true
}

/// Adds QuantizeLinear and DequantizeLinear of the tensor `name`; scales and zero points are those of `owner`, written once.
/// One quantizer, or one for each channel of axis 1.
pub(super) fn write_pair(w: &mut ModelWriter, name: &str, owner: &str, quantizers: &[Quantizer], input: String, output: &str) {
    let Some(first) = quantizers.first() else { return };
    let kind = activation_type(first);
    let shape = if quantizers.len() == 1 { vec![] } else { vec![quantizers.len()] };
    let axis = if quantizers.len() == 1 { vec![] } else { vec![int("axis", 1)] };
    let scales: Vec<f32> = quantizers.iter().map(Quantizer::scale).collect();
    let zeros: Vec<i32> = quantizers.iter().map(Quantizer::zero_point).collect();
    let scale = w.shared(&format!("{owner}_scale"), |w, wish| w.floats(wish, &shape, &scales));
    let zero = w.shared(&format!("{owner}_zero_point"), |w, wish| w.codes(wish, &shape, kind, &zeros));
    let mut input = input;
    if is_narrow(first) {
        let range = first.range();
        let min = w.shared(&format!("{owner}_min"), |w, wish| w.floats(wish, &[], &[range.min]));
        let max = w.shared(&format!("{owner}_max"), |w, wish| w.floats(wish, &[], &[range.max]));
        let clipped = w.fresh(&format!("{name}_clipped"));
        w.node("Clip", &format!("{name}_Clip"), vec![input, min, max], &clipped, vec![]);
        input = clipped;
    }
    let codes = w.fresh(&format!("{name}_quantized"));
    w.node("QuantizeLinear", &format!("{name}_QuantizeLinear"), vec![input, scale.clone(), zero.clone()], &codes, axis.clone());
    w.node("DequantizeLinear", &format!("{name}_DequantizeLinear"), vec![codes, scale, zero], output, axis);
}

fn integer_parameters(w: &mut ModelWriter, net: &QuantGraph, unit: usize, block: &QuantizedBlock, options: &QdqOptions) -> Parameters {
    let weights = &block.weight;
    let Some(place) = net.units()[unit].block(net.graph()) else { unreachable!("only blocks are quantized") };
    let per_channel = weights.quantizers.len() > 1;
    // Products and transposed convolutions may store inputs first.
    let axis = if per_channel { vec![int("axis", place.layout.channel_axis() as i64)] } else { vec![] };
    let bias_axis = if per_channel { vec![int("axis", 0)] } else { vec![] };
    let shape = if per_channel { vec![place.channels] } else { vec![] };
    let scales: Vec<f32> = weights.quantizers.iter().map(Quantizer::scale).collect();
    let zeros: Vec<i32> = weights.quantizers.iter().map(Quantizer::zero_point).collect();
    let rows = weights.codes.len() / place.channels;
    let zero_of = |i: usize| zeros[if per_channel { i / rows } else { 0 }];
    let codes: Vec<i32> = weights.codes.iter().enumerate().map(|(i, &c)| c as i32 + zero_of(i)).collect();
    let kind = weight_type(&weights.quantizers[0], options);

    let name = unit::tensor_name(net, place.weight);
    let stored = unit::stored_layout(net, unit, &codes);
    let codes = w.codes(&format!("{name}_quantized"), &net.graph().tensor(place.weight).shape.at(1), kind, &stored);
    let scale = w.floats(&format!("{name}_scale"), &shape, &scales);
    let zero = w.codes(&format!("{name}_zero_point"), &shape, kind, &zeros);
    let weight = w.fresh(&format!("{name}_dequantized"));
    w.node("DequantizeLinear", &format!("{weight}_DequantizeLinear"), vec![codes, scale, zero], &weight, axis);

    let bias = unit::has_bias(net, unit).then(|| {
        let scales: Vec<f32> = scales.iter().map(|&s| fold::accumulator_scale(block.input.scale(), s)).collect();
        let codes = w.codes(&unit::bias_name(net, unit, "quantized"), &[place.channels], data_type::INT32, &block.bias);
        let scale = w.floats(&unit::bias_name(net, unit, "scale"), &shape, &scales);
        let zero = w.codes(&unit::bias_name(net, unit, "zero_point"), &shape, data_type::INT32, &vec![0; scales.len()]);
        let bias = w.fresh(&unit::bias_name(net, unit, "dequantized"));
        w.node("DequantizeLinear", &format!("{bias}_DequantizeLinear"), vec![codes, scale, zero], &bias, bias_axis);
        bias
    });
    Parameters { weight, bias }
}

/// A table that indices pick from has the codes of what is picked: the same as picking first, and a quarter of the bytes.
fn write_table(w: &mut ModelWriter, net: &QuantGraph, unit: usize, q: &Quantizer) {
    let (graph, unit) = (net.graph(), &net.units()[unit]);
    let core = graph.node(unit.core);
    let (Op::Lookup(_), Some(&table)) = (&core.op, core.inputs.first()) else { return };
    let Some(values) = graph.constant(table).filter(|_| unit.activation.is_none()) else { return };
    let (name, kind) = (&graph.tensor(table).name, activation_type(q));
    let codes: Vec<i32> = values.iter().map(|&v| q.code(v)).collect();
    let codes = w.codes(&format!("{name}_quantized"), &graph.tensor(table).shape.at(1), kind, &codes);
    let scale = w.floats(&format!("{name}_scale"), &[], &[q.scale()]);
    let zero = w.codes(&format!("{name}_zero_point"), &[], kind, &[q.zero_point()]);
    let read = w.fresh(&format!("{name}_dequantized"));
    w.node("DequantizeLinear", &format!("{read}_DequantizeLinear"), vec![codes, scale, zero], &read, vec![]);
    w.stand_for(table, read);
}

/// The clip with limits moved onto the outermost codes where that changes no code.
fn on_codes(activation: Activation, q: &Quantizer) -> Activation {
    let Activation::Clip { min, max } = activation else { return activation };
    let range = q.range();
    Activation::Clip {
        min: if q.code(min) == q.qmin() { min.min(range.min) } else { min },
        max: if q.code(max) == q.qmax() { max.max(range.max) } else { max },
    }
}

/// The 8- or 16-bit type that holds an activation's codes.
pub(super) fn activation_type(q: &Quantizer) -> i32 {
    match (q.qmin() < 0, q.qmin() >= -128 && q.qmax() <= if q.qmin() < 0 { 127 } else { 255 }) {
        (true, true) => data_type::INT8,
        (false, true) => data_type::UINT8,
        (true, false) => data_type::INT16,
        (false, false) => data_type::UINT16,
    }
}

/// The same numbers in UINT8, where they are signed bytes.
fn as_unsigned(q: Quantizer) -> Quantizer {
    let shifted = || Quantizer::new(q.scale(), q.zero_point() + 128, q.qmin() + 128, q.qmax() + 128, q.rounding()).ok();
    Some(q).filter(|q| activation_type(q) == data_type::INT8).and_then(|_| shifted()).unwrap_or(q)
}

fn weight_type(q: &Quantizer, options: &QdqOptions) -> i32 {
    let fits = |kind| data_type::code_limits(kind).is_some_and(|(low, high)| low <= q.qmin() && q.qmax() <= high);
    match (options.int4_weights, q.qmin() < 0) {
        (true, true) if fits(data_type::INT4) => data_type::INT4,
        (true, false) if fits(data_type::UINT4) => data_type::UINT4,
        _ => activation_type(q),
    }
}

/// The operator set in which QuantizeLinear and DequantizeLinear know a type.
pub(super) fn opset(kind: i32) -> i64 {
    if matches!(kind, data_type::INT8 | data_type::UINT8) { 13 } else { 21 }
}

/// Whether the codes leave some of their type unused.
pub(super) fn is_narrow(q: &Quantizer) -> bool {
    data_type::code_limits(activation_type(q)) != Some((q.qmin(), q.qmax()))
}
