//! Conv and ConvTranspose: dense, grouped and depthwise, of images and of signals.

use quantrain_graph::op::{ConvTranspose, Convolution, Window};
use quantrain_graph::{GraphError, Op, Shape, ShapeError};

use super::node::{NodeReader, Operand, extent};
use super::pooling::{add, explicit_pads, numbers, read_window};
use crate::NodeError;
use crate::error::listed;

/// Inputs of a convolution, as images.
struct Inputs {
    operands: Vec<Operand>,
    x: Shape,
    kernel: [usize; 2],
    signal: bool,
}

impl Inputs {
    fn read(node: &mut NodeReader) -> Result<Self, NodeError> {
        let mut operands = node.operands(0)?;
        let signal = operands.first().is_some_and(|x| node.shape(x).rank() == 3);
        for i in 0..operands.len().min(2) {
            let image = node.image(operands.remove(i))?;
            operands.insert(i, image);
        }
        let [x, w, ..] = &operands[..] else { return Err(NodeError::InputMissing { position: operands.len() }) };
        let (x, w) = (node.shape(x), node.shape(w));
        // Weights of another rank are refused by the shape rule.
        let kernel = [w.fixed_at(2).unwrap_or(1), w.fixed_at(3).unwrap_or(1)];
        Ok(Inputs { operands, x, kernel, signal })
    }
}

pub(super) fn conv(node: &mut NodeReader) -> Result<(), NodeError> {
    let Inputs { operands, x, kernel, signal } = Inputs::read(node)?;
    let groups = extent("group", node.int("group")?.unwrap_or(1))?;
    let window = read_window(node, &x, Some(kernel), signal)?;
    add(node, signal, Op::Convolution(Convolution { window, groups }), operands)
}

/// Pads follow from auto_pad or output_shape where these are given, and are cut off the result.
pub(super) fn conv_transpose(node: &mut NodeReader) -> Result<(), NodeError> {
    let Inputs { operands, x, kernel, signal } = Inputs::read(node)?;
    let groups = extent("group", node.int("group")?.unwrap_or(1))?;
    let mut window = Window::new(kernel);
    window.strides = numbers(node, "strides", signal)?.unwrap_or([1, 1]);
    window.dilations = numbers(node, "dilations", signal)?.unwrap_or([1, 1]);
    if let Some(found) = numbers(node, "kernel_shape", signal)?.filter(|found| *found != kernel) {
        return Err(NodeError::Value {
            what: "kernel_shape",
            found: listed(&found),
            expected: format!("{}, as the weights", listed(&kernel)),
        });
    }
    let output_padding = match node.ints("output_padding")? {
        None => [0, 0],
        Some(values) => spatial("output_padding", &values, signal, 0)?,
    };
    let wanted = match node.ints("output_shape")? {
        None => None,
        // Some exporters give the spatial axes, some all.
        Some(all) => {
            let axes = if signal { 1 } else { 2 };
            Some(spatial("output_shape", all.get(all.len().saturating_sub(axes)..).unwrap_or_default(), signal, 1)?)
        }
    };
    let pads = node.ints("pads")?;
    let auto_pad = node.string("auto_pad")?.unwrap_or_default();
    let size = [2, 3].map(|axis| x.fixed_at(axis).unwrap_or(1));
    let mut op = ConvTranspose { window, output_padding, groups };
    let shape_error = |source| NodeError::Graph(GraphError::Shape { node: node.name().into(), op: "ConvTranspose", source });
    let wanted = match (auto_pad.as_str(), wanted) {
        // As ONNX Runtime, nothing is added where the strides are larger than the kernel.
        ("SAME_UPPER" | "SAME_LOWER", None) => {
            let whole = op.output_extents(size[0], size[1]).map_err(shape_error)?;
            Some([0, 1].map(|axis| size[axis].saturating_mul(window.strides[axis]).min(whole[axis])))
        }
        ("" | "NOTSET" | "VALID" | "SAME_UPPER" | "SAME_LOWER", wanted) => wanted,
        _ => {
            let expected = "NOTSET, VALID, SAME_UPPER or SAME_LOWER".into();
            return Err(NodeError::Value { what: "auto_pad", found: auto_pad, expected });
        }
    };
    match (wanted, pads) {
        (Some(wanted), _) => cut_to(&mut op, size, wanted, auto_pad == "SAME_UPPER").map_err(shape_error)?,
        (None, Some(pads)) if auto_pad != "VALID" => op.window.pads = explicit_pads(&pads, signal)?,
        _ => {}
    }
    add(node, signal, Op::ConvTranspose(op), operands)
}

/// Pads that leave `wanted` rows and columns; of an odd number the larger part is cut off the end with `upper`, else off the beginning.
fn cut_to(op: &mut ConvTranspose, [height, width]: [usize; 2], wanted: [usize; 2], upper: bool) -> Result<(), ShapeError> {
    let whole = op.output_extents(height, width)?;
    for axis in 0..2 {
        let total = whole[axis].saturating_sub(wanted[axis]);
        let (small, large) = (total / 2, total - total / 2);
        (op.window.pads[axis], op.window.pads[axis + 2]) = if upper { (small, large) } else { (large, small) };
        op.output_padding[axis] = op.output_padding[axis].saturating_add(wanted[axis].saturating_sub(whole[axis]));
    }
    Ok(())
}

/// Numbers from 0 for rows and columns; the row of a signal has `row`.
fn spatial(what: &'static str, values: &[i64], signal: bool, row: usize) -> Result<[usize; 2], NodeError> {
    let number = |v: i64| usize::try_from(v).ok().filter(|v| *v < 1 << 31);
    let found = match (values, signal) {
        (&[h, w], false) => number(h).zip(number(w)).map(|(h, w)| [h, w]),
        (&[w], true) => number(w).map(|w| [row, w]),
        _ => None,
    };
    let expected = if signal { "one number, not negative" } else { "two numbers, none negative" };
    found.ok_or_else(|| NodeError::Value { what, found: listed(values), expected: expected.into() })
}
