//! The arithmetic of one quantizer: `q = clamp(round(x/s) + z, qmin, qmax)`, `x̂ = (q − z)·s`.

use serde::{Deserialize, Serialize};

use crate::QuantizerError;
use crate::scheme::{Rounding, ScaleKind, Scheme, Sign};

/// The smallest limit of a range: a tensor that is zero everywhere still gets a scale.
pub const SMALLEST_LIMIT: f32 = 1.0 / 65536.0;

/// The interval that a tensor's values were seen in, or are clipped to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lower limit.
    pub min: f32,
    /// Upper limit.
    pub max: f32,
}

impl Range {
    /// The interval `[min, max]`, not checked: [`Quantizer::from_range`] refuses what is not finite or not ordered.
    pub fn new(min: f32, max: f32) -> Self {
        Range { min, max }
    }

    /// The smallest range that holds all of `values`; NaN values make it NaN.
    pub fn of(values: &[f32]) -> Self {
        values.iter().fold(Range { min: 0.0, max: 0.0 }, |r, &x| {
            if x.is_nan() {
                Range { min: x, max: x }
            } else {
                Range { min: if x < r.min { x } else { r.min }, max: if x > r.max { x } else { r.max } }
            }
        })
    }

    /// The smallest range that holds both.
    pub fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Scale, zero point and limits of the codes of one tensor or channel. A valid one: the scale is finite and positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantizer {
    scale: f32,
    zero_point: i32,
    qmin: i32,
    qmax: i32,
    rounding: Rounding,
}

impl Quantizer {
    /// A quantizer from its numbers, as an ONNX file holds them.
    ///
    /// # Errors
    /// The scale is not a positive finite number, or the zero point lies outside the codes.
    pub fn new(scale: f32, zero_point: i32, qmin: i32, qmax: i32, rounding: Rounding) -> Result<Self, QuantizerError> {
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(QuantizerError::Scale { scale });
        }
        if !(qmin < qmax && (qmin..=qmax).contains(&zero_point)) {
            return Err(QuantizerError::ZeroPoint { zero_point, qmin, qmax });
        }
        Ok(Quantizer { scale, zero_point, qmin, qmax, rounding })
    }

    /// The quantizer that covers `range` under `scheme`.
    ///
    /// The range is widened to contain 0, so that 0.0 is exactly representable, and to at least 2^-16.
    /// Free scales: symmetric `max|x| / qmax`; asymmetric `(max − min) / (qmax − qmin)`. Powers of two: the limit is `2^ceil(log2(max|x|))`,
    /// the scale limit / 2^(b−1) for signed codes, limit / 2^b for unsigned ones.
    ///
    /// # Errors
    /// The range is not finite or not ordered, the width is not supported, or the scheme contradicts itself
    /// (an asymmetric power-of-two scale; a symmetric unsigned scheme for a range below zero).
    pub fn from_range(scheme: &Scheme, range: Range) -> Result<Self, QuantizerError> {
        let Range { min, max } = range;
        if !(min.is_finite() && max.is_finite() && min <= max) {
            return Err(QuantizerError::Range { min, max });
        }
        if !matches!(scheme.bits, 2..=8 | 16) {
            return Err(QuantizerError::Bits { bits: scheme.bits });
        }
        let (min, max) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
        let signed = match scheme.sign {
            Sign::Signed => true,
            Sign::Unsigned => false,
            Sign::ByRange => min < 0.0,
        };
        let (qmin, qmax) = code_limits(scheme.bits, signed, scheme.symmetric && scheme.narrow);
        let limit = max.max(-min).max(f64::from(SMALLEST_LIMIT));
        let (scale, zero_point) = match (scheme.scale, scheme.symmetric) {
            (_, true) if !signed && min < 0.0 => return Err(QuantizerError::UnsignedBelowZero { min: range.min }),
            (ScaleKind::PowerOfTwo, true) => (power_of_two_limit(limit) / 2f64.powi(i32::from(scheme.bits) - i32::from(signed)), 0),
            (ScaleKind::PowerOfTwo, false) => return Err(QuantizerError::AsymmetricPowerOfTwo),
            (ScaleKind::Free, true) => (limit / f64::from(qmax), 0),
            (ScaleKind::Free, false) => {
                let width = (max - min).max(f64::from(SMALLEST_LIMIT));
                let scale = width / f64::from(qmax - qmin);
                // The zero point belongs to the scale as stored, in f32.
                let zero = f64::from(qmin) - min / f64::from(scale as f32);
                (scale, zero.round_ties_even().clamp(f64::from(qmin), f64::from(qmax)) as i32)
            }
        };
        Quantizer::new(scale as f32, zero_point, qmin, qmax, scheme.rounding)
    }

