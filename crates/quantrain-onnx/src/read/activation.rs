//! Functions of each element.

use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{Dim, Op};

use super::array::{Array, Constant};
use super::node::{NodeReader, Operand};
use super::quantize::{clip_codes, relu_codes};
use crate::NodeError;

/// Readers of functions without attributes.
macro_rules! functions {
    ($($name:ident $function:ident,)*) => {
        $(pub(super) fn $name(node: &mut NodeReader) -> Result<(), NodeError> {
            add(node, Activation::$function)
        })*
    };
}

functions! {
    sigmoid Sigmoid,
    hard_swish HardSwish,
    tanh Tanh,
    softplus Softplus,
    mish Mish,
    exp Exp,
    log Log,
    sqrt Sqrt,
    reciprocal Reciprocal,
    neg Neg,
    abs Abs,
    erf Erf,
    sin Sin,
    cos Cos,
    softsign Softsign,
    floor Floor,
    ceil Ceil,
    round Round,
    sign Sign,
}

pub(super) fn relu(node: &mut NodeReader) -> Result<(), NodeError> {
    if relu_codes(node)? { Ok(()) } else { add(node, Activation::Relu) }
}

pub(super) fn elu(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = finite("alpha", node.float("alpha")?.unwrap_or(1.0))?;
    add(node, Activation::Elu { alpha })
}

pub(super) fn selu(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = finite("alpha", node.float("alpha")?.unwrap_or(1.673_263_2))?;
    let gamma = finite("gamma", node.float("gamma")?.unwrap_or(1.050_701))?;
    add(node, Activation::Selu { alpha, gamma })
}

pub(super) fn celu(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = finite("alpha", node.float("alpha")?.unwrap_or(1.0))?;
    if alpha == 0.0 {
        return Err(NodeError::Value { what: "alpha", found: alpha.to_string(), expected: "another number than 0".into() });
    }
    add(node, Activation::Celu { alpha })
}

pub(super) fn swish(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = node.float("alpha")?.unwrap_or(1.0);
    gated(node, alpha)
}

/// `x·sigmoid(alpha·x)`, x the node's input.
pub(super) fn gated(node: &mut NodeReader, alpha: f32) -> Result<(), NodeError> {
    let alpha = finite("alpha", alpha)?;
    if alpha == 1.0 {
        return add(node, Activation::Silu);
    }
    let x = node.operand(0)?;
    let slope = Constant::Floats(Array { shape: Vec::new(), values: vec![alpha] });
    let slope = Operand::Constant { name: node.invented(&format!("{}.alpha", node.output()?)), value: slope };
    let scaled = node.step(Op::Binary(Binary::Mul), vec![x.clone(), slope])?;
    let gate = node.step(Op::Activation(Activation::Sigmoid), vec![scaled])?;
    node.add(Op::Binary(Binary::Mul), vec![x, gate])
}

pub(super) fn gelu(node: &mut NodeReader) -> Result<(), NodeError> {
    match node.string("approximate")?.as_deref() {
        None | Some("none") => add(node, Activation::Gelu { tanh: false }),
        Some("tanh") => add(node, Activation::Gelu { tanh: true }),
        Some(other) => Err(NodeError::Value { what: "approximate", found: other.into(), expected: "none or tanh".into() }),
    }
}

pub(super) fn leaky_relu(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = node.float("alpha")?.unwrap_or(0.01);
    add(node, Activation::LeakyRelu { alpha: finite("alpha", alpha)? })
}

pub(super) fn thresholded_relu(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = finite("alpha", node.float("alpha")?.unwrap_or(1.0))?;
    add(node, Activation::ThresholdedRelu { alpha })
}

pub(super) fn shrink(node: &mut NodeReader) -> Result<(), NodeError> {
    let bias = finite("bias", node.float("bias")?.unwrap_or(0.0))?;
    let lambd = finite("lambd", node.float("lambd")?.unwrap_or(0.5))?;
    if lambd < 0.0 {
        return Err(NodeError::Value { what: "lambd", found: lambd.to_string(), expected: "a number of at least 0".into() });
    }
    add(node, Activation::Shrink { bias, lambd })
}

