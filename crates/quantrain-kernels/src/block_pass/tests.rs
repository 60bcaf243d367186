//! The fused passes against the formula, on every path of the machine.

use super::*;
use crate::fake_quantize::Rounding;
use crate::simd::on_every_path;
use crate::test_data::{floats, integers};

/// Odd numbers of channels, short and long rows, rows that fill no strip, and tasks that end within one.
const SIZES: [(usize, usize); 9] = [(1, 1), (1, 5000), (3, 7), (16, 2000), (24, 1500), (37, 11), (130, 129), (513, 40), (1280, 30)];
const INFINITE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

struct Case {
    channels: usize,
    acc: Vec<f32>,
    dy: Vec<f32>,
    parameters: [Vec<f32>; 3],
}

impl Case {
    fn new((channels, rows): (usize, usize)) -> Self {
        let parameters = [1, 2, 3].map(|seed| floats(seed, channels));
        Self { channels, acc: integers(4, channels * rows, 500), dy: floats(5, channels * rows), parameters }
    }

    fn pass(&self, clip: (f32, f32), quantize: Option<CodeRange>) -> BlockPass<'_> {
        let [before, multiplier, after] = &self.parameters;
        BlockPass { before, multiplier, after, clip, quantize }
    }

    fn t(&self, i: usize) -> f32 {
        let c = i % self.channels;
        (self.acc[i] + self.parameters[0][c]) * self.parameters[1][c] + self.parameters[2][c]
    }

    fn g(&self, mask: (f32, f32), i: usize) -> f32 {
        if mask.0 < self.t(i) && self.t(i) < mask.1 { self.dy[i] } else { 0.0 }
    }
}

#[test]
fn forward_agrees_to_the_bit_in_float_and_in_codes() {
    for size in SIZES {
        let case = Case::new(size);
        for clip in [INFINITE, (0.0, f32::INFINITY), (0.0, 6.0)] {
            for rounding in [None, Some(Rounding::HalfToEven), Some(Rounding::HalfUp), Some(Rounding::HalfAwayFromZero)] {
                let quantize = rounding.map(|rounding| CodeRange { lo: -100.0, hi: 155.0, rounding });
                let a: Vec<f32> = (0..case.acc.len()).map(|i| case.t(i).clamp(clip.0, clip.1)).collect();
                let expected: Vec<f32> =
                    a.iter().map(|a| quantize.map_or(*a, |range| crate::fake_quantize::reference::code(&range, *a))).collect();
                on_every_path(|simd| {
                    let mut y = vec![f32::NAN; a.len()];
                    let limits = forward(&case.pass(clip, quantize), &case.acc, &mut y);
                    assert!(y == expected, "{simd:?} {size:?} {clip:?} {rounding:?}");
                    let least = a.iter().copied().fold(f32::INFINITY, f32::min);
                    let greatest = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    assert_eq!(limits, (least, greatest), "{simd:?} {size:?} {clip:?}");
                });
            }
        }
    }
}

#[test]
fn ties_of_the_requantization_follow_the_rounding() {
    let ones = [1.0; 5];
    let pass = |rounding| BlockPass {
        before: &[0.0; 5],
        multiplier: &[0.5; 5],
        after: &[0.0; 5],
        clip: INFINITE,
        quantize: Some(CodeRange { lo: -2.0, hi: 2.0, rounding }),
    };
    for (rounding, expected) in [
        (Rounding::HalfToEven, [-2.0, -0.0, 0.0, 2.0, 2.0]),
        (Rounding::HalfUp, [-1.0, 0.0, 1.0, 2.0, 2.0]),
        (Rounding::HalfAwayFromZero, [-2.0, -1.0, 1.0, 2.0, 2.0]),
    ] {
        let mut y = ones;
        forward(&pass(rounding), &[-3.0, -1.0, 1.0, 3.0, 9.0], &mut y);
        assert_eq!(y, expected, "{rounding:?}");
    }
}

#[test]
fn a_float_nan_stays_and_a_code_of_nan_is_zero() {
    let channel: [&[f32]; 3] = [&[0.0], &[1.0], &[0.0]];
    let [before, multiplier, after] = channel;
    let acc = [f32::NAN; 33];
    on_every_path(|_| {
        let mut y = [1.0; 33];
        let mut pass = BlockPass { before, multiplier, after, clip: (0.0, 6.0), quantize: None };
        assert_eq!(forward(&pass, &acc, &mut y), (f32::INFINITY, f32::NEG_INFINITY));
        assert!(y.iter().all(|y| y.is_nan()));
        pass.quantize = Some(CodeRange { lo: -3.0, hi: 3.0, rounding: Rounding::HalfToEven });
        forward(&pass, &acc, &mut y);
        assert_eq!(y, [0.0; 33]);
    });
}

#[test]
fn the_gradient_of_the_accumulators_agrees_to_the_bit() {
    for size in SIZES {
        let case = Case::new(size);
        let [k_g, k_acc, k_1] = [6, 7, 8].map(|seed| floats(seed, case.channels));
        for mask in [INFINITE, (0.0, 6.0)] {
            let expected = (0..case.acc.len()).map(|i| {
                let c = i % case.channels;
                k_g[c] * case.g(mask, i) + k_acc[c] * case.acc[i] + k_1[c]
            });
            let expected: Vec<f32> = expected.collect();
            on_every_path(|simd| {
                let mut dacc = vec![f32::NAN; expected.len()];
                backward(&case.pass(mask, None), mask, &case.acc, &case.dy, &k_g, &k_acc, &k_1, &mut dacc);
                assert!(dacc == expected, "{simd:?} {size:?} {mask:?}");
            });
        }
    }
}

#[test]
fn the_sums_agree_with_f64() {
    for size in SIZES {
        let case = Case::new(size);
        let center = floats(9, case.channels);
        let mask = (0.0, 6.0);
        let (mut sums, mut sizes) = ([vec![0.0; case.channels], vec![0.0; case.channels]], vec![1e-30; case.channels]);
        for i in 0..case.acc.len() {
            let (c, g) = (i % case.channels, f64::from(case.g(mask, i)));
            let term = g * (f64::from(case.acc[i]) - f64::from(center[c]));
            sums[0][c] += g;
            sums[1][c] += term;
            sizes[c] += term.abs() + g.abs();
        }
        on_every_path(|simd| {
            let (mut g, mut g_acc) = (vec![f32::NAN; case.channels], vec![f32::NAN; case.channels]);
            backward_sums(&case.pass(mask, None), mask, &center, &case.acc, &case.dy, &mut g, &mut g_acc);
            for c in 0..case.channels {
                // Partial sums in f32 are at most a few hundred terms long.
                for (found, expected) in [(g[c], sums[0][c]), (g_acc[c], sums[1][c])] {
                    assert!((f64::from(found) - expected).abs() <= 1e-5 * sizes[c], "{simd:?} {size:?}");
                }
            }
        });
    }
}
