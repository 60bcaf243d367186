//! Sums that f32 does not hold, each rounded to a f32 once.
//!
//! | what is too large | who sums |
//! |---|---|
//! | the bias alone | the fast kernel, and [`add_bias`] behind it |
//! | sums of bytes that 32 bits hold | [`forward_bytes`]: the kernels of the integer program |
//! | other sums | [`forward_wide`]: plain loops in f64, exact for codes of up to 16 bits |

use super::ConvolutionShape;
use crate::fake_quantize::CodeRange;
use crate::integer::{Convolution, quantize};
use crate::parallel::{LANES, OneByOne, TASK};
use crate::scratch::{Scratch, as_bytes, as_sums};
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// How an exact sum becomes a f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumRounding {
    /// The nearest f32, of two equally near the even one.
    ToNearest,
    /// Of the two f32 around a sum that is none, the one whose last bit is set: rounding it again, to fewer bits, gives what rounding the
    /// sum itself would have given (von Neumann rounding; Boldo and Melquiond 2008).
    ToOdd,
}

impl SumRounding {
    #[inline(always)]
    fn round(self, sum: f64) -> f32 {
        let near = sum as f32;
        if self == SumRounding::ToNearest || f64::from(near) == sum {
            return near;
        }
        let is_beyond = f64::from(near).abs() > sum.abs();
        f32::from_bits((near.to_bits() - u32::from(is_beyond)) | 1)
    }
}

/// `y = y + bias[o]` of exact sums of products, rounded once.
///
/// # Panics
/// `y` is no rows of one sum for each bias.
pub fn add_bias(bias: &[i32], rounding: SumRounding, y: &mut [f32]) {
    let channels = bias.len().max(1);
    assert_eq!(y.len() % channels, 0, "add_bias: whole rows of channels");
    let simd = simd();
    let rows = (TASK / channels).max(1);
    y.par_chunks_mut(rows * channels).one_by_one().for_each(|y| bias_task(simd, bias, rounding, y));
}

simd_kernel! {
    fn bias_task(bias: &[i32], rounding: SumRounding, y: &mut [f32]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &bias) in row.iter_mut().zip(bias) {
                *y = rounding.round(f64::from(*y) + f64::from(bias));
            }
        }
    }
}

/// `y = bias[o] + Σ x·w` by the kernels for bytes: `x` are centred codes within `range`, which a byte holds, and `convolution` has biases, weights
/// and `−range.lo` as the code of 0.0. No sum may leave 32 bits.
///
/// # Panics
/// Lengths do not fit the shape of `convolution` with `batch` samples.
pub fn forward_bytes(convolution: &Convolution, range: &CodeRange, batch: usize, x: &[f32], rounding: SumRounding, y: &mut [f32]) {
    sum_bytes(convolution, range, batch, x, y);
    round_sums(rounding, y);
}

/// As [`forward_bytes`], the sums left as the bits of 32-bit integers.
///
/// # Panics
/// Lengths do not fit the shape of `convolution` with `batch` samples.
pub fn sum_bytes(convolution: &Convolution, range: &CodeRange, batch: usize, x: &[f32], y: &mut [f32]) {
    let mut scratch = Scratch::take(x.len().div_ceil(size_of::<f32>()));
    let bytes = &mut as_bytes(scratch.as_mut_slice())[..x.len()];
    quantize(range, -range.lo as i32, 1.0, x, bytes);
    convolution.accumulate(batch, bytes, as_sums(y));
}

/// The sums that [`sum_bytes`] left, as f32.
pub fn round_sums(rounding: SumRounding, y: &mut [f32]) {
    let simd = simd();
    y.par_chunks_mut(TASK).one_by_one().for_each(|y| sums_task(simd, rounding, y));
}

simd_kernel! {
    fn sums_task(rounding: SumRounding, y: &mut [f32]) {
        for y in y {
            *y = rounding.round(f64::from(y.to_bits() as i32));
        }
    }
}

