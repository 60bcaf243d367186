//! Integers of shape arithmetic: a number, or a multiple of the batch size that is not known yet.

use std::cmp::Ordering;
use std::fmt;

use quantrain_graph::Dim;
use quantrain_graph::op::Binary;

use crate::NodeError;

/// A number, or a multiple of the batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Fixed(i64),
    Batch(i64),
}

impl Number {
    /// The number where it does not depend on the batch.
    pub fn fixed(self) -> Result<i64, NodeError> {
        match self {
            Number::Fixed(n) => Ok(n),
            Number::Batch(_) => Err(NodeError::BatchArithmetic { expression: self.to_string() }),
        }
    }

    /// `self op other` in 64-bit integers; division truncates, as ONNX's does.
    pub fn apply(self, op: Binary, other: Number) -> Result<Number, NodeError> {
        use Number::{Batch, Fixed};
        let (operator, result): (char, fn(i64, i64) -> _) = match op {
            Binary::Add => ('+', i64::checked_add),
            Binary::Sub => ('-', i64::checked_sub),
            Binary::Mul => ('·', i64::checked_mul),
            Binary::Div => ('/', i64::checked_div),
            Binary::Min => ('<', |a, b| Some(a.min(b))),
            Binary::Max => ('>', |a, b| Some(a.max(b))),
            Binary::Pow => ('^', |a, b| a.checked_pow(u32::try_from(b).ok()?)),
            Binary::PRelu => return Err(NodeError::NotFolded),
        };
        let number = |left, right| result(left, right).ok_or(NodeError::Overflow { left, operator, right });
        match (self, op, other) {
            (Fixed(a), _, Fixed(b)) => Ok(Fixed(number(a, b)?)),
            (Batch(a), Binary::Add | Binary::Sub, Batch(b)) => Ok(Number::multiple(number(a, b)?)),
            (Batch(a), Binary::Mul, Fixed(b)) | (Fixed(a), Binary::Mul, Batch(b)) => Ok(Number::multiple(number(a, b)?)),
            (Batch(a), Binary::Div, Fixed(b)) if a.checked_rem(b) == Some(0) => Ok(Number::multiple(number(a, b)?)),
            (Batch(a), Binary::Div, Batch(b)) if a.checked_rem(b) == Some(0) => Ok(Fixed(number(a, b)?)),
            (a, Binary::Add | Binary::Sub, Fixed(0)) => Ok(a),
            (Fixed(0), Binary::Add, b) => Ok(b),
            (a, _, b) => Err(NodeError::BatchArithmetic { expression: format!("{a} {operator} {b}") }),
        }
    }

    /// How the numbers compare, where that does not depend on the batch size, which is at least 1.
    pub fn order(self, other: Number) -> Result<Ordering, NodeError> {
        use Number::{Batch, Fixed};
        match (self, other) {
            (Fixed(a), Fixed(b)) | (Batch(a), Batch(b)) => Ok(a.cmp(&b)),
            (Batch(k), Fixed(n)) if k > 0 && n < 1 => Ok(Ordering::Greater),
            (Fixed(n), Batch(k)) if k > 0 && n < 1 => Ok(Ordering::Less),
            (a, b) => Err(NodeError::BatchArithmetic { expression: format!("{a} compared with {b}") }),
        }
    }

    fn multiple(k: i64) -> Number {
        if k == 0 { Number::Fixed(0) } else { Number::Batch(k) }
    }
}

impl From<Dim> for Number {
    fn from(dim: Dim) -> Self {
        // The reader admits extents of 31 bits and products of 40 only.
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        match dim {
            Dim::Fixed(n) => Number::Fixed(number(n)),
            Dim::Batch(k) => Number::Batch(number(k)),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Fixed(n) => write!(f, "{n}"),
            Number::Batch(1) => f.write_str("N"),
            Number::Batch(k) => write!(f, "{k}N"),
        }
    }
}

/// The nearest f32 of an integer, as ONNX's Cast gives it.
#[expect(clippy::as_conversions, reason = "no other conversion rounds to f32; it never wraps")]
pub(super) fn to_f32(n: i64) -> f32 {
    n as f32
}

/// The integer part of a float, as ONNX's Cast gives it where 64 bits hold it; the nearest limit elsewhere.
#[expect(clippy::as_conversions, reason = "no other conversion truncates; it saturates")]
pub(super) fn truncate(x: f32) -> i64 {
    x as i64
}

/// The nearest f32 of an f64.
#[expect(clippy::as_conversions, reason = "no other conversion rounds to f32")]
pub(super) fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::Number::{Batch, Fixed};
    use super::*;

    #[test]
    fn only_multiples_of_the_batch_are_extents() {
        assert_eq!(Batch(2).apply(Binary::Mul, Fixed(3)).unwrap(), Batch(6));
        assert_eq!(Batch(6).apply(Binary::Div, Fixed(3)).unwrap(), Batch(2));
        assert_eq!(Batch(6).apply(Binary::Div, Batch(2)).unwrap(), Fixed(3));
        assert_eq!(Batch(1).apply(Binary::Sub, Batch(1)).unwrap(), Fixed(0));
        assert!(matches!(Batch(1).apply(Binary::Add, Fixed(1)), Err(NodeError::BatchArithmetic { .. })));
        assert!(matches!(Batch(3).apply(Binary::Div, Fixed(2)), Err(NodeError::BatchArithmetic { .. })));
    }

    #[test]
    fn arithmetic_without_a_result_is_refused() {
        assert!(matches!(Fixed(1).apply(Binary::Div, Fixed(0)), Err(NodeError::Overflow { .. })));
        assert!(matches!(Fixed(i64::MAX).apply(Binary::Mul, Fixed(2)), Err(NodeError::Overflow { .. })));
        assert!(Batch(3).apply(Binary::Div, Fixed(0)).is_err());
        assert_eq!(Fixed(-7).apply(Binary::Div, Fixed(2)).unwrap(), Fixed(-3));
    }
}
