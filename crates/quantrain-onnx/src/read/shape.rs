//! Shape arithmetic: operators that are folded away and never reach the graph.

use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{Graph, Op, TensorId};

use super::array::{Array, Constant};
use super::layout;
use super::node::{NodeReader, Operand, Value, extent};
use super::number::{self, Number};
use super::tensor;
use crate::NodeError;
use crate::proto::data_type;

/// Extents of the input; `start` and `end` choose among them since operator set 15.
pub(super) fn shape(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let rank = i64::try_from(shape.rank()).unwrap_or(i64::MAX);
    let at = |axis: i64| usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis }.clamp(0, rank)).unwrap_or(0);
    let start = at(node.int("start")?.unwrap_or(0));
    let end = at(node.int("end")?.unwrap_or(rank)).max(start);
    let numbers = shape.0[start..end].iter().map(|&d| Number::from(d)).collect();
    node.define_constant(Constant::Integers(Array::row(numbers)))
}

/// Elements picked along an axis: of a constant at once.
pub(super) fn gather(node: &mut NodeReader) -> Result<(), NodeError> {
    let data = match node.operand(0)? {
        Operand::Constant { value, .. } => value,
        x @ Operand::Activation(_) => return layout::gather(node, x),
    };
    let indices = node.constant_numbers(1)?.ok_or(NodeError::InputMissing { position: 1 })?;
    let wrong = |what, found: String, expected: String| NodeError::Value { what, found, expected };
    let rank = data.shape().len();
    let axis = from_back(node.int("axis")?.unwrap_or(0), rank);
    let axis = axis.ok_or_else(|| wrong("axis", "outside the input's axes".into(), format!("an axis of {rank}")))?;
    let extent = data.shape()[axis];
    let at = |n: &Number| -> Result<usize, NodeError> {
        from_back(n.fixed()?, extent).ok_or_else(|| wrong("indices", n.to_string(), format!("an index into {extent} elements")))
    };
    let values = indices.values.iter().map(at).collect::<Result<Vec<_>, _>>()?;
    let elements = data.shape().iter().enumerate().filter(|(a, _)| *a != axis).try_fold(values.len(), |p, (_, &n)| p.checked_mul(n));
    if elements.is_none_or(|n| n > node.model.budget) {
        return Err(NodeError::TooLarge { shape: format!("{} elements of {:?}", values.len(), data.shape()) });
    }
    let indices = Array { shape: indices.shape, values };
    node.define_constant(match data {
        Constant::Floats(a) => Constant::Floats(a.gathered(axis, &indices)),
        Constant::Integers(a) => Constant::Integers(a.gathered(axis, &indices)),
    })
}

/// Between FLOAT, INT32, INT64 and BOOL, of constants. Activations are FLOAT, whole numbers and truths among them too: other floats stay
/// FLOAT, integers are what ArgMax and its kin give, truths what is not 0.
pub(super) fn cast(node: &mut NodeReader) -> Result<(), NodeError> {
    let to = node.int("to")?.ok_or(NodeError::AttributeMissing { attribute: "to" })?;
    // How floats of 8 bits are rounded, which are not read.
    node.int("saturate")?;
    node.string("round_mode")?;
    cast_to(node, i32::try_from(to).unwrap_or(0))
}

/// As Cast, to the type of the second input: activations are FLOAT, computed integers INT64.
pub(super) fn cast_like(node: &mut NodeReader) -> Result<(), NodeError> {
    node.int("saturate")?;
    node.string("round_mode")?;
    let to = match node.value(1)?.ok_or(NodeError::InputMissing { position: 1 })? {
        Value::Stored(stored) if tensor::is_float_type(tensor::element_type(stored)) => data_type::FLOAT,
        Value::Stored(stored) => tensor::element_type(stored),
        Value::Activation(_) | Value::Constant(Constant::Floats(_)) => data_type::FLOAT,
        Value::Constant(Constant::Integers(_)) => data_type::INT64,
        Value::Codes(_) => return Err(NodeError::NotFloat { tensor: node.input_name(1).unwrap_or_default().into() }),
    };
    cast_to(node, to)
}

