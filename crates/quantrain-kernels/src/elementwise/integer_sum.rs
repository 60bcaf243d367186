//! Additions of codes that a device makes of integers alone; values are centred codes, results not yet limited.

use super::Combine;
use crate::fixed_point::Factor;

/// TensorFlow Lite's ADD of 8 bits: both operands are shifted left by 20, scaled by `s/(2·max s)`, added, and the sum scaled by
/// `2·max s/(2^20·s_y)`, each by [`Factor`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftedSum {
    operands: [Factor; 2],
    result: Factor,
}

const LEFT_SHIFT: u32 = 20;

impl ShiftedSum {
    /// Of the scales of the operands and of the result.
    pub fn new(operands: [f32; 2], result: f32) -> Self {
        let twice = 2.0 * f64::from(operands[0].max(operands[1]));
        ShiftedSum {
            operands: operands.map(|s| Factor::new(f64::from(s) / twice)),
            result: Factor::new(twice / (f64::from(1 << LEFT_SHIFT) * f64::from(result))),
        }
    }
}

impl Combine for ShiftedSum {
    #[inline(always)]
    fn combine(self, a: f32, b: f32) -> f32 {
        let scaled = |x: f32, factor: Factor| factor.apply((x as i64) << LEFT_SHIFT);
        self.result.apply(scaled(a, self.operands[0]) + scaled(b, self.operands[1])) as f32
    }
}

/// XNNPACK's addition of 8 bits: `(q_a·m_a + q_b·m_b + 2^(n−1)) >> n`, the multipliers `rint(s/s_y·2^n)` and n such that the greater one has 21
/// bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedSum {
    multipliers: [i64; 2],
    shift: u32,
}

impl WeightedSum {
    /// Of the scales of the operands and of the result.
    pub fn new(operands: [f32; 2], result: f32) -> Self {
        let ratios = operands.map(|s| s / result);
        let exponent = (ratios[0].max(ratios[1]).to_bits() >> 23) as i32 - 127;
        // XNNPACK refuses ratios from 2^8 on and below 2^−10.
        let shift = (20 - exponent).clamp(1, 62);
        let multiplier = |ratio: f32| (f64::from(ratio) * 2f64.powi(shift)).round_ties_even() as i64;
        WeightedSum { multipliers: ratios.map(multiplier), shift: shift as u32 }
    }
}

impl Combine for WeightedSum {
    #[inline(always)]
    fn combine(self, a: f32, b: f32) -> f32 {
        let sum = a as i64 * self.multipliers[0] + b as i64 * self.multipliers[1];
        ((sum + (1 << (self.shift - 1))) >> self.shift) as f32
    }
}
