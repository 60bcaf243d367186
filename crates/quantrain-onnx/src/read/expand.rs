//! Expand, and the constants that a network joins to every sample as if they were computed.

use quantrain_graph::op::{Binary, Expand, Extent, Reshape, Tile};
use quantrain_graph::{Dim, Op, Shape, TensorId};

use super::array::{Array, Constant};
use super::cast::{is_integer, mark};
use super::layout::{shape_error, written, wrong};
use super::node::{NodeReader, Operand, dimension, extent};
use super::number::Number;
use crate::NodeError;

/// The input repeated until it has the shape that it broadcasts to with the one given.
pub(super) fn expand(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let target = node.constant_numbers(1)?.ok_or(NodeError::InputMissing { position: 1 })?;
    let depends = target.values.iter().any(|n| matches!(n, Number::Batch(_)));
    if let Operand::Constant { value, .. } = &x
        && !depends
    {
        let shape = target.values.iter().map(|n| extent("shape", n.fixed()?)).collect::<Result<Vec<_>, _>>()?;
        let elements = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n)).filter(|&n| n <= node.model.budget);
        let elements = elements.ok_or_else(|| NodeError::TooLarge { shape: Shape::fixed(&shape).to_string() })?;
        // A product with ones broadcasts, and changes nothing.
        let ones = match value {
            Constant::Floats(_) | Constant::Reals(_) => Constant::Floats(Array { shape, values: vec![1.0; elements] }),
            Constant::Integers(_) => Constant::Integers(Array { shape, values: vec![Number::Fixed(1); elements] }),
        };
        return node.add(Op::Binary(Binary::Mul), vec![x, Operand::Constant { name: "ones".into(), value: ones }]);
    }
    let dims = target.values.iter().map(|&n| dimension("shape", n)).collect::<Result<Vec<_>, _>>()?;
    let from = node.shape(&x);
    let to = from.broadcast(&Shape(dims)).map_err(|e| shape_error(node, "Expand", e))?;
    let mut padded = vec![Dim::Fixed(1); to.rank() - from.rank()];
    padded.extend(&from.0);
    let repeats = padded.iter().zip(&to.0).map(|(from, to)| match (from, to) {
        (a, b) if a == b => Some(1),
        (Dim::Fixed(1), Dim::Fixed(n)) => Some(*n),
        _ => None,
    });
    let Some(repeats) = repeats.collect::<Option<Vec<_>>>() else {
        let operands = with_batch(node, x.into_floats()?)?;
        return node.add(Op::Expand(Expand { to }), operands);
    };
    let op = Op::Tile(Tile { repeats });
    if from.rank() == to.rank() {
        return node.add(op, vec![x]);
    }
    let extents = padded.into_iter().map(Extent::Is).collect();
    let extents = written(&from, extents);
    let padded = node.step(Op::Reshape(Reshape { extents }), vec![x])?;
    node.add(op, vec![padded])
}

/// One value, the attribute's or 0.0, in a given shape; where that depends on the batch, as a tensor that a node makes.
pub(super) fn constant_of_shape(node: &mut NodeReader) -> Result<(), NodeError> {
    let extents = node.constant_numbers(0)?.ok_or(NodeError::InputMissing { position: 0 })?.values;
    let value = match node.tensor("value")? {
        None => Constant::Floats(Array::scalar(0.0)),
        Some(stored) => super::node::constant(stored).map_err(|source| NodeError::Tensor { tensor: "value".into(), source })?,
    };
    if value.elements() != 1 {
        return Err(wrong("value", format!("{} values", value.elements()), "one value"));
    }
    if extents.iter().any(|n| matches!(n, Number::Batch(_))) {
        let to = Shape(extents.iter().map(|&n| dimension("shape", n)).collect::<Result<_, _>>()?);
        let integer = matches!(value, Constant::Integers(_));
        let name = node.invented(&format!("{}.value", node.output()?));
        let operand = Operand::Constant { name, value: value.in_shape(vec![1; to.rank()]) }.into_floats()?;
        let operands = with_batch(node, operand)?;
        node.add(Op::Expand(Expand { to }), operands)?;
        return mark(node, integer);
    }
    let shape = extents.iter().map(|n| if *n == Number::Fixed(0) { Ok(0) } else { extent("shape", n.fixed()?) });
    let shape = shape.collect::<Result<Vec<_>, _>>()?;
    let elements = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n)).filter(|&n| n <= node.model.budget);
    elements.ok_or_else(|| NodeError::TooLarge { shape: Shape::fixed(&shape).to_string() })?;
    node.define_constant(value.in_shape(shape))
}

