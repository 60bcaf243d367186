//! The codes of biases on the scale of their sums, under the limits that hardware puts on them.
//!
//! `b̂ = round(b̃/(s_x·s_w))·s_x·s_w` (design section 4), then [`BiasLimit`].

use crate::{BiasLimit, PlacementError, QuantGraph, Quantizer, WeightQuantizer};

/// `f32(s_x·s_w)`: the scale of a bias and of an accumulator.
pub fn accumulator_scale(input_scale: f32, weight_scale: f32) -> f32 {
    input_scale * weight_scale
}

/// The code of a bias on the scale of its accumulator, `None` where 32 bits do not hold it.
pub fn bias_code(bias: f32, accumulator_scale: f32) -> Option<i32> {
    let code = (f64::from(bias) / f64::from(accumulator_scale)).round_ties_even();
    (code.abs() <= f64::from(i32::MAX)).then_some(code as i32)
}

/// The limit that a layer's biases are under: none where weights or inputs have 16 bits, as their products need 32 already (the devkit's
/// limit is twice the bits of the weights).
pub fn in_force(weights: &WeightQuantizer, input: &Quantizer) -> BiasLimit {
    let bytes = weights.scheme.bits <= 8 && input.qmax() - input.qmin() <= 255;
    if bytes { weights.bias_limit } else { BiasLimit::Off }
}

/// The largest magnitude that a bias code has under a limit that cuts.
pub fn largest_code(limit: BiasLimit, input: &Quantizer) -> Option<i32> {
    match limit {
        BiasLimit::Off | BiasLimit::ReduceWeightScale => None,
        BiasLimit::Saturate => Some(i16::MAX.into()),
        BiasLimit::DevkitSplit => Some(LARGEST_BYTE * largest_factor(input)),
    }
}

/// The bias codes of the block `node`, whose input and weights have these quantizers, under the limit that is [`in_force`].
///
/// # Errors
/// A bias does not fit 32 bits.
pub fn bias_codes(
    node: &str,
    bias: &[f32],
    input: &Quantizer,
    quantizers: &[Quantizer],
    limit: BiasLimit,
) -> impl Iterator<Item = Result<i32, PlacementError>> {
    let input = *input;
    let scale = move |c: usize| accumulator_scale(input.scale(), quantizers[if quantizers.len() == 1 { 0 } else { c }].scale());
    let overflow = move |c: usize, b: f32| PlacementError::BiasOverflow { node: node.into(), bias: b, scale: scale(c) };
    let bytes = Bytes::of(bias);
    let code = move |c: usize, b: f32| match limit {
        BiasLimit::Off | BiasLimit::ReduceWeightScale => bias_code(b, scale(c)),
        BiasLimit::Saturate => bias_code(b, scale(c)).map(|code| code.clamp(i16::MIN.into(), i16::MAX.into())),
        BiasLimit::DevkitSplit => bias_code(b, scale(c)).map(|_| bytes.split(b, scale(c), largest_factor(&input))),
    };
    bias.iter().enumerate().map(move |(c, &b)| code(c, b).ok_or_else(|| overflow(c, b)))
}

/// The largest code of a signed byte.
const LARGEST_BYTE: i32 = 127;

/// The largest factor beside a bias of 8 bits: what a code of the input may be.
fn largest_factor(input: &Quantizer) -> i32 {
    if input.qmin() < 0 { LARGEST_BYTE } else { 255 }
}

/// The grid of 8 bits that the devkit rounds all biases of a layer to: `[−2^k, 2^k)` in 256 steps, 2^k the largest bias rounded up.
#[derive(Clone, Copy)]
struct Bytes {
    step: f64,
}

impl Bytes {
    /// The devkit's smallest range.
    const SMALLEST: f64 = 1.0 / 65536.0;

    fn of(bias: &[f32]) -> Self {
        let largest = bias.iter().fold(0.0f64, |largest, b| largest.max(f64::from(b.abs())));
        Bytes { step: largest.max(Self::SMALLEST).log2().ceil().exp2() / 128.0 }
    }

    /// Rounded to 8 bits, then to what a byte times a factor makes on the accumulator's scale (edgeai-torchvision,
    /// `QuantTrainPAct2.merge_quantize_weights`). All of it is towards zero but the first rounding.
    fn split(self, bias: f32, accumulator_scale: f32, largest_factor: i32) -> i32 {
        let byte = (f64::from(bias) / self.step).round().clamp(-128.0, 127.0);
        let ratio = (self.step / f64::from(accumulator_scale)).trunc();
        let code = byte * self.step / f64::from(accumulator_scale);
        if ratio <= f64::from(largest_factor) {
            return code.trunc() as i32;
        }
        let product = code.clamp(i16::MIN.into(), i16::MAX.into());
        let part = (product / f64::from(largest_factor)).trunc() as i32;
        part.clamp(-128, LARGEST_BYTE) * largest_factor
    }
}

/// A layer whose limited bias codes do not hold all biases.
#[derive(Clone, Debug, PartialEq)]
pub struct SaturatedBias {
    /// Name of the layer's node.
    pub node: String,
    /// Channels whose bias saturates.
    pub channels: usize,
    /// The bias that loses most.
    pub bias: f32,
    /// What it becomes.
    pub becomes: f32,
}

