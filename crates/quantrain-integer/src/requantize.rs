//! From sums to codes, by the formula of a target.

use quantrain_graph::{Requantize, Rounding};

use crate::LowerError;
use crate::tidl;

/// A formula from sums to codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formula {
    /// `clamp(rint(f32(sum)·m) + z)` with `m = f32(f32(s_x·s_w) / s_y)` (ONNX Runtime).
    Multiply,
    /// A shift with half up; every scale is a power of two (TIDL).
    Shift,
    /// A multiplier of 31 bits and a shift, in integers only (TensorFlow Lite); see [`FixedPoint`].
    FixedPoint,
}

impl From<Requantize> for Formula {
    fn from(formula: Requantize) -> Self {
        match formula {
            Requantize::Multiply => Formula::Multiply,
            Requantize::Shift => Formula::Shift,
            Requantize::FixedPointDouble => Formula::FixedPoint,
        }
    }
}

/// A positive factor as `multiplier·2^(exponent − 31)`, the multiplier from 2^30 up to 2^31.
///
/// The arithmetic of TensorFlow Lite's reference kernels (`MultiplyByQuantizedMultiplier`) and gemmlowp: the sum is shifted left where the
/// exponent is positive, multiplied to the high 32 bits of twice the product, rounded half away from zero up to the tie below zero, and
/// shifted right, rounded half away from zero.
///
/// ```
/// use quantrain_integer::FixedPoint;
///
/// let half = FixedPoint::new(0.5);
/// assert_eq!((half.multiplier(), half.exponent()), (1 << 30, 0));
/// assert_eq!([5, -5, 7, -7].map(|sum| half.apply(sum)), [3, -2, 4, -3]);
/// let small = FixedPoint::new(0.3);
/// assert_eq!(small.apply(1000), 300);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPoint {
    multiplier: i32,
    exponent: i32,
}

impl FixedPoint {
    /// The nearest multiplier of a factor; a factor that is zero or too small for 31 shifts gives 0.
    ///
    /// # Panics
    /// The factor is negative, infinite or NaN.
    pub fn new(factor: f64) -> Self {
        assert!(factor >= 0.0 && factor.is_finite(), "a factor is positive and finite");
        if factor == 0.0 {
            return FixedPoint { multiplier: 0, exponent: 0 };
        }
        let mut exponent = factor.log2().floor() as i32 + 1;
        let mut fraction = factor / 2f64.powi(exponent);
        // The logarithm may round across a power of two.
        if fraction >= 1.0 {
            (fraction, exponent) = (fraction / 2.0, exponent + 1);
        } else if fraction < 0.5 {
            (fraction, exponent) = (fraction * 2.0, exponent - 1);
        }
        let mut multiplier = (fraction * 2f64.powi(31)).round() as i64;
        if multiplier == 1 << 31 {
            (multiplier, exponent) = (1 << 30, exponent + 1);
        }
        if exponent < -31 {
            return FixedPoint { multiplier: 0, exponent: 0 };
        }
        FixedPoint { multiplier: multiplier as i32, exponent }
    }

    /// The factor over a count, as TensorFlow Lite folds it into the multiplier of a mean, rounded down; the multiplier may then be below 2^30.
    pub fn over(self, count: usize) -> Self {
        let count = count.max(1) as u64;
        let shift = (count.ilog2() as i32).min(32).min(31 + self.exponent);
        FixedPoint { multiplier: ((u64::from(self.multiplier as u32) << shift) / count) as i32, exponent: self.exponent - shift }
    }

    /// The multiplier, from 2^30 up to 2^31; 0 for a factor of 0.
    pub fn multiplier(&self) -> i32 {
        self.multiplier
    }

    /// The exponent; negative ones shift right.
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The sum times the factor, rounded; sums that leave 32 bits on the way saturate.
    pub fn apply(&self, sum: i32) -> i32 {
        let shifted = i64::from(sum) << self.exponent.clamp(0, 31);
        let shifted = shifted.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let high = doubling_high_product(shifted, self.multiplier);
        divide_by_power_of_two(high, (-self.exponent).max(0) as u32)
    }
}

/// `SaturatingRoundingDoublingHighMul`: the high 32 bits of `2·a·b`, rounded by a nudge of ±2^30 and a truncating division.
fn doubling_high_product(a: i32, b: i32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    ((product + nudge) / (1i64 << 31)).min(i32::MAX.into()) as i32
}

/// `RoundingDivideByPOT`: `x / 2^n`, halves away from zero.
fn divide_by_power_of_two(x: i32, n: u32) -> i32 {
    let n = n.min(31);
    let mask = ((1i64 << n) - 1) as i32;
    let threshold = (mask >> 1) + i32::from(x < 0);
    (x >> n) + i32::from((x & mask) > threshold)
}

/// A formula with the factors of a block, one a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Requantizer {
    /// [`Formula::Multiply`].
    Multiply {
        /// `f32(f32(s_x·s_w) / s_y)`.
        factors: Vec<f32>,
        /// Of the product.
        rounding: Rounding,
    },
    /// [`Formula::Shift`]: the power of two that each sum is divided by.
    Shift(Vec<i32>),
    /// [`Formula::FixedPoint`].
    FixedPoint(Vec<FixedPoint>),
}

