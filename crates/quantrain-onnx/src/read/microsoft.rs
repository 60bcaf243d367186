//! Operators into which ONNX Runtime's optimizer joins others, read as their parts.

use quantrain_graph::Op;
use quantrain_graph::op::{Activation, Binary, Epsilon, Extent, LayerNormalization, Reshape, RmsNormalization, Slice, Transpose, Where};
use quantrain_graph::{Dim, Shape};

use super::activation::{gated, gelu};
use super::array::{Array, Constant};
use super::attention::{Scores, attended, number, without_past};
use super::blocks::matmul_n_bits;
use super::matmul::{multiply, scaled};
use super::node::{NodeReader, Operand, Value, extent};
use super::normalization::{epsilon, normalised};
use super::operators::Operator;
use crate::NodeError;

/// The domain of ONNX Runtime's own operators.
pub(super) const DOMAIN: &str = "com.microsoft";

const ALL: (i64, i64) = (1, i64::MAX);

/// The operators, by name.
pub(super) const OPERATORS: [Operator; 11] = [
    Operator {
        name: "Attention",
        opsets: ALL,
        notes: "MatMul, Slice, and as ONNX's; masks of `[N, keys]`, without past keys",
        read: self_attention,
    },
    Operator { name: "BiasGelu", opsets: ALL, notes: "Add, Gelu", read: bias_gelu },
    Operator { name: "FastGelu", opsets: ALL, notes: "Add, Gelu by tanh", read: fast_gelu },
    Operator { name: "FusedMatMul", opsets: ALL, notes: "Transpose, MatMul, Mul", read: fused_matmul },
    Operator { name: "Gelu", opsets: ALL, notes: "Gelu", read: gelu },
    Operator { name: "LayerNormalization", opsets: ALL, notes: "LayerNormalization", read: super::normalization::layer_normalization },
    Operator { name: "MatMulNBits", opsets: ALL, notes: "MatMul; weights in blocks are read as floats", read: matmul_n_bits },
    Operator { name: "MultiHeadAttention", opsets: ALL, notes: "as Attention; query, key and value apart", read: multi_head_attention },
    Operator { name: "QuickGelu", opsets: ALL, notes: "Mul, Sigmoid, Mul", read: quick_gelu },
    Operator { name: "SkipLayerNormalization", opsets: ALL, notes: "Add, LayerNormalization", read: skip_layer_normalization },
    Operator { name: "SkipSimplifiedLayerNormalization", opsets: ALL, notes: "Add, RMSNormalization", read: skip_rms_normalization },
];

fn bias_gelu(node: &mut NodeReader) -> Result<(), NodeError> {
    biased(node, Activation::Gelu { tanh: false })
}

fn fast_gelu(node: &mut NodeReader) -> Result<(), NodeError> {
    biased(node, Activation::Gelu { tanh: true })
}

/// A function of the sum of an input and a bias, where there is one.
fn biased(node: &mut NodeReader, function: Activation) -> Result<(), NodeError> {
    let (x, bias) = (node.operand(0)?, node.optional(1)?);
    let x = match bias {
        None => x,
        Some(bias) => node.step(Op::Binary(Binary::Add), vec![x, bias])?,
    };
    node.add(Op::Activation(function), vec![x])
}

fn quick_gelu(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = node.float("alpha")?.unwrap_or(1.702);
    gated(node, alpha)
}

/// `alpha·A'·B'`, matrices turned where the attributes say so.
fn fused_matmul(node: &mut NodeReader) -> Result<(), NodeError> {
    let (a, b) = (node.operand(0)?, node.operand(1)?);
    let (turn_a, turn_b) = (node.flag("transA", false)?, node.flag("transB", false)?);
    node.only("transBatchA", 0)?;
    node.only("transBatchB", 0)?;
    let alpha = node.float("alpha")?.unwrap_or(1.0);
    let (a, b) = (turned(node, a, turn_a)?, turned(node, b, turn_b)?);
    let (a, b) = match b {
        Operand::Constant { .. } => (a, scaled(node, b, alpha, "right")?),
        b => (scaled(node, a, alpha, "left")?, b),
    };
    multiply(node, a, b)
}

