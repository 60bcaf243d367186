//! TensorFlow Lite's and XNNPACK's arithmetic in whole numbers of 128 bits, from their own description, by division.

use quantrain_graph::Quantizer;

/// A factor as 31 bits and an exponent.
fn parts(factor: f64) -> (i128, i32) {
    let (mut fraction, mut exponent) = (factor, 0);
    while fraction >= 1.0 {
        (fraction, exponent) = (fraction / 2.0, exponent + 1);
    }
    while fraction < 0.5 {
        (fraction, exponent) = (fraction * 2.0, exponent - 1);
    }
    match (fraction * 2147483648.0).round() as i128 {
        multiplier if multiplier == 1 << 31 => (1 << 30, exponent + 1),
        multiplier => (multiplier, exponent),
    }
}

/// The product rounded to 31 fewer bits (half up), then to the exponent's (half away from zero).
fn product(sum: i64, (multiplier, exponent): (i128, i32)) -> i64 {
    if exponent < -31 {
        return 0;
    }
    let shifted = (i128::from(sum) << exponent.max(0)).clamp(i32::MIN.into(), i32::MAX.into());
    let high = (shifted * multiplier + (1 << 30)).div_euclid(1 << 31);
    let divisor = 1i128 << (-exponent).max(0);
    ((2 * high.abs() + divisor) / (2 * divisor) * high.signum()) as i64
}

/// `sum·factor`.
pub fn rescale(sum: i64, factor: f64) -> i64 {
    product(sum, parts(factor))
}

fn centred(of: [&Quantizer; 2], codes: [i64; 2]) -> [i64; 2] {
    [0, 1].map(|i| codes[i] - i64::from(of[i].zero_point()))
}

/// TensorFlow Lite's ADD, in steps of `to`.
pub fn sum(of: [&Quantizer; 2], to: &Quantizer, codes: [i64; 2]) -> i64 {
    let scales = of.map(|q| f64::from(q.scale()));
    let twice = 2.0 * scales[0].max(scales[1]);
    let [a, b] = centred(of, codes);
    let both = rescale(a << 20, scales[0] / twice) + rescale(b << 20, scales[1] / twice);
    rescale(both, twice / (1048576.0 * f64::from(to.scale())))
}

/// XNNPACK's addition, in steps of `to`.
pub fn weighted_sum(of: [&Quantizer; 2], to: &Quantizer, codes: [i64; 2]) -> i64 {
    let ratios = of.map(|q| f64::from(q.scale() / to.scale()));
    let shift = 20 - ratios[0].max(ratios[1]).log2().floor() as i32;
    let weights = ratios.map(|r| (r * 2f64.powi(shift)).round_ties_even() as i128);
    let [a, b] = centred(of, codes).map(i128::from);
    let divisor = 1i128 << shift;
    (2 * (a * weights[0] + b * weights[1]) + divisor).div_euclid(2 * divisor) as i64
}

/// TensorFlow Lite's MEAN of `count` codes whose centred sum is given, in steps of `to`.
pub fn mean(sum: i64, count: i128, from: &Quantizer, to: &Quantizer) -> i64 {
    let (multiplier, exponent) = parts(f64::from(from.scale()) / f64::from(to.scale()));
    let shift = (count.ilog2() as i32).min(31 + exponent);
    product(sum, ((multiplier << shift) / count, exponent - shift))
}