/// The input repeated along each axis; once for each sample of the batch where a repeat depends on it.
pub(super) fn tile(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let repeats = node.constant_numbers(1)?.ok_or(NodeError::InputMissing { position: 1 })?.values;
    let repeats = repeats.into_iter().map(|n| dimension("repeats", n)).collect::<Result<Vec<_>, _>>()?;
    let fixed = repeats.iter().map(|d| d.fixed().unwrap_or(1)).collect();
    let tiled = Op::Tile(Tile { repeats: fixed });
    if repeats.iter().all(|d| d.fixed().is_some()) {
        return node.add(tiled, vec![x]);
    }
    let x = node.step(tiled, vec![x])?;
    let from = node.shape(&x);
    let by_batch = |(from, repeat): (&Dim, &Dim)| match (from, repeat.fixed()) {
        (_, Some(_)) => Ok(*from),
        (Dim::Fixed(1), None) => Ok(*repeat),
        _ => Err(wrong("repeats", format!("{repeat} of an axis of {from}"), "a number, or the batch along an axis of extent 1")),
    };
    let to = Shape(from.0.iter().zip(&repeats).map(by_batch).collect::<Result<_, _>>()?);
    let operands = with_batch(node, x.into_floats()?)?;
    node.add(Op::Expand(Expand { to }), operands)
}

/// Adds an operator that broadcasts its operands. Of constants that are repeated for every sample it repeats one result.
pub(super) fn add_repeated(node: &mut NodeReader, op: Op, operands: Vec<Operand>) -> Result<(), NodeError> {
    let is_computed = |o: &Operand| matches!(o, Operand::Activation(_));
    if !operands.iter().any(is_computed) {
        return node.add(op, operands);
    }
    // Beside integers that are computed, constants are integers too; both are floats here.
    let integer = |o: &Operand| matches!(o, Operand::Activation(id) if is_integer(node.model, *id));
    let operands = match operands.iter().any(integer) {
        true => operands.into_iter().map(Operand::into_floats).collect::<Result<_, _>>()?,
        false => operands,
    };
    let constants = operands.iter().map(|o| if is_computed(o) { repeated(node, o) } else { Ok(Some(o.clone())) });
    let Some(constants) = constants.collect::<Result<Option<Vec<_>>, _>>()? else {
        let operands = unexpanded(node, operands)?;
        return node.add(op, operands);
    };
    let shapes: Vec<Shape> = operands.iter().map(|o| node.shape(o)).collect();
    let to = op.output_shape(&shapes.iter().collect::<Vec<_>>()).map_err(|e| shape_error(node, op.name(), e))?;
    let value = node.step(op, constants)?;
    let operands = with_batch(node, value)?;
    node.add(Op::Expand(Expand { to }), operands)
}

/// A tensor, and the network's input that tells how large the batch is.
pub(super) fn with_batch(node: &NodeReader, x: Operand) -> Result<Vec<Operand>, NodeError> {
    let graph = node.model.builder.graph();
    let has_batch = |t: &&TensorId| graph.tensor(**t).shape.0.first() == Some(&Dim::Batch(1));
    let input = graph.inputs().iter().find(has_batch).or(graph.inputs().first());
    let input = input.ok_or_else(|| wrong("shape", "the batch".into(), "an input whose first axis is the batch"))?;
    Ok(vec![x, Operand::Activation(*input)])
}

