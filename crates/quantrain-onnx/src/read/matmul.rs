//! Gemm and MatMul.

use quantrain_graph::op::{Binary, Extent, Gemm, MatMul, Reshape, Transpose};
use quantrain_graph::{Dim, Op, Shape};

use super::array::{Array, Constant};
use super::node::{NodeReader, Operand};
use crate::NodeError;

/// A product with constant weights takes up alpha and beta in weights and bias; any other becomes Transpose, MatMul, Mul and Add.
pub(super) fn gemm(node: &mut NodeReader) -> Result<(), NodeError> {
    let mut operands = node.operands(0)?;
    let (alpha, beta) = (node.float("alpha")?.unwrap_or(1.0), node.float("beta")?.unwrap_or(1.0));
    let (transpose_a, transpose_b) = (node.flag("transA", false)?, node.flag("transB", false)?);
    let c = if operands.len() > 2 { Some(operands.remove(2)) } else { None };
    let (Some(b), Some(a), None) = (operands.pop(), operands.pop(), operands.pop()) else {
        return Err(NodeError::InputMissing { position: 1 });
    };
    let weights = node.shape(&b);
    let columns = weights.0.get(usize::from(!transpose_b)).and_then(|d| d.fixed());
    let bias = c.as_ref().map_or(Some(None), |c| row(c, columns).map(Some));
    let has_weights = !transpose_a && matches!((&a, &b), (Operand::Activation(_), Operand::Constant { .. }));
    if let Some(bias) = bias.filter(|_| has_weights) {
        let mut operands = vec![a, scaled(node, b, alpha, "weight")?];
        if let Some(values) = bias {
            let as_it_is = beta == 1.0 && c.as_ref().is_some_and(|c| node.shape(c).elements(1) == values.len());
            operands.push(match c.filter(|_| as_it_is) {
                Some(c) => c,
                None => {
                    let values: Vec<f32> = values.iter().map(|v| v * beta).collect();
                    let value = Constant::Floats(Array { shape: vec![values.len()], values });
                    Operand::Constant { name: node.invented(&format!("{}.bias", node.output()?)), value }
                }
            });
        }
        return node.add(Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b }), operands);
    }
    let turned = |node: &mut NodeReader, x: Operand, turn: bool| {
        if turn { node.step(Op::Transpose(Transpose { permutation: vec![1, 0] }), vec![x]) } else { Ok(x) }
    };
    let (a, b) = (turned(node, a, transpose_a)?, turned(node, b, transpose_b)?);
    let (a, b) =
        if matches!(a, Operand::Constant { .. }) { (scaled(node, a, alpha, "left")?, b) } else { (a, scaled(node, b, alpha, "right")?) };
    let Some(c) = c else { return node.add(Op::MatMul(MatMul), vec![a, b]) };
    let product = node.step(Op::MatMul(MatMul), vec![a, b])?;
    let c = scaled(node, c, beta, "addend")?;
    node.add(Op::Binary(Binary::Add), vec![product, c])
}

/// The values of a constant that has one for each column, or one for all.
fn row(c: &Operand, columns: Option<usize>) -> Option<Vec<f32>> {
    let Operand::Constant { value: Constant::Floats(array), .. } = c else { return None };
    let rows = array.shape.iter().rev().skip(1).product::<usize>();
    match (&array.values[..], columns?) {
        (&[one], n) => Some(vec![one; n]),
        (values, n) if values.len() == n && rows == 1 => Some(values.to_vec()),
        _ => None,
    }
}

/// `x·factor`: a constant with other values, or a Mul.
pub(super) fn scaled(node: &mut NodeReader, x: Operand, factor: f32, what: &str) -> Result<Operand, NodeError> {
    if factor == 1.0 {
        return Ok(x);
    }
    let name = node.invented(&format!("{}.{what}", node.output()?));
    match x {
        Operand::Constant { value: Constant::Floats(array), .. } => {
            node.spend(array.values.len())?;
            let values = array.values.iter().map(|v| v * factor).collect();
            Ok(Operand::Constant { name, value: Constant::Floats(Array { shape: array.shape, values }) })
        }
        x => {
            let factor = Constant::Floats(Array { shape: Vec::new(), values: vec![factor] });
            node.step(Op::Binary(Binary::Mul), vec![x, Operand::Constant { name, value: factor }])
        }
    }
}

