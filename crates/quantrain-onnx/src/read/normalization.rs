//! BatchNormalization in inference form; LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization.

use quantrain_graph::Op;
use quantrain_graph::op::{BatchNormalization, Epsilon, GroupNormalization, InstanceNormalization, LayerNormalization, RmsNormalization};
use quantrain_graph::{GraphError, ShapeError};

use super::array::{Array, Constant};
use super::node::{NodeReader, Operand, extent};
use crate::NodeError;

pub(super) fn batch_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.only("training_mode", 0)?;
    // Before operator set 9: statistics of each channel.
    node.only("spatial", 1)?;
    let op = BatchNormalization { epsilon: epsilon(node)?, momentum: node.float("momentum")?.unwrap_or(0.9) };
    node.add(Op::BatchNormalization(op), operands)
}

pub(super) fn layer_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    // The precision of the first stage: ours is never less than float.
    node.int("stash_type")?;
    let op = LayerNormalization { axis: node.int("axis")?.unwrap_or(-1), epsilon: Epsilon::OfVariance(epsilon(node)?) };
    node.add(Op::LayerNormalization(op), operands)
}

pub(super) fn rms_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.int("stash_type")?;
    let op = RmsNormalization { axis: node.int("axis")?.unwrap_or(-1), epsilon: Epsilon::OfVariance(epsilon(node)?) };
    node.add(Op::RmsNormalization(op), operands)
}

pub(super) fn instance_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let op = InstanceNormalization { epsilon: epsilon(node)? };
    node.add(Op::InstanceNormalization(op), operands)
}

/// Scale and bias are one for each channel, before operator set 21 one for each group.
pub(super) fn group_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    node.int("stash_type")?;
    let groups = node.int("num_groups")?.ok_or(NodeError::AttributeMissing { attribute: "num_groups" })?;
    let op = GroupNormalization { groups: extent("num_groups", groups)?, epsilon: epsilon(node)? };
    let wrong = |source: ShapeError| NodeError::Graph(GraphError::Shape { node: node.name().into(), op: "GroupNormalization", source });
    let channels = node.shape(&x).fixed_at(1).map_err(wrong)?;
    if !channels.is_multiple_of(op.groups) {
        let expected = format!("a divisor of {channels} channels");
        return Err(NodeError::Value { what: "num_groups", found: groups.to_string(), expected });
    }
    let operands = vec![x, parameter(node, 1, op.groups, channels)?, parameter(node, 2, op.groups, channels)?];
    node.add(Op::GroupNormalization(op), operands)
}

/// A constant of one value for each channel, repeated where it has one for each group.
fn parameter(node: &mut NodeReader, position: usize, groups: usize, channels: usize) -> Result<Operand, NodeError> {
    let array = node.constant_floats(position)?.ok_or(NodeError::InputMissing { position })?;
    let count = array.values.len();
    if count == channels {
        return node.operand(position);
    }
    if count != groups {
        let expected = format!("one value for each of {groups} groups or {channels} channels");
        return Err(NodeError::Value { what: "scale or bias", found: format!("{count} values"), expected });
    }
    node.spend(2 * channels)?;
    let values = (0..channels).filter_map(|c| array.values.get(c * count / channels).copied()).collect();
    let name = node.invented(&format!("{}.{}", node.output()?, if position == 1 { "scale" } else { "bias" }));
    Ok(Operand::Constant { name, value: Constant::Floats(Array { shape: vec![channels], values }) })
}

fn epsilon(node: &mut NodeReader) -> Result<f32, NodeError> {
    let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
    if epsilon >= 0.0 && epsilon.is_finite() {
        Ok(epsilon)
    } else {
        Err(NodeError::Value { what: "epsilon", found: epsilon.to_string(), expected: "a finite number from 0".into() })
    }
}
