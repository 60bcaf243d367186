//! # The functions

pub use quantrain_graph::BiasLimit;
use quantrain_graph::Quantizer;

/// `floor(sum / 2^shift + ½)` in integers: halves go up, negative ones too. A negative shift multiplies; what leaves 64 bits saturates.
///
/// ```
/// use quantrain_integer::tidl::shift_half_up;
/// assert_eq!([5, 6, -6, -7].map(|sum| shift_half_up(sum, 2)), [1, 2, -1, -2]);
/// ```
pub fn shift_half_up(sum: i64, shift: i32) -> i64 {
    match shift {
        0 => sum,
        1..=62 => sum.saturating_add(1 << (shift - 1)) >> shift,
        // Half a step is more than any sum.
        63.. => 0,
        -62..=-1 => sum.saturating_mul(1 << -shift),
        ..-62 => sum.saturating_mul(i64::MAX),
    }
}

/// n of a factor 2^−n; `None` of a factor that is no power of two.
pub fn shift_of(factor: f32) -> Option<i32> {
    let factor = f64::from(factor);
    let exponent = ((factor.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    (factor > 0.0 && factor.is_finite() && factor == 2f64.powi(exponent)).then_some(-exponent)
}

/// The centred code of a sum: a shift with half up, then the limits of the codes and of the activation.
pub fn requantize(sum: i64, shift: i32, limits: (i32, i32)) -> i32 {
    shift_half_up(sum, shift).clamp(limits.0.into(), limits.1.into()) as i32
}

/// The sum of two codes whose steps are `2^a_exponent` and `2^b_exponent`, in steps of `2^y_exponent`: both are brought to the finer step
/// of the two, added, and shifted once.
pub fn add((a, a_exponent): (i32, i32), (b, b_exponent): (i32, i32), y_exponent: i32, limits: (i32, i32)) -> i32 {
    let finer = a_exponent.min(b_exponent);
    let sum = (i64::from(a) << (a_exponent - finer)) + (i64::from(b) << (b_exponent - finer));
    requantize(sum, y_exponent - finer, limits)
}

/// Biases of a layer and the scale of its weights, after the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitedBias {
    /// Codes on scale s_x·s_w.
    pub codes: Vec<i32>,
    /// s_w.
    pub weight_scale: f32,
}

/// The codes of biases of a layer of 8 bits whose weights share one scale. Rounding is half to even, as for every bias (the devkit's
/// split has its own); a code beyond 32 bits saturates there.
pub fn limit_bias(biases: &[f32], input: &Quantizer, weight_scale: f32, limit: BiasLimit) -> LimitedBias {
    let input_scale = input.scale();
    let codes = |weight_scale: f32| -> Vec<i32> {
        let step = f64::from(input_scale * weight_scale);
        biases.iter().map(|&b| (f64::from(b) / step).round_ties_even() as i32).collect()
    };
    let fits = |codes: &[i32]| codes.iter().all(|c| i16::try_from(*c).is_ok());
    let mut limited = LimitedBias { codes: codes(weight_scale), weight_scale };
    match limit {
        BiasLimit::Off => {}
        BiasLimit::Saturate => limited.codes.iter_mut().for_each(|c| *c = (*c).clamp(i16::MIN.into(), i16::MAX.into())),
        BiasLimit::DevkitSplit => limited.codes = split_bias(biases, input, weight_scale),
        BiasLimit::ReduceWeightScale => {
            // A scale that is no longer finite makes every code 0.
            while !fits(&limited.codes) {
                limited.weight_scale *= 2.0;
                limited.codes = codes(limited.weight_scale);
            }
        }
    }
    limited
}

/// The devkit's biases: a byte each, on one power of two for the layer, times what brings the byte to the accumulator's scale. A factor that
/// is more than the largest code of the input becomes that code, and the byte another one; all towards zero.
fn split_bias(biases: &[f32], input: &Quantizer, weight_scale: f32) -> Vec<i32> {
    let largest = biases.iter().fold(2f32.powi(-16), |l, b| l.max(b.abs()));
    let exponent = (-16..128).find(|&e| f64::from(largest) <= 2f64.powi(e)).unwrap_or(128);
    let bytes = biases.iter().map(|&b| (f64::from(b) * 2f64.powi(7 - exponent)).round().clamp(-128.0, 127.0) as i64);
    // The byte's step in those of the accumulator.
    let shift = exponent - 7 + shift_of(input.scale() * weight_scale).unwrap_or(0);
    let largest_factor = if input.qmin() < 0 { 127 } else { 255 };
    let code = |byte: i64| match shift {
        ..0 => byte / (1 << -shift.max(-62)),
        0..=62 if 1i64 << shift <= largest_factor => byte << shift,
        _ => {
            let product = byte.saturating_mul(1 << shift.min(20)).clamp(-32768, 32767);
            (product / largest_factor).clamp(-128, 127) * largest_factor
        }
    };
    bytes.map(|byte| code(byte) as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_the_float_formula_in_integers() {
        for shift in -5..20 {
            for sum in (-70_000..70_000).step_by(13) {
                let real = (sum as f64 / 2f64.powi(shift) + 0.5).floor() as i64;
                assert_eq!(shift_half_up(sum, shift), real, "{sum} by {shift}");
            }
        }
        assert_eq!([63, 100].map(|n| shift_half_up(i64::MAX, n)), [0, 0]);
        assert_eq!(shift_half_up(3, -100), i64::MAX);
        assert_eq!(shift_half_up(0, -100), 0);
    }

    #[test]
    fn an_addition_is_the_simulation_s_float_formula() {
        // Every pair of 8-bit codes, steps up to 2^6 apart.
        for (ea, eb, ey) in [(-7, -5, -4), (-3, -9, -3), (-4, -4, -5), (-6, -6, -6)] {
            let factor = |e: i32| 2f32.powi(e - ey);
            for a in -128..128 {
                for b in -128..128 {
                    let t = a as f32 * factor(ea) + b as f32 * factor(eb);
                    let expected = ((t + 0.5).floor() as i32).clamp(-128, 127);
                    assert_eq!(add((a, ea), (b, eb), ey, (-128, 127)), expected, "{a}, {b}");
                }
            }
        }
    }

    #[test]
    fn only_powers_of_two_are_shifts() {
        assert_eq!([0.125, 1.0, 8.0].map(shift_of), [Some(3), Some(0), Some(-3)]);
        assert_eq!([0.3, 0.0, -2.0, f32::INFINITY, f32::NAN].map(shift_of), [None; 5]);
        assert_eq!(shift_of(f32::from_bits(1)), Some(149));
    }
}