impl QuantGraph {
    /// The layers whose biases saturate under their limit, as the network stands; none before it is calibrated.
    ///
    /// # Errors
    /// A weight or bias is not finite.
    pub fn saturated_biases(&self) -> Result<Vec<SaturatedBias>, PlacementError> {
        let mut layers = Vec::new();
        for (u, unit) in self.units().iter().enumerate().filter(|(u, _)| self.codes_of(*u).is_none()) {
            let (Some(weights), Some(folded), Some(block)) = (self.weight_quantizer(u), self.folded(u), self.quantized_block(u)?) else {
                continue;
            };
            let Some(largest) = largest_code(in_force(&weights, &block.input), &block.input) else { continue };
            let scale = |c: usize| accumulator_scale(block.input.scale(), block.weight.scale(c));
            // A code of −2^15 is one more than `largest`.
            let saturates = |c: usize, bias: f32| (bias / scale(c)).abs() >= largest as f32 + 1.5;
            let loss = |c: usize| (folded.bias[c] - block.bias[c] as f32 * scale(c)).abs();
            let saturated: Vec<usize> = (0..folded.bias.len()).filter(|&c| saturates(c, folded.bias[c])).collect();
            let Some(&worst) = saturated.iter().max_by(|a, b| loss(**a).total_cmp(&loss(**b))) else { continue };
            layers.push(SaturatedBias {
                node: self.graph().node(unit.core).name.clone(),
                channels: saturated.len(),
                bias: folded.bias[worst],
                becomes: block.bias[worst] as f32 * scale(worst),
            });
        }
        Ok(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::{Folded, quantize_block};
    use crate::{Rounding, Target};

    fn input(step: i32, codes: (i32, i32)) -> Quantizer {
        Quantizer::new(2f32.powi(step), 0, codes.0, codes.1, Rounding::HalfUp).unwrap()
    }

    fn weights(bias_limit: BiasLimit) -> WeightQuantizer {
        WeightQuantizer { scheme: Target::tidl_pow2().weights(), bias_limit, pairs: None }
    }

    #[test]
    fn a_bias_that_does_not_fit_is_refused() {
        assert_eq!(bias_code(1.0, 0.25), Some(4));
        assert_eq!(bias_code(1e9, 1e-9), None);
        let q = Quantizer::new(1e-6, 0, -127, 127, Rounding::HalfToEven).unwrap();
        let wide = Quantizer::new(1e-3, 0, 0, 255, Rounding::HalfToEven).unwrap();
        for limit in [BiasLimit::Off, BiasLimit::DevkitSplit] {
            let code = bias_codes("conv", &[1e6], &wide, &[q], limit).next();
            assert!(matches!(code, Some(Err(PlacementError::BiasOverflow { .. }))));
        }
    }

    /// Weights in ±0.25, biases, and an input of step 2^−6: the weights' scale and the codes.
    fn block(biases: Vec<f32>, input: &Quantizer, weights: &WeightQuantizer) -> (f32, Vec<i32>) {
        let folded = Folded { weight: [0.25, -0.24].repeat(biases.len() / 2), bias: biases };
        let (weight, bias) = quantize_block("conv", weights, &folded, None, input).unwrap();
        (weight.scale(0), bias)
    }

    #[test]
    fn a_bias_limit_of_16_bits_saturates_or_widens() {
        let input = input(-6, (-128, 127));
        let of = |limit| block(vec![1.25, -0.5], &input, &weights(limit));
        assert_eq!(of(BiasLimit::Off), (2f32.powi(-9), vec![40960, -16384]));
        assert_eq!(of(BiasLimit::Saturate), (2f32.powi(-9), vec![32767, -16384]));
        assert_eq!(of(BiasLimit::ReduceWeightScale), (2f32.powi(-8), vec![20480, -8192]));
    }

    #[test]
    fn layers_of_16_bits_are_under_no_limit() {
        for limit in [BiasLimit::Saturate, BiasLimit::ReduceWeightScale, BiasLimit::DevkitSplit] {
            let wide_input = block(vec![1.25, -0.5], &input(-6, (-32768, 32767)), &weights(limit));
            assert_eq!(wide_input, (2f32.powi(-9), vec![40960, -16384]));
            let mut wide = weights(limit);
            wide.scheme.bits = 16;
            let (scale, codes) = block(vec![1.25, -0.5], &input(-6, (-128, 127)), &wide);
            assert_eq!((scale, codes), (2f32.powi(-17), vec![40960 << 8, -(16384 << 8)]));
        }
    }

    /// By hand: biases in ±2 have steps of 2/128 = 2^−6, and 1.24 is 79.36 of them, so 79. The accumulator's step is 2^−15.
    #[test]
    fn the_devkit_s_biases_are_bytes_and_then_products_of_bytes() {
        let (signed, unsigned) = (input(-6, (-128, 127)), input(-6, (0, 255)));
        let of = |bias: Vec<f32>, input: &Quantizer| block(bias, input, &weights(BiasLimit::DevkitSplit)).1;
        // 2^9 accumulator steps in a step of the byte, more than a factor of 127 makes: 79·512 = 40448 is cut to 32767 = 258.007·127, cut to
        // 127·127. −0.3 is −19.2 steps, −19·512 = −9728 = −76.6·127.
        assert_eq!(of(vec![1.24, -0.3], &signed), [127 * 127, -76 * 127]);
        // With factors up to 255: 32767 = 128.5·255, cut to 127; −9728 = −38.1·255.
        assert_eq!(of(vec![1.24, -0.3], &unsigned), [127 * 255, -38 * 255]);
        // In ±1/8 the step is 2^−10, 32 accumulator steps: products are exact. 0.1 is 102.4 steps, −0.0117 is −11.98.
        assert_eq!(of(vec![0.1, -0.0117], &signed), [102 * 32, -12 * 32]);
        // In ±2^−10 the step is 2^−17, a quarter of the accumulator's: −127 and 65 quarters, towards zero.
        let small = 2f32.powi(-17);
        assert_eq!(of(vec![-127.0 * small, 65.0 * small], &signed), [-31, 16]);
        // The devkit's smallest range is ±2^−16.
        assert_eq!(of(vec![0.0, 0.0], &signed), [0, 0]);
    }
}
