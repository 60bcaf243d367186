//! MaxPool, AveragePool, their global forms, and the window that convolutions have too.

use quantrain_graph::op::{AveragePool, GlobalAveragePool, MaxPool, Window};
use quantrain_graph::{GraphError, Op, Shape};

use super::node::{NodeReader, Operand, extent};
use crate::NodeError;
use crate::error::listed;

pub(super) fn max_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, signal) = image(node)?;
    let ceil = node.flag("ceil_mode", false)?;
    // The layout of Indices, an output that is not supported.
    node.int("storage_order")?;
    let window = Window { ceil, ..read_window(node, &node.shape(&x), None, signal)? };
    add(node, signal, Op::MaxPool(MaxPool { window }), vec![x])
}

pub(super) fn average_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, signal) = image(node)?;
    let ceil = node.flag("ceil_mode", false)?;
    let count_include_pad = node.flag("count_include_pad", false)?;
    let window = Window { ceil, ..read_window(node, &node.shape(&x), None, signal)? };
    add(node, signal, Op::AveragePool(AveragePool { window, count_include_pad }), vec![x])
}

pub(super) fn global_average_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, signal) = image(node)?;
    add(node, signal, Op::GlobalAveragePool(GlobalAveragePool), vec![x])
}

/// A MaxPool whose window is the image.
pub(super) fn global_max_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, signal) = image(node)?;
    let image = node.shape(&x).image();
    let (_, height, width) =
        image.map_err(|source| NodeError::Graph(GraphError::Shape { node: node.name().into(), op: "GlobalMaxPool", source }))?;
    add(node, signal, Op::MaxPool(MaxPool { window: Window::new([height, width]) }), vec![x])
}

/// The first input, and whether it is a signal that was made an image of.
fn image(node: &mut NodeReader) -> Result<(Operand, bool), NodeError> {
    let x = node.operand(0)?;
    let signal = node.shape(&x).rank() == 3;
    Ok((node.image(x)?, signal))
}

/// Adds an operator on images whose result is a signal where its input was one.
pub(super) fn add(node: &mut NodeReader, signal: bool, op: Op, operands: Vec<Operand>) -> Result<(), NodeError> {
    if signal { node.add_signal(op, operands) } else { node.add(op, operands) }
}

/// kernel_shape (where the operator has no weights to tell it), strides, dilations, and pads or auto_pad. `x` is an image; attributes of a
/// signal have one axis.
pub(super) fn read_window(node: &mut NodeReader, x: &Shape, weights: Option<[usize; 2]>, signal: bool) -> Result<Window, NodeError> {
    let kernel = match (numbers(node, "kernel_shape", signal)?, weights) {
        (Some(kernel), _) | (None, Some(kernel)) => kernel,
        (None, None) => return Err(NodeError::AttributeMissing { attribute: "kernel_shape" }),
    };
    let mut window = Window::new(kernel);
    window.strides = numbers(node, "strides", signal)?.unwrap_or([1, 1]);
    window.dilations = numbers(node, "dilations", signal)?.unwrap_or([1, 1]);
    let pads = node.ints("pads")?;
    match node.string("auto_pad")?.as_deref() {
        None | Some("" | "NOTSET") => {
            if let Some(pads) = pads {
                window.pads = explicit_pads(&pads, signal)?;
            }
        }
        Some("VALID") => {}
        Some("SAME_UPPER") => window.pads = same_pads(&window, x, true),
        Some("SAME_LOWER") => window.pads = same_pads(&window, x, false),
        Some(other) => {
            let expected = "NOTSET, VALID, SAME_UPPER or SAME_LOWER".into();
            return Err(NodeError::Value { what: "auto_pad", found: other.into(), expected });
        }
    }
    Ok(window)
}

/// A positive number for rows and one for columns.
pub(super) fn numbers(node: &mut NodeReader, what: &'static str, signal: bool) -> Result<Option<[usize; 2]>, NodeError> {
    let Some(values) = node.ints(what)? else { return Ok(None) };
    match (&values[..], signal) {
        (&[h, w], false) => Ok(Some([extent(what, h)?, extent(what, w)?])),
        (&[w], true) => Ok(Some([1, extent(what, w)?])),
        _ => {
            let expected = if signal { "one number" } else { "two numbers (operators on one or two spatial axes are supported)" };
            Err(NodeError::Value { what, found: listed(&values), expected: expected.into() })
        }
    }
}

pub(super) fn explicit_pads(pads: &[i64], signal: bool) -> Result<[usize; 4], NodeError> {
    let expected = if signal { "two numbers, none negative" } else { "four numbers, none negative" };
    let refused = || NodeError::Value { what: "pads", found: listed(pads), expected: expected.into() };
    let checked = pads.iter().map(|&p| usize::try_from(p).ok().filter(|&p| p < 1 << 31)).collect::<Option<Vec<_>>>().ok_or_else(refused)?;
    match (&checked[..], signal) {
        (&[top, left, bottom, right], false) => Ok([top, left, bottom, right]),
        (&[left, right], true) => Ok([0, left, 0, right]),
        _ => Err(refused()),
    }
}

/// Padding that gives `ceil(in / stride)`; the odd element goes to the end (upper) or the beginning (lower).
fn same_pads(window: &Window, x: &Shape, upper: bool) -> [usize; 4] {
    let mut pads = [0; 4];
    for axis in 0..2 {
        // Inputs that are no images are refused by the shape rule.
        let input = x.fixed_at(axis + 2).unwrap_or(1);
        let covered = (input.div_ceil(window.strides[axis]).saturating_sub(1))
            .saturating_mul(window.strides[axis])
            .saturating_add((window.kernel[axis] - 1).saturating_mul(window.dilations[axis]))
            .saturating_add(1);
        let total = covered.saturating_sub(input);
        let (small, large) = (total / 2, total - total / 2);
        (pads[axis], pads[axis + 2]) = if upper { (small, large) } else { (large, small) };
    }
    pads
}
