//! Folding BatchNormalization into weights, and the codes of weights and biases.
//!
//! `w̃ = w·γ/√(σ²+ε)`, `b̃ = (b − μ)·γ/√(σ²+ε) + β`, `ŵ = Qw(w̃)`, `b̂ = round(b̃/(s_x·s_w))·s_x·s_w`. Weights are channels first here.

use crate::bias::{bias_codes, in_force};
use crate::pairs::{self, Extent};
use crate::{BiasLimit, PlacementError, Quantizer, QuantizerError, Range, WeightQuantizer};

pub use crate::bias::{accumulator_scale, bias_code};

/// Parameters and running statistics of a BatchNormalization, one value a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm<'a> {
    /// Scale γ.
    pub gamma: &'a [f32],
    /// Offset β.
    pub beta: &'a [f32],
    /// Running mean μ.
    pub mean: &'a [f32],
    /// Running variance σ².
    pub variance: &'a [f32],
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl BatchNorm<'_> {
    /// `γ/√(σ²+ε)` of each channel.
    pub fn factors(&self) -> Vec<f32> {
        self.gamma.iter().zip(self.variance).map(|(g, v)| g / (v + self.epsilon).sqrt()).collect()
    }
}

/// Weights and bias with BatchNormalization folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// `w̃`, channels first.
    pub weight: Vec<f32>,
    /// `b̃`, zeros where there was neither bias nor BatchNormalization.
    pub bias: Vec<f32>,
}

/// Folds a BatchNormalization, where there is one, into weights and bias.
pub fn fold(mut weight: Vec<f32>, bias: Option<&[f32]>, channels: usize, norm: Option<&BatchNorm>) -> Folded {
    let mut bias = bias.map_or_else(|| vec![0.0; channels], <[f32]>::to_vec);
    if let Some(norm) = norm {
        let factors = norm.factors();
        let per_channel = weight.len() / channels;
        for (c, row) in weight.chunks_exact_mut(per_channel).enumerate() {
            row.iter_mut().for_each(|w| *w *= factors[c]);
            bias[c] = (bias[c] - norm.mean[c]) * factors[c] + norm.beta[c];
        }
    }
    Folded { weight, bias }
}

/// Centred codes of weights and the quantizers that made them: one, or one for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightCodes {
    /// Integer-valued, channels first.
    pub codes: Vec<f32>,
    /// One quantizer, or one for each channel.
    pub quantizers: Vec<Quantizer>,
}

impl WeightCodes {
    /// The scale of a channel.
    pub fn scale(&self, channel: usize) -> f32 {
        self.quantizers[if self.quantizers.len() == 1 { 0 } else { channel }].scale()
    }
}

/// What the weights of each scale, one or one for each channel, reach over, clipped to `[−limit, limit]` where limits are given.
fn weight_extents<'a>(weights: &WeightQuantizer, folded: &'a Folded, limits: Option<&'a [f32]>) -> impl Iterator<Item = Extent> + use<'a> {
    let (scheme, pairs, channels) = (weights.scheme, weights.pairs, folded.bias.len());
    let row = folded.weight.len() / channels;
    let grids = folded.weight.chunks_exact(folded.weight.len() / scheme.grids(channels));
    let pair = move |weights: &[f32]| pairs.map_or(0.0, |p| weights.chunks_exact(row).map(|row| p.largest_sum(row)).fold(0.0, f32::max));
    let extent = move |weights: &[f32]| Extent { range: Range::of(weights), pair: pair(weights) };
    grids.enumerate().map(move |(g, weights)| extent(weights).limited(limits.map(|l| l[g])))
}

/// Quantizes folded weights, for their own range or for the limits given, one or one for each channel, and for inputs of any byte.
///
/// # Errors
/// A weight is not finite.
pub fn quantize_weights(weights: &WeightQuantizer, folded: &Folded, limits: Option<&[f32]>) -> Result<WeightCodes, QuantizerError> {
    let largest_sum = pairs::largest_sum_of_codes(&weights.scheme, Some(u8::MAX.into()));
    let quantizer = |extent: Extent| Quantizer::from_range(&weights.scheme, extent.range(&weights.scheme, largest_sum));
    let quantizers = weight_extents(weights, folded, limits).map(quantizer).collect::<Result<_, _>>()?;
    Ok(weight_codes(quantizers, &folded.weight))
}

fn weight_codes(quantizers: Vec<Quantizer>, weight: &[f32]) -> WeightCodes {
    let mut codes = weight.to_vec();
    let rows = codes.len() / quantizers.len();
    for (row, q) in codes.chunks_exact_mut(rows).zip(&quantizers) {
        row.iter_mut().for_each(|w| *w = q.centred_code(*w));
    }
    WeightCodes { codes, quantizers }
}

/// The largest bias code that [`quantize_block`] gives: half of what 32 bits hold, the other half is for the sum of products.
pub const LARGEST_BIAS_CODE: i32 = 1 << 30;

