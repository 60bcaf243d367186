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
            Binary::PRelu | Binary::Relation(_) => return Err(NodeError::NotFolded),
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

/// The value of an IEEE 754 half-precision float: 1 bit of sign, 5 of exponent, 10 of fraction.
pub(super) fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 0x3ff));
    match exponent {
        // Zero, or a multiple of 2^-24.
        0 => f32::from(bits & 0x3ff) * 2f32.powi(-24) * if sign == 0 { 1.0 } else { -1.0 },
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The value of a bfloat16, the upper half of a float32.
pub(super) fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
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

    #[test]
    fn floats_of_two_bytes_are_exact() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc500, -5.0), (0x0001, 5.960_464_5e-8), (0x8000, 0.0), (0x7bff, 65504.0), (0x7c00, f32::INFINITY)]
        {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x8000).is_sign_negative() && half(0x7e00).is_nan());
        assert_eq!((brain(0x3f80), brain(0xc040)), (1.0, -3.0));
    }
}
