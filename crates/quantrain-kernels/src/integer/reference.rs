//! The formulas in plain loops.

use super::{Codes, Requantize};
use crate::convolution::ConvolutionShape;

/// `bias + Σ (x − zero)·w`, in 64 bits.
pub(super) fn accumulate(shape: &ConvolutionShape, x: &[u8], zero: u8, weights: &[i8], bias: &[i32]) -> Vec<i64> {
    let s = shape;
    let (inputs, outputs) = (s.in_channels / s.groups, s.out_channels / s.groups);
    let mut sums = Vec::with_capacity(s.output_len());
    for i in 0..s.output_len() {
        let (o, ow, oh) = (i % s.out_channels, i / s.out_channels % s.out_width, i / s.out_channels / s.out_width % s.out_height);
        let n = i / s.out_channels / s.out_width / s.out_height;
        let mut sum = i64::from(bias[o]);
        for (kh, kw) in (0..s.kernel[0]).flat_map(|kh| (0..s.kernel[1]).map(move |kw| (kh, kw))) {
            let (Some(row), Some(column)) = (s.source(0, oh, kh), s.source(1, ow, kw)) else { continue };
            for c in 0..inputs {
                let at = ((n * s.in_height + row) * s.in_width + column) * s.in_channels + o / outputs * inputs + c;
                let weight = weights[((o * s.kernel[0] + kh) * s.kernel[1] + kw) * inputs + c];
                sum += (i64::from(x[at]) - i64::from(zero)) * i64::from(weight);
            }
        }
        sums.push(sum);
    }
    sums
}

/// The stored code of a sum.
pub(super) fn requantize(formula: &Requantize, codes: Codes, channel: usize, sum: i64) -> u8 {
    let q = match formula {
        Requantize::Multiply(m) => (sum as f32 * m[channel]).round_ties_even() as i64,
        Requantize::Shift(n) => (sum as f64 / 2f64.powi(n[channel]) + 0.5).floor() as i64,
    };
    (q.clamp(codes.lo.into(), codes.hi.into()) + i64::from(codes.zero)) as u8
}
