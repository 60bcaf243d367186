//! Comparisons, what joins truths, and choices. Between constants, as shape arithmetic has them, they are folded, and a truth is an integer,
//! 0 or 1; between activations a truth is 0.0 or 1.0.

use std::cmp::Ordering;

use quantrain_graph::Op;
use quantrain_graph::op::{Activation, Binary, Relation, Where};

use super::array::{Array, Constant, broadcast, broadcast_shape};
use super::expand::unexpanded;
use super::node::{NodeReader, Operand};
use super::number::Number;
use super::shape::folded;
use crate::NodeError;
use crate::error::listed;

/// Readers of relations: those of numbers are orderings, those of truths functions.
macro_rules! relations {
    ($($name:ident $relation:ident $fold:ident $function:expr;)*) => {
        $(pub(super) fn $name(node: &mut NodeReader) -> Result<(), NodeError> {
            match activations(node)? {
                Some(operands) => node.add(Op::Binary(Binary::Relation(Relation::$relation)), operands),
                None => $fold(node, $function),
            }
        })*
    };
}

relations! {
    equal Equal compare Ordering::is_eq;
    greater Greater compare Ordering::is_gt;
    less Less compare Ordering::is_lt;
    greater_or_equal GreaterOrEqual compare Ordering::is_ge;
    less_or_equal LessOrEqual compare Ordering::is_le;
    and And join |a, b| a && b;
    or Or join |a, b| a || b;
    xor Xor join |a, b| a != b;
}

/// All operands, constants as floats, where some are activations.
fn activations(node: &mut NodeReader) -> Result<Option<Vec<Operand>>, NodeError> {
    let operands = node.operands(0)?;
    if operands.iter().all(|o| matches!(o, Operand::Constant { .. })) {
        return Ok(None);
    }
    let operands = operands.into_iter().map(Operand::into_floats).collect::<Result<_, _>>()?;
    unexpanded(node, operands).map(Some)
}

fn compare(node: &mut NodeReader, holds: fn(Ordering) -> bool) -> Result<(), NodeError> {
    let (a, b) = (folded(node, 0)?, folded(node, 1)?);
    let shape = broadcast_shape(node.name(), a.shape(), b.shape(), node.model.budget)?;
    let truth = |order: Ordering| Number::Fixed(i64::from(holds(order)));
    let values = match (&a, &b) {
        (Constant::Integers(a), Constant::Integers(b)) => broadcast(a, b, shape, |a, b| a.order(b).map(truth))?,
        (Constant::Floats(a), Constant::Floats(b)) => {
            // NaN is in no order with anything.
            let truth = |a: Option<f32>, b: Option<f32>| a.partial_cmp(&b).filter(|&o| holds(o));
            let found = broadcast(&a.map(Some), &b.map(Some), shape, |a, b| Ok(truth(a, b).and(Some(1.0))))?;
            found.map(|t| Number::Fixed(i64::from(t.is_some())))
        }
        _ => return Err(NodeError::NotFolded),
    };
    node.define_constant(Constant::Integers(values))
}

pub(super) fn not(node: &mut NodeReader) -> Result<(), NodeError> {
    if let Some(operands) = activations(node)? {
        return node.add(Op::Activation(Activation::Not), operands);
    }
    let a = truths(node, 0)?;
    node.define_constant(Constant::Integers(a.map(|t| Number::Fixed(i64::from(!t)))))
}

pub(super) fn is_nan(node: &mut NodeReader) -> Result<(), NodeError> {
    find(node, Activation::IsNaN, f32::is_nan)
}

pub(super) fn is_inf(node: &mut NodeReader) -> Result<(), NodeError> {
    let (negative, positive) = (node.flag("detect_negative", true)?, node.flag("detect_positive", true)?);
    let counts = |x: f32| x.is_infinite() && if x < 0.0 { negative } else { positive };
    find(node, Activation::IsInf { negative, positive }, counts)
}

/// Whether each value is one of those that are no numbers.
fn find(node: &mut NodeReader, function: Activation, holds: impl Fn(f32) -> bool) -> Result<(), NodeError> {
    match node.operand(0)? {
        Operand::Constant { value: Constant::Floats(a), .. } => {
            node.define_constant(Constant::Integers(a.map(|x| Number::Fixed(i64::from(holds(x))))))
        }
        x => node.add(Op::Activation(function), vec![x]),
    }
}

