//! QuantizeLinear and DequantizeLinear, and what leaves some of the codes between them unused (Clip, Relu, Min, Max): around an activation they
//! become FakeQuantize, constants become float constants that remember their codes.

use quantrain_graph::op::{Activation, Binary, FakeQuantize};
use quantrain_graph::{GraphError, Op, Quantizer, QuantizerError, Rounding, Shape, StoredCodes};

use super::array::{Array, Constant};
use super::blocks::{self, Blocks};
use super::node::{Codes, NodeReader, Operand, Value, extent};
use super::number::{self, Number};
use super::tensor;
use crate::NodeError;
use crate::proto::data_type;

/// Scales and zero points, as both operators have them.
struct Parameters {
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    /// The type of the zero point, where there is one.
    kind: Option<i32>,
    axis: i64,
    /// The shape of the scales, and how many elements of the axis share one; 0 is all or one.
    shape: Vec<usize>,
    block: i64,
}

pub(super) fn quantize_linear(node: &mut NodeReader) -> Result<(), NodeError> {
    let source = node.operand(0)?;
    let parameters = parameters(node)?;
    // Saturation concerns 8-bit floats only, which are refused by their type.
    node.int("saturate")?;
    node.only("precision", 0)?;
    node.only("block_size", 0)?;
    let asked = node.int("output_dtype")?.and_then(|t| i32::try_from(t).ok()).filter(|&t| t != 0);
    let kind = parameters.kind.or(asked).unwrap_or(data_type::UINT8);
    let quantizers = quantizers(&parameters, kind)?;
    let axis = checked_axis(node, &node.shape(&source), &parameters)?;
    node.define(Value::Codes(Codes { source, quantizers, axis }))
}

pub(super) fn dequantize_linear(node: &mut NodeReader) -> Result<(), NodeError> {
    let name = node.input_name(0).unwrap_or_default().to_owned();
    let value = node.value(0)?.ok_or(NodeError::InputMissing { position: 0 })?;
    let parameters = parameters(node)?;
    match value {
        Value::Activation(_) | Value::Constant(Constant::Floats(_) | Constant::Reals(_)) => Err(NodeError::NotInteger { tensor: name }),
        Value::Codes(codes) => dequantize_codes(node, codes, &parameters),
        Value::Stored(stored) => {
            let kind = tensor::element_type(stored);
            let limits = limits_of(kind).ok_or_else(|| NodeError::CodeType { found: data_type::name(kind) })?;
            let integers = tensor::integers(stored).map_err(|source| NodeError::Tensor { tensor: name, source })?;
            dequantize_constant(node, &integers, &parameters, Some(limits))
        }
        Value::Constant(Constant::Integers(numbers)) => {
            let clipped = node.model.clipped.get(&name).copied();
            let limits = clipped.or_else(|| parameters.kind.and_then(limits_of));
            dequantize_constant(node, &fixed(numbers)?, &parameters, limits)
        }
    }
}

/// Clip on integers, if it is one: codes between QuantizeLinear and DequantizeLinear, or those of a constant, are fewer than their type has.
pub(super) fn clip_codes(node: &mut NodeReader) -> Result<bool, NodeError> {
    if !is_codes(node, 0)? {
        return Ok(false);
    }
    let low = limit(node, 1, "min")?.unwrap_or(i64::MIN);
    let high = limit(node, 2, "max")?.unwrap_or(i64::MAX);
    if low > high {
        return Err(NodeError::Value { what: "min", found: low.to_string(), expected: format!("at most max, which is {high}") });
    }
    narrow(node, 0, (low, high))
}

/// Relu on integers, if it is one.
pub(super) fn relu_codes(node: &mut NodeReader) -> Result<bool, NodeError> {
    Ok(is_codes(node, 0)? && narrow(node, 0, (0, i64::MAX))?)
}

/// Min or Max of what a QuantizeLinear made and a number, if it is one.
pub(super) fn extreme_of_codes(node: &mut NodeReader, is_max: bool) -> Result<bool, NodeError> {
    if node.input_count() != 2 {
        return Ok(false);
    }
    for (codes, number) in [(0, 1), (1, 0)] {
        if matches!(node.value(codes)?, Some(Value::Codes(_))) {
            let Some(limit) = limit(node, number, "the other operand")? else { return Ok(false) };
            return narrow(node, codes, if is_max { (limit, i64::MAX) } else { (i64::MIN, limit) });
        }
    }
    Ok(false)
}

