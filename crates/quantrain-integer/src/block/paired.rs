//! Sums as byte instructions of x86-64 without VNNI make them: products of bytes are added in pairs, and each pair saturates at 16 bits.
//!
//! ONNX Runtime's default session computes so there (`vpmaddubsw`): inputs as unsigned bytes, weights as signed ones, pairs (0, 1), (2, 3), …
//! of the products of an output in the order kernel height, kernel width, channel of the group. Depthwise convolutions are summed exactly.

use quantrain_kernels::convolution::ConvolutionShape;
use rayon::prelude::*;

use super::{Codes, Output};
use crate::buffer::{Buffer, View};

pub(crate) struct Paired {
    /// Weights as they are stored: codes, not centred. A row for each output.
    weights: Vec<i32>,
    /// What stands beside the products: the bias, and the inputs' zero point times the sum of the weights.
    offsets: Vec<i32>,
    /// The stored code of 0.0, which is what padding holds.
    zero: i32,
    output: Output,
    shape: ConvolutionShape,
}

/// The limits of a pair.
const LIMITS: (i32, i32) = (i16::MIN as i32, i16::MAX as i32);

/// The largest unsigned byte.
const LARGEST: i32 = u8::MAX as i32;

impl Paired {
    /// Whether a pair of some output may saturate.
    pub(super) fn applies(shape: &ConvolutionShape, codes: &Codes) -> bool {
        let inputs = shape.in_channels / shape.groups;
        let is_depthwise = inputs == 1 && shape.out_channels == shape.groups;
        let extreme = |pair: &[i32], keep: fn(i32) -> i32| pair.iter().map(|&w| keep(w)).sum::<i32>() * LARGEST;
        let saturates = |pair: &[i32]| extreme(pair, |w| w.max(0)) > LIMITS.1 || extreme(pair, |w| w.min(0)) < LIMITS.0;
        let row = (codes.weights.len() / shape.out_channels).max(1);
        !shape.transposed && !is_depthwise && codes.weights.chunks(row).any(|row| row.chunks(2).any(saturates))
    }

    pub(super) fn new(shape: ConvolutionShape, codes: &Codes, output: Output) -> Self {
        let row = (codes.weights.len() / shape.out_channels).max(1);
        let zero = codes.input.zero();
        let offset = |(row, bias): (&[i32], &i32)| bias - zero * row.iter().sum::<i32>();
        let offsets = codes.weights.chunks(row).zip(&codes.bias).map(offset).collect();
        Paired { weights: codes.weights.clone(), offsets, zero, output, shape }
    }

    pub(super) fn run(&self, shape: &ConvolutionShape, x: View, y: &mut Buffer) {
        let View::Bytes(x) = x else { unreachable!("pairs are of bytes") };
        let mut sums = vec![0i32; shape.output_len()];
        let line = shape.out_width * shape.out_channels;
        let image = shape.in_height * shape.in_width * shape.in_channels;
        sums.par_chunks_mut(line.max(1)).enumerate().for_each(|(i, sums)| {
            let (n, oh) = (i / shape.out_height, i % shape.out_height);
            let mut patch = Vec::new();
            for (ow, sums) in sums.chunks_exact_mut(shape.out_channels).enumerate() {
                self.pixel(oh, ow, &x[n * image..][..image], &mut patch, sums);
            }
        });
        self.output.write(self.shape.out_channels, &sums, y);
    }

    /// The sums of one pixel of the output.
    fn pixel(&self, oh: usize, ow: usize, x: &[u8], patch: &mut Vec<i32>, sums: &mut [i32]) {
        let s = &self.shape;
        let (inputs, outputs) = (s.in_channels / s.groups, s.out_channels / s.groups);
        let row = s.kernel[0] * s.kernel[1] * inputs;
        for (group, sums) in sums.chunks_exact_mut(outputs).enumerate() {
            patch.clear();
            for tap in 0..s.kernel[0] * s.kernel[1] {
                match (s.source(0, oh, tap / s.kernel[1]), s.source(1, ow, tap % s.kernel[1])) {
                    (Some(i), Some(j)) => {
                        let pixel = &x[(i * s.in_width + j) * s.in_channels + group * inputs..][..inputs];
                        patch.extend(pixel.iter().map(|&x| i32::from(x)));
                    }
                    _ => patch.extend(std::iter::repeat_n(self.zero, inputs)),
                }
            }
            for (o, sum) in sums.iter_mut().enumerate() {
                let at = group * outputs + o;
                *sum = self.offsets[at] + saturating_products(patch, &self.weights[at * row..][..row]);
            }
        }
    }
}

/// The sum of `x·w` over pairs, each within 16 bits.
fn saturating_products(x: &[i32], w: &[i32]) -> i32 {
    let (mut x, mut w) = (x.chunks_exact(2), w.chunks_exact(2));
    let pairs: i32 = (&mut x).zip(&mut w).map(|(x, w)| (x[0] * w[0] + x[1] * w[1]).clamp(LIMITS.0, LIMITS.1)).sum();
    // A single product has 16 bits.
    pairs + x.remainder().iter().zip(w.remainder()).map(|(x, w)| x * w).sum::<i32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_saturate() {
        assert_eq!(saturating_products(&[255, 255], &[127, 127]), 32767);
        assert_eq!(saturating_products(&[255, 255], &[-128, -128]), -32768);
        assert_eq!(saturating_products(&[255, 0, 0, 255, 255], &[127, 127, 127, 127, 127]), 3 * 255 * 127);
        assert_eq!(saturating_products(&[255, 255, 1], &[127, -127, 5]), 5);
    }
}
