//! Pools against their formulas in plain loops, on every path of the machine.

use super::*;
use crate::simd::on_every_path;
use crate::test_data::integers;
use proptest::prelude::*;

/// The places of window `i` along one axis: `None` where it lies off the image.
fn window(s: &PoolShape, axis: usize, i: usize) -> Vec<Option<usize>> {
    let length = [s.in_height, s.in_width][axis];
    let place = |k: usize| (i * s.stride[axis] + k * s.dilation[axis]).checked_sub(s.padding_begin[axis]);
    (0..s.kernel[axis]).map(|k| place(k).filter(|place| *place < length)).collect()
}

/// Calls `visit(output, inputs of the window, what an average divides by)` for every output.
fn for_each_window(s: &PoolShape, mut visit: impl FnMut(usize, &[usize], usize)) {
    let counted = |axis: usize, i: usize| {
        let reach = [s.in_height, s.in_width][axis] + s.padding_begin[axis] + s.padding_end[axis];
        (0..s.kernel[axis]).filter(|k| i * s.stride[axis] + k * s.dilation[axis] < reach).count()
    };
    for out in 0..s.batch * s.out_height * s.out_width * s.channels {
        let (c, w) = (out % s.channels, out / s.channels % s.out_width);
        let (h, n) = (out / s.channels / s.out_width % s.out_height, out / s.channels / s.out_width / s.out_height);
        let columns = window(s, 1, w);
        let rows = window(s, 0, h);
        let places = rows.iter().flatten().flat_map(|h| columns.iter().flatten().map(move |w| (h, w)));
        let places: Vec<usize> = places.map(|(h, w)| ((n * s.in_height + h) * s.in_width + w) * s.channels + c).collect();
        let count = if s.count_padding { counted(0, h) * counted(1, w) } else { places.len() };
        visit(out, &places, count.max(1));
    }
}

fn check(s: &PoolShape) {
    let x = integers(1, s.batch * s.in_image(), 9);
    let dy = integers(2, s.batch * s.out_image(), 9);
    let (mut max, mut average) = (dy.clone(), dy.clone());
    let (mut max_dx, mut average_dx) = (vec![1.0; x.len()], vec![1.0; x.len()]);
    for_each_window(s, |out, places, count| {
        let mut winner = None;
        for place in places {
            if winner.is_none_or(|winner| x[*place] > x[winner]) {
                winner = Some(*place);
            }
            average_dx[*place] += dy[out] / count as f32;
        }
        max[out] = winner.map_or(f32::NEG_INFINITY, |winner| x[winner]);
        if let Some(winner) = winner {
            max_dx[winner] += dy[out];
        }
        average[out] = places.iter().map(|place| x[*place]).sum::<f32>() / count as f32;
    });
    on_every_path(|simd| {
        let mut y = vec![f32::NAN; dy.len()];
        max_forward(s, &x, &mut y);
        assert!(y == max, "max {simd:?} {s:?}");
        average_forward(s, &x, &mut y);
        assert!(y == average, "average {simd:?} {s:?}");
        let mut dx = vec![1.0; x.len()];
        max_backward(s, &x, &dy, &mut dx, true);
        assert!(dx == max_dx, "gradient of max {simd:?} {s:?}");
        max_backward(s, &x, &dy, &mut dx, false);
        assert!(dx.iter().zip(&max_dx).all(|(found, expected)| found + 1.0 == *expected), "overwritten {simd:?} {s:?}");
        // Quotients are added in the same order here and there.
        let mut dx = vec![1.0; x.len()];
        average_backward(s, &dy, &mut dx, true);
        assert!(dx.iter().zip(&average_dx).all(|(a, b)| (a - b).abs() < 1e-4), "gradient of average {simd:?} {s:?}");
    });
}