pub(super) fn hard_sigmoid(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = finite("alpha", node.float("alpha")?.unwrap_or(0.2))?;
    let beta = finite("beta", node.float("beta")?.unwrap_or(0.5))?;
    add(node, Activation::HardSigmoid { alpha, beta })
}

/// Limits are attributes before operator set 11, inputs since; a missing one is infinite, and so is f32's largest number. A limit that is
/// computed makes a Max or a Min.
pub(super) fn clip(node: &mut NodeReader) -> Result<(), NodeError> {
    if clip_codes(node)? {
        return Ok(());
    }
    let limits = if node.opset() < 11 {
        let limit =
            |value: Option<f32>| value.map(|v| Operand::Constant { name: String::new(), value: Constant::Floats(Array::scalar(v)) });
        [limit(node.float("min")?), limit(node.float("max")?)]
    } else {
        [node.optional(1)?, node.optional(2)?]
    };
    let x = node.operand(0)?;
    if limits.iter().flatten().any(|limit| matches!(limit, Operand::Activation(_))) {
        return clip_between(node, x, limits);
    }
    let [min, max] = limits;
    let open = |limit: f32| if limit.abs() == f32::MAX { f32::INFINITY.copysign(limit) } else { limit };
    let (min, max) = (open(number("min", min)?.unwrap_or(f32::NEG_INFINITY)), open(number("max", max)?.unwrap_or(f32::INFINITY)));
    if min.is_nan() || max.is_nan() || min > max {
        return Err(NodeError::Value { what: "min", found: min.to_string(), expected: format!("at most max, which is {max}") });
    }
    node.add(Op::Activation(Activation::Clip { min, max }), vec![x])
}

/// `min(max(x, lower), upper)`, the limits tensors of one value.
fn clip_between(node: &mut NodeReader, x: Operand, [lower, upper]: [Option<Operand>; 2]) -> Result<(), NodeError> {
    for limit in [&lower, &upper].into_iter().flatten() {
        let shape = node.shape(limit);
        if shape.0.iter().any(|&d| d != Dim::Fixed(1)) {
            return Err(NodeError::Value { what: "min or max", found: format!("a tensor {shape}"), expected: "one value".into() });
        }
    }
    match (lower, upper) {
        (Some(lower), Some(upper)) => {
            let raised = node.step(Op::Binary(Binary::Max), vec![x, lower])?;
            node.add(Op::Binary(Binary::Min), vec![raised, upper])
        }
        (Some(lower), None) => node.add(Op::Binary(Binary::Max), vec![x, lower]),
        (None, Some(upper)) => node.add(Op::Binary(Binary::Min), vec![x, upper]),
        (None, None) => node.add(Op::Identity, vec![x]),
    }
}

/// The one value of a constant.
fn number(what: &'static str, limit: Option<Operand>) -> Result<Option<f32>, NodeError> {
    let wrong = |found: String| NodeError::Value { what, found, expected: "one number".into() };
    match limit {
        None => Ok(None),
        Some(Operand::Constant { value: Constant::Floats(a), .. }) => {
            a.single().map(Some).ok_or_else(|| wrong(format!("{} values", a.values.len())))
        }
        Some(Operand::Constant { name, .. }) => Err(NodeError::NotFloat { tensor: name }),
        Some(Operand::Activation(_)) => Err(wrong("a tensor".into())),
    }
}

fn finite(what: &'static str, value: f32) -> Result<f32, NodeError> {
    if value.is_finite() { Ok(value) } else { Err(NodeError::Value { what, found: value.to_string(), expected: "a finite number".into() }) }
}

fn add(node: &mut NodeReader, activation: Activation) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    node.add(Op::Activation(activation), vec![x])
}
