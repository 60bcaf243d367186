use super::elementwise::{Add, look_up};
use super::{Codes, Convolution, ConvolutionParameters, Requantize, pooling, quantize, reference};
use crate::convolution::ConvolutionShape;
use crate::elementwise::CodeSum;
use crate::fake_quantize::{self, CodeRange, Rounding};
use crate::simd::on_every_path;
use crate::test_data::integers;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn bytes(seed: u64, count: usize) -> Vec<u8> {
    integers(seed, count, 127).iter().map(|v| (v + 128.0) as u8).collect()
}

/// Any convolution, small.
fn shapes() -> impl Strategy<Value = ConvolutionShape> {
    let channels = prop_oneof![
        (1usize..4, 1usize..40, 1usize..40).prop_map(|(groups, i, o)| (groups, groups * i, groups * o)),
        (2usize..70).prop_map(|c| (c, c, c)),
    ];
    let axis = || (1usize..9, 1usize..4, 1usize..4, 1usize..3, 0usize..3, 0usize..3);
    (1usize..4, channels, axis(), axis()).prop_filter_map("the kernel fits", |(batch, (groups, in_channels, out_channels), h, w)| {
        let out = |(n, k, s, d, begin, end): (usize, usize, usize, usize, usize, usize)| {
            (n + begin + end).checked_sub((k - 1) * d + 1).map(|room| room / s + 1)
        };
        Some(ConvolutionShape {
            batch,
            in_height: h.0,
            in_width: w.0,
            in_channels,
            out_height: out(h)?,
            out_width: out(w)?,
            out_channels,
            kernel: [h.1, w.1],
            stride: [h.2, w.2],
            padding_begin: [h.4, w.4],
            dilation: [h.3, w.3],
            groups,
            transposed: false,
        })
    })
}

/// Compares sums and codes of every formula with the reference; returns how many codes that was.
fn check(shape: &ConvolutionShape, zero: u8, seed: u64) -> usize {
    let x = bytes(seed, shape.input_len());
    let weights: Vec<i8> = integers(seed + 1, shape.weight_len(), 128).iter().map(|v| v.min(127.0) as i8).collect();
    let bias: Vec<i32> = integers(seed + 2, shape.out_channels, 10_000).iter().map(|v| *v as i32).collect();
    let multiplier = integers(seed + 3, shape.out_channels, 100).iter().map(|v| (v + 101.0) * 1e-4).collect();
    let shift = integers(seed + 4, shape.out_channels, 6).iter().map(|v| *v as i32 + 5).collect();
    let sums = reference::accumulate(shape, &x, zero, &weights, &bias);
    let codes = Codes { lo: -100, hi: 120, zero: 117 };
    let mut compared = 0;
    on_every_path(|simd| {
        for formula in [Requantize::Multiply(Vec::clone(&multiplier)), Requantize::Shift(Vec::clone(&shift))] {
            let parameters =
                ConvolutionParameters { shape: *shape, weights: &weights, bias: &bias, zero, requantize: Some((&formula, codes)) };
            let convolution = Convolution::new(&parameters);
            let (mut found, mut y) = (vec![0; sums.len()], vec![0; sums.len()]);
            convolution.accumulate(shape.batch, &x, &mut found);
            convolution.run(shape.batch, &x, &mut y);
            for i in 0..sums.len() {
                assert_eq!(i64::from(found[i]), sums[i], "{simd:?} {shape:?}: sum {i}");
                let expected = reference::requantize(&formula, codes, i % shape.out_channels, sums[i]);
                assert_eq!(y[i], expected, "{simd:?} {formula:?}: code {i} of sum {}", sums[i]);
                compared += 1;
            }
        }
    });
    compared
}

#[test]
fn every_path_gives_the_sums_and_codes_of_the_reference() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config { cases: 150, failure_persistence: None, ..Config::default() }, rng);
    let mut compared = 0;
    let mut seed = 0;
    let cases = std::cell::RefCell::new((&mut compared, &mut seed));
    runner
        .run(&shapes(), |shape| {
            let (compared, seed) = &mut *cases.borrow_mut();
            **seed += 5;
            **compared += check(&shape, (**seed % 256) as u8, **seed);
            Ok(())
        })
        .unwrap();
    assert!(compared > 100_000, "{compared}");
}