/// The quantizers of the weights of the block `node`, which reach over `extents` (one, or one for each channel); they replace `quantizers`.
///
/// A channel whose weights are almost zero has a scale so small that its bias has no code. Its scale (the tensor's, where there is one) is
/// doubled until the bias code is at most [`LARGEST_BIAS_CODE`], or fits 16 bits with [`BiasLimit::ReduceWeightScale`]; doubling keeps
/// powers of two.
///
/// # Errors
/// A range or a bias is not finite.
pub fn block_quantizers(
    node: &str,
    weights: &WeightQuantizer,
    extents: impl Iterator<Item = Extent>,
    bias: &[f32],
    input: &Quantizer,
    quantizers: &mut Vec<Quantizer>,
) -> Result<(), PlacementError> {
    let failed = |source| PlacementError::Quantizer { tensor: format!("weights of {node}"), source };
    quantizers.clear();
    let largest_sum = pairs::largest_sum_of_codes(&weights.scheme, pairs::largest_byte(input));
    for extent in extents {
        quantizers.push(Quantizer::from_range(&weights.scheme, extent.range(&weights.scheme, largest_sum)).map_err(failed)?);
    }
    let biases = bias.chunks(bias.len() / quantizers.len());
    for (q, biases) in quantizers.iter_mut().zip(biases) {
        let (least, greatest) = biases.iter().fold((0.0f32, 0.0f32), |(low, high), b| (low.min(*b), high.max(*b)));
        let codes = |q: &Quantizer| [least, greatest].map(|b| bias_code(b, accumulator_scale(input.scale(), q.scale())));
        let fits = |code: Option<i32>| match in_force(weights, input) {
            BiasLimit::ReduceWeightScale => code.is_some_and(|c| i16::try_from(c).is_ok()),
            BiasLimit::Off | BiasLimit::Saturate | BiasLimit::DevkitSplit => code.is_some_and(|c| c.abs() <= LARGEST_BIAS_CODE),
        };
        while !codes(q).into_iter().all(fits) {
            *q = doubled(q).map_err(failed)?;
        }
    }
    Ok(())
}

/// The quantizer with twice the scale: its codes are half as large.
fn doubled(q: &Quantizer) -> Result<Quantizer, QuantizerError> {
    Quantizer::new(2.0 * q.scale(), q.zero_point(), q.qmin(), q.qmax(), q.rounding())
}

/// Doubles the scales of weights whose sums may leave 32 bits, and says whether there were any: then weights and biases need new codes.
///
/// `codes` are centred, channels first. Only codes of at most 8 bits are summed in 32 bits; wider ones get accumulators of 64.
///
/// # Errors
/// A scale is no longer finite.
pub fn widen_for_sums(
    node: &str,
    quantizers: &mut [Quantizer],
    codes: &[f32],
    bias: &[i32],
    input: &Quantizer,
) -> Result<bool, PlacementError> {
    /// Half of what 32 bits hold, as for biases.
    const PRODUCTS: f64 = (1 << 30) as f64;
    let largest = |q: &Quantizer| f64::from(q.centred_limits().1.max(-q.centred_limits().0));
    let is_byte = |q: &Quantizer| q.qmax() - q.qmin() <= 255;
    let (row, largest_input) = (codes.len() / bias.len().max(1), largest(input));
    let at_most = |q: &Quantizer| row as f64 * largest(q) * largest_input;
    if !is_byte(input) || quantizers.iter().all(|q| !is_byte(q) || at_most(q) <= PRODUCTS) {
        return Ok(false);
    }
    let mut wide = vec![false; quantizers.len()];
    for (c, (row, &bias)) in codes.chunks_exact(row).zip(bias).enumerate() {
        let sum = row.iter().map(|w| f64::from(w.abs())).sum::<f64>() * largest_input + f64::from(bias).abs();
        wide[if quantizers.len() == 1 { 0 } else { c }] |= sum > f64::from(i32::MAX);
    }
    for (q, _) in quantizers.iter_mut().zip(&wide).filter(|(_, wide)| **wide) {
        *q = doubled(q).map_err(|source| PlacementError::Quantizer { tensor: format!("weights of {node}"), source })?;
    }
    Ok(wide.contains(&true))
}