/// The matrices of the last two axes turned.
fn turned(node: &mut NodeReader, x: Operand, turn: bool) -> Result<Operand, NodeError> {
    let rank = node.shape(&x).rank();
    if !turn || rank < 2 {
        return Ok(x);
    }
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 2, rank - 1);
    node.step(Op::Transpose(Transpose { permutation }), vec![x])
}

fn skip_layer_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let op = LayerNormalization { axis: -1, epsilon: Epsilon::OfVariance(epsilon(node, 1e-12)?) };
    let (gamma, beta) = (node.operand(2)?, node.optional(3)?);
    let sum = skipped(node, 4)?;
    normalised(node, Op::LayerNormalization(op), -1, [Some(sum), Some(gamma), beta].into_iter().flatten().collect())
}

fn skip_rms_normalization(node: &mut NodeReader) -> Result<(), NodeError> {
    let op = RmsNormalization { axis: -1, epsilon: Epsilon::OfVariance(epsilon(node, 1e-12)?) };
    let gamma = node.operand(2)?;
    let sum = skipped(node, 3)?;
    normalised(node, Op::RmsNormalization(op), -1, vec![sum, gamma])
}

/// The sum of the input, of what skipped a layer and of a bias, which is the fourth output too.
fn skipped(node: &mut NodeReader, bias: usize) -> Result<Operand, NodeError> {
    let (mut x, skip, bias) = (node.operand(0)?, node.operand(1)?, node.optional(bias)?);
    if let Some(bias) = bias {
        x = node.step(Op::Binary(Binary::Add), vec![x, bias])?;
    }
    let Some(name) = node.output_name(SUM) else { return node.step(Op::Binary(Binary::Add), vec![x, skip]) };
    node.add_output(SUM, Op::Binary(Binary::Add), vec![x, skip])?;
    match node.model.values.get(name) {
        Some(&Value::Activation(id)) => Ok(Operand::Activation(id)),
        _ => Err(NodeError::NotFolded),
    }
}

/// The position of the sum among the outputs.
const SUM: usize = 3;

/// Query, key and value are one product with constant weights.
fn self_attention(node: &mut NodeReader) -> Result<(), NodeError> {
    let (x, weights, bias) = (node.operand(0)?, node.operand(1)?, node.optional(2)?);
    let heads = node.int("num_heads")?.ok_or(NodeError::AttributeMissing { attribute: "num_heads" })?;
    let heads = extent("num_heads", heads)?;
    node.only("do_rotary", 0)?;
    node.only("past_present_share_buffer", 0)?;
    without_past(node, &[4, 6])?;
    let scores = scores(node, 3, 5)?;
    let columns = node.shape(&weights).0.last().and_then(|d| d.fixed()).unwrap_or(0);
    let sizes = match node.ints("qkv_hidden_sizes")? {
        None => vec![columns / 3; 3],
        Some(sizes) => sizes.iter().map(|&n| extent("qkv_hidden_sizes", n)).collect::<Result<_, _>>()?,
    };
    if sizes.len() != 3 || sizes.iter().sum::<usize>() != columns {
        let expected = format!("three that are {columns} together");
        return Err(NodeError::Value { what: "qkv_hidden_sizes", found: format!("{} sizes", sizes.len()), expected });
    }
    let mut all = node.step(Op::MatMul(quantrain_graph::op::MatMul), vec![x, weights])?;
    if let Some(bias) = bias {
        all = node.step(Op::Binary(Binary::Add), vec![all, bias])?;
    }
    let mut from = 0;
    let mut parts = Vec::with_capacity(3);
    for size in sizes {
        parts.push(part(node, &all, -1, from, size)?);
        from += size;
    }
    let parts = <[Operand; 3]>::try_from(parts).map_err(|_| NodeError::NotFolded)?;
    attended(node, parts, [Some(heads); 2], scores, true)
}

