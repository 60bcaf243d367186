//! BatchNormalization in inference form; LayerNormalization, InstanceNormalization, GroupNormalization.

use quantrain_graph::Op;
use quantrain_graph::op::{BatchNormalization, Binary, Extent, InstanceNormalization, LayerNormalization, Reshape};
use quantrain_graph::{Dim, GraphError, ShapeError};

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
    let op = LayerNormalization { axis: node.int("axis")?.unwrap_or(-1), epsilon: epsilon(node)? };
    node.add(Op::LayerNormalization(op), operands)
}

pub(super) fn instance_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let op = InstanceNormalization { epsilon: epsilon(node)? };
    node.add(Op::InstanceNormalization(op), operands)
}

/// Groups of channels as the channels of an InstanceNormalization, then scale and bias: one for each channel, before operator set 21 one for
/// each group.
pub(super) fn group_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    node.int("stash_type")?;
    let groups = node.int("num_groups")?.ok_or(NodeError::AttributeMissing { attribute: "num_groups" })?;
    let (groups, epsilon) = (extent("num_groups", groups)?, epsilon(node)?);
    let shape = node.shape(&x);
    let wrong = |source: ShapeError| NodeError::Graph(GraphError::Shape { node: node.name().into(), op: "GroupNormalization", source });
    let channels = shape.fixed_at(1).map_err(wrong)?;
    let multiply = |whole: usize, axis| Ok(whole.saturating_mul(shape.fixed_at(axis)?));
    let whole = (1..shape.rank()).try_fold(1usize, multiply).map_err(wrong)?;
    if channels % groups != 0 {
        let expected = format!("a divisor of {channels} channels");
        return Err(NodeError::Value { what: "num_groups", found: groups.to_string(), expected });
    }
    let parameters = [parameter(node, 1, groups, channels, shape.rank())?, parameter(node, 2, groups, channels, shape.rank())?];
    let grouped = vec![Extent::Copy, Extent::Is(Dim::Fixed(groups)), Extent::Is(Dim::Fixed(whole / groups))];
    let back = shape.0.iter().enumerate().map(|(i, &d)| if i == 0 { Extent::Copy } else { Extent::Is(d) }).collect();
    let own = |node: &NodeReader, suffix: &str, value: f32| -> Result<Operand, NodeError> {
        let value = Constant::Floats(Array { shape: vec![groups], values: vec![value; groups] });
        Ok(Operand::Constant { name: node.invented(&format!("{}.{suffix}", node.output()?)), value })
    };
    let (ones, zeros) = (own(node, "ones", 1.0)?, own(node, "zeros", 0.0)?);
    let y = node.step(Op::Reshape(Reshape { extents: grouped }), vec![x])?;
    let y = node.step(Op::InstanceNormalization(InstanceNormalization { epsilon }), vec![y, ones, zeros])?;
    let y = node.step(Op::Reshape(Reshape { extents: back }), vec![y])?;
    let [scale, bias] = parameters;
    let y = node.step(Op::Binary(Binary::Mul), vec![y, scale])?;
    node.add(Op::Binary(Binary::Add), vec![y, bias])
}

/// A constant of one value for each group or each channel, as `[C, 1, …]`.
fn parameter(node: &mut NodeReader, position: usize, groups: usize, channels: usize, rank: usize) -> Result<Operand, NodeError> {
    let array = node.constant_floats(position)?.ok_or(NodeError::InputMissing { position })?;
    let count = array.values.len();
    if count != channels && count != groups {
        let expected = format!("one value for each of {groups} groups or {channels} channels");
        return Err(NodeError::Value { what: "scale or bias", found: format!("{count} values"), expected });
    }
    node.spend(2 * channels.max(groups))?;
    let values = (0..channels).filter_map(|c| array.values.get(c * count / channels).copied()).collect();
    let shape = std::iter::once(channels).chain(std::iter::repeat_n(1, rank.saturating_sub(2))).collect();
    let name = node.invented(&format!("{}.{}", node.output()?, if position == 1 { "scale" } else { "bias" }));
    Ok(Operand::Constant { name, value: Constant::Floats(Array { shape, values }) })
}

fn epsilon(node: &mut NodeReader) -> Result<f32, NodeError> {
    let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
    if epsilon >= 0.0 && epsilon.is_finite() {
        Ok(epsilon)
    } else {
        Err(NodeError::Value { what: "epsilon", found: epsilon.to_string(), expected: "a finite number from 0".into() })
    }
}
