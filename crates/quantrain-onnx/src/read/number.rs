//! Numbers of shape arithmetic: an integer or a float, or a multiple of the batch size that is not known yet.

use std::cmp::Ordering;
use std::fmt;

use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{Dim, ElementType};

use super::fold::operands;
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

    /// What a division leaves, of the sign of the divisor, or where the quotient is cut of that of the number.
    pub fn remainder(self, by: Number, cuts: bool) -> Result<Number, NodeError> {
        let (left, right) = match (self, by) {
            (Number::Batch(a), Number::Fixed(b)) if a.checked_rem(b) == Some(0) => return Ok(Number::Fixed(0)),
            (a, b) => (a.fixed()?, b.fixed()?),
        };
        let rest = left.checked_rem(right).ok_or(NodeError::Overflow { left, operator: '%', right })?;
        Ok(Number::Fixed(if !cuts && rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest }))
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

/// A float of shape arithmetic, or a multiple of the batch size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Real {
    Fixed(f32),
    Batch(f32),
}

impl Real {
    /// The number where it does not depend on the batch.
    pub fn fixed(self) -> Result<f32, NodeError> {
        match self {
            Real::Fixed(x) => Ok(x),
            Real::Batch(_) => Err(self.not_known()),
        }
    }

    fn not_known(self) -> NodeError {
        NodeError::BatchArithmetic { expression: self.to_string() }
    }

    /// `self op other`, where that is a number or a multiple of the batch size.
    pub fn apply(self, op: Binary, other: Real) -> Result<Real, NodeError> {
        use Real::{Batch, Fixed};
        match (self, op, other) {
            (Fixed(a), _, Fixed(b)) => Ok(Fixed(operands(op, a, b))),
            (Batch(a), Binary::Add | Binary::Sub, Batch(b)) => Ok(Real::multiple(operands(op, a, b))),
            (Batch(a), Binary::Mul | Binary::Div, Fixed(b)) | (Fixed(b), Binary::Mul, Batch(a)) => Ok(Real::multiple(operands(op, a, b))),
            (Batch(a), Binary::Div, Batch(b)) => Ok(Fixed(a / b)),
            (a, Binary::Add | Binary::Sub, Fixed(0.0)) | (Fixed(0.0), Binary::Add, a) => Ok(a),
            (a, _, b) => Err(NodeError::BatchArithmetic { expression: format!("{} of {a} and {b}", op.name()) }),
        }
    }

    /// A whole multiple as an integer; other numbers are cut.
    pub fn truncate(self) -> Result<Number, NodeError> {
        match self {
            Real::Fixed(x) => Ok(Number::Fixed(truncate(x))),
            Real::Batch(k) if k.trunc() == k => Ok(Number::multiple(truncate(k))),
            Real::Batch(_) => Err(self.not_known()),
        }
    }

    /// What a function gives that leaves whole numbers what they are.
    pub fn rounded(self, function: &Activation) -> Result<Real, NodeError> {
        match self {
            Real::Fixed(x) => super::fold::function(function, x).map(Real::Fixed).ok_or(NodeError::NotFolded),
            Real::Batch(k) if function.is_step() && !function.is_truth() && *function != Activation::Sign && k.trunc() == k => Ok(self),
            Real::Batch(_) => Err(self.not_known()),
        }
    }

    fn multiple(k: f32) -> Real {
        if k == 0.0 { Real::Fixed(0.0) } else { Real::Batch(k) }
    }
}

impl From<Number> for Real {
    fn from(number: Number) -> Self {
        match number {
            Number::Fixed(n) => Real::Fixed(to_f32(n)),
            Number::Batch(k) => Real::Batch(to_f32(k)),
        }
    }
}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Real::Fixed(x) => write!(f, "{x}"),
            Real::Batch(1.0) => f.write_str("N"),
            Real::Batch(k) => write!(f, "{k}N"),
        }
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

/// The bits of the half-precision float nearest to a value, halves to the even one.
fn half_bits(x: f32) -> u16 {
    let magnitude = x.abs();
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    // Positive halves lie in the order of their bits; 0x7c00 is infinity.
    let (mut least, mut above) = (0u16, 0x7c00u16);
    while least < above {
        let middle = least.midpoint(above);
        (least, above) = if half(middle) < magnitude { (middle + 1, above) } else { (least, middle) };
    }
    let nearest = match above.checked_sub(1) {
        _ if x.is_nan() => 0x7e00,
        // From the middle between the largest number and the next one on.
        _ if magnitude >= 65520.0 => 0x7c00,
        None => 0,
        Some(below) => {
            let (low, high) = (magnitude - half(below), half(above.min(0x7bff)) - magnitude);
            if low < high || low == high && below & 1 == 0 || above > 0x7bff { below } else { above }
        }
    };
    sign | nearest
}