    /// Size of one step, in the tensor's units.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The code of 0.0.
    pub fn zero_point(&self) -> i32 {
        self.zero_point
    }

    /// Lowest code.
    pub fn qmin(&self) -> i32 {
        self.qmin
    }

    /// Highest code.
    pub fn qmax(&self) -> i32 {
        self.qmax
    }

    /// How quotients are rounded.
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Whether the codes are all those of a byte, signed or not.
    pub fn fills_byte(&self) -> bool {
        matches!((self.qmin, self.qmax), (0, 255) | (-128, 127))
    }

    /// Whether the codes lie in a byte of the same sign as those of `other`.
    pub fn shares_byte(&self, other: &Quantizer) -> bool {
        let signed = |q: &Quantizer| q.qmin < 0;
        signed(self) == signed(other) && if signed(self) { self.qmin >= -128 && self.qmax <= 127 } else { self.qmax <= 255 }
    }

    /// Whether a clip to `low … high` leaves every code where it is.
    pub fn reaches(&self, (low, high): (f32, f32)) -> bool {
        self.code(low) == self.qmin && self.code(high) == self.qmax
    }

    /// Lowest and highest *centred* code, `q − z`: what the engine's buffers hold.
    pub fn centred_limits(&self) -> (f32, f32) {
        ((self.qmin - self.zero_point) as f32, (self.qmax - self.zero_point) as f32)
    }

    /// The centred code of `x`, an integer-valued f32; NaN becomes 0.
    pub fn centred_code(&self, x: f32) -> f32 {
        let (low, high) = self.centred_limits();
        let q = self.rounding.round(x / self.scale);
        if q.is_nan() { 0.0 } else { q.clamp(low, high) }
    }

    /// The code of `x`.
    pub fn code(&self, x: f32) -> i32 {
        self.centred_code(x) as i32 + self.zero_point
    }

    /// The value of a code.
    pub fn value(&self, code: i32) -> f32 {
        (code - self.zero_point) as f32 * self.scale
    }

    /// The value of the code of `x`: fake-quantization.
    pub fn fake_quantize(&self, x: f32) -> f32 {
        self.centred_code(x) * self.scale
    }

    /// The values of the lowest and the highest code.
    pub fn range(&self) -> Range {
        Range { min: self.value(self.qmin), max: self.value(self.qmax) }
    }
}

/// Lowest and highest code of a width.
fn code_limits(bits: u8, signed: bool, narrow: bool) -> (i32, i32) {
    match (signed, narrow) {
        (false, _) => (0, (1 << bits) - 1),
        (true, false) => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        (true, true) => (-((1 << (bits - 1)) - 1), (1 << (bits - 1)) - 1),
    }
}

/// `2^ceil(log2(limit))`, by exponent bits rather than by a logarithm that may round.
fn power_of_two_limit(limit: f64) -> f64 {
    let mantissa_mask = (1u64 << 52) - 1;
    let bits = limit.to_bits();
    if bits & mantissa_mask == 0 { limit } else { f64::from_bits((bits & !mantissa_mask) + (1u64 << 52)) }
}

#[cfg(test)]
mod tests;
