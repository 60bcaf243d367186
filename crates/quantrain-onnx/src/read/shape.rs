//! Shape arithmetic: operators that are folded away and never reach the graph.

use quantrain_graph::Shape;
use quantrain_graph::op::Binary;

use super::array::{Array, Constant};
use super::layout;
use super::node::{NodeReader, Operand};
use super::number::{self, Number};
use crate::NodeError;

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

/// The number of elements, folded as a shape is.
pub(super) fn size(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let extents = node.shape(&x).0.into_iter().map(Number::from);
    let size = extents.into_iter().try_fold(Number::Fixed(1), |product, n| product.apply(Binary::Mul, n))?;
    node.define_constant(Constant::Integers(Array::scalar(size)))
}

/// The indices of what is not 0, of constants: a row for each axis.
pub(super) fn non_zero(node: &mut NodeReader) -> Result<(), NodeError> {
    let constant = folded(node, 0)?;
    let truths = constant.truths();
    let found: Vec<usize> = (0..truths.values.len()).filter(|&i| truths.values.get(i) != Some(&Number::Fixed(0))).collect();
    let inner = |axis: usize| truths.shape.iter().skip(axis + 1).product::<usize>().max(1);
    let index = |i: usize, axis: usize| i64::try_from(i / inner(axis) % truths.shape[axis]).unwrap_or(i64::MAX);
    let values =
        (0..truths.shape.len()).flat_map(|axis| found.iter().map(move |&i| (i, axis))).map(|(i, axis)| Number::Fixed(index(i, axis)));
    let array = Array { shape: vec![truths.shape.len(), found.len()], values: values.collect() };
    node.define_constant(Constant::Integers(array))
}

/// Elements picked along an axis: of a constant at once, unless indices are computed.
pub(super) fn gather(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, indices) = (node.operand(0)?, node.operand(1)?);
    let data = match (x, indices) {
        (x, indices @ Operand::Activation(_)) => return layout::lookup(node, x, indices),
        (Operand::Constant { value, .. }, _) => value,
        (x, _) => return layout::gather(node, x),
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
        return Err(NodeError::TooLarge { shape: format!("{} elements of {}", values.len(), Shape::fixed(data.shape())) });
    }
    let indices = Array { shape: indices.shape, values };
    node.define_constant(match data {
        Constant::Floats(a) => Constant::Floats(a.gathered(axis, &indices)),
        Constant::Reals(a) => Constant::reals(a.gathered(axis, &indices)),
        Constant::Integers(a) => Constant::Integers(a.gathered(axis, &indices)),
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
