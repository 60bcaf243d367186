//! Blocks of 16-bit codes, or with sums that 32 bits may not hold: plain loops in 64 bits.

use quantrain_kernels::convolution::ConvolutionShape;
use rayon::prelude::*;

use super::{Codes, Output};
use crate::buffer::{Buffer, View};
use crate::grid::centred_integers;

pub(crate) struct Wide {
    codes: Codes,
    output: Output,
    channels: usize,
}

impl Wide {
    pub(super) fn new(shape: ConvolutionShape, codes: Codes, output: Output) -> Self {
        Wide { codes, output, channels: shape.out_channels }
    }

    pub(super) fn run(&self, shape: &ConvolutionShape, x: View, y: &mut Buffer) {
        let x = centred_integers(&self.codes.input, x);
        let mut sums = vec![0i64; shape.output_len()];
        let line = shape.out_width * shape.out_channels;
        sums.par_chunks_mut(line.max(1)).enumerate().for_each(|(i, sums)| {
            let (n, oh) = (i / shape.out_height, i % shape.out_height);
            let image = shape.in_height * shape.in_width * shape.in_channels;
            self.row(shape, oh, &x[n * image..][..image], sums);
        });
        self.output.write(self.channels, &sums, y);
    }

    /// One row of sums, `[out_width][out_channels]`.
    fn row(&self, s: &ConvolutionShape, oh: usize, x: &[i32], sums: &mut [i64]) {
        let (inputs, outputs) = (s.in_channels / s.groups, s.out_channels / s.groups);
        let taps = s.kernel[0] * s.kernel[1];
        for (ow, sums) in sums.chunks_exact_mut(s.out_channels).enumerate() {
            for (sum, &bias) in sums.iter_mut().zip(&self.codes.bias) {
                *sum = bias.into();
            }
            for tap in 0..taps {
                let (Some(row), Some(column)) = (s.source(0, oh, tap / s.kernel[1]), s.source(1, ow, tap % s.kernel[1])) else { continue };
                let pixel = &x[(row * s.in_width + column) * s.in_channels..][..s.in_channels];
                for (o, sum) in sums.iter_mut().enumerate() {
                    let x = &pixel[o / outputs * inputs..][..inputs];
                    let w = &self.codes.weights[(o * taps + tap) * inputs..][..inputs];
                    *sum += x.iter().zip(w).map(|(&x, &w)| i64::from(x) * i64::from(w)).sum::<i64>();
                }
            }
        }
    }
}