/// Operands that are joined along `axis`, constants among activations as tensors that a node makes: one for every sample where the others
/// have a batch.
pub(super) fn computed(node: &mut NodeReader, axis: i64, operands: Vec<Operand>) -> Result<Vec<Operand>, NodeError> {
    let shape = operands.iter().find(|o| matches!(o, Operand::Activation(_))).map(|o| node.shape(o));
    let Some(shape) = shape else { return Ok(operands) };
    let axis = shape.axis(axis).map_err(|e| shape_error(node, "Concat", e))?;
    let batch = shape.0.first().copied().filter(|d| d.fixed().is_none() && axis != 0);
    let computed = |operand: Operand| {
        let (name, array) = match operand.into_floats()? {
            Operand::Constant { name, value: Constant::Floats(array) } => (name, array),
            activation => return Ok(activation),
        };
        let (name, array) = if batch.is_some() { one_sample(node, name, array) } else { (name, array) };
        let mut to = Shape::fixed(&array.shape);
        if let (Some(batch), Some(first @ Dim::Fixed(1))) = (batch, to.0.first_mut()) {
            *first = batch;
        }
        let constant = Operand::Constant { name, value: Constant::Floats(array) };
        let operands = with_batch(node, constant)?;
        node.step(Op::Expand(Expand { to }), operands)
    };
    operands.into_iter().map(computed).collect()
}

/// Of a constant that was made for the file's batch, and is the same for every sample, one sample.
fn one_sample(node: &NodeReader, name: String, array: Array<f32>) -> (String, Array<f32>) {
    let samples = node.model.batch.and_then(|(file, _)| usize::try_from(file).ok()).filter(|&n| n > 1);
    let Some(samples) = samples.filter(|n| array.shape.first() == Some(n)) else { return (name, array) };
    let sample = array.values.len() / samples;
    if sample == 0 || array.values.chunks(sample).any(|s| s != &array.values[..sample]) {
        return (name, array);
    }
    let shape = std::iter::once(1).chain(array.shape.iter().skip(1).copied()).collect();
    (format!("{name}.sample"), Array { shape, values: array.values[..sample].to_vec() })
}

/// The operands of an operator that broadcasts: of one that only repeats a constant, the constant, which the operator repeats by itself.
pub(super) fn unexpanded(node: &mut NodeReader, mut operands: Vec<Operand>) -> Result<Vec<Operand>, NodeError> {
    let result = |node: &NodeReader, operands: &[Operand]| {
        let shapes = operands.iter().map(|o| node.shape(o));
        shapes.into_iter().try_fold(Shape::fixed(&[]), |a, b| a.broadcast(&b).ok())
    };
    for i in 0..operands.len() {
        let Some(constant) = repeated(node, &operands[i])? else { continue };
        let before = result(node, &operands);
        let kept = std::mem::replace(&mut operands[i], constant);
        if result(node, &operands) != before || operands.iter().all(|o| matches!(o, Operand::Constant { .. })) {
            operands[i] = kept;
        }
    }
    Ok(operands)
}

/// The constant that an Expand repeats.
pub(super) fn repeated(node: &mut NodeReader, operand: &Operand) -> Result<Option<Operand>, NodeError> {
    let Operand::Activation(id) = operand else { return Ok(None) };
    let graph = node.model.builder.graph();
    // A builder numbers tensors as they come, so nodes lie in the order of their outputs.
    let producer = graph.nodes().binary_search_by_key(id, |n| n.output).ok().and_then(|n| graph.nodes().get(n));
    let Some(source) = producer.filter(|n| matches!(n.op, Op::Expand(_))).and_then(|n| n.inputs.first()) else { return Ok(None) };
    let (Some(values), tensor) = (graph.constant(*source), graph.tensor(*source)) else { return Ok(None) };
    let (name, shape, values) = (tensor.name.clone(), tensor.shape.at(1), values.to_vec());
    node.charge(values.len(), &name)?;
    Ok(Some(Operand::Constant { name, value: Constant::Floats(Array { shape, values }) }))
}
