//! The passes against their formulas, on every path of the machine.

use super::*;
use crate::fake_quantize::{Rounding, reference::code};
use crate::simd::on_every_path;
use crate::test_data::{floats, integers};

const SIZES: [usize; 5] = [1, 16, 37, 1000, 40_001];
const GRID: CodeRange = CodeRange { lo: -128.0, hi: 127.0, rounding: Rounding::HalfToEven };

fn limits(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, greatest), v| (least.min(*v), greatest.max(*v)))
}

#[test]
fn add_and_multiply_agree_to_the_bit_in_float_and_in_codes() {
    for size in SIZES {
        let (a, b) = (integers(1, size, 255), integers(2, size, 255));
        for quantize in [None, Some(GRID)] {
            let clip = (-3.0, 130.0);
            let add_pass = AddPass { sum: Sum::Reals { operands: [0.37, 0.5], result: 1.25 }, clip, quantize };
            let multiply_pass = MultiplyPass { k: 0.01, clip, quantize };
            let sums: Vec<f32> = a.iter().zip(&b).map(|(a, b)| ((a * 0.37 + b * 0.5) / 1.25).clamp(clip.0, clip.1)).collect();
            let products: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a * b * 0.01).clamp(clip.0, clip.1)).collect();
            let on_grid = |t: &[f32]| -> Vec<f32> { t.iter().map(|t| quantize.map_or(*t, |grid| code(&grid, *t))).collect() };
            on_every_path(|simd| {
                let mut y = vec![f32::NAN; size];
                assert_eq!(add(&add_pass, &a, &b, &mut y), limits(&sums), "{simd:?}");
                assert!(y == on_grid(&sums), "{simd:?} {size}");
                assert_eq!(multiply(&multiply_pass, &a, &b, &mut y), limits(&products), "{simd:?}");
                assert!(y == on_grid(&products), "{simd:?} {size}");
            });
        }
    }
}

/// ONNX Runtime 1.32 gave these codes (`QLinearAdd` of two bytes each, AVX2): with a zero point of 121 a tie goes where the code on top of
/// it is even, and `0.25·2 + 0.5·z` is one.
#[test]
fn codes_are_added_with_their_zero_points_and_rounded_once() {
    for size in SIZES {
        let (a, b) = (integers(1, size, 127), integers(2, size, 127));
        let sum = CodeSum::new([(0.0371, 113), (0.0371, 127)], (0.0371 * 2.0, 121));
        let t: Vec<f32> = a
            .iter()
            .zip(&b)
            .map(|(a, b)| (a + 113.0f32).mul_add(0.5, (b + 127.0f32).mul_add(0.5, 121.0 - 0.5f32.mul_add(113.0, 63.5))))
            .collect();
        let range = CodeRange { lo: -121.0, hi: 134.0, rounding: Rounding::HalfToEven };
        let codes: Vec<f32> = t.iter().map(|t| t.round_ties_even().clamp(0.0, 255.0) - 121.0).collect();
        assert_eq!((sum.of_codes(114.0, 127.0), sum.of_codes(115.0, 128.0)), (121.5, 122.5));
        let infinite = (f32::NEG_INFINITY, f32::INFINITY);
        let pass = AddPass { sum: Sum::Codes(sum), clip: infinite, quantize: Some(range) };
        on_every_path(|simd| {
            let mut y = vec![f32::NAN; size];
            let found = add(&pass, &a, &b, &mut y);
            assert_eq!(found, limits(&t.iter().map(|t| t - 121.0).collect::<Vec<_>>()), "{simd:?}");
            assert!(y == codes, "{simd:?} {size}");
            let mut da = vec![f32::NAN; size];
            add_backward(&pass, (-20.5, 20.5), &a, &b, &vec![1.0; size], Some((&mut da, false)), None);
            assert!((0..size).all(|i| (da[i] == 1.0) == (-20.5 < t[i] - 121.0 && t[i] - 121.0 < 20.5)), "{simd:?}");
        });
    }
}

#[test]
fn gradients_agree_to_the_bit_and_go_only_where_they_are_wanted() {
    for size in SIZES {
        let (a, b, dy) = (floats(1, size), floats(2, size), floats(3, size));
        let add_pass = AddPass { sum: Sum::Reals { operands: [0.3, -2.0], result: 1.0 }, clip: (-1.0, 1.0), quantize: Some(GRID) };
        let multiply_pass = MultiplyPass { k: 0.5, clip: (-1.0, 1.0), quantize: None };
        let inside = |t: f32| if -1.0 < t && t < 1.0 { 1.0 } else { 0.0 };
        let g: Vec<f32> = (0..size).map(|i| dy[i] * inside(a[i] * 0.3 + b[i] * -2.0)).collect();
        let h: Vec<f32> = (0..size).map(|i| dy[i] * inside(a[i] * b[i] * 0.5)).collect();
        on_every_path(|simd| {
            let (mut da, mut db) = (vec![f32::NAN; size], vec![1.0; size]);
            add_backward(&add_pass, (-1.0, 1.0), &a, &b, &dy, Some((&mut da, false)), Some((&mut db, true)));
            assert!((0..size).all(|i| da[i] == g[i] && db[i] == 1.0 + g[i]), "{simd:?} {size}");
            add_backward(&add_pass, (-1.0, 1.0), &a, &b, &dy, None, Some((&mut db, false)));
            assert!(db == g, "{simd:?} {size}");

            multiply_backward(&multiply_pass, (-1.0, 1.0), &a, &b, &dy, (3.0, 0.25), Some((&mut da, false)), Some((&mut db, false)));
            assert!((0..size).all(|i| da[i] == h[i] * b[i] * 3.0 && db[i] == h[i] * a[i] * 0.25), "{simd:?} {size}");
            multiply_backward(&multiply_pass, (-1.0, 1.0), &a, &b, &dy, (3.0, 0.25), Some((&mut da, true)), None);
            assert!((0..size).all(|i| da[i] == h[i] * b[i] * 3.0 + h[i] * b[i] * 3.0), "{simd:?} {size}");
        });
    }
}

#[test]
fn an_infinite_input_of_an_add_has_a_finite_gradient() {
    let pass = AddPass { sum: Sum::Reals { operands: [1.0; 2], result: 1.0 }, clip: (-1.0, 1.0), quantize: None };
    let mut da = [9.0];
    add_backward(&pass, (-1.0, 1.0), &[f32::INFINITY], &[0.0], &[1.0], Some((&mut da, false)), None);
    assert_eq!(da, [0.0]);
}

#[test]
fn the_small_ones_do_what_they_say() {
    for size in SIZES {
        let (x, dy) = (floats(1, size), floats(2, size));
        on_every_path(|_| {
            let mut y = vec![f32::NAN; size];
            clip((-1.0, 2.0), &x, &mut y);
            assert!((0..size).all(|i| y[i] == x[i].clamp(-1.0, 2.0)));
            clip_backward((-1.0, 2.0), &x, &dy, &mut y, false);
            assert!((0..size).all(|i| y[i] == if -1.0 < x[i] && x[i] < 2.0 { dy[i] } else { 0.0 }));
            scale_into(0.3, &x, &mut y);
            add_assign(&dy, &mut y);
            assert!((0..size).all(|i| y[i] == x[i] * 0.3 + dy[i]));
        });
    }
}
