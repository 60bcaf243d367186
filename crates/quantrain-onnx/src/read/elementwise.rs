//! Add, Sub, Mul and Div; between constants, integers of shape arithmetic included, they are folded.

use quantrain_graph::Op;
use quantrain_graph::op::Binary;

use super::node::NodeReader;
use crate::NodeError;

pub(super) fn add(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Add)
}

pub(super) fn sub(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Sub)
}

pub(super) fn mul(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Mul)
}

pub(super) fn div(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Div)
}

fn binary(node: &mut NodeReader, op: Binary) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.add(Op::Binary(op), operands)
}