#[test]
fn padding_is_counted_up_to_its_end_where_asked() {
    // ceil_mode: the last window reaches one place past the padding, which nothing counts.
    let shape = PoolShape {
        batch: 1,
        in_height: 1,
        in_width: 4,
        channels: 1,
        out_height: 1,
        out_width: 3,
        kernel: [1, 3],
        stride: [1, 2],
        padding_begin: [0, 1],
        padding_end: [0, 1],
        dilation: [1, 1],
        count_padding: true,
    };
    let mut y = [0.0; 3];
    average_forward(&shape, &[6.0; 4], &mut y);
    assert_eq!(y, [4.0, 6.0, 3.0]);
    average_forward(&PoolShape { count_padding: false, ..shape }, &[6.0; 4], &mut y);
    assert_eq!(y, [6.0; 3]);
}

#[test]
fn the_first_of_equal_maxima_takes_the_gradient() {
    let shape = PoolShape {
        batch: 1,
        in_height: 2,
        in_width: 2,
        channels: 1,
        out_height: 1,
        out_width: 1,
        kernel: [2, 2],
        stride: [2, 2],
        padding_begin: [0, 0],
        padding_end: [0, 0],
        dilation: [1, 1],
        count_padding: false,
    };
    let mut dx = [9.0; 4];
    max_backward(&shape, &[1.0, 5.0, 5.0, 5.0], &[2.0], &mut dx, false);
    assert_eq!(dx, [0.0, 2.0, 0.0, 0.0]);
}

#[test]
fn a_global_average_of_a_large_image_is_as_exact_as_a_small_ones() {
    for (pixels, channels) in [(100_000, 3), (40_001, 16), (20_000, 37)] {
        let x: Vec<f32> = (0..pixels * channels).map(|i| 0.1 + (i * 7919 % 1000) as f32 * 1e-3).collect();
        let mut y = vec![0.0; channels];
        global_average_forward(1, pixels, channels, &x, 1.0 / pixels as f32, &mut y);
        for (c, y) in y.iter().enumerate() {
            let exact = x[c..].iter().step_by(channels).map(|&x| f64::from(x)).sum::<f64>() / pixels as f64;
            assert!((f64::from(*y) / exact - 1.0).abs() < 5e-6, "{pixels} pixels, channel {c} of {channels}: {y} {exact}");
        }
    }
}

#[test]
fn a_global_average_of_codes_is_the_exact_sum_times_the_factor() {
    for (batch, pixels, channels) in [(1, 1, 1), (3, 49, 37), (2, 64, 64), (2, 9, 1280)] {
        let x = integers(1, batch * pixels * channels, 255);
        let factor = 0.013;
        on_every_path(|_| {
            let mut y = vec![f32::NAN; batch * channels];
            global_average_forward(batch, pixels, channels, &x, factor, &mut y);
            for (i, y) in y.iter().enumerate() {
                let image = &x[i / channels * pixels * channels..][..pixels * channels];
                let sum: i64 = image.iter().skip(i % channels).step_by(channels).map(|x| *x as i64).sum();
                assert_eq!(*y, sum as f32 * factor);
            }
            let mut dx = vec![1.0; x.len()];
            global_average_backward(batch, pixels, channels, &y, factor, &mut dx, true);
            for (i, dx) in dx.iter().enumerate() {
                assert_eq!(*dx, 1.0 + y[i / (pixels * channels) * channels + i % channels] * factor);
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, rng_seed: proptest::test_runner::RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_agrees_with_the_formula(
        batch in 1..3usize,
        size in [1..10usize, 1..10usize],
        channels in 1..40usize,
        kernel in [1..4usize, 1..4usize],
        stride in [1..4usize, 1..4usize],
        padding in [0..3usize, 0..3usize],
        dilation in [1..3usize, 1..3usize],
        out in [1..8usize, 1..8usize],
        count_padding: bool,
    ) {
        check(&PoolShape {
            batch,
            in_height: size[0],
            in_width: size[1],
            channels,
            out_height: out[0],
            out_width: out[1],
            kernel,
            stride,
            padding_begin: padding,
            padding_end: padding,
            dilation,
            count_padding,
        });
    }
}