/// Vectors become matrices of one row or one column, as in NumPy; rows of an image that meet a matrix become one axis.
pub(super) fn matmul(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let [a, b] = <[Operand; 2]>::try_from(operands).map_err(|all| NodeError::InputMissing { position: all.len() })?;
    multiply(node, a, b)
}

/// The product of two tensors, as MatMul has it.
pub(super) fn multiply(node: &mut NodeReader, a: Operand, b: Operand) -> Result<(), NodeError> {
    let (left, right) = (node.shape(&a), node.shape(&b));
    let a = if left.rank() == 1 { reshaped(node, a, [&[Dim::Fixed(1)], &left.0[..]].concat())? } else { a };
    let b = if right.rank() == 1 { reshaped(node, b, [&right.0[..], &[Dim::Fixed(1)]].concat())? } else { b };
    let is_weight = matches!(b, Operand::Constant { .. }) && node.shape(&b).rank() == 2;
    let image = <[Dim; 4]>::try_from(&left.0[..]).ok().filter(|_| is_weight);
    let a = match image {
        None => a,
        Some([n, rows, columns, k]) => {
            let rows = joined(rows, columns).ok_or_else(|| {
                let expected = "at most one axis that depends on the batch".into();
                NodeError::Value { what: "A", found: left.to_string(), expected }
            })?;
            reshaped(node, a, vec![n, rows, k])?
        }
    };
    if image.is_none() && left.rank() > 1 && right.rank() > 1 {
        return node.add(Op::MatMul(MatMul), vec![a, b]);
    }
    let product = node.step(Op::MatMul(MatMul), vec![a, b])?;
    let from = node.shape(&product);
    let mut dims = match (image, from.0.last()) {
        (Some([n, rows, columns, _]), Some(&last)) => vec![n, rows, columns, last],
        _ => from.0.clone(),
    };
    if right.rank() == 1 {
        dims.pop();
    }
    if left.rank() == 1 {
        // The axis of one row: the last, or the last but one where columns are left.
        let at = dims.len().saturating_sub(if right.rank() == 1 { 1 } else { 2 });
        dims = dims.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, d)| *d).collect();
    }
    node.add(Op::Reshape(reshape(&from, dims)), vec![product])
}

/// The extent of two axes as one.
pub(super) fn joined(a: Dim, b: Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => a.checked_mul(b).map(Dim::Fixed),
        (Dim::Batch(k), Dim::Fixed(n)) | (Dim::Fixed(n), Dim::Batch(k)) => k.checked_mul(n).map(Dim::Batch),
        (Dim::Batch(_), Dim::Batch(_)) => None,
    }
}

/// A tensor of another shape, where it has another; constants are reshaped at once.
pub(super) fn reshaped(node: &mut NodeReader, x: Operand, to: Vec<Dim>) -> Result<Operand, NodeError> {
    let from = node.shape(&x);
    if from.0 == to {
        return Ok(x);
    }
    if let Operand::Constant { name, value: Constant::Floats(array) } = x {
        let shape = to.iter().filter_map(|d| d.fixed()).collect();
        let value = Constant::Floats(Array { shape, values: array.values });
        return Ok(Operand::Constant { name: node.invented(&format!("{name}.matrix")), value });
    }
    node.step(Op::Reshape(reshape(&from, to)), vec![x])
}

/// Extents that are where they were are copied, whatever the batch.
fn reshape(from: &Shape, to: Vec<Dim>) -> Reshape {
    let extent = |(i, d): (usize, Dim)| if from.0.get(i) == Some(&d) { Extent::Copy } else { Extent::Is(d) };
    Reshape { extents: to.into_iter().enumerate().map(extent).collect() }
}
