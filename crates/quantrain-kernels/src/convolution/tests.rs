//! The fast kernels against the formula, on every path of the machine, at any number of threads.

use super::*;
use crate::simd::on_every_path;
use crate::test_data::integers;
use proptest::prelude::*;

/// Codes this small keep every sum below 2^24 in these shapes, so results must agree to the bit.
const LIMIT: i32 = 31;

fn check(shape: &ConvolutionShape) {
    let x = integers(1, shape.input_len(), LIMIT);
    let w = integers(2, shape.weight_len(), LIMIT);
    let dy = integers(3, shape.output_len(), LIMIT);
    let before = integers(4, shape.input_len(), LIMIT);
    let (mut y, mut dx, mut dw) = (dy.clone(), before.clone(), w.clone());
    reference::forward(shape, &x, &w, &mut y);
    reference::input_gradient(shape, &dy, &w, &mut dx, true);
    reference::weight_gradient(shape, &x, &dy, &mut dw);
    on_every_path(|simd| {
        let mut found = vec![f32::NAN; y.len()];
        forward(shape, &x, &w, &mut found);
        assert!(found == y, "forward, {simd:?}, {shape:?}");

        let mut found = before.clone();
        input_gradient(shape, &dy, &w, &mut found, true);
        assert!(found == dx, "input gradient added, {simd:?}, {shape:?}");
        let mut found = vec![f32::NAN; x.len()];
        input_gradient(shape, &dy, &w, &mut found, false);
        let added: Vec<f32> = found.iter().zip(&before).map(|(a, b)| a + b).collect();
        assert!(added == dx, "input gradient, {simd:?}, {shape:?}");

        let mut found = vec![f32::NAN; w.len()];
        weight_gradient(shape, &x, &dy, &mut found);
        assert!(found == dw, "weight gradient, {simd:?}, {shape:?}");
    });
}

/// A square shape whose output has the size that padding and stride give.
fn shape(
    batch: usize,
    [height, width]: [usize; 2],
    [in_channels, out_channels]: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
) -> ConvolutionShape {
    let out = |axis: usize, length: usize| {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        (length + 2 * padding[axis]).saturating_sub(reach) / stride[axis] + 1
    };
    ConvolutionShape {
        batch,
        in_height: height,
        in_width: width,
        in_channels,
        out_height: out(0, height),
        out_width: out(1, width),
        out_channels,
        kernel,
        stride,
        padding_begin: padding,
        dilation,
        groups,
        transposed: false,
    }
}

#[test]
fn the_shapes_of_small_networks_agree_to_the_bit() {
    let one = [1, 1];
    for [input, output] in [[3, 16], [16, 16], [16, 32], [32, 64], [17, 33], [1, 1], [64, 10]] {
        check(&shape(3, [8, 8], [input, output], [3, 3], one, one, one, 1));
        check(&shape(3, [9, 7], [input, output], [3, 3], [2, 2], one, one, 1));
        check(&shape(5, [4, 4], [input, output], one, one, [0, 0], one, 1));
        check(&shape(2, [5, 6], [input, output], one, [2, 2], [0, 0], one, 1));
    }
}

#[test]
fn depthwise_shapes_agree_to_the_bit() {
    for channels in [1, 8, 16, 24, 37] {
        for kernel in [1, 3, 5, 7] {
            for stride in [1, 2, 3] {
                let half = [kernel / 2; 2];
                let s = [stride; 2];
                check(&shape(2, [9, 11], [channels; 2], [kernel; 2], s, half, [1, 1], channels));
            }
        }
        check(&shape(2, [9, 11], [channels; 2], [3, 3], [1, 1], [2, 2], [2, 2], channels));
        check(&shape(1, [40, 3], [channels; 2], [3, 1], [1, 1], [1, 0], [1, 1], channels));
    }
}

#[test]
fn images_that_need_several_bands_agree_to_the_bit() {
    check(&shape(1, [70, 70], [16, 8], [3, 3], [1, 1], [1, 1], [1, 1], 1));
    check(&shape(1, [90, 61], [16, 8], [3, 3], [2, 2], [1, 1], [1, 1], 1));
    check(&shape(2, [61, 90], [12, 5], [5, 5], [2, 2], [2, 2], [1, 1], 1));
    check(&shape(1, [70, 90], [24, 24], [3, 3], [2, 2], [1, 1], [1, 1], 24));
}

