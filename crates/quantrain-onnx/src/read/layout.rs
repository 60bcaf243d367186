//! Operators that move elements: Concat, Slice, Pad, Reshape, Squeeze, Unsqueeze, Flatten, Transpose, Gather, Tile,
//! DepthToSpace and SpaceToDepth.

use quantrain_graph::op::{
    Concat, DepthOrder, DepthToSpace, Extent, Flatten, Gather, Lookup, Pad, PadMode, Reshape, Slice, SpaceToDepth, Transpose,
};
use quantrain_graph::{Dim, GraphError, Op, Shape, ShapeError};

use super::array::Constant;
use super::expand::computed;
use super::node::{NodeReader, Operand, dimension, extent};
use super::number::Number;
use crate::NodeError;
use crate::error::listed;

/// With constants of one value at its ends, a Concat is a Pad; other constants are joined as tensors of their own.
pub(super) fn concat(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let axis = node.int("axis")?.ok_or(NodeError::AttributeMissing { attribute: "axis" })?;
    match &operands[..] {
        [x @ Operand::Activation(_), Operand::Constant { value, .. }] => {
            if let Some((pads, fill)) = padding(node, x, value, axis, false)? {
                return node.add(Op::Pad(Pad { pads, mode: PadMode::Constant(fill) }), vec![x.clone()]);
            }
        }
        [Operand::Constant { value, .. }, x @ Operand::Activation(_)] => {
            if let Some((pads, fill)) = padding(node, x, value, axis, true)? {
                return node.add(Op::Pad(Pad { pads, mode: PadMode::Constant(fill) }), vec![x.clone()]);
            }
        }
        _ => {}
    }
    let operands = computed(node, axis, operands)?;
    node.add(Op::Concat(Concat { axis }), operands)
}

/// The pads and the value that stand for a constant before or after `x`, where it has but one value.
fn padding(node: &NodeReader, x: &Operand, constant: &Constant, axis: i64, before: bool) -> Result<Option<(Vec<usize>, f32)>, NodeError> {
    let Constant::Floats(array) = constant else { return Ok(None) };
    let (shape, rank) = (node.shape(x), array.shape.len());
    let Some((&fill, rest)) = array.values.split_first().filter(|(first, _)| first.is_finite()) else { return Ok(None) };
    if rank != shape.rank() || rest.iter().any(|&v| v != fill) {
        return Ok(None);
    }
    let axis = shape.axis(axis).map_err(|e| shape_error(node, "Concat", e))?;
    let follows = |i: usize| {
        let batch = node.model.batch.filter(|&(_, given)| i == 0 && shape.0[0] == given);
        let file = batch.and_then(|(file, _)| usize::try_from(file).ok());
        i == axis || shape.0[i] == Dim::Fixed(array.shape[i]) || file == Some(array.shape[i])
    };
    if !(0..rank).all(follows) || matches!(shape.0[axis], Dim::Batch(_)) {
        return Ok(None);
    }
    let mut pads = vec![0; 2 * rank];
    pads[if before { axis } else { axis + rank }] = array.shape[axis];
    Ok(Some((pads, fill)))
}

