//! Every rounding on its ties and ends, on every path of the machine.

use super::reference::code;
use super::*;
use crate::simd::on_every_path;
use crate::test_data::floats;

const ROUNDINGS: [Rounding; 3] = [Rounding::HalfToEven, Rounding::HalfUp, Rounding::HalfAwayFromZero];

/// Ties, their neighbours, both ends and the values that are no numbers.
fn awkward() -> Vec<f32> {
    let halves = (-600..600).map(|i| i as f32 * 0.5);
    let around = halves.flat_map(|x| [x.next_down(), x, x.next_up()]);
    let ends = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e9, -1e9];
    around.chain(ends).collect()
}

#[test]
fn codes_agree_with_the_formula_on_ties_and_ends() {
    for rounding in ROUNDINGS {
        for (lo, hi) in [(-128.0, 127.0), (0.0, 255.0), (-32768.0, 32767.0), (-1.0, 2.0)] {
            let range = CodeRange { lo, hi, rounding };
            for scale in [1.0, 0.5, 0.1, 3.7e-3] {
                let x: Vec<f32> = awkward().iter().map(|x| x * scale).chain(floats(1, 997)).collect();
                let expected: Vec<f32> = x.iter().map(|x| code(&range, x / scale)).collect();
                on_every_path(|simd| {
                    let mut y = vec![f32::NAN; x.len()];
                    codes(&range, scale, &x, &mut y);
                    assert!(y == expected, "{simd:?} {range:?} {scale}");
                });
            }
        }
    }
}

#[test]
fn the_quotient_is_a_division() {
    // 0.195 / 0.03 is the tie 6.5 and goes to 6; the product with the reciprocal is just above it.
    let (x, scale) = (0.195f32, 0.03f32);
    assert!(x / scale == 6.5 && x * (1.0 / scale) > 6.5);
    let mut y = [0.0];
    codes(&CodeRange { lo: -8.0, hi: 7.0, rounding: Rounding::HalfToEven }, scale, &[x], &mut y);
    assert_eq!(y, [6.0]);
}

#[test]
fn the_limits_are_those_of_the_input_without_nan() {
    let range = CodeRange { lo: -1.0, hi: 1.0, rounding: Rounding::HalfToEven };
    on_every_path(|_| {
        for length in [1, 15, 16, 17, 100, 50_000] {
            let mut x = floats(3, length);
            x[0] = f32::NAN;
            if length > 1 {
                x[length - 1] = 77.0;
                x[length / 2] = -99.0;
            }
            let expected = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, greatest), x| (least.min(*x), greatest.max(*x)));
            assert_eq!(codes(&range, 1.0, &x, &mut vec![0.0; length]), expected);
        }
    });
    assert_eq!(codes(&range, 1.0, &[], &mut []), (f32::INFINITY, f32::NEG_INFINITY));
}

#[test]
fn the_gradient_passes_strictly_inside_the_mask() {
    let x = [-1.0, -0.5, 0.0, 0.5, 1.0, f32::NAN];
    on_every_path(|_| {
        let mut dx = [1.0; 6];
        backward(0.5, (-2.0, 2.0), &x, &[3.0; 6], &mut dx, true);
        assert_eq!(dx, [1.0, 4.0, 4.0, 4.0, 1.0, 1.0]);
        backward(0.5, (-2.0, 2.0), &x, &[3.0; 6], &mut dx, false);
        assert_eq!(dx, [0.0, 3.0, 3.0, 3.0, 0.0, 0.0]);
    });
}
