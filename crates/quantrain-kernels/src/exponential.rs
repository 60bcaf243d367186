//! `exp` and its kin as plain arithmetic, so that they vectorise and give the same bits on every machine.
//!
//! Polynomials of Moshier's Cephes library (`expf`, `tanhf`); errors stay within 2 units in the last place.

/// `exp(x)`. Zero below −87.3, where results would be subnormal; infinite above 88.7; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5·2^23 rounds to an integer and leaves it in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    // Subnormal results would cost a hundred times the time of others.
    const LEAST: f32 = -87.336_54;
    let (x, least) = if x < LEAST { (LEAST, true) } else { (x, false) };
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let p = polynomial([1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5], r);
    let fraction = p * (r * r) + r + 1.0;
    // 2^n in two factors, so that n = 128 does not overflow before it must.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
    let half = exponent >> 1;
    let result = fraction * power_of_two(half) * power_of_two(exponent - half);
    let result = if least { 0.0 } else { result };
    if x > 88.722_84 { f32::INFINITY } else { result }
}

/// `a·x⁵ + … + f`. Written out: LLVM vectorises around it only where there is no loop.
#[inline(always)]
fn polynomial([a, b, c, d, e, f]: [f32; 6], x: f32) -> f32 {
    ((((a * x + b) * x + c) * x + d) * x + e) * x + f
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `1 / (1 + exp(−x))`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh(x)`.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let p = polynomial([0.0, -5.704_988_5e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1], z);
    let near = p * z * x + x;
    let size = x.abs();
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if size < 0.625 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance to the f64 result, in units in the last place.
    fn error(found: f32, expected: f64) -> f64 {
        let ulp = f64::from((expected as f32).abs().next_up() - (expected as f32).abs());
        (f64::from(found) - expected).abs() / ulp
    }

    #[test]
    fn the_functions_stay_within_two_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3 + 1.7e-4;
            assert!(error(exp(x), f64::from(x).exp()) < 2.0, "exp({x})");
            assert!(error(tanh(x), f64::from(x).tanh()) < 2.0, "tanh({x})");
        }
        for i in -40_000..40_000 {
            let x = i as f32 * 1e-3;
            assert!(error(sigmoid(x), 1.0 / (1.0 + (-f64::from(x)).exp())) < 3.0, "sigmoid({x})");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_the_limits() {
        assert_eq!((exp(-200.0), exp(f32::NEG_INFINITY)), (0.0, 0.0));
        assert_eq!((exp(89.0), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
        assert_eq!((sigmoid(-200.0), sigmoid(200.0)), (0.0, 1.0));
        assert_eq!((tanh(-50.0), tanh(0.0), tanh(50.0)), (-1.0, 0.0, 1.0));
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
