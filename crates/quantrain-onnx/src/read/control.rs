//! If: of its graphs the one that is taken stands for it, where the condition is known while reading.

use super::array::Constant;
use super::node::{NodeReader, Operand};
use super::number::Number;
use crate::NodeError;

pub(super) fn branch(node: &mut NodeReader) -> Result<(), NodeError> {
    let tensor = node.input_name(0).unwrap_or_default().to_owned();
    let condition = match node.operand(0)? {
        Operand::Activation(_) => return Err(NodeError::BranchOnInput { tensor }),
        Operand::Constant { value: Constant::Floats(_) | Constant::Reals(_), .. } => return Err(NodeError::NotInteger { tensor }),
        Operand::Constant { value: Constant::Integers(condition), .. } => condition,
    };
    let wrong = || NodeError::Value { what: "cond", found: format!("{} values", condition.values.len()), expected: "one value".into() };
    let holds = condition.single().ok_or_else(wrong)? != Number::Fixed(0);
    let (taken, other) = (node.graph("then_branch")?, node.graph("else_branch")?);
    node.model.chosen = Some(if holds { taken } else { other });
    Ok(())
}