fn cast_to(node: &mut NodeReader, to: i32) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let unsupported = || NodeError::Value {
        what: "to",
        found: data_type::name(to),
        expected: "FLOAT, BOOL, or INT32 or INT64 of constants and of whole numbers (ArgMax, comparisons, Floor, Ceil, Round, Sign)".into(),
    };
    let truth = |holds: bool| Number::Fixed(i64::from(holds));
    let value = match (x, to) {
        (x @ Operand::Activation(_), data_type::FLOAT | data_type::FLOAT16 | data_type::DOUBLE) => return node.add(Op::Identity, vec![x]),
        (Operand::Activation(id), data_type::INT32 | data_type::INT64) if comes_from(node.model.builder.graph(), id, is_whole) => {
            return node.add(Op::Identity, vec![Operand::Activation(id)]);
        }
        (Operand::Activation(id), data_type::BOOL) => {
            let x = Operand::Activation(id);
            if comes_from(node.model.builder.graph(), id, is_truth) {
                return node.add(Op::Identity, vec![x]);
            }
            let zero = node.step(Op::Activation(Activation::Not), vec![x])?;
            return node.add(Op::Activation(Activation::Not), vec![zero]);
        }
        (Operand::Activation(_), _) => return Err(unsupported()),
        (Operand::Constant { value: Constant::Floats(a), .. }, data_type::FLOAT) => Constant::Floats(a),
        (Operand::Constant { value: Constant::Integers(a), .. }, data_type::INT32 | data_type::INT64) => Constant::Integers(a),
        (Operand::Constant { value: Constant::Floats(a), .. }, data_type::INT32 | data_type::INT64) => {
            Constant::Integers(a.map(|x| Number::Fixed(number::truncate(x))))
        }
        (Operand::Constant { value: Constant::Floats(a), .. }, data_type::BOOL) => Constant::Integers(a.map(|x| truth(x != 0.0))),
        (Operand::Constant { value: Constant::Integers(a), .. }, data_type::BOOL) => {
            Constant::Integers(a.map(|n| truth(n != Number::Fixed(0))))
        }
        (x, data_type::FLOAT) => match x.into_floats()? {
            Operand::Constant { value, .. } => value,
            Operand::Activation(_) => return Err(unsupported()),
        },
        _ => return Err(unsupported()),
    };
    node.define_constant(value)
}

/// How many operators that move numbers may stand between them and where they were made.
const FARTHEST: usize = 64;

fn is_whole(op: &Op) -> bool {
    matches!(op, Op::ArgMax(_) | Op::Binary(Binary::Relation(_))) || matches!(op, Op::Activation(f) if f.is_step())
}

pub(super) fn is_truth(op: &Op) -> bool {
    matches!(op, Op::Binary(Binary::Relation(_))) || matches!(op, Op::Activation(f) if f.is_truth())
}

/// Whether a tensor holds what an operator of a kind makes.
pub(super) fn comes_from(graph: &Graph, tensor: TensorId, kind: fn(&Op) -> bool) -> bool {
    let mut tensor = tensor;
    // A builder numbers tensors as they come, so nodes lie in the order of their outputs.
    let producer = |tensor: TensorId| graph.nodes().binary_search_by_key(&tensor, |n| n.output).ok().and_then(|n| graph.nodes().get(n));
    for _ in 0..FARTHEST {
        let Some(node) = producer(tensor) else { return false };
        match (&node.op, node.inputs.first()) {
            (Op::Identity | Op::Reshape(_) | Op::Flatten(_) | Op::Transpose(_) | Op::Slice(_) | Op::Gather(_), Some(&x)) => tensor = x,
            (op, _) => return kind(op),
        }
    }
    false
}