/// Whether an input holds codes, or may become some: integers of the file.
fn is_codes(node: &mut NodeReader, position: usize) -> Result<bool, NodeError> {
    Ok(match node.value(position)? {
        Some(Value::Codes(_) | Value::Constant(Constant::Integers(_))) => true,
        Some(Value::Stored(stored)) => !tensor::is_float(stored),
        _ => false,
    })
}

/// The codes of an input without those beyond the limits; always true.
fn narrow(node: &mut NodeReader, position: usize, limits: (i64, i64)) -> Result<bool, NodeError> {
    if let Some(Value::Codes(codes)) = node.value(position)? {
        let within = codes.quantizers.iter().map(|q| within(q, limits)).collect::<Result<Vec<_>, _>>()?;
        let leave_zero_out = within.iter().zip(&codes.quantizers).any(|(w, q)| !(w.0..=w.1).contains(&q.zero_point()));
        let source = if leave_zero_out { limited(node, &codes, &within)? } else { codes.source };
        let narrowed = |(q, &(low, high)): (&Quantizer, &(i32, i32))| {
            let zero = q.zero_point();
            Quantizer::new(q.scale(), zero, low.min(zero), high.max(zero), q.rounding())
        };
        let quantizers = codes.quantizers.iter().zip(&within).map(narrowed).collect::<Result<_, _>>()?;
        node.define(Value::Codes(Codes { source, quantizers, ..codes }))?;
    } else {
        let (low, high) = limits;
        let integers = node.constant_numbers(position)?.ok_or(NodeError::InputMissing { position })?;
        let clipped = fixed(integers)?.map(|n| Number::Fixed(n.clamp(low, high)));
        node.model.clipped.insert(node.output()?.into(), (low.max(i32::MIN.into()), high.min(i32::MAX.into())));
        node.define_constant(Constant::Integers(clipped))?;
    }
    Ok(true)
}

/// The lowest and the highest code of a quantizer within limits.
fn within(q: &Quantizer, (low, high): (i64, i64)) -> Result<(i32, i32), NodeError> {
    let (least, greatest) = (i64::from(q.qmin()), i64::from(q.qmax()));
    let code = |limit: i64| i32::try_from(limit.clamp(least, greatest)).unwrap_or(0);
    let (low, high) = (code(low), code(high));
    if low < high {
        return Ok((low, high));
    }
    Err(NodeError::Value {
        what: "min",
        found: low.to_string(),
        expected: format!("below max, so that codes of {least} to {greatest} are left"),
    })
}

/// What a QuantizeLinear reads, clipped to the values of its lowest and highest codes: these are the codes that it then makes, whether or not
/// the zero point is among them.
fn limited(node: &mut NodeReader, codes: &Codes, limits: &[(i32, i32)]) -> Result<Operand, NodeError> {
    let each = || codes.quantizers.iter().zip(limits);
    if let Operand::Constant { name, value: Constant::Floats(x) } = &codes.source {
        let ranges: Vec<(f32, f32)> = each().map(|(q, &(low, high))| (q.value(low), q.value(high))).collect();
        let values = by_axis(x, codes.axis, ranges.len(), |v, c| v.clamp(ranges[c].0, ranges[c].1));
        return Ok(Operand::Constant { name: name.clone(), value: Constant::Floats(Array { shape: x.shape.clone(), values }) });
    }
    if let [(q, &(low, high))] = each().collect::<Vec<_>>()[..] {
        let clip = Activation::Clip { min: q.value(low), max: q.value(high) };
        return node.step(Op::Activation(clip), vec![codes.source.clone()]);
    }
    let mut shape = vec![1; node.shape(&codes.source).rank().saturating_sub(codes.axis)];
    shape.iter_mut().take(1).for_each(|extent| *extent = codes.quantizers.len());
    let mut x = codes.source.clone();
    for (op, what) in [(Binary::Max, "lowest"), (Binary::Min, "highest")] {
        let values = each().map(|(q, &(low, high))| q.value(if op == Binary::Max { low } else { high })).collect();
        let name = node.invented(&format!("{}.{what}", node.output()?));
        let limit = Operand::Constant { name, value: Constant::Floats(Array { shape: shape.clone(), values }) };
        x = node.step(Op::Binary(op), vec![x, limit])?;
    }
    Ok(x)
}

