//! MaxPool, AveragePool, GlobalAveragePool, and the window that convolutions have too.

use quantrain_graph::op::{AveragePool, GlobalAveragePool, MaxPool, Window};
use quantrain_graph::{Op, Shape};

use super::node::{NodeReader, extent};
use crate::NodeError;

pub(super) fn max_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let ceil = node.flag("ceil_mode", false)?;
    // The layout of Indices, an output that is not supported.
    node.int("storage_order")?;
    let window = Window { ceil, ..read_window(node, &node.shape(&x), None)? };
    node.add(Op::MaxPool(MaxPool { window }), vec![x])
}

pub(super) fn average_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let ceil = node.flag("ceil_mode", false)?;
    let count_include_pad = node.flag("count_include_pad", false)?;
    let window = Window { ceil, ..read_window(node, &node.shape(&x), None)? };
    node.add(Op::AveragePool(AveragePool { window, count_include_pad }), vec![x])
}

pub(super) fn global_average_pool(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    node.add(Op::GlobalAveragePool(GlobalAveragePool), vec![x])
}

/// kernel_shape (where the operator has no weights to tell it), strides, dilations, and pads or auto_pad.
pub(super) fn read_window(node: &mut NodeReader, x: &Shape, weights: Option<[usize; 2]>) -> Result<Window, NodeError> {
    let kernel = match (numbers(node, "kernel_shape")?, weights) {
        (Some(kernel), _) | (None, Some(kernel)) => kernel,
        (None, None) => return Err(NodeError::AttributeMissing { attribute: "kernel_shape" }),
    };
    let mut window = Window::new(kernel);
    window.strides = numbers(node, "strides")?.unwrap_or([1, 1]);
    window.dilations = numbers(node, "dilations")?.unwrap_or([1, 1]);
    let pads = node.ints("pads")?;
    match node.string("auto_pad")?.as_deref() {
        None | Some("" | "NOTSET") => {
            if let Some(pads) = pads {
                window.pads = explicit_pads(&pads)?;
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

fn numbers(node: &mut NodeReader, what: &'static str) -> Result<Option<[usize; 2]>, NodeError> {
    let Some(values) = node.ints(what)? else { return Ok(None) };
    let [h, w] = values[..] else {
        let expected = "two numbers (only two-dimensional operators are supported)".into();
        return Err(NodeError::Value { what, found: format!("{values:?}"), expected });
    };
    Ok(Some([extent(what, h)?, extent(what, w)?]))
}

fn explicit_pads(pads: &[i64]) -> Result<[usize; 4], NodeError> {
    let refused = || NodeError::Value { what: "pads", found: format!("{pads:?}"), expected: "four numbers, none negative".into() };
    let checked = pads.iter().map(|&p| usize::try_from(p).ok().filter(|&p| p < 1 << 31)).collect::<Option<Vec<_>>>().ok_or_else(refused)?;
    checked.try_into().map_err(|_| refused())
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
