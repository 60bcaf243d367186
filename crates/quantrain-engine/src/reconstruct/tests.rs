use quantrain_kernels::convolution::{self, ConvolutionShape};
use quantrain_kernels::fake_quantize::{CodeRange, Rounding};
use quantrain_kernels::weights::Grid;

use super::*;
use crate::BlockInput;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A dense, a grouped and a depthwise convolution, small enough that every patch is taken.
fn shapes() -> [ConvolutionShape; 3] {
    let of = |in_channels, out_channels, groups| ConvolutionShape {
        batch: 3,
        in_height: 7,
        in_width: 6,
        in_channels,
        out_height: 4,
        out_width: 3,
        out_channels,
        kernel: [3, 3],
        stride: [2, 2],
        padding_begin: [1, 1],
        dilation: [1, 1],
        groups,
        transposed: false,
    };
    [of(4, 5, 1), of(6, 4, 2), of(6, 6, 6)]
}

struct Case {
    shape: ConvolutionShape,
    float: Vec<f32>,
    codes: Vec<f32>,
    weights: Vec<f32>,
}

/// Neighbouring inputs are alike, as in images: then rounding is worth learning.
fn case(shape: ConvolutionShape) -> Case {
    let common = noise(1, shape.batch);
    let each = shape.input_len() / shape.batch;
    let float: Vec<f32> = noise(2, shape.input_len()).iter().enumerate().map(|(i, v)| 1.0 + common[i / each] + 0.2 * v).collect();
    let codes = float.iter().map(|v| (v / 0.05).round()).collect();
    Case { float, codes, weights: noise(3, shape.weight_len()), shape }
}

fn moments(case: &Case) -> Moments {
    let mut moments = Moments::new(&case.shape, Wanted::Covariances);
    moments.add(
        &BlockInput { shape: case.shape, values: &case.float, scale: 1.0 },
        &BlockInput { shape: case.shape, values: &case.codes, scale: 0.05 },
    );
    moments
}

/// Mean and variance of `w·x − ŵ·x̂` for each channel, by running both convolutions.
fn plain(case: &Case, quantized: &[f32]) -> Vec<(f64, f64)> {
    let (mut y, mut yq) = (vec![0.0; case.shape.output_len()], vec![0.0; case.shape.output_len()]);
    let x: Vec<f32> = case.codes.iter().map(|q| q * 0.05).collect();
    convolution::forward(&case.shape, &case.float, &case.weights, &mut y);
    convolution::forward(&case.shape, &x, quantized, &mut yq);
    let channels = case.shape.out_channels;
    let of = |c: usize| {
        let d: Vec<f64> = y.iter().zip(&yq).skip(c).step_by(channels).map(|(a, b)| f64::from(a - b)).collect();
        let mean = d.iter().sum::<f64>() / d.len() as f64;
        (mean, d.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / d.len() as f64)
    };
    (0..channels).map(of).collect()
}

#[test]
fn moments_tell_what_running_both_convolutions_tells() {
    for shape in shapes() {
        let case = case(shape);
        let moments = moments(&case);
        let [a, b] = [0.1f32, 0.25].map(|step| case.weights.iter().map(|w| (w / step).round() * step).collect::<Vec<f32>>());
        let (plain_a, plain_b) = (plain(&case, &a), plain(&case, &b));
        let means = moments.mean_difference(&case.weights, &a);
        let objective = moments.objective(&case.weights);
        let error = |w: &[f32]| objective.error(w, &mut vec![0.0; w.len()]);
        let (of_a, of_b) = (error(&a), error(&b));
        for c in 0..shape.out_channels {
            assert!((f64::from(means[c]) - plain_a[c].0).abs() < 1e-4, "{shape:?}");
            // The error is known up to a constant.
            let (found, expected) = (of_a[c] - of_b[c], plain_a[c].1 - plain_b[c].1);
            assert!((found - expected).abs() < 2e-4 * (1.0 + expected.abs()), "{shape:?}: {found} {expected}");
        }
    }
}