/// Starts, ends and axes are attributes before operator set 10; inputs, with steps, since.
pub(super) fn slice(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let (starts, ends, axes, steps) = if node.opset() < 10 {
        (node.ints("starts")?, node.ints("ends")?, node.ints("axes")?, None)
    } else {
        (node.constant_ints(1)?, node.constant_ints(2)?, node.constant_ints(3)?, node.constant_ints(4)?)
    };
    let starts = starts.ok_or(NodeError::InputMissing { position: 1 })?;
    let ends = ends.ok_or(NodeError::InputMissing { position: 2 })?;
    let axes = axes.unwrap_or_else(|| (0i64..).take(starts.len()).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    node.add(Op::Slice(Slice { starts, ends, axes, steps }), vec![x])
}

/// Pads and value are attributes before operator set 11, inputs since; axes are an input since 18.
pub(super) fn pad(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let mode = node.string("mode")?;
    let (pads, value, axes) = if node.opset() < 11 {
        (node.ints("pads")?, node.float("value")?, None)
    } else {
        let value = match node.constant_floats(2)? {
            None => None,
            Some(v) => Some(v.single().ok_or_else(|| wrong("constant_value", format!("{} values", v.values.len()), "one value"))?),
        };
        (node.constant_ints(1)?, value, node.constant_ints(3)?)
    };
    let value = value.unwrap_or(0.0);
    let mode = match mode.as_deref().unwrap_or("constant") {
        // Before a MaxPool −∞ is what is never the greatest.
        "constant" if !value.is_nan() => PadMode::Constant(value),
        "constant" => return Err(wrong("constant_value", value.to_string(), "a number")),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" if node.opset() >= 19 => PadMode::Wrap,
        other => return Err(wrong("mode", other.into(), "constant, reflect, edge or, since operator set 19, wrap")),
    };
    let given = pads.ok_or(NodeError::InputMissing { position: 1 })?;
    let axes = axes.unwrap_or_else(|| (0i64..).take(shape.rank()).collect());
    let refused = || wrong("pads", listed(&given), "two numbers for each axis");
    if given.len() != 2 * axes.len() {
        return Err(refused());
    }
    let mut pads = vec![0; 2 * shape.rank()];
    let mut cut = Slice { starts: Vec::new(), ends: Vec::new(), axes: Vec::new(), steps: Vec::new() };
    for (i, &axis) in axes.iter().enumerate() {
        let at = shape.axis(axis).map_err(|e| shape_error(node, "Pad", e))?;
        let (before, after) = (given[i], given[i + axes.len()]);
        for (to, pad) in [(at, before), (at + shape.rank(), after)] {
            pads[to] = usize::try_from(pad.max(0)).ok().filter(|&p| p < 1 << 31).ok_or_else(refused)?;
        }
        if before < 0 || after < 0 {
            cut.starts.push(before.min(0).saturating_neg());
            cut.ends.push(if after < 0 { after } else { i64::MAX });
            cut.axes.push(axis);
            cut.steps.push(1);
        }
    }
    // What is below zero is cut away.
    match (cut.axes.is_empty(), pads.iter().all(|&p| p == 0)) {
        (true, _) => node.add(Op::Pad(Pad { pads, mode }), vec![x]),
        (false, true) => node.add(Op::Slice(cut), vec![x]),
        (false, false) => {
            let x = node.step(Op::Slice(cut), vec![x])?;
            node.add(Op::Pad(Pad { pads, mode }), vec![x])
        }
    }
}

pub(super) fn reshape(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let target = match node.constant_numbers(1)? {
        Some(target) => target.values,
        None => return Err(NodeError::InputMissing { position: 1 }),
    };
    let zero_is_zero = node.opset() >= 14 && node.flag("allowzero", false)?;
    let leading = node.shape(&x).0.first().copied();
    // A target made for the file's batch follows the one that a user gave.
    let is_batch = |n: i64| node.model.batch.is_some_and(|(file, given)| n == file && leading == Some(given));
    let extent = |(axis, n): (usize, &Number)| match *n {
        Number::Fixed(-1) => Ok(Extent::Infer),
        Number::Fixed(0) if !zero_is_zero => Ok(Extent::Copy),
        Number::Fixed(n) if axis == 0 && is_batch(n) => Ok(Extent::Copy),
        n => dimension("shape", n).map(Extent::Is),
    };
    let extents = target.iter().enumerate().map(extent).collect::<Result<Vec<_>, _>>()?;
    add_reshape(node, x, extents)
}

/// Axes are an attribute before operator set 13, an input since; without any, all axes of 1 go.
pub(super) fn squeeze(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let axes = if node.opset() < 13 { node.ints("axes")? } else { node.constant_ints(1)? };
    let mut gone: Vec<bool> = shape.0.iter().map(|&d| axes.is_none() && d == Dim::Fixed(1)).collect();
    for axis in axes.unwrap_or_default() {
        let at = shape.axis(axis).map_err(|e| shape_error(node, "Squeeze", e))?;
        if shape.0[at] != Dim::Fixed(1) {
            return Err(wrong("axes", format!("axis {axis} of {shape}"), "axes of extent 1"));
        }
        gone[at] = true;
    }
    let kept = shape.0.iter().zip(gone).filter(|(_, gone)| !gone).map(|(&d, _)| Extent::Is(d)).collect();
    add_reshape(node, x, kept)
}

/// Axes are an attribute before operator set 13, an input since.
pub(super) fn unsqueeze(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let axes = if node.opset() < 13 { node.ints("axes")? } else { node.constant_ints(1)? };
    let axes = axes.ok_or(NodeError::AttributeMissing { attribute: "axes" })?;
    let mut added = vec![false; shape.rank() + axes.len()];
    let rank = i64::try_from(added.len()).unwrap_or(i64::MAX);
    for &axis in &axes {
        let from_front = if axis < 0 { axis.saturating_add(rank) } else { axis };
        let at = usize::try_from(from_front).ok().and_then(|at| added.get_mut(at)).filter(|taken| !**taken);
        *at.ok_or_else(|| wrong("axes", listed(&axes), "distinct axes of the result"))? = true;
    }
    let mut old = shape.0.iter();
    let extents = added.iter().filter_map(|&new| if new { Some(Dim::Fixed(1)) } else { old.next().copied() });
    let extents = extents.map(Extent::Is).collect();
    add_reshape(node, x, extents)
}

fn add_reshape(node: &mut NodeReader, x: Operand, extents: Vec<Extent>) -> Result<(), NodeError> {
    let extents = written(&node.shape(&x), extents);
    node.add(Op::Reshape(Reshape { extents }), vec![x])
}

/// An extent that depends on the batch as ONNX writes it: copied from the same place, else inferred.
pub(super) fn written(from: &Shape, mut extents: Vec<Extent>) -> Vec<Extent> {
    for i in 0..extents.len() {
        let Extent::Is(dim @ Dim::Batch(_)) = extents[i] else { continue };
        if from.0.get(i) == Some(&dim) {
            extents[i] = Extent::Copy;
        } else if !extents.contains(&Extent::Infer) {
            extents[i] = Extent::Infer;
        }
    }
    extents
}

pub(super) fn flatten(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let axis = node.int("axis")?.unwrap_or(1);
    node.add(Op::Flatten(Flatten { axis }), vec![x])
}

/// Without a permutation the axes are reversed.
pub(super) fn transpose(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let permutation = match node.ints("perm")? {
        None => (0..node.shape(&x).rank()).rev().collect(),
        Some(axes) => axes.iter().map(|&a| usize::try_from(a).unwrap_or(usize::MAX)).collect(),
    };
    node.add(Op::Transpose(Transpose { permutation }), vec![x])
}

/// Since operator set 11 channels have one of two orders.
pub(super) fn depth_to_space(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let order = match node.string("mode")?.as_deref() {
        None | Some("DCR") => DepthOrder::BlockFirst,
        Some("CRD") => DepthOrder::ChannelFirst,
        Some(other) => return Err(wrong("mode", other.into(), "DCR or CRD")),
    };
    let op = DepthToSpace { block: block_size(node)?, order };
    node.add(Op::DepthToSpace(op), vec![x])
}

pub(super) fn space_to_depth(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let op = SpaceToDepth { block: block_size(node)? };
    node.add(Op::SpaceToDepth(op), vec![x])
}

fn block_size(node: &mut NodeReader) -> Result<usize, NodeError> {
    let size = node.int("blocksize")?.ok_or(NodeError::AttributeMissing { attribute: "blocksize" })?;
    extent("blocksize", size).and_then(|n| if n < 1 << 15 { Ok(n) } else { Err(wrong("blocksize", size.to_string(), "at most 32767")) })
}

/// Constant indices into an axis of an activation: the shape of the indices replaces the axis.
pub(super) fn gather(node: &mut NodeReader, x: Operand) -> Result<(), NodeError> {
    let from = node.shape(&x);
    let axis = node.int("axis")?.unwrap_or(0);
    let at = from.axis(axis).map_err(|e| shape_error(node, "Gather", e))?;
    let extent = from.fixed_at(at).map_err(|e| shape_error(node, "Gather", e))?;
    let indices = node.constant_numbers(1)?.ok_or(NodeError::InputMissing { position: 1 })?;
    let index = |n: &Number| {
        let found = super::shape::from_back(n.fixed()?, extent);
        found.ok_or_else(|| wrong("indices", n.to_string(), &format!("an index into {extent} elements")))
    };
    let picked = indices.values.iter().map(index).collect::<Result<Vec<_>, NodeError>>()?;
    let op = Op::Gather(Gather { axis, indices: picked });
    if indices.shape.len() == 1 {
        return node.add(op, vec![x]);
    }
    let row = node.step(op, vec![x])?;
    let extents = from.0[..at].iter().map(|&d| Extent::Is(d));
    let extents = extents.chain(indices.shape.iter().map(|&n| Extent::Is(Dim::Fixed(n))));
    let extents = extents.chain(from.0[at + 1..].iter().map(|&d| Extent::Is(d))).collect();
    add_reshape(node, row, extents)
}

/// Computed indices into an axis; a table of integers stays one of integers.
pub(super) fn lookup(node: &mut NodeReader, x: Operand, indices: Operand) -> Result<(), NodeError> {
    let axis = node.int("axis")?.unwrap_or(0);
    let integers = match &x {
        Operand::Constant { value, .. } => matches!(value, Constant::Integers(_)),
        Operand::Activation(id) => super::cast::is_integer(node.model, *id),
    };
    node.add(Op::Lookup(Lookup { axis }), vec![x.into_floats()?, indices])?;
    super::cast::mark(node, integers)
}

pub(super) fn wrong(what: &'static str, found: String, expected: &str) -> NodeError {
    NodeError::Value { what, found, expected: expected.into() }
}

pub(super) fn shape_error(node: &NodeReader, op: &'static str, source: ShapeError) -> NodeError {
    NodeError::Graph(GraphError::Shape { node: node.name().into(), op, source })
}