#[test]
fn transposed_convolutions_give_the_sums_and_codes_of_the_reference() {
    let mut compared = 0;
    for (seed, (groups, in_channels, out_channels)) in [(1, 16, 8), (1, 3, 5), (2, 6, 4), (24, 24, 24), (3, 3, 6)].into_iter().enumerate() {
        for (kernel, stride, padding, dilation, more) in [
            ([2, 2], [2, 2], [0, 0], [1, 1], 0),
            ([4, 4], [2, 2], [1, 1], [1, 1], 0),
            ([3, 3], [2, 2], [1, 1], [1, 1], 1),
            ([3, 2], [3, 1], [0, 1], [1, 2], 2),
            ([3, 3], [2, 2], [2, 3], [2, 3], 1),
            ([1, 1], [2, 3], [0, 0], [1, 1], 1),
            ([1, 3], [1, 1], [1, 2], [1, 1], 0),
        ] {
            let out = |axis: usize, n: usize| (n - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1 + more - 2 * padding[axis];
            let shape = ConvolutionShape {
                batch: 2,
                in_height: 5,
                in_width: 6,
                in_channels,
                out_height: out(0, 5),
                out_width: out(1, 6),
                out_channels,
                kernel,
                stride,
                padding_begin: padding,
                dilation,
                groups,
                transposed: true,
            };
            compared += check(&shape, 100, 100 + seed as u64);
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn extreme_codes_and_weights_do_not_saturate() {
    let shape = ConvolutionShape {
        batch: 1,
        in_height: 5,
        in_width: 5,
        in_channels: 64,
        out_height: 5,
        out_width: 5,
        out_channels: 64,
        kernel: [3, 3],
        stride: [1, 1],
        padding_begin: [1, 1],
        dilation: [1, 1],
        groups: 1,
        transposed: false,
    };
    for groups in [1, 64] {
        let shape = ConvolutionShape { groups, ..shape };
        let (x, weights, bias) = (vec![255; shape.input_len()], vec![-128; shape.weight_len()], vec![-7; 64]);
        let expected = reference::accumulate(&shape, &x, 0, &weights, &bias);
        on_every_path(|simd| {
            let parameters = ConvolutionParameters { shape, weights: &weights, bias: &bias, zero: 0, requantize: None };
            let mut sums = vec![0; expected.len()];
            Convolution::new(&parameters).accumulate(1, &x, &mut sums);
            assert!(sums.iter().zip(&expected).all(|(s, e)| i64::from(*s) == *e), "{simd:?}");
        });
    }
}

#[test]
fn an_addition_is_that_of_the_simulation_on_stored_codes() {
    let (a, b) = (bytes(1, 40_001), bytes(2, 40_001));
    for scales in [[0.5, 0.25], [0.3, 0.7], [1.7, 0.01]] {
        // Signed codes are stored plus 128.
        let sum = CodeSum::new([(scales[0], 7), (scales[1], -3)], (1.0, 5));
        let add = Add { sum, offsets: [0, 128, 128], limits: (-100, 127) };
        on_every_path(|simd| {
            let mut y = vec![0; a.len()];
            add.run(&a, &b, &mut y);
            for i in 0..y.len() {
                let t = sum.of_codes(f32::from(a[i]), f32::from(b[i]) - 128.0);
                assert_eq!(y[i], (t.round_ties_even().clamp(-100.0, 127.0) + 128.0) as u8, "{simd:?}: {t}");
            }
        });
    }
}

#[test]
fn codes_of_real_values_are_rounded_clamped_and_moved_to_the_stored_zero() {
    // Quarters, so that there are ties; more than one task.
    let mut x: Vec<f32> = integers(5, 40_001, 600).iter().map(|v| v / 4.0).collect();
    x[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    for rounding in [Rounding::HalfToEven, Rounding::HalfUp, Rounding::HalfAwayFromZero] {
        let range = CodeRange { lo: -100.0, hi: 120.0, rounding };
        on_every_path(|simd| {
            let (mut bytes, mut words) = (vec![0u8; x.len()], vec![0u16; x.len()]);
            quantize(&range, 110, 0.5, &x, &mut bytes);
            quantize(&range, 40_000, 0.5, &x, &mut words);
            for i in 0..x.len() {
                let code = fake_quantize::reference::code(&range, x[i] / 0.5) as i32;
                assert_eq!([i32::from(bytes[i]), i32::from(words[i])], [code + 110, code + 40_000], "{simd:?}: {}", x[i]);
            }
        });
    }
}

#[test]
fn tables_and_sums_take_every_code() {
    let x = bytes(3, 3 * 49 * 37);
    let table: [u8; 256] = std::array::from_fn(|i| (i * 7 % 256) as u8);
    let mut y = vec![0; x.len()];
    look_up(&table, &x, &mut y);
    assert!(x.iter().zip(&y).all(|(x, y)| *y == table[usize::from(*x)]));
    on_every_path(|simd| {
        let mut sums = vec![-1; 3 * 37];
        pooling::sum_pixels(3, 49, 37, &x, &mut sums);
        for (i, &sum) in sums.iter().enumerate() {
            let expected: i32 = (0..49).map(|p| i32::from(x[(i / 37 * 49 + p) * 37 + i % 37])).sum();
            assert_eq!(sum, expected, "{simd:?}");
        }
    });
}
