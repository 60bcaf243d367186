//! Reductions, ArgMax, Softmax and LogSoftmax.

use quantrain_graph::op::{Activation, ArgMax, Binary, Reduce, Reduction, Softmax};
use quantrain_graph::{Dim, GraphError, Op, Shape, ShapeError};

use super::node::{NodeReader, Operand};
use crate::NodeError;

pub(super) fn reduce_mean(node: &mut NodeReader) -> Result<(), NodeError> {
    reduce(node, Reduction::Mean, 18)
}

pub(super) fn reduce_sum(node: &mut NodeReader) -> Result<(), NodeError> {
    reduce(node, Reduction::Sum, 13)
}

pub(super) fn reduce_max(node: &mut NodeReader) -> Result<(), NodeError> {
    reduce(node, Reduction::Max, 18)
}

pub(super) fn reduce_min(node: &mut NodeReader) -> Result<(), NodeError> {
    reduce(node, Reduction::Min, 18)
}

pub(super) fn reduce_l2(node: &mut NodeReader) -> Result<(), NodeError> {
    reduce(node, Reduction::L2, 18)
}

/// `Σ |x|`
pub(super) fn reduce_l1(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, op) = summing(node)?;
    let sizes = node.step(Op::Activation(Activation::Abs), vec![x])?;
    node.add(op, vec![sizes])
}

/// `Σ x²`
pub(super) fn reduce_sum_square(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, op) = summing(node)?;
    let squares = node.step(Op::Binary(Binary::Mul), vec![x.clone(), x])?;
    node.add(op, vec![squares])
}

/// `ln Σ x`
pub(super) fn reduce_log_sum(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, op) = summing(node)?;
    let sum = node.step(op, vec![x])?;
    node.add(Op::Activation(Activation::Log), vec![sum])
}

/// `max x + ln Σ e^(x − max x)`, which no exponential overflows.
pub(super) fn reduce_log_sum_exp(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, sum) = summing(node)?;
    let Op::Reduce(Reduce { axes, keep_dims, .. }) = &sum else { return Err(NodeError::NotFolded) };
    let greatest = |keep_dims: bool| Op::Reduce(Reduce { function: Reduction::Max, axes: axes.clone(), keep_dims });
    let (meets, stays) = (greatest(true), greatest(*keep_dims));
    let top = node.step(meets, vec![x.clone()])?;
    let below = node.step(Op::Binary(Binary::Sub), vec![x.clone(), top])?;
    let powers = node.step(Op::Activation(Activation::Exp), vec![below])?;
    let sum = node.step(sum, vec![powers])?;
    let logarithm = node.step(Op::Activation(Activation::Log), vec![sum])?;
    let top = node.step(stays, vec![x])?;
    node.add(Op::Binary(Binary::Add), vec![logarithm, top])
}

/// The input and the sum over axes of an operator that is a sum of something.
fn summing(node: &mut NodeReader) -> Result<(Operand, Op), NodeError> {
    let x = node.operand(0)?;
    match reduction(node, &x, Reduction::Sum, 18)? {
        Some(op) => Ok((x, Op::Reduce(op))),
        None => Err(NodeError::Value { what: "axes", found: "none".into(), expected: "some, or noop_with_empty_axes 0".into() }),
    }
}

fn reduce(node: &mut NodeReader, function: Reduction, changed: i64) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let op = reduction(node, &x, function, changed)?.map_or(Op::Identity, Op::Reduce);
    node.add(op, vec![x])
}

/// Axes are an attribute before the operator set `changed`, an input since; without any, all axes are reduced, or none.
fn reduction(node: &mut NodeReader, x: &Operand, function: Reduction, changed: i64) -> Result<Option<Reduce>, NodeError> {
    let shape = node.shape(x);
    let axes = if node.opset() < changed { node.ints("axes")? } else { node.constant_ints(1)? };
    let nothing = node.flag("noop_with_empty_axes", false)?;
    let keep_dims = node.flag("keepdims", true)?;
    let axes = match axes.filter(|a| !a.is_empty()) {
        Some(axes) => axes,
        None if nothing => return Ok(None),
        None => (0i64..).take(shape.rank()).collect(),
    };
    let op = Reduce { function, axes, keep_dims };
    let reduced = op.reduced(&shape).map_err(|source| shape_error(node, op.name(), source))?;
    not_the_batch(&shape, reduced.iter().enumerate().filter(|(_, r)| **r).map(|(axis, _)| axis), "axes")?;
    Ok(Some(op))
}

/// The result is a float here: nothing but a Cast makes anything else of it.
pub(super) fn arg_max(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let axis = node.int("axis")?.unwrap_or(0);
    let op = ArgMax { axis, keep_dims: node.flag("keepdims", true)?, last: node.flag("select_last_index", false)? };
    let at = shape.axis(axis).map_err(|source| shape_error(node, "ArgMax", source))?;
    not_the_batch(&shape, [at], "axis")?;
    node.add(Op::ArgMax(op), vec![x])
}

pub(super) fn softmax(node: &mut NodeReader) -> Result<(), NodeError> {
    normalize(node, false)
}

pub(super) fn log_softmax(node: &mut NodeReader) -> Result<(), NodeError> {
    normalize(node, true)
}

/// Before operator set 13 all axes from `axis` on are one; that is the same where those after it are 1.
fn normalize(node: &mut NodeReader, log: bool) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let joins = node.opset() < 13;
    let axis = node.int("axis")?.unwrap_or(if joins { 1 } else { -1 });
    let shape = node.shape(&x);
    let at = shape.axis(axis).map_err(|source| shape_error(node, "Softmax", source))?;
    let joined = joins && shape.0.iter().skip(at + 1).any(|&d| d != Dim::Fixed(1));
    not_the_batch(&shape, at..if joined { shape.rank() } else { at + 1 }, "axis")?;
    node.add(Op::Softmax(Softmax { axis, joined, log }), vec![x])
}

/// Samples of a batch do not meet.
fn not_the_batch(shape: &Shape, axes: impl IntoIterator<Item = usize>, what: &'static str) -> Result<(), NodeError> {
    match axes.into_iter().find(|&axis| matches!(shape.0.get(axis), Some(Dim::Batch(_)))) {
        Some(axis) => {
            Err(NodeError::Value { what, found: format!("axis {axis}, the batch"), expected: "axes other than the batch".into() })
        }
        None => Ok(()),
    }
}

fn shape_error(node: &NodeReader, op: &'static str, source: ShapeError) -> NodeError {
    NodeError::Graph(GraphError::Shape { node: node.name().into(), op, source })
}
