//! Comparisons and choices between constants, as shape arithmetic has them; they never reach the graph. A truth is an integer, 0 or 1.
//! Equal alone compares activations too, as detectors do to find peaks; a truth then is 0.0 or 1.0.

use std::cmp::Ordering;

use quantrain_graph::Op;
use quantrain_graph::op::Binary;

use super::array::{Array, Constant, broadcast, broadcast_shape};
use super::node::{NodeReader, Operand};
use super::number::Number;
use super::shape::folded;
use crate::NodeError;

pub(super) fn equal(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    if operands.iter().any(|o| matches!(o, Operand::Activation(_))) {
        return node.add(Op::Binary(Binary::Equal), operands);
    }
    compare(node, Ordering::is_eq)
}

pub(super) fn greater(node: &mut NodeReader) -> Result<(), NodeError> {
    compare(node, Ordering::is_gt)
}

pub(super) fn less(node: &mut NodeReader) -> Result<(), NodeError> {
    compare(node, Ordering::is_lt)
}

pub(super) fn greater_or_equal(node: &mut NodeReader) -> Result<(), NodeError> {
    compare(node, Ordering::is_ge)
}

pub(super) fn less_or_equal(node: &mut NodeReader) -> Result<(), NodeError> {
    compare(node, Ordering::is_le)
}

fn compare(node: &mut NodeReader, holds: fn(Ordering) -> bool) -> Result<(), NodeError> {
    let (a, b) = (folded(node, 0)?, folded(node, 1)?);
    let shape = broadcast_shape(node.name(), a.shape(), b.shape(), node.model.budget)?;
    let truth = |order: Ordering| Number::Fixed(i64::from(holds(order)));
    let values = match (&a, &b) {
        (Constant::Integers(a), Constant::Integers(b)) => broadcast(a, b, shape, |a, b| a.order(b).map(truth))?,
        (Constant::Floats(a), Constant::Floats(b)) => {
            // NaN is in no order with anything.
            let truth = |a: Option<f32>, b: Option<f32>| a.partial_cmp(&b).filter(|&o| holds(o));
            let found = broadcast(&a.map(Some), &b.map(Some), shape, |a, b| Ok(truth(a, b).and(Some(1.0))))?;
            found.map(|t| Number::Fixed(i64::from(t.is_some())))
        }
        _ => return Err(NodeError::NotFolded),
    };
    node.define_constant(Constant::Integers(values))
}

pub(super) fn not(node: &mut NodeReader) -> Result<(), NodeError> {
    let a = truths(node, 0)?;
    node.define_constant(Constant::Integers(a.map(|t| Number::Fixed(i64::from(!t)))))
}

pub(super) fn and(node: &mut NodeReader) -> Result<(), NodeError> {
    join(node, |a, b| a && b)
}

pub(super) fn or(node: &mut NodeReader) -> Result<(), NodeError> {
    join(node, |a, b| a || b)
}

fn join(node: &mut NodeReader, f: fn(bool, bool) -> bool) -> Result<(), NodeError> {
    let (a, b) = (truths(node, 0)?, truths(node, 1)?);
    let shape = broadcast_shape(node.name(), &a.shape, &b.shape, node.model.budget)?;
    let joined = broadcast(&a, &b, shape, |a, b| Ok(f(a, b)))?;
    node.define_constant(Constant::Integers(joined.map(|t| Number::Fixed(i64::from(t)))))
}

/// Of each element the second input's where the first holds, else the third's.
pub(super) fn choose(node: &mut NodeReader) -> Result<(), NodeError> {
    let (condition, a, b) = (truths(node, 0)?, folded(node, 1)?, folded(node, 2)?);
    let shape = broadcast_shape(node.name(), a.shape(), b.shape(), node.model.budget)?;
    let shape = broadcast_shape(node.name(), &condition.shape, &shape, node.model.budget)?;
    let chosen = match (&a, &b) {
        (Constant::Floats(a), Constant::Floats(b)) => Constant::Floats(chosen(&condition, a, b, &shape)?),
        (Constant::Integers(a), Constant::Integers(b)) => Constant::Integers(chosen(&condition, a, b, &shape)?),
        _ => return Err(NodeError::NotFolded),
    };
    node.define_constant(chosen)
}

fn chosen<T: Copy>(condition: &Array<bool>, a: &Array<T>, b: &Array<T>, shape: &[usize]) -> Result<Array<T>, NodeError> {
    let condition = condition.map(|t| (t, None));
    let a = broadcast(&condition, &a.map(|v| (true, Some(v))), shape.to_vec(), |(t, _), (_, v)| Ok((t, v)))?;
    let pairs = broadcast(&a, &b.map(|v| (true, Some(v))), shape.to_vec(), |(t, a), (_, b)| Ok((t, if t { a } else { b })))?;
    let values = pairs.values.into_iter().filter_map(|(_, v)| v).collect();
    Ok(Array { shape: pairs.shape, values })
}

fn truths(node: &mut NodeReader, position: usize) -> Result<Array<bool>, NodeError> {
    match folded(node, position)? {
        Constant::Integers(a) => Ok(a.map(|n| n != Number::Fixed(0))),
        Constant::Floats(_) => Err(NodeError::NotInteger { tensor: node.input_name(position).unwrap_or_default().into() }),
    }
}