/// One value, the attribute's or 0.0, in a given shape.
pub(super) fn constant_of_shape(node: &mut NodeReader) -> Result<(), NodeError> {
    let extents = node.constant_ints(0)?.ok_or(NodeError::InputMissing { position: 0 })?;
    let shape = extents.iter().map(|&n| if n == 0 { Ok(0) } else { extent("shape", n) }).collect::<Result<Vec<_>, _>>()?;
    let elements = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n)).filter(|&n| n <= node.model.budget);
    let elements = elements.ok_or_else(|| NodeError::TooLarge { shape: format!("{extents:?}") })?;
    let value = match node.tensor("value")? {
        None => Constant::Floats(Array::scalar(0.0)),
        Some(stored) => super::node::constant(stored).map_err(|source| NodeError::Tensor { tensor: "value".into(), source })?,
    };
    let single = || NodeError::Value { what: "value", found: "several values".into(), expected: "one value".into() };
    node.define_constant(match value {
        Constant::Floats(a) => Constant::Floats(Array { shape, values: vec![a.single().ok_or_else(single)?; elements] }),
        Constant::Integers(a) => Constant::Integers(Array { shape, values: vec![a.single().ok_or_else(single)?; elements] }),
    })
}

/// Numbers from start to limit, exclusive, by delta: `start + i·delta`, of integers or of floats.
pub(super) fn range(node: &mut NodeReader) -> Result<(), NodeError> {
    let [start, limit, delta] = [one(node, 0)?, one(node, 1)?, one(node, 2)?];
    let budget = node.model.budget;
    let values = match (start, limit, delta) {
        (Constant::Floats(start), Constant::Floats(limit), Constant::Floats(delta)) => {
            let [start, limit, delta] = [start, limit, delta].map(|a| f64::from(a.single().unwrap_or(f32::NAN)));
            let going = |&x: &f64| if delta > 0.0 { x < limit } else { delta < 0.0 && x > limit };
            let steps = std::iter::successors(Some(0f64), |i| Some(i + 1.0)).map(|i| start + i * delta);
            Constant::Floats(Array::row(steps.take_while(going).take(budget + 1).map(number::narrow).collect()))
        }
        (Constant::Integers(start), Constant::Integers(limit), Constant::Integers(delta)) => {
            let fixed = |a: &Array<Number>| a.single().unwrap_or(Number::Fixed(0)).fixed();
            let (start, limit, delta) = (fixed(&start)?, fixed(&limit)?, fixed(&delta)?);
            let going = |&n: &i64| if delta > 0 { n < limit } else { delta < 0 && n > limit };
            let steps = std::iter::successors(Some(start), |n| n.checked_add(delta));
            Constant::Integers(Array::row(steps.take_while(going).take(budget + 1).map(Number::Fixed).collect()))
        }
        _ => return Err(NodeError::NotFloat { tensor: node.input_name(0).unwrap_or_default().into() }),
    };
    match values.elements() {
        0 => Err(NodeError::Empty { shape: "[0]".into() }),
        n if n > budget => Err(NodeError::TooLarge { shape: format!("[{n}]") }),
        _ => node.define_constant(values),
    }
}

/// A constant of one value.
fn one(node: &mut NodeReader, position: usize) -> Result<Constant, NodeError> {
    let value = node.constant(position)?.ok_or(NodeError::InputMissing { position })?;
    let found = || format!("{} values", value.elements());
    let wrong = || NodeError::Value { what: "start, limit or delta", found: found(), expected: "one number".into() };
    if value.elements() == 1 { Ok(value) } else { Err(wrong()) }
}

/// An input that is a constant or shape arithmetic; network activations are refused.
pub(super) fn folded(node: &mut NodeReader, position: usize) -> Result<Constant, NodeError> {
    match node.operand(position)? {
        Operand::Constant { value, .. } => Ok(value),
        Operand::Activation(_) => Err(NodeError::ConstantsOnly { tensor: node.input_name(position).unwrap_or_default().into() }),
    }
}

/// An index, negative ones counted from the back.
pub(super) fn from_back(index: i64, extent: usize) -> Option<usize> {
    let extent_signed = i64::try_from(extent).ok()?;
    usize::try_from(if index < 0 { index.checked_add(extent_signed)? } else { index }).ok().filter(|&i| i < extent)
}
