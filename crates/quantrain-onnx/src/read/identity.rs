//! Operators that hand their input on: Identity, and Dropout in inference.

use quantrain_graph::Op;

use super::node::{NodeReader, Value};
use crate::NodeError;

pub(super) fn identity(node: &mut NodeReader) -> Result<(), NodeError> {
    // As the file has it: an output may hand it out.
    if let Some(stored @ Value::Stored(_)) = node.value(0)? {
        return node.define(stored);
    }
    let x = node.operand(0)?;
    node.add(Op::Identity, vec![x])
}

pub(super) fn dropout(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    // The ratio matters in training only.
    node.float("ratio")?;
    node.int("seed")?;
    node.constant_floats(1)?;
    if node.constant_ints(2)?.is_some_and(|mode| mode.iter().any(|&m| m != 0)) {
        return Err(NodeError::Value { what: "training_mode", found: "true".into(), expected: "false".into() });
    }
    node.add(Op::Identity, vec![x])
}
