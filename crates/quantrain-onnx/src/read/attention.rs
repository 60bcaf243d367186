//! Attention of operator set 23, read as its parts: products, a Softmax, and what is done to scores between them.

use quantrain_graph::op::{Activation, Binary, Extent, Gather, MatMul, Reshape, Softmax, Transpose, Where};
use quantrain_graph::{Dim, Op};

use super::array::{Array, Constant, broadcast, broadcast_shape};
use super::cast::{comes_from, is_truth};
use super::node::{NodeReader, Operand, extent};
use super::number::Number;
use crate::NodeError;

/// What is added to the scores of keys that a query does not see: beyond any score, and finite, as sums of it are.
const UNSEEN: f32 = -1e9;

/// What is done to scores between the products.
pub(super) struct Scores {
    /// `None` is 1 over the root of a head's size.
    pub scale: Option<f32>,
    /// 0 is none.
    pub cap: f32,
    /// Queries see no keys behind them.
    pub causal: bool,
    /// Added in this order.
    pub added: Vec<Operand>,
}

pub(super) fn attention(node: &mut NodeReader) -> Result<(), NodeError> {
    let parts = [node.operand(0)?, node.operand(1)?, node.operand(2)?];
    let joined = node.shape(&parts[0]).rank() == 3;
    let counts = [count(node, "q_num_heads", joined)?, count(node, "kv_num_heads", joined)?];
    let (scale, cap, causal) = (node.float("scale")?, node.float("softcap")?.unwrap_or(0.0), node.flag("is_causal", false)?);
    // Ours is never less than float.
    node.int("softmax_precision")?;
    // Of an output that is not made.
    node.int("qk_matmul_output_mode")?;
    without_past(node, &[4, 5])?;
    let added = given(node, 3)?.into_iter().collect();
    attended(node, parts, counts, Scores { scale, cap, causal, added }, joined)
}

/// Refuses inputs that hold keys and values of steps before.
pub(super) fn without_past(node: &mut NodeReader, positions: &[usize]) -> Result<(), NodeError> {
    match positions.iter().find_map(|&position| node.input_name(position)) {
        Some(name) => {
            let expected = "no keys and values of steps before; export the network without a cache (use_cache=False)".into();
            Err(NodeError::Value { what: "past", found: name.into(), expected })
        }
        None => Ok(()),
    }
}

/// `softmax(cap(scale·Q·Kᵀ) + masks)·V` for each head, in the operator's order; heads lie in the last axis of inputs of three axes, and, where
/// they are joined, of the result.
pub(super) fn attended(
    node: &mut NodeReader,
    [q, k, v]: [Operand; 3],
    counts: [Option<usize>; 2],
    Scores { scale, cap, causal, added }: Scores,
    joined: bool,
) -> Result<(), NodeError> {
    let (q, k, v) = (heads(node, q, counts[0], false)?, heads(node, k, counts[1], true)?, heads(node, v, counts[1], false)?);
    let (of_query, of_keys) = (fixed(node, &q, "Q")?, fixed(node, &k, "K")?);
    let ([query_heads, queries, size], [key_heads, _, keys]) = (of_query, of_keys);
    let (k, v) = (shared(node, k, key_heads, query_heads)?, shared(node, v, key_heads, query_heads)?);
    #[expect(clippy::as_conversions, reason = "a head is no larger than what a float holds")]
    let scale = scale.unwrap_or_else(|| 1.0 / (size as f32).sqrt());
    let q = with(node, Binary::Mul, q, scale, "scale")?;
    let mut scores = node.step(Op::MatMul(MatMul), vec![q, k])?;
    if cap > 0.0 {
        let divided = with(node, Binary::Mul, scores, 1.0 / cap, "divisor")?;
        let bent = node.step(Op::Activation(Activation::Tanh), vec![divided])?;
        scores = with(node, Binary::Mul, bent, cap, "cap")?;
    }
    for mask in masks(node, added, causal.then_some([queries, keys]))? {
        scores = node.step(Op::Binary(Binary::Add), vec![scores, mask])?;
    }
    let weights = node.step(Op::Softmax(Softmax::along(-1)), vec![scores])?;
    if !joined {
        return node.add(Op::MatMul(MatMul), vec![weights, v]);
    }
    let y = node.step(Op::MatMul(MatMul), vec![weights, v])?;
    let [_, _, out] = fixed(node, &y, "Y")?;
    let y = node.step(Op::Transpose(Transpose { permutation: vec![0, 2, 1, 3] }), vec![y])?;
    let extents = vec![Extent::Copy, Extent::Copy, Extent::Is(Dim::Fixed(query_heads.saturating_mul(out)))];
    node.add(Op::Reshape(Reshape { extents }), vec![y])
}

/// The number of heads; inputs of four axes say it themselves.
fn count(node: &mut NodeReader, attribute: &'static str, joined: bool) -> Result<Option<usize>, NodeError> {
    match node.int(attribute)? {
        Some(count) => extent(attribute, count).map(Some),
        None if joined => Err(NodeError::AttributeMissing { attribute }),
        None => Ok(None),
    }
}

