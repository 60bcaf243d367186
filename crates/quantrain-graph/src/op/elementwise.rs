//! Two operands, element by element.

use super::Relation;
use crate::{Shape, ShapeError};

/// An operator of two tensors that broadcast against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a − b`
    Sub,
    /// `a·b`
    Mul,
    /// `a / b`
    Div,
    /// The lesser.
    Min,
    /// The greater.
    Max,
    /// `a^b`
    Pow,
    /// `a` where positive, `a·b` elsewhere; the slopes `b` broadcast to `a`.
    PRelu,
    /// 1 where it holds, 0 elsewhere.
    Relation(Relation),
}

impl Binary {
    /// The name of the ONNX operator.
    pub fn name(&self) -> &'static str {
        match self {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Min => "Min",
            Binary::Max => "Max",
            Binary::Pow => "Pow",
            Binary::PRelu => "PRelu",
            Binary::Relation(relation) => relation.name(),
        }
    }

    pub(super) fn output_shape(&self, a: &Shape, b: &Shape) -> Result<Shape, ShapeError> {
        let y = a.broadcast(b)?;
        if *self == Binary::PRelu && y != *a {
            return Err(ShapeError::NoBroadcast { left: a.clone(), right: b.clone() });
        }
        Ok(y)
    }
}