/// An optional limit of a Clip on integers.
fn limit(node: &mut NodeReader, position: usize, what: &'static str) -> Result<Option<i64>, NodeError> {
    let Some(values) = node.constant_ints(position)? else { return Ok(None) };
    match values[..] {
        [one] => Ok(Some(one)),
        _ => Err(NodeError::Value { what, found: format!("{} values", values.len()), expected: "one value".into() }),
    }
}

/// Integers that do not depend on the batch.
fn fixed(numbers: Array<Number>) -> Result<Array<i64>, NodeError> {
    let values = numbers.values.iter().map(|n| n.fixed()).collect::<Result<_, _>>()?;
    Ok(Array { shape: numbers.shape, values })
}

fn parameters(node: &mut NodeReader) -> Result<Parameters, NodeError> {
    let Array { shape, values: scales } = node.constant_floats(1)?.ok_or(NodeError::InputMissing { position: 1 })?;
    let kind = match node.value(2)? {
        Some(Value::Stored(stored)) => Some(tensor::element_type(stored)),
        _ => None,
    };
    if let Some(kind) = kind.filter(|&kind| limits_of(kind).is_none()) {
        return Err(NodeError::CodeType { found: data_type::name(kind) });
    }
    let zero_points = node.constant_ints(2)?.unwrap_or_else(|| vec![0; scales.len()]);
    let block = node.int("block_size")?.unwrap_or(0);
    let axis = node.int("axis")?.unwrap_or(1);
    if zero_points.len() != scales.len() {
        let expected = format!("{} values, one for each scale", scales.len());
        return Err(NodeError::Value { what: "zero_point", found: format!("{} values", zero_points.len()), expected });
    }
    Ok(Parameters { scales, zero_points, kind, axis, shape, block })
}

/// Lowest and highest code of a type whose DequantizeLinear is read: those of quantized tensors, and biases of 32 bits.
fn limits_of(kind: i32) -> Option<(i64, i64)> {
    let limits = if kind == data_type::INT32 { Some((i32::MIN, i32::MAX)) } else { data_type::code_limits(kind) };
    limits.map(|(low, high)| (i64::from(low), i64::from(high)))
}

fn quantizers(parameters: &Parameters, kind: i32) -> Result<Vec<Quantizer>, NodeError> {
    let limits = data_type::code_limits(kind).ok_or_else(|| NodeError::CodeType { found: data_type::name(kind) })?;
    Ok(quantizers_within(parameters, limits)?)
}

fn quantizers_within(parameters: &Parameters, (qmin, qmax): (i32, i32)) -> Result<Vec<Quantizer>, QuantizerError> {
    let each = parameters.scales.iter().zip(&parameters.zero_points);
    // A zero point beyond 32 bits lies outside the codes all the same.
    let zero = |zero_point: i64| i32::try_from(zero_point).unwrap_or(i32::MAX);
    each.map(|(&scale, &zero_point)| Quantizer::new(scale, zero(zero_point), qmin, qmax, Rounding::HalfToEven)).collect()
}

/// The axis that several scales belong to, its extent compared with their count.
fn checked_axis(node: &NodeReader, shape: &Shape, parameters: &Parameters) -> Result<usize, NodeError> {
    let count = parameters.scales.len();
    if count == 1 {
        return Ok(0);
    }
    let axis =
        shape.axis(parameters.axis).map_err(|source| GraphError::Shape { node: node.name().into(), op: "QuantizeLinear", source })?;
    if shape.fixed_at(axis) == Ok(count) {
        Ok(axis)
    } else {
        let expected = format!("one, or one for each element of axis {axis} of {shape}");
        Err(NodeError::Value { what: "scale", found: format!("{count} values"), expected })
    }
}

