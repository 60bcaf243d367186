//! Split: one Slice for each output.

use quantrain_graph::op::Slice;
use quantrain_graph::{GraphError, Op};

use super::node::NodeReader;
use crate::NodeError;
use crate::error::listed;

/// Sizes are an attribute before operator set 13, an input since; without any the parts are equal, the last one smaller if need be (18).
pub(super) fn split(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let axis = node.int("axis")?.unwrap_or(0);
    let shape = node.shape(&x);
    let shape_error = |source| NodeError::Graph(GraphError::Shape { node: node.name().into(), op: "Split", source });
    let extent = shape.axis(axis).and_then(|at| shape.fixed_at(at)).map_err(shape_error)?;
    let sizes = if node.opset() < 13 { node.ints("split")? } else { node.constant_ints(1)? };
    let count = node.output_count();
    let number = node.int("num_outputs")?;
    let wrong = |what, found: String| {
        let expected = format!("parts of axis {axis} of {shape}, one for each of {count} outputs");
        NodeError::Value { what, found, expected }
    };
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => {
            let checked = sizes.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>();
            checked.ok_or_else(|| wrong("split", listed(&sizes)))?
        }
        None => {
            let parts = number.map_or(Some(count), |n| usize::try_from(n).ok()).filter(|&n| n == count && (1..=extent).contains(&n));
            let parts = parts.ok_or_else(|| wrong("num_outputs", number.map_or_else(|| "not there".into(), |n| n.to_string())))?;
            let size = extent.div_ceil(parts);
            (0..parts).map(|i| size.min(extent.saturating_sub(i.saturating_mul(size)))).collect()
        }
    };
    let sum = sizes.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    if sum != Some(extent) || sizes.len() != count {
        return Err(wrong("split", listed(&sizes)));
    }
    let mut start = 0i64;
    for (position, &size) in sizes.iter().enumerate() {
        let end = start.saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
        let op = Slice { starts: vec![start], ends: vec![end], axes: vec![axis], steps: vec![1] };
        node.add_output(position, Op::Slice(op), vec![x.clone()])?;
        start = end;
    }
    Ok(())
}
