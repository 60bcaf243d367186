//! `exp` and its kin as plain arithmetic, so that they vectorise and give the same bits on every machine.
//!
//! `exp` and `tanh` have the polynomials of Moshier's Cephes library (`expf`, `tanhf`), `log` and `erf` minimax fits of our own; errors stay
//! within a few units in the last place, see the tests.

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

/// `ln(x)`: −∞ at 0, NaN below.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Bits of √½: mantissas lie between that and √2.
    const LEAST: i32 = 0x3f35_04f3;
    let subnormal = x < f32::MIN_POSITIVE;
    let bits = (if subnormal { x * 8_388_608.0 } else { x }).to_bits() as i32;
    let exponent = bits.wrapping_sub(LEAST) >> 23;
    let n = exponent as f32 - if subnormal { 23.0 } else { 0.0 };
    let f = f32::from_bits(bits.wrapping_sub(exponent << 23) as u32) - 1.0;
    let high = polynomial([0.073_324_62, -0.116_598_99, 0.116_346_73, -0.123_967_05, 0.142_511_55, -0.166_691_51], f);
    let p = ((high * f + 0.200_006_89) * f - 0.249_999_8) * f + 0.333_333_3;
    let s = f * f;
    let near = n * LN_2_LOW + (f * s * p - 0.5 * s) + f + n * LN_2_HIGH;
    let result = if x < f32::INFINITY { near } else { x };
    let result = if x < 0.0 { f32::NAN } else { result };
    if x == 0.0 { f32::NEG_INFINITY } else { result }
}

/// `2/√π · ∫₀ˣ exp(−t²) dt`. Beyond 1 it is `1 − exp(p(|x|))` with p a fit of `ln(erfc)`.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let (size, s) = (x.abs(), x * x);
    let high = polynomial([7.889_121e-5, -8.020_841_6e-4, 5.189_535e-3, -2.685_444_4e-2, 0.112_836, -0.376_126_26], s);
    let near = x * (high * s + std::f32::consts::FRAC_2_SQRT_PI);
    // erfc(4) is below half a unit of 1; NaN stays NaN.
    let t = if size > 4.0 { 4.0 } else { size };
    let high = polynomial([-1.334_547_9e-5, 3.181_895_6e-4, -3.441_249_3e-3, 2.263_864_7e-2, -0.103_355_534, -0.639_047_15], t);
    let far = (1.0 - exp((high * t - 1.125_957) * t - 7.484_138_5e-4)).copysign(x);
    if size < 1.0 { near } else { far }
}

/// `ln(1 + exp(x))`.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    (if x > 0.0 { x } else { 0.0 }) + log(1.0 + exp(-x.abs()))
}

/// `x^p`: products where p is a whole number, square roots where it is ±½, elsewhere `exp(p·ln x)`, which is NaN for negative x.
#[inline(always)]
pub fn power(x: f32, p: f32) -> f32 {
    if p == p.trunc() && p.abs() < 16_777_216.0 {
        let (mut left, mut square, mut y) = (p.abs() as u32, x, 1.0);
        while left > 0 {
            y = if left & 1 == 1 { y * square } else { y };
            square *= square;
            left >>= 1;
        }
        if p < 0.0 { 1.0 / y } else { y }
    } else if p == 0.5 {
        x.sqrt()
    } else if p == -0.5 {
        1.0 / x.sqrt()
    } else {
        exp(p * log(x))
    }
}

/// The error function in f64, `2/√π · exp(−x²) · Σ 2ⁿ·x^(2n+1)/(2n+1)!!`, for tests.
#[cfg(test)]
pub(crate) fn erf_reference(x: f64) -> f64 {
    let terms = std::iter::successors(Some((x, 1.0)), |&(term, n)| Some((term * 2.0 * x * x / (2.0 * n + 1.0), n + 1.0)));
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * terms.take(200).map(|(term, _)| term).sum::<f64>()
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
    fn the_logarithm_stays_within_two_units_in_the_last_place() {
        for i in 1..200_000 {
            for x in [i as f32 * 1e-4, i as f32 * 3.7e7, i as f32 * 1e-42] {
                // Beside 1 the result is small, and so is its unit.
                assert!(error(log(x), f64::from(x).ln()) < 2.0, "ln({x})");
            }
        }
        assert_eq!((log(0.0), log(1.0), log(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert!(log(-1.0).is_nan() && log(f32::NAN).is_nan() && log(f32::NEG_INFINITY).is_nan());
    }

    #[test]
    fn the_error_function_and_its_kin_agree_with_f64() {
        for i in -60_000..60_000 {
            let x = i as f32 * 1e-4;
            let expected = erf_reference(f64::from(x));
            assert!((f64::from(erf(x)) - expected).abs() < 1.5e-7, "erf({x})");
            let expected = f64::from(10.0 * x).exp().ln_1p();
            assert!((f64::from(softplus(10.0 * x)) - expected).abs() < 2e-7 * expected.max(1.0), "softplus({})", 10.0 * x);
        }
        assert_eq!((erf(9.0), erf(f32::NEG_INFINITY), erf(0.0)), (1.0, -1.0, 0.0));
        assert!(erf(f32::NAN).is_nan() && softplus(f32::NAN).is_nan());
        assert_eq!((softplus(f32::INFINITY), softplus(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
    }

    #[test]
    fn powers_agree_with_f64() {
        for p in [0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 7.0, 0.5, -0.5, 1.5, 0.3, 2.7] {
            for i in 1..2000 {
                let x = i as f32 * 5e-3;
                let expected = f64::from(x).powf(f64::from(p));
                assert!((f64::from(power(x, p)) - expected).abs() < 2e-6 * expected, "{x}^{p}");
            }
        }
        assert_eq!((power(-2.0, 3.0), power(-2.0, 2.0), power(0.0, 1.5), power(0.0, 0.0)), (-8.0, 4.0, 0.0, 1.0));
        assert!(power(-1.0, 1.5).is_nan());
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