fn dequantize_codes(node: &mut NodeReader, codes: Codes, parameters: &Parameters) -> Result<(), NodeError> {
    node.only("block_size", 0)?;
    let same = |(q, (&scale, &zero)): (&Quantizer, (&f32, &i64))| q.scale() == scale && i64::from(q.zero_point()) == zero;
    let pairs = parameters.scales.iter().zip(&parameters.zero_points);
    if codes.quantizers.len() != parameters.scales.len() || !codes.quantizers.iter().zip(pairs).all(same) {
        return Err(NodeError::PairMismatch);
    }
    if checked_axis(node, &node.shape(&codes.source), parameters)? != codes.axis {
        return Err(NodeError::PairMismatch);
    }
    match codes.source {
        Operand::Constant { value: Constant::Floats(x), .. } => {
            let values = by_axis(&x, codes.axis, codes.quantizers.len(), |v, c| codes.quantizers[c].fake_quantize(v));
            let centred = |v: f32, c: usize| codes.quantizers[c].code(v) - codes.quantizers[c].zero_point();
            let centred = by_axis(&x, codes.axis, codes.quantizers.len(), centred);
            node.define_codes(StoredCodes { centred, quantizers: codes.quantizers, axis: codes.axis })?;
            node.define_constant(Constant::Floats(Array { shape: x.shape, values }))
        }
        Operand::Constant { name, .. } => Err(NodeError::NotFloat { tensor: name }),
        x @ Operand::Activation(_) => {
            if codes.quantizers.len() > 1 && codes.axis != 1 {
                let expected = "1, the channels (or one scale for the whole tensor)".into();
                return Err(NodeError::Value { what: "axis", found: codes.axis.to_string(), expected });
            }
            node.add(Op::FakeQuantize(FakeQuantize { quantizers: codes.quantizers }), vec![x])
        }
    }
}

/// `f32(q − z)·s`, the arithmetic of ONNX Runtime; `limits` are those of the codes, where their type is known.
fn dequantize_constant(
    node: &mut NodeReader,
    codes: &Array<i64>,
    parameters: &Parameters,
    limits: Option<(i64, i64)>,
) -> Result<(), NodeError> {
    if parameters.block != 0 {
        return dequantize_blocks(node, codes, parameters);
    }
    let axis = checked_axis(node, &Shape::fixed(&codes.shape), parameters)?;
    if let Some(stored) = limits.and_then(|limits| stored_codes(codes, parameters, axis, limits)) {
        node.define_codes(stored)?;
    }
    let value = |q: i64, c: usize| number::to_f32(q.saturating_sub(parameters.zero_points[c])) * parameters.scales[c];
    let values = by_axis(codes, axis, parameters.scales.len(), value);
    node.define_constant(Constant::Floats(Array { shape: codes.shape.clone(), values }))
}

/// Weights that have a scale for each block of an axis.
fn dequantize_blocks(node: &mut NodeReader, codes: &Array<i64>, parameters: &Parameters) -> Result<(), NodeError> {
    let block = extent("block_size", parameters.block)?;
    let shape = Shape::fixed(&codes.shape);
    let axis =
        shape.axis(parameters.axis).map_err(|source| GraphError::Shape { node: node.name().into(), op: "DequantizeLinear", source })?;
    let scales = Array { shape: parameters.shape.clone(), values: parameters.scales.clone() };
    let zero_points: Vec<f32> = parameters.zero_points.iter().map(|&z| number::to_f32(z)).collect();
    let values = Blocks { codes, scales: &scales, zero_points: &zero_points, axis, block }.values();
    let values = values.ok_or_else(|| NodeError::Value {
        what: "scale",
        found: format!("a tensor {}", Shape::fixed(&parameters.shape)),
        expected: format!("one for each block of {block} along axis {axis} of {shape}"),
    })?;
    let name = node.output()?.to_owned();
    blocks::note(node, &name, block);
    node.define_constant(Constant::Floats(Array { shape: codes.shape.clone(), values }))
}

/// The codes as they are, where a quantizer can have them.
fn stored_codes(codes: &Array<i64>, parameters: &Parameters, axis: usize, (low, high): (i64, i64)) -> Option<StoredCodes> {
    let quantizers = quantizers_within(parameters, (i32::try_from(low).ok()?, i32::try_from(high).ok()?)).ok()?;
    let centred = by_axis(codes, axis, quantizers.len(), |q, c| i32::try_from(q.saturating_sub(parameters.zero_points[c])).ok());
    Some(StoredCodes { centred: centred.into_iter().collect::<Option<_>>()?, quantizers, axis })
}

/// `f(value, channel)` of each value, channels along `axis`; one channel is the whole tensor.
pub(super) fn by_axis<T: Copy, U>(x: &Array<T>, axis: usize, channels: usize, f: impl Fn(T, usize) -> U) -> Vec<U> {
    let inner: usize = x.shape.iter().skip(axis + 1).product();
    let channel = |i: usize| if channels == 1 { 0 } else { i / inner % channels };
    x.values.iter().enumerate().map(|(i, &v)| f(v, channel(i))).collect()
}
