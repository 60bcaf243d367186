//! ReduceMean and Softmax.

use quantrain_graph::op::{ReduceMean, Softmax};
use quantrain_graph::{Dim, GraphError, Op, ShapeError};

use super::node::NodeReader;
use crate::NodeError;

/// Axes are an attribute before operator set 18, an input since; without any, all axes are reduced.
pub(super) fn reduce_mean(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let axes = if node.opset() < 18 { node.ints("axes")? } else { node.constant_ints(1)? };
    let nothing = node.flag("noop_with_empty_axes", false)?;
    let keep_dims = node.flag("keepdims", true)?;
    let axes = match axes.filter(|a| !a.is_empty()) {
        Some(axes) => axes,
        None if nothing => return node.add(Op::Identity, vec![x]),
        None => (0i64..).take(shape.rank()).collect(),
    };
    let op = ReduceMean { axes, keep_dims };
    let reduced = op.reduced(&shape).map_err(|source| shape_error(node, "ReduceMean", source))?;
    if reduced.iter().zip(&shape.0).any(|(&r, d)| r && matches!(d, Dim::Batch(_))) {
        return Err(NodeError::Value { what: "axes", found: format!("{:?}", op.axes), expected: "axes other than the batch".into() });
    }
    node.add(Op::ReduceMean(op), vec![x])
}

/// Before operator set 13 all axes from `axis` on are one; that is the same where those after it are 1.
pub(super) fn softmax(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let joined = node.opset() < 13;
    let axis = node.int("axis")?.unwrap_or(if joined { 1 } else { -1 });
    let shape = node.shape(&x);
    let at = shape.axis(axis).map_err(|source| shape_error(node, "Softmax", source))?;
    if joined && shape.0.iter().skip(at + 1).any(|&d| d != Dim::Fixed(1)) {
        let expected = format!("the last axis of {shape} (before operator set 13 several axes are normalised together)");
        return Err(NodeError::Value { what: "axis", found: axis.to_string(), expected });
    }
    node.add(Op::Softmax(Softmax { axis }), vec![x])
}

fn shape_error(node: &NodeReader, op: &'static str, source: ShapeError) -> NodeError {
    NodeError::Graph(GraphError::Shape { node: node.name().into(), op, source })
}
