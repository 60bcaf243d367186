//! Reductions, ArgMax, Softmax and LogSoftmax.

use quantrain_graph::op::{Activation, ArgMax, Binary, Reduce, Reduction, Softmax};
use quantrain_graph::{Dim, GraphError, Op, Shape, ShapeError};

use super::array::{Array, Constant};
use super::cast::mark;
use super::node::{NodeReader, Operand};
use super::number::Number;
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

/// The product; exporters count elements with that of a shape.
pub(super) fn reduce_prod(node: &mut NodeReader) -> Result<(), NodeError> {
    reduce(node, Reduction::Product, 18)
}

/// A reduction of integers of shape arithmetic.
fn folded(node: &mut NodeReader, a: &Array<Number>, join: Binary, changed: i64) -> Result<(), NodeError> {
    let shape = Shape::fixed(&a.shape);
    let Some((axes, keep_dims)) = axes(node, &shape, changed)? else {
        return node.define_constant(Constant::Integers(a.clone()));
    };
    let mut gone = vec![false; shape.rank()];
    for axis in axes {
        gone[shape.axis(axis).map_err(|source| shape_error(node, "reduction", source))?] = true;
    }
    let kept: Vec<usize> = a.shape.iter().zip(&gone).map(|(&n, &gone)| if gone { 1 } else { n }).collect();
    let mut joined: Vec<Option<Number>> = vec![None; kept.iter().product()];
    for (i, &number) in a.values.iter().enumerate() {
        let (mut rest, mut at, mut step) = (i, 0, 1);
        for (&n, &k) in a.shape.iter().zip(&kept).rev() {
            at += if k == 1 { 0 } else { rest % n * step };
            (rest, step) = (rest / n, step * k);
        }
        joined[at] = Some(joined[at].map_or(Ok(number), |so_far| so_far.apply(join, number))?);
    }
    let values = joined.into_iter().collect::<Option<_>>().ok_or_else(|| NodeError::Empty { shape: shape.to_string() })?;
    let shape = kept.iter().zip(&gone).filter(|(_, gone)| keep_dims || !**gone).map(|(&n, _)| n).collect();
    node.define_constant(Constant::Integers(Array { shape, values }))
}

fn reduce(node: &mut NodeReader, function: Reduction, changed: i64) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let join = match function {
        Reduction::Sum => Some(Binary::Add),
        Reduction::Max => Some(Binary::Max),
        Reduction::Min => Some(Binary::Min),
        Reduction::Product => Some(Binary::Mul),
        Reduction::Mean | Reduction::L2 => None,
    };
    if let (Operand::Constant { value: Constant::Integers(a), .. }, Some(join)) = (&x, join) {
        return folded(node, a, join, changed);
    }
    let op = reduction(node, &x, function, changed)?.map_or(Op::Identity, Op::Reduce);
    node.add(op, vec![x])
}

/// The axes that are reduced, and whether they stay with extent 1: an attribute before the operator set `changed`, an input since; without any,
/// all axes, or none.
fn axes(node: &mut NodeReader, shape: &Shape, changed: i64) -> Result<Option<(Vec<i64>, bool)>, NodeError> {
    let axes = if node.opset() < changed { node.ints("axes")? } else { node.constant_ints(1)? };
    let nothing = node.flag("noop_with_empty_axes", false)?;
    let keep_dims = node.flag("keepdims", true)?;
    Ok(match axes.filter(|a| !a.is_empty()) {
        Some(axes) => Some((axes, keep_dims)),
        None if nothing => None,
        None => Some(((0i64..).take(shape.rank()).collect(), keep_dims)),
    })
}

fn reduction(node: &mut NodeReader, x: &Operand, function: Reduction, changed: i64) -> Result<Option<Reduce>, NodeError> {
    let shape = node.shape(x);
    let Some((axes, keep_dims)) = axes(node, &shape, changed)? else { return Ok(None) };
    let op = Reduce { function, axes, keep_dims };
    let reduced = op.reduced(&shape).map_err(|source| shape_error(node, op.name(), source))?;
    not_the_batch(&shape, reduced.iter().enumerate().filter(|(_, r)| **r).map(|(axis, _)| axis), "axes")?;
    Ok(Some(op))
}

pub(super) fn arg_max(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    greatest(node, x)
}

/// Where the negative is greatest.
pub(super) fn arg_min(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let negative = node.step(Op::Activation(Activation::Neg), vec![x])?;
    greatest(node, negative)
}

fn greatest(node: &mut NodeReader, x: Operand) -> Result<(), NodeError> {
    let shape = node.shape(&x);
    let axis = node.int("axis")?.unwrap_or(0);
    let op = ArgMax { axis, keep_dims: node.flag("keepdims", true)?, last: node.flag("select_last_index", false)? };
    let at = shape.axis(axis).map_err(|source| shape_error(node, "ArgMax", source))?;
    not_the_batch(&shape, [at], "axis")?;
    node.add(Op::ArgMax(op), vec![x])?;
    mark(node, true)
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
