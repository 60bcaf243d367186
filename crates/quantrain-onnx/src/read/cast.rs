//! Casts. Activations are FLOAT here, whole numbers and truths among them too; what the file has as integers is remembered, since a quotient of
//! integers is cut.

use quantrain_graph::op::{Activation, Binary, Reduction};
use quantrain_graph::{ElementType, Graph, Op, TensorId};

use super::array::Constant;
use super::node::{Model, NodeReader, Operand, Value};
use super::number::Number;
use super::tensor;
use crate::NodeError;
use crate::proto::data_type;

/// How many operators that move numbers may stand between them and where they were made.
const FARTHEST: usize = 64;

pub(super) fn cast(node: &mut NodeReader) -> Result<(), NodeError> {
    let to = node.int("to")?.ok_or(NodeError::AttributeMissing { attribute: "to" })?;
    // How floats of 8 bits are rounded, which are not read.
    node.int("saturate")?;
    node.string("round_mode")?;
    cast_to(node, i32::try_from(to).unwrap_or(0))
}

/// As Cast, to the type of the second input.
pub(super) fn cast_like(node: &mut NodeReader) -> Result<(), NodeError> {
    node.int("saturate")?;
    node.string("round_mode")?;
    let to = match node.value(1)?.ok_or(NodeError::InputMissing { position: 1 })? {
        Value::Stored(stored) => tensor::element_type(stored),
        Value::Activation(id) if is_integer(node.model, id) => data_type::INT64,
        Value::Activation(_) | Value::Constant(Constant::Floats(_) | Constant::Reals(_)) => data_type::FLOAT,
        Value::Constant(Constant::Integers(_)) => data_type::INT64,
        Value::Codes(_) => return Err(NodeError::NotFloat { tensor: node.input_name(1).unwrap_or_default().into() }),
    };
    cast_to(node, to)
}

fn cast_to(node: &mut NodeReader, to: i32) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    if !tensor::is_float_type(to) && to != data_type::BOOL && integer_limits(to).is_none() {
        return Err(NodeError::Value { what: "to", found: data_type::name(to), expected: "a type of floats, of integers, or BOOL".into() });
    }
    let value = match x {
        Operand::Activation(id) => return cast_activation(node, id, to),
        Operand::Constant { value, .. } if tensor::is_float_type(to) => value.into_reals(),
        Operand::Constant { value, .. } if to == data_type::BOOL => Constant::Integers(value.truths()),
        Operand::Constant { value, .. } => Constant::Integers(value.into_integers()?.map(|n| wrapped(n, to))),
    };
    node.define_constant(value)
}

fn cast_activation(node: &mut NodeReader, id: TensorId, to: i32) -> Result<(), NodeError> {
    let (x, graph) = (Operand::Activation(id), node.model.builder.graph());
    if to == data_type::BOOL {
        if comes_from(graph, id, is_truth) || is_truth_input(graph, id) {
            return node.add(Op::Identity, vec![x]);
        }
        let zero = node.step(Op::Activation(Activation::Not), vec![x])?;
        return node.add(Op::Activation(Activation::Not), vec![zero]);
    }
    // All is FLOAT behind an input of other floats: its Cast says nothing.
    let is_float_input = |kind: &ElementType| kind.limits().is_none();
    if integer_limits(to).is_none() && graph.element_types.get(&id).is_some_and(is_float_input) {
        return node.define(Value::Activation(id));
    }
    let Some(most) = integer_limits(to) else {
        node.add(Op::Identity, vec![x])?;
        return mark(node, false);
    };
    if let Some(extent) = classes(graph, id).filter(|&n| i64::try_from(n).is_ok_and(|n| n - 1 > most)) {
        let expected = "a type that holds every index of the ArgMax".into();
        return Err(NodeError::Value { what: "to", found: format!("{}, of {extent} elements", data_type::name(to)), expected });
    }
    let whole = comes_from(graph, id, is_whole) || is_integer(node.model, id) || is_truth_input(graph, id);
    node.add(if whole { Op::Identity } else { Op::Activation(Activation::Trunc) }, vec![x])?;
    mark(node, true)
}

/// The greatest number of a type of integers.
fn integer_limits(kind: i32) -> Option<i64> {
    Some(match kind {
        data_type::INT8 => i8::MAX.into(),
        data_type::UINT8 => u8::MAX.into(),
        data_type::INT16 => i16::MAX.into(),
        data_type::UINT16 => u16::MAX.into(),
        data_type::INT32 => i32::MAX.into(),
        data_type::UINT32 => u32::MAX.into(),
        data_type::INT64 | data_type::UINT64 => i64::MAX,
        _ => return None,
    })
}