#[test]
fn asymmetric_padding_that_reaches_past_the_kernel_agrees_to_the_bit() {
    let mut shape = shape(2, [7, 7], [5, 6], [3, 3], [2, 2], [0, 0], [1, 1], 1);
    (shape.out_height, shape.out_width) = (4, 4);
    check(&shape);
    shape.padding_begin = [4, 5];
    (shape.out_height, shape.out_width) = (8, 7);
    check(&shape);
}

#[test]
fn threads_change_no_bit() {
    let shape = shape(4, [19, 17], [20, 24], [3, 3], [1, 1], [1, 1], [1, 1], 1);
    let depthwise = ConvolutionShape { in_channels: 24, groups: 24, ..shape };
    for shape in [shape, depthwise] {
        let x = crate::test_data::floats(1, shape.input_len());
        let w = crate::test_data::floats(2, shape.weight_len());
        let dy = crate::test_data::floats(3, shape.output_len());
        let results = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                forward(&shape, &x, &w, &mut y);
                input_gradient(&shape, &dy, &w, &mut dx, false);
                weight_gradient(&shape, &x, &dy, &mut dw);
                (y, dx, dw)
            })
        });
        assert!(results[0] == results[1] && results[0] == results[2]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_agrees_to_the_bit(
        batch in 1..4usize,
        size in [1..14usize, 1..14usize],
        channels in [1..20usize, 1..20usize],
        kernel in [1..6usize, 1..6usize],
        stride in [1..4usize, 1..4usize],
        padding in [0..4usize, 0..4usize],
        dilation in [1..4usize, 1..4usize],
        groups in 1..4usize,
        out in [1..14usize, 1..14usize],
    ) {
        let channels = channels.map(|c| c * groups);
        let natural = shape(batch, size, channels, kernel, stride, padding, dilation, groups);
        check(&natural);
        // End padding is free: any size of the output is a convolution.
        check(&ConvolutionShape { out_height: out[0], out_width: out[1], ..natural });
    }

    #[test]
    fn any_depthwise_shape_agrees_to_the_bit(
        batch in 1..4usize,
        size in [1..14usize, 1..14usize],
        channels in 1..40usize,
        kernel in [1..6usize, 1..6usize],
        stride in [1..4usize, 1..4usize],
        padding in [0..4usize, 0..4usize],
        dilation in [1..3usize, 1..3usize],
        out in [1..14usize, 1..14usize],
    ) {
        let natural = shape(batch, size, [channels; 2], kernel, stride, padding, dilation, channels);
        check(&natural);
        check(&ConvolutionShape { out_height: out[0], out_width: out[1], ..natural });
    }
}

#[test]
fn transposed_shapes_agree_to_the_bit() {
    let transposed =
        |batch, side: [usize; 2], channels, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2], dilation, more: usize, groups| {
            let natural = shape(batch, side, channels, kernel, [1, 1], [0, 0], dilation, groups);
            let out =
                |axis: usize| (side[axis] - 1) * stride[axis] + (kernel[axis] - 1) * natural.dilation[axis] + 1 + more - 2 * padding[axis];
            check(&ConvolutionShape { out_height: out(0), out_width: out(1), stride, padding_begin: padding, transposed: true, ..natural });
        };
    for [input, output, groups] in [[16, 8, 1], [3, 17, 1], [8, 12, 4], [24, 24, 24], [1, 1, 1]] {
        let channels = [input, output];
        transposed(2, [5, 6], channels, [2, 2], [2, 2], [0, 0], [1, 1], 0, groups);
        transposed(2, [5, 6], channels, [4, 4], [2, 2], [1, 1], [1, 1], 0, groups);
        transposed(3, [4, 5], channels, [3, 3], [2, 2], [1, 1], [1, 1], 1, groups);
        transposed(1, [5, 4], channels, [3, 2], [3, 1], [0, 1], [1, 2], 2, groups);
        transposed(1, [4, 4], channels, [1, 1], [2, 3], [0, 0], [1, 1], 0, groups);
        transposed(2, [6, 6], channels, [3, 3], [1, 1], [2, 2], [1, 1], 0, groups);
    }
}
