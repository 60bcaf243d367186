//! BatchNormalization in inference form.

use quantrain_graph::Op;
use quantrain_graph::op::BatchNormalization;

use super::node::NodeReader;
use crate::NodeError;

pub(super) fn batch_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.only("training_mode", 0)?;
    let op = BatchNormalization { epsilon: node.float("epsilon")?.unwrap_or(1e-5), momentum: node.float("momentum")?.unwrap_or(0.9) };
    if !(op.epsilon >= 0.0 && op.epsilon.is_finite()) {
        return Err(NodeError::Value { what: "epsilon", found: op.epsilon.to_string(), expected: "a finite number from 0".into() });
    }
    node.add(Op::BatchNormalization(op), operands)
}
