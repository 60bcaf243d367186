//! `x·sigmoid(x)`, `x·relu6(x + 3)/6` and their kin, several nodes → one activation, quantized once, at its output.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::arithmetic::{Affine, Product, is, producer};
use super::{Input, Linked, Pass, Patch, Step};
use crate::Op;
use crate::graph::{NodeId, TensorId};
use crate::op::{Activation, Binary};

/// Recognises activations that exporters spell out: SiLU, HardSwish, HardSigmoid, Mish and Gelu.
///
/// Constants may be initializers or nodes, on either side; 6 a divisor or 1/6 a factor, before or after the product with x.
#[derive(Clone, Copy, Debug, Default)]
pub struct FuseActivations;

impl Pass for FuseActivations {
    fn name(&self) -> &'static str {
        "fuse activations"
    }

    fn find(&self, graph: &Linked, at: NodeId) -> Option<Patch> {
        let found = match graph.node(at).op {
            Op::Binary(Binary::Mul | Binary::Div) => Product::ending_at(graph, at).and_then(|p| of_product(graph, p)),
            Op::Activation(Activation::Clip { .. }) => {
                // Without a slope it is an addition with a clip.
                let clip = hard_sigmoid(graph, graph.node(at).output, 1.0);
                clip.filter(|f| !matches!(f.activation, Activation::HardSigmoid { alpha: 1.0, .. }))
            }
            _ => None,
        };
        let found = found?;
        let step = Step { op: Op::Activation(found.activation), inputs: vec![Input::Tensor(found.x)] };
        Some(Patch::ending_at(at, found.nodes, vec![step]))
    }
}

/// A function of x, and the nodes that compute it.
struct Found {
    activation: Activation,
    x: TensorId,
    nodes: Vec<NodeId>,
}

fn of_product(graph: &Linked, product: Product) -> Option<Found> {
    let found = match product.factors[..] {
        // A clip alone, scaled.
        [clip] if product.scale != 1.0 => hard_sigmoid(graph, clip, product.scale),
        [a, b] => gated(graph, a, b, product.scale).or_else(|| gated(graph, b, a, product.scale)),
        _ => None,
    };
    found.map(|mut f| {
        f.nodes.extend(product.nodes);
        f
    })
}

/// `scale·clamp(p·x + q, 0, h)`, where it reaches from 0 to 1.
fn hard_sigmoid(graph: &Linked, clip: TensorId, scale: f64) -> Option<Found> {
    let (id, Op::Activation(Activation::Clip { min: 0.0, max }), inputs) = producer(graph, clip)? else { return None };
    let f = Affine::of(graph, *inputs.first()?);
    let (alpha, beta) = ((scale * f.slope) as f32, (scale * f.offset) as f32);
    let fits = is(scale * f64::from(*max), 1.0) && !f.nodes.is_empty() && alpha.is_finite() && beta.is_finite();
    fits.then(|| Found { activation: Activation::HardSigmoid { alpha, beta }, x: f.x, nodes: [vec![id], f.nodes].concat() })
}

/// `scale·x·gate`
fn gated(graph: &Linked, x: TensorId, gate: TensorId, scale: f64) -> Option<Found> {
    let whole = is(scale, 1.0);
    let hard = |alpha: f64, beta: f64| is(alpha, 1.0 / 6.0) && is(beta, 0.5);
    let (id, op, inputs) = producer(graph, gate)?;
    let reads_x = inputs == [x];
    let (activation, nodes) = match *op {
        Op::Activation(Activation::Sigmoid) if whole && reads_x => (Activation::Silu, vec![id]),
        Op::Activation(Activation::HardSigmoid { alpha, beta }) if whole && reads_x && hard(alpha.into(), beta.into()) => {
            (Activation::HardSwish, vec![id])
        }
        Op::Activation(Activation::Clip { .. }) => {
            let clip = hard_sigmoid(graph, gate, scale).filter(|f| f.x == x)?;
            let Activation::HardSigmoid { alpha, beta } = clip.activation else { return None };
            (Activation::HardSwish, Some(clip.nodes).filter(|_| hard(alpha.into(), beta.into()))?)
        }
        Op::Activation(Activation::Tanh) if whole => (Activation::Mish, [vec![id], softplus(graph, *inputs.first()?, x)?].concat()),
        // (1 + f)/2, f odd.
        Op::Binary(_) => {
            let f = Affine::of(graph, gate);
            let (tanh, inside) = odd(graph, f.x, x).filter(|_| is(scale * f.slope, 0.5) && is(scale * f.offset, 0.5))?;
            (Activation::Gelu { tanh }, [f.nodes, inside].concat())
        }
        _ => return None,
    };
    Some(Found { activation, x, nodes })
}

/// The nodes of `ln(1 + exp(x))`.
fn softplus(graph: &Linked, y: TensorId, x: TensorId) -> Option<Vec<NodeId>> {
    let (last, op, inputs) = producer(graph, y)?;
    match op {
        Op::Activation(Activation::Softplus) if inputs == [x] => Some(vec![last]),
        Op::Activation(Activation::Log) => {
            let sum = Affine::of(graph, *inputs.first()?);
            let (exp, Op::Activation(Activation::Exp), inputs) = producer(graph, sum.x)? else { return None };
            let fits = inputs == [x] && is(sum.slope, 1.0) && is(sum.offset, 1.0);
            fits.then(|| [vec![last, exp], sum.nodes].concat())
        }
        _ => None,
    }
}

/// The nodes of `erf(x/√2)`, or of its approximation by tanh, which is `true`.
fn odd(graph: &Linked, y: TensorId, x: TensorId) -> Option<(bool, Vec<NodeId>)> {
    let (last, Op::Activation(function), inputs) = producer(graph, y)? else { return None };
    let argument = Affine::of(graph, *inputs.first()?);
    let nodes = [vec![last], argument.nodes].concat();
    if argument.offset != 0.0 {
        return None;
    }
    match function {
        Activation::Erf if argument.x == x && is(argument.slope, FRAC_1_SQRT_2) => Some((false, nodes)),
        Activation::Tanh if is(argument.slope, (2.0 / PI).sqrt()) => Some((true, [nodes, cubic(graph, argument.x, x)?].concat())),
        _ => None,
    }
}

/// The nodes of `x + 0.044715·x³`.
fn cubic(graph: &Linked, y: TensorId, x: TensorId) -> Option<Vec<NodeId>> {
    let (last, Op::Binary(Binary::Add), inputs) = producer(graph, y)? else { return None };
    let &other = inputs.iter().find(|&&t| t != x).filter(|_| inputs.contains(&x))?;
    let scaled = Affine::of(graph, other);
    let nodes = [vec![last], scaled.nodes, cube(graph, scaled.x, x)?].concat();
    (scaled.offset == 0.0 && is(scaled.slope, 0.044_715)).then_some(nodes)
}

/// The nodes of `x³`: a power, or two products.
fn cube(graph: &Linked, y: TensorId, x: TensorId) -> Option<Vec<NodeId>> {
    let (last, op, inputs) = producer(graph, y)?;
    match op {
        Op::Activation(Activation::Pow { exponent: 3.0 }) if inputs == [x] => Some(vec![last]),
        Op::Binary(Binary::Mul) => {
            let &square = inputs.iter().find(|&&t| t != x).filter(|_| inputs.contains(&x))?;
            let (first, op, inputs) = producer(graph, square)?;
            let is_square = match op {
                Op::Binary(Binary::Mul) => inputs == [x, x],
                Op::Activation(Activation::Pow { exponent: 2.0 }) => inputs == [x],
                _ => false,
            };
            is_square.then(|| vec![last, first])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