/// `[N, heads, rows, size]` of an input that may have its heads in the last axis, or `[N, heads, size, rows]`.
fn heads(node: &mut NodeReader, x: Operand, count: Option<usize>, turned: bool) -> Result<Operand, NodeError> {
    let shape = node.shape(&x);
    let permutation = match (shape.rank(), count, turned) {
        (4, _, false) => return Ok(x),
        (4, _, true) => vec![0, 1, 3, 2],
        (3, Some(_), false) => vec![0, 2, 1, 3],
        (3, Some(_), true) => vec![0, 2, 3, 1],
        _ => return Err(wrong("an input", shape.to_string(), "three or four axes, as many for each input".into())),
    };
    let x = match count.filter(|_| shape.rank() == 3) {
        None => x,
        Some(count) => {
            let whole = shape.0.last().and_then(|d| d.fixed()).filter(|whole| whole.is_multiple_of(count));
            let whole = whole.ok_or_else(|| wrong("an input", shape.to_string(), format!("{count} heads in its last axis")))?;
            let extents = vec![Extent::Copy, Extent::Copy, Extent::Is(Dim::Fixed(count)), Extent::Is(Dim::Fixed(whole / count))];
            node.step(Op::Reshape(Reshape { extents }), vec![x])?
        }
    };
    node.step(Op::Transpose(Transpose { permutation }), vec![x])
}

/// The extents behind the batch.
fn fixed(node: &NodeReader, x: &Operand, what: &'static str) -> Result<[usize; 3], NodeError> {
    let shape = node.shape(x);
    let extents: Option<Vec<usize>> = shape.0.iter().skip(1).map(|d| d.fixed()).collect();
    let extents = extents.and_then(|e| <[usize; 3]>::try_from(e).ok());
    extents.ok_or_else(|| wrong(what, shape.to_string(), "heads, rows and sizes that do not depend on the batch".into()))
}

/// Keys or values once for each head of queries: each of theirs serves as many in turn.
fn shared(node: &mut NodeReader, x: Operand, from: usize, to: usize) -> Result<Operand, NodeError> {
    if from == to {
        return Ok(x);
    }
    if from == 0 || !to.is_multiple_of(from) {
        return Err(wrong("kv_num_heads", from.to_string(), format!("a divisor of the {to} heads of queries")));
    }
    let indices = (0..to).map(|head| head * from / to).collect();
    node.step(Op::Gather(Gather { axis: 1, indices }), vec![x])
}

/// What is added to scores for the mask given.
fn given(node: &mut NodeReader, position: usize) -> Result<Option<Operand>, NodeError> {
    Ok(match node.optional(position)? {
        // A truth: where it holds, the key is seen.
        Some(Operand::Constant { name, value: Constant::Integers(seen) }) => {
            let value = Constant::Floats(seen.map(|n| if n == Number::Fixed(0) { UNSEEN } else { 0.0 }));
            Some(Operand::Constant { name: node.invented(&format!("{name}.added")), value })
        }
        Some(Operand::Activation(seen)) if comes_from(node.model.builder.graph(), seen, is_truth) => {
            let (zero, unseen) = (number(node, 0.0, "seen")?, number(node, UNSEEN, "unseen")?);
            Some(node.step(Op::Where(Where), vec![Operand::Activation(seen), zero, unseen])?)
        }
        given => given,
    })
}

/// The masks, and that of a causal attention; as one where it meets one constant.
fn masks(node: &mut NodeReader, mut given: Vec<Operand>, causal: Option<[usize; 2]>) -> Result<Vec<Operand>, NodeError> {
    let Some([queries, keys]) = causal else { return Ok(given) };
    node.spend(queries.saturating_mul(keys))?;
    let values = (0..queries).flat_map(|q| (0..keys).map(move |k| if k > q { UNSEEN } else { 0.0 })).collect();
    let causal = Array { shape: vec![queries, keys], values };
    let both = match &given[..] {
        [Operand::Constant { value: Constant::Floats(given), .. }] => {
            let shape = broadcast_shape(node.name(), &given.shape, &causal.shape, node.model.budget)?;
            Some(broadcast(given, &causal, shape, |a, b| Ok(a + b))?)
        }
        _ => None,
    };
    let name = node.invented(&format!("{}.mask", node.output()?));
    if both.is_some() {
        given.clear();
    }
    given.push(Operand::Constant { name, value: Constant::Floats(both.unwrap_or(causal)) });
    Ok(given)
}

fn with(node: &mut NodeReader, op: Binary, x: Operand, by: f32, what: &str) -> Result<Operand, NodeError> {
    let by = number(node, by, what)?;
    node.step(Op::Binary(op), vec![x, by])
}

/// A constant of one value, named for what it is.
pub(super) fn number(node: &mut NodeReader, value: f32, what: &str) -> Result<Operand, NodeError> {
    let name = node.invented(&format!("{}.{what}", node.output()?));
    Ok(Operand::Constant { name, value: Constant::Floats(Array { shape: Vec::new(), values: vec![value] }) })
}

fn wrong(what: &'static str, found: String, expected: String) -> NodeError {
    NodeError::Value { what, found, expected }
}
