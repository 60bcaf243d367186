//! Gemm and MatMul.

use quantrain_graph::Op;
use quantrain_graph::op::{Gemm, MatMul};

use super::node::NodeReader;
use crate::NodeError;

pub(super) fn gemm(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let op = Gemm {
        alpha: node.float("alpha")?.unwrap_or(1.0),
        beta: node.float("beta")?.unwrap_or(1.0),
        transpose_a: node.flag("transA", false)?,
        transpose_b: node.flag("transB", false)?,
    };
    if let [_, b, c] = &operands[..] {
        let (b, c) = (node.shape(b), node.shape(c));
        let columns = b.0.get(usize::from(!op.transpose_b)).and_then(|d| d.fixed());
        let last = c.0.last().and_then(|d| d.fixed());
        let row = c.0.iter().rev().skip(1).all(|d| d.fixed() == Some(1));
        if !row || last.is_none() || last != columns {
            let expected = "one value for each column of the product".into();
            return Err(NodeError::Value { what: "C", found: c.to_string(), expected });
        }
    }
    node.add(Op::Gemm(op), operands)
}

pub(super) fn matmul(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.add(Op::MatMul(MatMul), operands)
}
