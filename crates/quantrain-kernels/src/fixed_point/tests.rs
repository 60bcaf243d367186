use super::*;
use crate::test_data::floats;

/// The product in whole numbers, both roundings by division with remainder.
fn by_division(factor: Factor, sum: i64) -> i64 {
    let wide = |x: i64| i128::from(x);
    let a = (wide(sum) * (1 << factor.exponent.max(0))).clamp(i32::MIN.into(), i32::MAX.into());
    let high = (a * wide(factor.multiplier) + (1 << 30)).div_euclid(1 << 31);
    let divisor = 1i128 << (-factor.exponent).max(0);
    let (quotient, rest) = (high.abs() / divisor, high.abs() % divisor);
    let away = quotient + i128::from(2 * rest >= divisor && divisor > 1);
    (away * high.signum()) as i64
}

#[test]
fn the_closed_form_is_two_divisions() {
    let drawn = floats(7, 3_000_000);
    for numbers in drawn.chunks_exact(3) {
        // Numbers are from −4 to 4: factors from 2^−36 to 2^4, sums up to 2^31.
        let factor = Factor::new(2f64.powf(f64::from(numbers[0]) * 5.0 - 16.0));
        let sum = (numbers[1] * 2f32.powf(14.5 + 3.625 * numbers[2])) as i64;
        let sum = sum.clamp(i32::MIN.into(), i32::MAX.into());
        assert_eq!(factor.apply(sum), by_division(factor, sum), "{factor:?}·{sum}");
        let mean = factor.over(1 + (sum.unsigned_abs() % 5000) as usize);
        assert_eq!(mean.apply(sum), by_division(mean, sum), "{mean:?}·{sum}");
    }
}

#[test]
fn a_factor_has_31_bits() {
    for (factor, multiplier, exponent) in [(0.5, 1 << 30, 0), (1.0, 1 << 30, 1), (0.75, 3 << 29, 0), (1.0 - 1e-15, 1 << 30, 1)] {
        assert_eq!(Factor::new(factor), Factor { multiplier, exponent }, "{factor}");
    }
    assert_eq!(Factor::new(2f64.powi(-32)), Factor { multiplier: 1 << 30, exponent: -31 });
    assert_eq!([Factor::new(0.0), Factor::new(2f64.powi(-33)), Factor::new(1e-310)].map(|f| f.apply(1 << 31)), [0; 3]);
}

#[test]
fn sums_and_their_bits_give_the_same_codes() {
    let factors = [0.013, 0.7, 0.25].map(Factor::new);
    let bias = [5, -7, 100];
    let sums: Vec<f32> = (-150..150).map(|i| (i * 7) as f32).collect();
    let bits: Vec<f32> = sums.iter().enumerate().map(|(i, s)| f32::from_bits((*s as i32 + bias[i % 3]) as u32)).collect();
    let (mut a, mut b) = (vec![0.0; 300], vec![0.0; 300]);
    block_codes(&factors, Sums::Floats(&bias), (-100, 120), &sums, &mut a);
    block_codes(&factors, Sums::Bits, (-100, 120), &bits, &mut b);
    assert_eq!(a, b);
    assert_eq!(a[1], (by_division(factors[1], -149 * 7 - 7) as f32).clamp(-100.0, 120.0));
    assert!(a.contains(&-100.0) && a.contains(&120.0));
}