fn join(node: &mut NodeReader, f: fn(bool, bool) -> bool) -> Result<(), NodeError> {
    let (a, b) = (truths(node, 0)?, truths(node, 1)?);
    let shape = broadcast_shape(node.name(), &a.shape, &b.shape, node.model.budget)?;
    let joined = broadcast(&a, &b, shape, |a, b| Ok(f(a, b)))?;
    node.define_constant(Constant::Integers(joined.map(|t| Number::Fixed(i64::from(t)))))
}

/// Of each element the second input's where the first holds, else the third's.
pub(super) fn choose(node: &mut NodeReader) -> Result<(), NodeError> {
    if let Some(operands) = activations(node)? {
        return node.add(Op::Where(Where), operands);
    }
    let (condition, a, b) = (truths(node, 0)?, folded(node, 1)?, folded(node, 2)?);
    let shape = broadcast_shape(node.name(), a.shape(), b.shape(), node.model.budget)?;
    let shape = broadcast_shape(node.name(), &condition.shape, &shape, node.model.budget)?;
    let chosen = match (&a, &b) {
        (Constant::Floats(a), Constant::Floats(b)) => Constant::Floats(chosen(&condition, a, b, &shape)?),
        (Constant::Integers(a), Constant::Integers(b)) => Constant::Integers(chosen(&condition, a, b, &shape)?),
        _ => return Err(NodeError::NotFolded),
    };
    node.define_constant(chosen)
}

fn chosen<T: Copy>(condition: &Array<bool>, a: &Array<T>, b: &Array<T>, shape: &[usize]) -> Result<Array<T>, NodeError> {
    let condition = condition.map(|t| (t, None));
    let a = broadcast(&condition, &a.map(|v| (true, Some(v))), shape.to_vec(), |(t, _), (_, v)| Ok((t, v)))?;
    let pairs = broadcast(&a, &b.map(|v| (true, Some(v))), shape.to_vec(), |(t, a), (_, b)| Ok((t, if t { a } else { b })))?;
    let values = pairs.values.into_iter().filter_map(|(_, v)| v).collect();
    Ok(Array { shape: pairs.shape, values })
}

/// One side of a diagonal stays, the other becomes 0.
pub(super) fn trilu(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let upper = node.flag("upper", true)?;
    let k = match node.constant_ints(1)?.as_deref() {
        None => 0,
        Some(&[k]) => k,
        Some(other) => return Err(NodeError::Value { what: "k", found: listed(other), expected: "one number".into() }),
    };
    let shape = node.shape(&x);
    let extents = shape.0.iter().rev().take(2).map(|d| d.fixed()).collect::<Option<Vec<_>>>();
    let Some(&[columns, rows]) = extents.as_deref() else {
        return Err(NodeError::Value { what: "input", found: shape.to_string(), expected: "matrices of a fixed size".into() });
    };
    node.spend(rows.saturating_mul(columns))?;
    let index = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let stays = |i: usize| {
        let behind = index(i % columns).saturating_sub(index(i / columns));
        if upper { behind >= k } else { behind <= k }
    };
    let mask = Array { shape: vec![rows, columns], values: (0..rows * columns).map(stays).collect() };
    match x {
        Operand::Constant { value: Constant::Floats(a), .. } => {
            let shape = a.shape.clone();
            node.define_constant(Constant::Floats(chosen(&mask, &a, &Array::scalar(0.0), &shape)?))
        }
        Operand::Constant { value: Constant::Integers(a), .. } => {
            let shape = a.shape.clone();
            node.define_constant(Constant::Integers(chosen(&mask, &a, &Array::scalar(Number::Fixed(0)), &shape)?))
        }
        x => {
            let constant = |name: &str, array| Operand::Constant { name: name.into(), value: Constant::Floats(array) };
            let output = node.output()?;
            let mask = constant(&format!("{output}.mask"), mask.map(|t| f32::from(u8::from(t))));
            let zero = constant(&format!("{output}.zero"), Array::scalar(0.0));
            node.add(Op::Where(Where), vec![mask, x, zero])
        }
    }
}

fn truths(node: &mut NodeReader, position: usize) -> Result<Array<bool>, NodeError> {
    match folded(node, position)? {
        Constant::Integers(a) => Ok(a.map(|n| n != Number::Fixed(0))),
        Constant::Floats(_) | Constant::Reals(_) => {
            Err(NodeError::NotInteger { tensor: node.input_name(position).unwrap_or_default().into() })
        }
    }
}
