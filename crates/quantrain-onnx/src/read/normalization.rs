//! BatchNormalization in inference form; LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization.

use quantrain_graph::Op;
use quantrain_graph::op::{
    Activation, AveragePool, BatchNormalization, Binary, Epsilon, Extent, GroupNormalization, InstanceNormalization, LayerNormalization,
    Reduce, Reduction, Reshape, RmsNormalization, Window,
};
use quantrain_graph::{Dim, GraphError, ShapeError};

use super::array::{Array, Constant, broadcast, broadcast_shape};
use super::node::{NodeReader, Operand, extent};
use crate::NodeError;

pub(super) fn batch_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.only("training_mode", 0)?;
    // Before operator set 9: statistics of each channel.
    node.only("spatial", 1)?;
    let op = BatchNormalization { epsilon: epsilon(node, 1e-5)?, momentum: node.float("momentum")?.unwrap_or(0.9) };
    node.add(Op::BatchNormalization(op), operands)
}

pub(super) fn layer_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    // The precision of the first stage: ours is never less than float.
    node.int("stash_type")?;
    let axis = node.int("axis")?.unwrap_or(-1);
    let op = LayerNormalization { axis, epsilon: Epsilon::OfVariance(epsilon(node, 1e-5)?) };
    normalised(node, Op::LayerNormalization(op), axis, operands)
}

pub(super) fn rms_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    node.int("stash_type")?;
    let axis = node.int("axis")?.unwrap_or(-1);
    let op = RmsNormalization { axis, epsilon: Epsilon::OfVariance(epsilon(node, 1e-5)?) };
    normalised(node, Op::RmsNormalization(op), axis, operands)
}

/// A normalisation of the axes from one on. Constant parameters are repeated until they have all of these axes; where they cannot, or are
/// computed, they are a factor and an addend behind it.
pub(super) fn normalised(node: &mut NodeReader, op: Op, axis: i64, operands: Vec<Operand>) -> Result<(), NodeError> {
    let mut operands = operands.into_iter();
    let (Some(x), Some(scale), bias) = (operands.next(), operands.next(), operands.next()) else {
        return Err(NodeError::InputMissing { position: 1 });
    };
    let shape = node.shape(&x);
    let from = shape.axis(axis).map_err(|source| shape_error(node, op.name(), source))?;
    let axes = shape.0[from..].iter().map(|d| d.fixed()).collect::<Option<Vec<_>>>();
    let axes = axes.ok_or_else(|| shape_error(node, op.name(), ShapeError::AxisNotFixed { axis: from, shape: shape.clone() }))?;
    let whole = |node: &mut NodeReader, p: &Operand, what: &str| over(node, p, &axes, what);
    let (of_scale, of_bias) = (whole(node, &scale, "scale")?, bias.as_ref().map(|bias| whole(node, bias, "bias")).transpose()?);
    match (of_scale, of_bias) {
        (Some(scale), None) => node.add(op, vec![x, scale]),
        (Some(scale), Some(Some(bias))) => node.add(op, vec![x, scale, bias]),
        _ => {
            let name = node.invented(&format!("{}.ones", node.output()?));
            let ones = Array { values: vec![1.0; axes.iter().product()], shape: axes };
            let ones = Operand::Constant { name, value: Constant::Floats(ones) };
            let y = node.step(op, vec![x, ones])?;
            let Some(bias) = bias else { return node.add(Op::Binary(Binary::Mul), vec![y, scale]) };
            let y = node.step(Op::Binary(Binary::Mul), vec![y, scale])?;
            node.add(Op::Binary(Binary::Add), vec![y, bias])
        }
    }
}

/// A constant with a value for each element of some axes; `None` where it is none, or does not broadcast to them.
fn over(node: &mut NodeReader, parameter: &Operand, axes: &[usize], what: &str) -> Result<Option<Operand>, NodeError> {
    let Operand::Constant { value: Constant::Floats(a), .. } = parameter else { return Ok(None) };
    if a.values.len() == axes.iter().product::<usize>() {
        return Ok(Some(parameter.clone()));
    }
    let shape = broadcast_shape(node.name(), &a.shape, axes, node.model.budget).ok().filter(|shape| shape == axes);
    let Some(shape) = shape else { return Ok(None) };
    node.spend(axes.iter().product())?;
    let zeros = Array { shape: axes.to_vec(), values: vec![0.0; axes.iter().product()] };
    let repeated = broadcast(a, &zeros, shape, |v, _| Ok(v))?;
    let name = node.invented(&format!("{}.{what}", node.output()?));
    Ok(Some(Operand::Constant { name, value: Constant::Floats(repeated) }))
}