fn multi_head_attention(node: &mut NodeReader) -> Result<(), NodeError> {
    let heads = node.int("num_heads")?.ok_or(NodeError::AttributeMissing { attribute: "num_heads" })?;
    let heads = extent("num_heads", heads)?;
    let packed = "query, key and value apart, of three or four axes";
    let mut parts = Vec::with_capacity(3);
    for position in 0..3 {
        let x = node.optional(position)?.filter(|x| matches!(node.shape(x).rank(), 3 | 4));
        parts.push(x.ok_or_else(|| NodeError::Value {
            what: "query, key or value",
            found: "packed into one".into(),
            expected: packed.into(),
        })?);
    }
    without_past(node, &[6, 7, 8, 9])?;
    let scores = scores(node, 4, 5)?;
    if let Some(bias) = node.optional(3)? {
        let mut from = 0;
        for x in &mut parts {
            let size = node.shape(x).0.last().and_then(|d| d.fixed()).unwrap_or(0);
            let own = part(node, &bias, 0, from, size)?;
            *x = node.step(Op::Binary(Binary::Add), vec![x.clone(), own])?;
            from += size;
        }
    }
    let parts = <[Operand; 3]>::try_from(parts).map_err(|_| NodeError::NotFolded)?;
    attended(node, parts, [Some(heads); 2], scores, true)
}

/// Some elements of an axis.
fn part(node: &mut NodeReader, x: &Operand, axis: i64, from: usize, size: usize) -> Result<Operand, NodeError> {
    let at = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let op = Slice { starts: vec![at(from)], ends: vec![at(from + size)], axes: vec![axis], steps: vec![1] };
    node.step(Op::Slice(op), vec![x.clone()])
}

/// What both operators do with scores: a mask of keys and a bias by their positions.
fn scores(node: &mut NodeReader, mask: usize, bias: usize) -> Result<Scores, NodeError> {
    let unseen = node.float("mask_filter_value")?.unwrap_or(-10_000.0);
    let causal = node.flag("unidirectional", false)?;
    let scale = node.float("scale")?.filter(|&scale| scale != 0.0);
    let mut added = Vec::new();
    if let Some(seen) = node.optional(mask)? {
        added.push(of_keys(node, seen, unseen)?);
    }
    added.extend(node.optional(bias)?);
    Ok(Scores { scale, cap: 0.0, causal, added })
}

/// What is added to scores for a mask `[N, keys]` of truths or of integers that are not 0 where a key is seen.
fn of_keys(node: &mut NodeReader, seen: Operand, unseen: f32) -> Result<Operand, NodeError> {
    let shape = node.shape(&seen);
    let [n, keys] = shape.0[..] else {
        let expected = "a mask of [N, keys]".into();
        return Err(NodeError::Value { what: "mask", found: format!("a tensor {shape}"), expected });
    };
    let one = Dim::Fixed(1);
    if let Operand::Constant { value, .. } = &seen {
        let values = value.truths().values.iter().map(|&t| if t == super::number::Number::Fixed(0) { unseen } else { 0.0 }).collect();
        let array = Array { shape: Shape(vec![n, one, one, keys]).at(1), values };
        return Ok(Operand::Constant { name: node.invented(&format!("{}.mask", node.output()?)), value: Constant::Floats(array) });
    }
    let extents = vec![Extent::Copy, Extent::Is(one), Extent::Is(one), Extent::Is(keys)];
    let seen = node.step(Op::Reshape(Reshape { extents }), vec![seen])?;
    let (zero, unseen) = (number(node, 0.0, "seen")?, number(node, unseen, "unseen")?);
    node.step(Op::Where(Where), vec![seen, zero, unseen])
}
