//! Truths of elements, 1 where something holds and 0 elsewhere, and the choice between two tensors by them.

use crate::{Shape, ShapeError};

/// What holds between two values, or not. Its derivative is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `a = b`
    Equal,
    /// `a < b`
    Less,
    /// `a ≤ b`
    LessOrEqual,
    /// `a > b`
    Greater,
    /// `a ≥ b`
    GreaterOrEqual,
    /// Both are true, which is other than 0.
    And,
    /// One of them is true.
    Or,
    /// Just one of them is true.
    Xor,
}

impl Relation {
    /// The name of the ONNX operator.
    pub fn name(self) -> &'static str {
        match self {
            Relation::Equal => "Equal",
            Relation::Less => "Less",
            Relation::LessOrEqual => "LessOrEqual",
            Relation::Greater => "Greater",
            Relation::GreaterOrEqual => "GreaterOrEqual",
            Relation::And => "And",
            Relation::Or => "Or",
            Relation::Xor => "Xor",
        }
    }

    /// Whether its operands are truths themselves.
    pub fn joins_truths(self) -> bool {
        matches!(self, Relation::And | Relation::Or | Relation::Xor)
    }

    /// Whether it holds; nothing is in any order with NaN.
    #[inline]
    pub fn holds(self, a: f32, b: f32) -> bool {
        match self {
            Relation::Equal => a == b,
            Relation::Less => a < b,
            Relation::LessOrEqual => a <= b,
            Relation::Greater => a > b,
            Relation::GreaterOrEqual => a >= b,
            Relation::And => a != 0.0 && b != 0.0,
            Relation::Or => a != 0.0 || b != 0.0,
            Relation::Xor => (a != 0.0) != (b != 0.0),
        }
    }
}

/// Of each element the second input's where the first is true, which is other than 0, else the third's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where;

impl Where {
    /// What all three broadcast to.
    pub(super) fn output_shape(self, condition: &Shape, a: &Shape, b: &Shape) -> Result<Shape, ShapeError> {
        condition.broadcast(&a.broadcast(b)?)
    }
}
