//! Operators of two and more tensors; between constants, integers of shape arithmetic included, they are folded.

use quantrain_graph::Op;
use quantrain_graph::op::{Activation, Binary};

use super::array::{Array, Constant, broadcast, broadcast_shape};
use super::cast::divide;
use super::expand::{add_repeated, unexpanded};
use super::node::{NodeReader, Operand};
use super::number;
use super::quantize::extreme_of_codes;
use crate::NodeError;

pub(super) fn add(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Add)
}

pub(super) fn sub(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Sub)
}

pub(super) fn mul(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::Mul)
}

pub(super) fn div(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    divide(node, operands)
}

pub(super) fn prelu(node: &mut NodeReader) -> Result<(), NodeError> {
    binary(node, Binary::PRelu)
}

pub(super) fn min(node: &mut NodeReader) -> Result<(), NodeError> {
    if extreme_of_codes(node, false)? { Ok(()) } else { variadic(node, Binary::Min) }
}

pub(super) fn max(node: &mut NodeReader) -> Result<(), NodeError> {
    if extreme_of_codes(node, true)? { Ok(()) } else { variadic(node, Binary::Max) }
}

pub(super) fn sum(node: &mut NodeReader) -> Result<(), NodeError> {
    variadic(node, Binary::Add)
}

/// The sum of all operands, divided by their number.
pub(super) fn mean(node: &mut NodeReader) -> Result<(), NodeError> {
    let mut operands = node.operands(0)?.into_iter();
    let count = number::to_f32(i64::try_from(operands.len()).unwrap_or(i64::MAX));
    let mut sum = operands.next().ok_or(NodeError::InputMissing { position: 0 })?;
    for operand in operands {
        sum = node.step(Op::Binary(Binary::Add), vec![sum, operand])?;
    }
    let count = Operand::Constant { name: format!("{}.count", node.output()?), value: Constant::Floats(Array::scalar(count)) };
    node.add(Op::Binary(Binary::Div), vec![sum, count])
}

/// One exponent for all elements makes a function of one tensor; exponents of floats may be integers.
pub(super) fn pow(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let exponent = match (&x, node.operand(1)?) {
        (Operand::Constant { value: Constant::Integers(_), .. }, exponent) => exponent,
        (_, exponent) => exponent.into_floats()?,
    };
    match (&x, &exponent) {
        // An exponent of more axes would add them to the result.
        (Operand::Activation(_), Operand::Constant { value: Constant::Floats(a), .. })
            if a.values.len() == 1 && a.shape.len() <= node.shape(&x).rank() =>
        {
            let exponent = a.single().unwrap_or(1.0);
            node.add(Op::Activation(Activation::Pow { exponent }), vec![x])
        }
        _ => node.add(Op::Binary(Binary::Pow), vec![x, exponent]),
    }
}

/// `a − b·⌊a/b⌋`, or with `fmod` the quotient cut instead: the sign is b's, or a's.
pub(super) fn modulo(node: &mut NodeReader) -> Result<(), NodeError> {
    let cuts = node.flag("fmod", false)?;
    let operands = <[Operand; 2]>::try_from(node.operands(0)?).map_err(|all| NodeError::InputMissing { position: all.len() })?;
    if let [Operand::Constant { value: Constant::Integers(a), .. }, Operand::Constant { value: Constant::Integers(b), .. }] = &operands {
        let shape = broadcast_shape(node.name(), &a.shape, &b.shape, node.model.budget)?;
        let rest = broadcast(a, b, shape, |a, b| a.remainder(b, cuts))?;
        return node.define_constant(Constant::Integers(rest));
    }
    let [a, b] = operands;
    let (a, b) = (a.into_floats()?, b.into_floats()?);
    let quotient = node.step(Op::Binary(Binary::Div), vec![a.clone(), b.clone()])?;
    let whole = node.step(Op::Activation(if cuts { Activation::Trunc } else { Activation::Floor }), vec![quotient])?;
    let before = node.step(Op::Binary(Binary::Mul), vec![whole, b])?;
    node.add(Op::Binary(Binary::Sub), vec![a, before])
}

/// Of more than two operands each joins the result so far.
fn variadic(node: &mut NodeReader, op: Binary) -> Result<(), NodeError> {
    let mut operands = node.operands(0)?;
    if operands.len() == 1 {
        return node.add(Op::Identity, operands);
    }
    if operands.len() == 2 {
        return add_repeated(node, Op::Binary(op), operands);
    }
    operands = unexpanded(node, operands)?;
    let last = operands.pop().ok_or(NodeError::InputMissing { position: 0 })?;
    let mut rest = operands.into_iter();
    let mut joined = rest.next().ok_or(NodeError::InputMissing { position: 1 })?;
    for operand in rest {
        joined = node.step(Op::Binary(op), vec![joined, operand])?;
    }
    node.add(Op::Binary(op), vec![joined, last])
}

fn binary(node: &mut NodeReader, op: Binary) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    add_repeated(node, Op::Binary(op), operands)
}