impl Requantizer {
    /// The factors `s_x·s_w / s_y` of a block.
    pub(crate) fn new(
        formula: Formula,
        node: &str,
        input: f32,
        weights: impl Iterator<Item = f32>,
        output: f32,
        rounding: Rounding,
    ) -> Result<Self, LowerError> {
        let weights: Vec<f32> = weights.collect();
        let factor = |&weight: &f32| {
            let factor = input * weight / output;
            if factor.is_finite() { Ok(factor) } else { Err(LowerError::Factor { node: node.into(), input, weight, output }) }
        };
        let factors: Vec<f32> = weights.iter().map(factor).collect::<Result<_, _>>()?;
        match formula {
            Formula::Multiply => Ok(Requantizer::Multiply { factors, rounding }),
            Formula::Shift if rounding != Rounding::HalfUp => Err(LowerError::ShiftRounding { node: node.into(), rounding }),
            Formula::Shift => {
                let shift = |&factor: &f32| tidl::shift_of(factor).ok_or(LowerError::NotAPowerOfTwo { node: node.into(), factor });
                Ok(Requantizer::Shift(factors.iter().map(shift).collect::<Result<_, _>>()?))
            }
            Formula::FixedPoint => {
                let exact = |&w: &f32| FixedPoint::new(f64::from(input) * f64::from(w) / f64::from(output));
                Ok(Requantizer::FixedPoint(weights.iter().map(exact).collect()))
            }
        }
    }

    /// The centred code of a sum, not limited to codes.
    pub(crate) fn centred(&self, channel: usize, sum: i64) -> i64 {
        match self {
            Requantizer::Multiply { factors, rounding } => rounding.round(sum as f32 * factors[channel]) as i64,
            Requantizer::Shift(shifts) => tidl::shift_half_up(sum, shifts[channel]),
            // The runtime has no wider sums.
            Requantizer::FixedPoint(factors) => factors[channel].apply(sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32).into(),
        }
    }

    /// Whether 32 bits hold every step of the formula for sums up to `bound`.
    pub(crate) fn fits_32_bits(&self, bound: i64) -> bool {
        let fits = |n: i64| n <= i64::from(i32::MAX);
        match self {
            Requantizer::Multiply { .. } | Requantizer::FixedPoint(_) => fits(bound),
            Requantizer::Shift(shifts) => shifts.iter().all(|&n| match n {
                1..=30 => fits(bound.saturating_add(1 << (n - 1))),
                -31..=0 => bound.checked_mul(1 << -n).is_some_and(fits),
                _ => false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_point_factor_is_within_one_step_of_the_real_product() {
        for i in 1..2000 {
            let factor = f64::from(i) * 3.7e-5 + 1e-7;
            let fixed = FixedPoint::new(factor);
            for sum in [-1_000_000, -12_345, -3, -1, 0, 1, 2, 7, 99, 54_321, 2_000_000] {
                let real = f64::from(sum) * factor;
                assert!((f64::from(fixed.apply(sum)) - real).abs() <= 1.0, "{factor}·{sum}");
            }
        }
        let large = FixedPoint::new(3.0);
        assert_eq!([large.apply(7), large.apply(-7)], [21, -21]);
        assert_eq!(FixedPoint::new(0.0).apply(100), 0);
        assert_eq!(FixedPoint::new(1e-20).apply(i32::MAX), 0);
    }

    #[test]
    fn the_numbers_of_gemmlowp() {
        assert_eq!(doubling_high_product(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!([5, 6, -5, -6, 7].map(|x| divide_by_power_of_two(x, 2)), [1, 2, -1, -2, 2]);
        assert_eq!(FixedPoint::new(1.0), FixedPoint { multiplier: 1 << 30, exponent: 1 });
        assert_eq!(FixedPoint::new(0.25), FixedPoint { multiplier: 1 << 30, exponent: -1 });
    }

    #[test]
    fn only_powers_of_two_shift() {
        let new = |formula, weight, rounding| Requantizer::new(formula, "conv", 0.5, [weight].into_iter(), 4.0, rounding);
        assert_eq!(new(Formula::Shift, 0.25, Rounding::HalfUp).unwrap(), Requantizer::Shift(vec![5]));
        assert!(matches!(new(Formula::Shift, 0.3, Rounding::HalfUp), Err(LowerError::NotAPowerOfTwo { .. })));
        assert!(matches!(new(Formula::Shift, 0.25, Rounding::HalfToEven), Err(LowerError::ShiftRounding { .. })));
        assert!(matches!(new(Formula::Multiply, f32::MAX * 3.0, Rounding::HalfUp), Err(LowerError::Factor { .. })));
    }

    #[test]
    fn wide_sums_are_kept_from_32_bits() {
        let shift = Requantizer::Shift(vec![4, -3]);
        assert!(shift.fits_32_bits(1 << 27));
        assert!(!shift.fits_32_bits(1 << 28));
        assert_eq!(shift.centred(0, 24), 2);
        assert_eq!(shift.centred(1, 5), 40);
    }
}