/// `y = bias[o] + Σ x·w`, the sum in f64 and rounded once. Codes make integers, which are exact below 2^53.
pub fn forward_wide(shape: &ConvolutionShape, x: &[f32], w: &[f32], bias: &[i32], rounding: SumRounding, y: &mut [f32]) {
    shape.check(x.len(), w.len(), y.len());
    assert_eq!(bias.len(), shape.out_channels, "forward_wide: one bias a channel");
    let simd = simd();
    let line = shape.out_width * shape.out_channels;
    y.par_chunks_mut(line.max(1)).enumerate().for_each(|(i, y)| line_task(simd, shape, i, x, w, bias, rounding, y));
}

simd_kernel! {
    fn line_task(shape: &ConvolutionShape, line: usize, x: &[f32], w: &[f32], bias: &[i32], rounding: SumRounding, y: &mut [f32]) {
        let ConvolutionShape { in_height, in_width, in_channels, out_height, out_channels, groups, .. } = *shape;
        let (inputs, outputs) = (in_channels / groups, out_channels / groups);
        let [rows, columns] = shape.kernel;
        let (n, oh) = (line / out_height, line % out_height);
        for (ow, y) in y.chunks_exact_mut(out_channels).enumerate() {
            for (o, y) in y.iter_mut().enumerate() {
                let mut sum = f64::from(bias[o]);
                for tap in 0..rows * columns {
                    let (i, j) = (tap / columns, tap % columns);
                    let (Some(row), Some(column)) = (shape.source(0, oh, i), shape.source(1, ow, j)) else { continue };
                    let at = ((n * in_height + row) * in_width + column) * in_channels + o / outputs * inputs;
                    sum += dot(&x[at..][..inputs], &w[(o * rows * columns + tap) * inputs..][..inputs]);
                }
                *y = rounding.round(sum);
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            sums[l] += f64::from(a[l]) * f64::from(b[l]);
        }
    }
    let mut sum = 0.0;
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += f64::from(*a) * f64::from(*b);
    }
    for lane in sums {
        sum += lane;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convolution::forward;

    const SHAPE: ConvolutionShape = ConvolutionShape {
        batch: 2,
        in_height: 7,
        in_width: 6,
        in_channels: 12,
        out_height: 4,
        out_width: 3,
        out_channels: 6,
        kernel: [3, 3],
        stride: [2, 2],
        padding_begin: [1, 1],
        dilation: [1, 1],
        groups: 1,
        transposed: false,
    };

    fn codes(count: usize, limit: i64) -> Vec<f32> {
        (0..count as i64).map(|i| ((i * 7919 + 13) % (2 * limit + 1) - limit) as f32).collect()
    }

    #[test]
    fn sums_that_f32_holds_are_those_of_the_fast_kernel() {
        let one = ConvolutionShape { kernel: [1, 1], padding_begin: [0, 0], out_height: 4, out_width: 3, ..SHAPE };
        for shape in [SHAPE, ConvolutionShape { groups: 3, ..SHAPE }, ConvolutionShape { groups: 12, out_channels: 12, ..SHAPE }, one] {
            let (x, w) = (codes(shape.input_len(), 127), codes(shape.weight_len(), 127));
            let (mut fast, mut wide) = (vec![0.0; shape.output_len()], vec![0.0; shape.output_len()]);
            forward(&shape, &x, &w, &mut fast);
            forward_wide(&shape, &x, &w, &vec![0; shape.out_channels], SumRounding::ToOdd, &mut wide);
            assert_eq!(fast, wide);
        }
    }

    #[test]
    fn sums_beyond_f32_are_rounded_once() {
        let shape = ConvolutionShape { groups: 1, kernel: [1, 1], padding_begin: [0, 0], ..SHAPE };
        let (x, w) = (codes(shape.input_len(), 32_767), codes(shape.weight_len(), 32_767));
        let mut y = vec![0.0; shape.output_len()];
        forward_wide(&shape, &x, &w, &[3; 6], SumRounding::ToNearest, &mut y);
        for (i, y) in y.iter().enumerate() {
            let (o, ow, oh, n) = (i % 6, i / 6 % 3, i / 18 % 4, i / 72);
            let at = ((n * 7 + 2 * oh) * 6 + 2 * ow) * 12;
            let exact: i64 = (0..12).map(|c| x[at + c] as i64 * w[o * 12 + c] as i64).sum::<i64>() + 3;
            assert_eq!(*y, exact as f32);
        }
    }

    #[test]
    fn a_large_bias_is_added_behind_the_products() {
        let shape = ConvolutionShape { groups: 3, ..SHAPE };
        let (x, w) = (codes(shape.input_len(), 127), codes(shape.weight_len(), 63));
        let bias = [1 << 30, -(1 << 24) - 1, 3, -(1 << 27) + 5, (1 << 24) - 9, 0];
        for rounding in [SumRounding::ToNearest, SumRounding::ToOdd] {
            let (mut fast, mut wide) = (vec![0.0; shape.output_len()], vec![0.0; shape.output_len()]);
            forward(&shape, &x, &w, &mut fast);
            add_bias(&bias, rounding, &mut fast);
            forward_wide(&shape, &x, &w, &bias, rounding, &mut wide);
            assert_eq!(fast, wide);
        }
    }

    #[test]
    fn sums_of_bytes_are_those_of_f64() {
        let wide = ConvolutionShape { in_channels: 600, in_height: 3, in_width: 3, out_height: 2, out_width: 2, ..SHAPE };
        for shape in [wide, ConvolutionShape { groups: 12, out_channels: 12, ..SHAPE }] {
            for (lo, hi) in [(0.0f32, 255.0f32), (-128.0, 127.0), (-3.0, 200.0)] {
                let range = CodeRange { lo, hi, rounding: crate::fake_quantize::Rounding::HalfToEven };
                let x: Vec<f32> = (0..shape.input_len()).map(|i| (hi - (i * 7 % 40) as f32).max(lo)).collect();
                let w: Vec<i8> = (0..shape.weight_len()).map(|i| (127 - i * 5 % 23) as i8).collect();
                let bias: Vec<i32> = (0..shape.out_channels as i32).map(|o| o * 77_777_777 - 400_000_001).collect();
                let parameters =
                    crate::integer::ConvolutionParameters { shape, weights: &w, bias: &bias, zero: -lo as u8, requantize: None };
                let convolution = Convolution::new(&parameters);
                let w: Vec<f32> = w.iter().map(|&w| w.into()).collect();
                for rounding in [SumRounding::ToNearest, SumRounding::ToOdd] {
                    let (mut found, mut expected) = (vec![0.0; shape.output_len()], vec![0.0; shape.output_len()]);
                    forward_bytes(&convolution, &range, shape.batch, &x, rounding, &mut found);
                    forward_wide(&shape, &x, &w, &bias, rounding, &mut expected);
                    assert_eq!(found, expected, "{lo} {hi} {rounding:?}");
                }
            }
        }
    }

    #[test]
    fn rounding_to_odd_and_then_half_up_is_rounding_once() {
        for sum in (0..200_000i64).map(|i| i * 7_919_333_777 - 700_000_000_000_000) {
            for shift in [25, 30, 36] {
                let odd = SumRounding::ToOdd.round(sum as f64);
                assert!((f64::from(odd) - sum as f64).abs() < sum.abs() as f64 * 2f64.powi(-23));
                // What is left of it, where a device has codes of so many bits.
                if sum.abs() >> shift < 1 << 22 {
                    let expected = (sum + (1 << (shift - 1))) >> shift;
                    assert_eq!((f64::from(odd) / 2f64.powi(shift) + 0.5).floor() as i64, expected, "{sum} by {shift}");
                }
            }
        }
        assert_eq!(
            [16_777_216.0, 16_777_217.0, 16_777_219.0, -16_777_219.0].map(|s| SumRounding::ToOdd.round(s)),
            [16_777_216.0, 16_777_218.0, 16_777_218.0, -16_777_218.0]
        );
    }
}