/// A number as a type of fewer bits has it: the others are discarded.
fn wrapped(number: Number, kind: i32) -> Number {
    let Number::Fixed(n) = number else { return number };
    let low = |bits: u32| n & ((1i64 << bits) - 1);
    let signed = |bits: u32| if low(bits) >> (bits - 1) == 0 { low(bits) } else { low(bits) - (1i64 << bits) };
    Number::Fixed(match kind {
        data_type::INT8 => signed(8),
        data_type::UINT8 => low(8),
        data_type::INT16 => signed(16),
        data_type::UINT16 => low(16),
        data_type::INT32 => signed(32),
        data_type::UINT32 => low(32),
        _ => n,
    })
}

/// Remembers whether what the node gives is of integers in the file.
pub(super) fn mark(node: &mut NodeReader, integer: bool) -> Result<(), NodeError> {
    if let Some(&Value::Activation(id)) = node.model.values.get(node.output()?) {
        node.model.integers.insert(id, integer);
    }
    Ok(())
}

/// Whether an activation is of integers in the file, by the casts behind it.
pub(super) fn is_integer(model: &Model, tensor: TensorId) -> bool {
    let graph = model.builder.graph();
    let mut tensor = tensor;
    for _ in 0..FARTHEST {
        if let Some(&known) = model.integers.get(&tensor) {
            return known;
        }
        let Some(node) = producer(graph, tensor) else { return false };
        let computed = |&&t: &&TensorId| graph.constant(t).is_none();
        let values = match &node.op {
            Op::Where(_) => node.inputs.get(1..).unwrap_or_default(),
            Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max) | Op::Concat(_) => &node.inputs,
            Op::Activation(Activation::Abs | Activation::Neg | Activation::Sign | Activation::Relu | Activation::Clip { .. }) => {
                &node.inputs
            }
            // The quotient of integers.
            Op::Activation(Activation::Trunc) => &node.inputs,
            Op::Reduce(op) if matches!(op.function, Reduction::Max | Reduction::Min | Reduction::Sum) => &node.inputs,
            op if moves(op) => &node.inputs,
            _ => return false,
        };
        let Some(&from) = values.iter().find(computed) else { return false };
        tensor = from;
    }
    false
}

/// The elements that the ArgMax behind a tensor chooses among.
fn classes(graph: &Graph, tensor: TensorId) -> Option<usize> {
    let node = origin(graph, tensor)?;
    let Op::ArgMax(op) = &node.op else { return None };
    let shape = &graph.tensor(*node.inputs.first()?).shape;
    shape.fixed_at(shape.axis(op.axis).ok()?).ok()
}

fn is_whole(op: &Op) -> bool {
    matches!(op, Op::ArgMax(_) | Op::Binary(Binary::Relation(_))) || matches!(op, Op::Activation(f) if f.is_step())
}

pub(super) fn is_truth(op: &Op) -> bool {
    matches!(op, Op::Binary(Binary::Relation(_))) || matches!(op, Op::Activation(f) if f.is_truth())
}

/// Whether a tensor holds what an operator of a kind makes.
pub(super) fn comes_from(graph: &Graph, tensor: TensorId, kind: fn(&Op) -> bool) -> bool {
    origin(graph, tensor).is_some_and(|node| kind(&node.op))
}

/// The node that makes the numbers of a tensor.
fn origin(graph: &Graph, tensor: TensorId) -> Option<&quantrain_graph::Node> {
    let mut node = producer(graph, tensor)?;
    for _ in 0..FARTHEST {
        if !moves(&node.op) {
            return Some(node);
        }
        node = producer(graph, *node.inputs.first()?)?;
    }
    None
}

/// Whether an input of the network holds truths.
fn is_truth_input(graph: &Graph, tensor: TensorId) -> bool {
    graph.element_types.get(&tensor) == Some(&ElementType::Bool)
}

fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Identity | Op::Reshape(_) | Op::Flatten(_) | Op::Transpose(_) | Op::Slice(_) | Op::Gather(_) | Op::Tile(_) | Op::Expand(_)
    )
}

fn producer(graph: &Graph, tensor: TensorId) -> Option<&quantrain_graph::Node> {
    // A builder numbers tensors as they come, so nodes lie in the order of their outputs.
    graph.nodes().binary_search_by_key(&tensor, |n| n.output).ok().and_then(|n| graph.nodes().get(n))
}

/// `a/b`, cut to a whole number where both are integers in the file. The quotient of floats is never so near to the next whole number that it
/// is rounded there: both are below 2^24.
pub(super) fn divide(node: &mut NodeReader, operands: Vec<Operand>) -> Result<(), NodeError> {
    let integer = |o: &Operand| matches!(o, Operand::Activation(id) if is_integer(node.model, *id));
    if !operands.iter().any(integer) {
        return super::expand::add_repeated(node, Op::Binary(Binary::Div), operands);
    }
    let operands: Vec<Operand> = operands.into_iter().map(Operand::into_floats).collect::<Result<_, _>>()?;
    let quotient = node.step(Op::Binary(Binary::Div), operands)?;
    node.add(Op::Activation(Activation::Trunc), vec![quotient])
}
