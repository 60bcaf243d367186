//! Functions of each element.

use quantrain_graph::Op;
use quantrain_graph::op::Activation;

use super::node::NodeReader;
use super::quantize::clip_codes;
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
    relu Relu,
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
    floor Floor,
    ceil Ceil,
    round Round,
    sign Sign,
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

pub(super) fn hard_sigmoid(node: &mut NodeReader) -> Result<(), NodeError> {
    let alpha = finite("alpha", node.float("alpha")?.unwrap_or(0.2))?;
    let beta = finite("beta", node.float("beta")?.unwrap_or(0.5))?;
    add(node, Activation::HardSigmoid { alpha, beta })
}

/// Limits are attributes before operator set 11, inputs since; a missing one is infinite, and so is f32's largest number.
pub(super) fn clip(node: &mut NodeReader) -> Result<(), NodeError> {
    if clip_codes(node)? {
        return Ok(());
    }
    let (min, max) =
        if node.opset() < 11 { (node.float("min")?, node.float("max")?) } else { (limit(node, 1, "min")?, limit(node, 2, "max")?) };
    let open = |limit: f32| if limit.abs() == f32::MAX { f32::INFINITY.copysign(limit) } else { limit };
    let (min, max) = (open(min.unwrap_or(f32::NEG_INFINITY)), open(max.unwrap_or(f32::INFINITY)));
    if min.is_nan() || max.is_nan() || min > max {
        return Err(NodeError::Value { what: "min", found: min.to_string(), expected: format!("at most max, which is {max}") });
    }
    add(node, Activation::Clip { min, max })
}

fn limit(node: &mut NodeReader, position: usize, what: &'static str) -> Result<Option<f32>, NodeError> {
    let Some(array) = node.constant_floats(position)? else { return Ok(None) };
    let wrong = || NodeError::Value { what, found: format!("{} values", array.values.len()), expected: "one value".into() };
    array.single().map(Some).ok_or_else(wrong)
}

fn finite(what: &'static str, value: f32) -> Result<f32, NodeError> {
    if value.is_finite() { Ok(value) } else { Err(NodeError::Value { what, found: value.to_string(), expected: "a finite number".into() }) }
}

fn add(node: &mut NodeReader, activation: Activation) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    node.add(Op::Activation(activation), vec![x])
}