#[test]
fn the_gradient_is_that_of_the_error() {
    for shape in shapes() {
        let case = case(shape);
        let moments = moments(&case);
        let w: Vec<f32> = case.weights.iter().map(|w| (w / 0.25).round() * 0.25).collect();
        let objective = moments.objective(&case.weights);
        let mut half = vec![0.0; w.len()];
        objective.half_gradient(&w, &mut half);
        let patch = w.len() / shape.out_channels;
        for i in (0..w.len()).step_by(7) {
            let at = |by: f32| {
                let mut w = w.clone();
                w[i] += by;
                objective.error(&w, &mut vec![0.0; w.len()])[i / patch]
            };
            let numeric = (at(0.25) - at(-0.25)) / 0.5;
            let gradient = 2.0 * f64::from(half[i]);
            assert!((gradient - numeric).abs() < 1e-3 * (1.0 + numeric.abs()), "{shape:?}: {gradient} {numeric}");
        }
    }
}

#[test]
fn learned_rounding_is_up_or_down_and_better_than_the_nearest() {
    for shape in shapes() {
        let case = case(shape);
        let moments = moments(&case);
        let grid = Grid { scale: 1.0 / 7.0, range: CodeRange { lo: -7.0, hi: 7.0, rounding: Rounding::HalfToEven } };
        for grids in [vec![grid], vec![grid; shape.out_channels]] {
            let learned = AdaRound::default().learn(&moments, &case.weights, &case.weights, &grids, None);
            assert!(learned.moved > 0 && learned.kept.iter().all(|k| !k));
            let in_units = |codes: &[f32]| codes.iter().map(|q| q * grid.scale).collect::<Vec<f32>>();
            for (q, w) in learned.codes.iter().zip(&case.weights) {
                assert!(q.fract() == 0.0 && (-7.0..=7.0).contains(q) && (q - w / grid.scale).abs() < 1.0 + 1e-3, "{q} {w}");
            }
            let nearest: Vec<f32> = case.weights.iter().map(|w| (w / grid.scale).round_ties_even().clamp(-7.0, 7.0)).collect();
            let total = |codes: &[f32]| plain(&case, &in_units(codes)).iter().map(|p| p.1).sum::<f64>();
            let (before, after) = (total(&nearest), total(&learned.codes));
            assert!(after < 0.9 * before, "{shape:?}: {before} {after}");
        }
    }
}

/// On a grid that the largest pair of each channel makes, as [`quantrain_graph::pairs`] has it, where codes 0 and 1, 2 and 3, … may sum up to 12.
#[test]
fn learned_neighbours_of_one_sign_stay_within_their_sum() {
    for shape in shapes() {
        let case = case(shape);
        let moments = moments(&case);
        let patch = case.weights.len() / shape.out_channels;
        let pairs = |row: &[f32]| row.chunks(2).map(|p| [p[0], *p.get(1).unwrap_or(&0.0)]).collect::<Vec<_>>();
        let sum = |[a, b]: [f32; 2]| (a.max(0.0) + b.max(0.0)).max(-(a.min(0.0) + b.min(0.0)));
        let largest = |row: &[f32]| pairs(row).into_iter().map(sum).fold(0.0, f32::max);
        let single = |row: &[f32]| row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        let range = CodeRange { lo: -10.0, hi: 10.0, rounding: Rounding::HalfToEven };
        let rows = || case.weights.chunks(patch);
        let grids: Vec<Grid> = rows().map(|row| Grid { scale: (largest(row) / 12.0).max(single(row) / 10.0) * 1.000001, range }).collect();
        let learned = AdaRound::default().learn(&moments, &case.weights, &case.weights, &grids, Some(12.0));
        assert!(learned.moved > 0 && learned.kept.iter().all(|k| !k));
        for ((codes, row), grid) in learned.codes.chunks(patch).zip(rows()).zip(&grids) {
            assert!(largest(codes) <= 12.0 && single(codes) <= 10.0, "{codes:?}");
            assert!(largest(codes) == 12.0 || single(codes) == 10.0, "the range stays: {codes:?}");
            assert!(codes.iter().zip(row).all(|(q, w)| q.fract() == 0.0 && (q - w / grid.scale).abs() < 1.01));
        }
    }
}