/// The bits of the bfloat16 nearest to a value, halves to the even one.
fn brain_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = if x.is_nan() { bits | 0x40_0000 } else { bits + 0x7fff + (bits >> 16 & 1) };
    u16::try_from(rounded >> 16).unwrap_or(0)
}

/// The little-endian bytes of a number as a type has it, which is given as a float and as an integer.
pub(super) fn encoded(kind: ElementType, float: f64, integer: i64) -> Vec<u8> {
    let whole = integer.to_le_bytes();
    match kind {
        ElementType::Float => narrow(float).to_le_bytes().to_vec(),
        ElementType::Double => float.to_le_bytes().to_vec(),
        ElementType::Float16 => half_bits(narrow(float)).to_le_bytes().to_vec(),
        ElementType::BFloat16 => brain_bits(narrow(float)).to_le_bytes().to_vec(),
        ElementType::Int8 | ElementType::Uint8 => whole[..1].to_vec(),
        ElementType::Int16 | ElementType::Uint16 => whole[..2].to_vec(),
        ElementType::Int32 | ElementType::Uint32 => whole[..4].to_vec(),
        ElementType::Int64 | ElementType::Uint64 => whole.to_vec(),
        ElementType::Bool => vec![u8::from(float != 0.0)],
    }
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
    fn floats_of_the_batch_are_whole_multiples_again_as_extents() {
        let (n, half) = (Real::from(Batch(1)), Real::Fixed(0.5));
        assert_eq!(n.apply(Binary::Mul, half).unwrap().apply(Binary::Div, half).unwrap().truncate().unwrap(), Batch(1));
        assert_eq!(n.apply(Binary::Div, n).unwrap(), Real::Fixed(1.0));
        assert_eq!(n.apply(Binary::Sub, n).unwrap(), Real::Fixed(0.0));
        assert_eq!(n.rounded(&Activation::Floor).unwrap(), n);
        for refused in [n.apply(Binary::Add, half).err(), n.apply(Binary::Mul, half).unwrap().truncate().err(), n.fixed().err()] {
            assert!(matches!(refused, Some(NodeError::BatchArithmetic { .. })));
        }
        assert!(n.apply(Binary::Mul, half).unwrap().rounded(&Activation::Floor).is_err() && n.rounded(&Activation::Exp).is_err());
    }

    #[test]
    fn arithmetic_without_a_result_is_refused() {
        assert!(matches!(Fixed(1).apply(Binary::Div, Fixed(0)), Err(NodeError::Overflow { .. })));
        assert!(matches!(Fixed(i64::MAX).apply(Binary::Mul, Fixed(2)), Err(NodeError::Overflow { .. })));
        assert!(Batch(3).apply(Binary::Div, Fixed(0)).is_err());
        assert_eq!(Fixed(-7).apply(Binary::Div, Fixed(2)).unwrap(), Fixed(-3));
        let rest = |a, b| [false, true].map(|cuts| Fixed(a).remainder(Fixed(b), cuts).unwrap());
        assert_eq!([rest(-7, 3), rest(7, -3), rest(7, 3)], [[Fixed(2), Fixed(-1)], [Fixed(-2), Fixed(1)], [Fixed(1); 2]]);
        assert_eq!(Batch(4).remainder(Fixed(2), false).unwrap(), Fixed(0));
        assert!(Batch(3).remainder(Fixed(2), false).is_err() && Fixed(1).remainder(Fixed(0), false).is_err());
    }

    #[test]
    fn floats_of_two_bytes_are_exact() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc500, -5.0), (0x0001, 5.960_464_5e-8), (0x8000, 0.0), (0x7bff, 65504.0), (0x7c00, f32::INFINITY)]
        {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x8000).is_sign_negative() && half(0x7e00).is_nan());
        // Every half is its own nearest one, and what lies in the middle goes to the even one.
        for bits in (0..0x7c00u16).chain([0x7c00, 0xfc00]).chain(0x8000..0xfc00) {
            assert_eq!(half_bits(half(bits)), bits);
        }
        for bits in 0..0x7bffu16 {
            let middle = (half(bits) + half(bits + 1)) / 2.0;
            assert_eq!(half_bits(middle), bits + (bits & 1));
        }
        assert_eq!([half_bits(65519.0), half_bits(65520.0), half_bits(-1e9)], [0x7bff, 0x7c00, 0xfc00]);
        assert_eq!(half_bits(f32::NAN), 0x7e00);
        assert_eq!([1.0, -3.0, 1.003_906_3, 1.011_718_8].map(brain_bits), [0x3f80, 0xc040, 0x3f80, 0x3f82]);
        assert_eq!((brain(0x3f80), brain(0xc040)), (1.0, -3.0));
    }
}
