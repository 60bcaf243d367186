//! Conv: dense, grouped and depthwise.

use quantrain_graph::Op;
use quantrain_graph::op::Convolution;

use super::node::{NodeReader, extent};
use super::pooling::read_window;
use crate::NodeError;

pub(super) fn conv(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let [x, w, ..] = &operands[..] else { return Err(NodeError::InputMissing { position: operands.len() }) };
    let (x, w) = (node.shape(x), node.shape(w));
    // Weights of another rank are refused by the shape rule.
    let kernel = [w.fixed_at(2).unwrap_or(1), w.fixed_at(3).unwrap_or(1)];
    let groups = extent("group", node.int("group")?.unwrap_or(1))?;
    let window = read_window(node, &x, Some(kernel))?;
    node.add(Op::Convolution(Convolution { window, groups }), operands)
}