/// Quantizes weights and bias of the block `node`, whose input has the quantizer `input`. `limits` as in [`quantize_weights`].
///
/// # Errors
/// A weight or bias is not finite.
pub fn quantize_block(
    node: &str,
    weights: &WeightQuantizer,
    folded: &Folded,
    limits: Option<&[f32]>,
    input: &Quantizer,
) -> Result<(WeightCodes, Vec<i32>), PlacementError> {
    let mut quantizers = Vec::new();
    block_quantizers(node, weights, weight_extents(weights, folded, limits), &folded.bias, input, &mut quantizers)?;
    loop {
        let bias: Vec<i32> = bias_codes(node, &folded.bias, input, &quantizers, in_force(weights, input)).collect::<Result<_, _>>()?;
        let weight = weight_codes(quantizers, &folded.weight);
        quantizers = weight.quantizers.clone();
        if !widen_for_sums(node, &mut quantizers, &weight.codes, &bias, input)? {
            return Ok((weight, bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scheme, Target};

    fn exact(scheme: Scheme) -> WeightQuantizer {
        WeightQuantizer { scheme, bias_limit: BiasLimit::Off, pairs: None }
    }

    #[test]
    fn folding_gives_what_the_normalisation_gives() {
        let norm = BatchNorm { gamma: &[2.0, -1.0], beta: &[0.5, 0.25], mean: &[1.0, -2.0], variance: &[4.0, 0.25], epsilon: 0.0 };
        let folded = fold(vec![1.0, 2.0, 3.0, 4.0], Some(&[0.1, 0.2]), 2, Some(&norm));
        let x = [0.3f32, -0.7];
        for c in 0..2 {
            let raw = [1.0, 2.0, 3.0, 4.0][2 * c] * x[0] + [1.0, 2.0, 3.0, 4.0][2 * c + 1] * x[1] + [0.1, 0.2][c];
            let direct = norm.gamma[c] * (raw - norm.mean[c]) / norm.variance[c].sqrt() + norm.beta[c];
            let folded = folded.weight[2 * c] * x[0] + folded.weight[2 * c + 1] * x[1] + folded.bias[c];
            assert!((direct - folded).abs() < 1e-6);
        }
    }

    #[test]
    fn channels_have_their_own_scales_where_the_scheme_says() {
        let folded = Folded { weight: vec![0.1, -1.27, 0.254, 0.0], bias: vec![0.0; 2] };
        let per_channel = quantize_weights(&exact(Target::onnxruntime().weights()), &folded, None).unwrap();
        assert_eq!(per_channel.quantizers.len(), 2);
        assert_eq!(per_channel.codes, [10.0, -127.0, 127.0, 0.0]);
        let per_tensor = quantize_weights(&exact(Target::tidl_pow2().weights()), &folded, None).unwrap();
        assert_eq!(per_tensor.quantizers[0].scale(), 2.0 / 128.0);
    }

    #[test]
    fn limits_go_before_the_extent_of_the_weights() {
        let folded = Folded { weight: vec![0.1, -1.27, 0.254, 0.0], bias: vec![0.0; 2] };
        let weights = exact(Target::onnxruntime().weights());
        let limited = quantize_weights(&weights, &folded, Some(&[0.127, 0.635])).unwrap();
        assert_eq!(limited.codes, [100.0, -127.0, 51.0, 0.0]);
        let poisoned = Folded { weight: vec![f32::NAN, 1.0, 1.0, 1.0], ..folded };
        assert!(quantize_weights(&weights, &poisoned, Some(&[1.0, 1.0])).is_err());
    }

    #[test]
    fn a_channel_without_weights_gets_a_scale_that_holds_its_bias() {
        let folded = Folded { weight: vec![1e-9, 0.0, 0.5, -0.25], bias: vec![-5.9, 0.1] };
        for target in [Target::onnxruntime(), Target::tidl_pow2()] {
            let weights = exact(target.weights());
            let plain = quantize_weights(&weights, &folded, None).unwrap();
            let (weight, bias) = quantize_block("stem", &weights, &folded, None, &bytes(1e-4)).unwrap();
            assert!(bias.iter().all(|b| b.abs() <= LARGEST_BIAS_CODE));
            assert!((bias[0] as f32 * 1e-4 * weight.scale(0) + 5.9).abs() < 1e-5);
            assert_eq!(plain.scale(1), weight.scale(1), "only the channel in need changes");
        }
    }

    fn bytes(scale: f32) -> Quantizer {
        Quantizer::new(scale, 0, 0, 255, crate::Rounding::HalfToEven).unwrap()
    }

    #[test]
    fn sums_that_would_leave_32_bits_make_the_weights_coarser() {
        let folded = |count: usize| Folded { weight: vec![1.0; 2 * count], bias: vec![0.0, 100.0] };
        for target in [Target::onnxruntime(), Target::tidl_pow2()] {
            let weights = exact(target.weights());
            let of = |count: usize| quantize_block("wide", &weights, &folded(count), None, &bytes(0.01)).unwrap();
            let (narrow, wide) = (of(1000), of(100_000));
            assert_eq!(wide.0.scale(0), 2.0 * narrow.0.scale(0));
            let sum = |(weight, bias): &(WeightCodes, Vec<i32>)| weight.codes[..100_000].iter().sum::<f32>() * 255.0 + bias[0] as f32;
            assert!(sum(&wide) <= i32::MAX as f32 && 2.0 * sum(&wide) > i32::MAX as f32);
        }
    }
}