fn shape_error(node: &NodeReader, op: &'static str, source: ShapeError) -> NodeError {
    NodeError::Graph(GraphError::Shape { node: node.name().into(), op, source })
}

pub(super) fn instance_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let op = InstanceNormalization { epsilon: epsilon(node, 1e-5)? };
    node.add(Op::InstanceNormalization(op), operands)
}

/// `x/‖x‖` along an axis, the norm a sum of sizes or the root of a sum of squares; 0 where that is 0.
pub(super) fn lp_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let axes = vec![node.int("axis")?.unwrap_or(-1)];
    let norm = match node.int("p")?.unwrap_or(2) {
        1 => {
            let sizes = node.step(Op::Activation(Activation::Abs), vec![x.clone()])?;
            node.step(Op::Reduce(Reduce { function: Reduction::Sum, axes, keep_dims: true }), vec![sizes])?
        }
        2 => node.step(Op::Reduce(Reduce { function: Reduction::L2, axes, keep_dims: true }), vec![x.clone()])?,
        p => return Err(NodeError::Value { what: "p", found: p.to_string(), expected: "1 or 2".into() }),
    };
    let above_zero = Activation::Clip { min: f32::MIN_POSITIVE, max: f32::INFINITY };
    let norm = node.step(Op::Activation(above_zero), vec![norm])?;
    node.add(Op::Binary(Binary::Div), vec![x, norm])
}

/// `x/(bias + alpha·m)^beta`, m the mean of squares over `size` channels around each, those beyond the ends being 0.
pub(super) fn lrn(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let (alpha, beta, bias) =
        (node.float("alpha")?.unwrap_or(1e-4), node.float("beta")?.unwrap_or(0.75), node.float("bias")?.unwrap_or(1.0));
    let size = node.int("size")?.ok_or(NodeError::AttributeMissing { attribute: "size" })?;
    let (size, shape) = (extent("size", size)?, node.shape(&x));
    let (channels, height, width) = shape.image().map_err(|source| shape_error(node, "LRN", source))?;
    let squares = node.step(Op::Binary(Binary::Mul), vec![x.clone(), x.clone()])?;
    let is = |n: usize| Extent::Is(Dim::Fixed(n));
    // The channels as rows of an image.
    let rows = vec![Extent::Copy, is(1), is(channels), is(height.saturating_mul(width))];
    let rows = node.step(Op::Reshape(Reshape { extents: rows }), vec![squares])?;
    let mut window = Window::new([size, 1]);
    window.pads = [(size - 1) / 2, 0, size / 2, 0];
    let mean = node.step(Op::AveragePool(AveragePool { window, count_include_pad: true }), vec![rows])?;
    let mean = node.step(Op::Reshape(Reshape { extents: vec![Extent::Copy, is(channels), is(height), is(width)] }), vec![mean])?;
    let number = |node: &mut NodeReader, value: f32, what: &str| -> Result<Operand, NodeError> {
        let name = node.invented(&format!("{}.{what}", node.output()?));
        Ok(Operand::Constant { name, value: Constant::Floats(Array::scalar(value)) })
    };
    let (alpha, bias) = (number(node, alpha, "alpha")?, number(node, bias, "bias")?);
    let scaled = node.step(Op::Binary(Binary::Mul), vec![mean, alpha])?;
    let sum = node.step(Op::Binary(Binary::Add), vec![scaled, bias])?;
    let divisor = node.step(Op::Activation(Activation::Pow { exponent: beta }), vec![sum])?;
    node.add(Op::Binary(Binary::Div), vec![x, divisor])
}

/// Scale and bias are one for each channel, before operator set 21 one for each group.
pub(super) fn group_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    node.int("stash_type")?;
    let groups = node.int("num_groups")?.ok_or(NodeError::AttributeMissing { attribute: "num_groups" })?;
    let op = GroupNormalization { groups: extent("num_groups", groups)?, epsilon: epsilon(node, 1e-5)? };
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

pub(super) fn epsilon(node: &mut NodeReader, default: f32) -> Result<f32, NodeError> {
    let epsilon = node.float("epsilon")?.unwrap_or(default);
    if epsilon >= 0.0 && epsilon.is_finite() {
        Ok(epsilon)
    } else {
        Err(NodeError::Value { what: "epsilon", found: epsilon.to_string(), expected: "a finite number from 0".into() })
    }
}
