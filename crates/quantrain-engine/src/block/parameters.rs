//! The float masters of a block, their gradients, and the codes made of them for a step.

use quantrain_graph::fold::{self, BatchNorm, Folded};
use quantrain_graph::{PlacementError, Quantizer, Scheme};

use super::coefficients::{Coefficients, Statistics};

/// A trained tensor and its gradient.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trained {
    pub value: Vec<f32>,
    pub gradient: Vec<f32>,
}

impl Trained {
    pub fn new(value: Vec<f32>) -> Self {
        Trained { gradient: vec![0.0; value.len()], value }
    }
}

/// A BatchNormalization in training.
#[derive(Clone, Debug)]
pub(crate) struct NormParameters {
    pub gamma: Trained,
    pub beta: Trained,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub epsilon: f32,
    /// Share of the old statistics that an update keeps.
    pub momentum: f32,
}

impl NormParameters {
    pub fn as_folded(&self) -> BatchNorm<'_> {
        BatchNorm { gamma: &self.gamma.value, beta: &self.beta.value, mean: &self.mean, variance: &self.variance, epsilon: self.epsilon }
    }
}

/// The codes of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    /// Centred codes of ŵ, in the order of the weights.
    pub codes: Vec<f32>,
    /// One quantizer, or one for each channel.
    pub quantizers: Vec<Quantizer>,
    /// Bias codes as f32; exact below 2^24.
    pub bias: Vec<f32>,
    /// The largest `Σ|w_q|·max|x_q| + |b_q|` of a channel.
    pub bound: f64,
}

/// Everything a block owns.
#[derive(Clone, Debug)]
pub(crate) struct BlockParameters {
    pub name: String,
    pub channels: usize,
    /// Channels first, then kernel height, width and inputs of a group.
    pub weight: Trained,
    pub bias: Option<Trained>,
    pub norm: Option<NormParameters>,
    /// The kind of integers of the weights; `None` runs the block in float.
    pub scheme: Option<Scheme>,
    /// The codes of this step, in a simulated run.
    pub simulated: Option<Simulated>,
    /// Which statistics the last forward normalised with.
    pub statistics: Statistics,
    pub coefficients: Coefficients,
    /// w̃ and b̃ of this step.
    pub folded: Folded,
    /// `f = γ/√(σ²+ε)` of this step; ones without BatchNorm.
    pub factors: Vec<f32>,
    /// μ and `√(σ²+ε)` that this step folds with, before it updates them; zeros and ones without BatchNorm.
    pub running: (Vec<f32>, Vec<f32>),
}

impl BlockParameters {
    pub fn new(
        name: String,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        norm: Option<NormParameters>,
        channels: usize,
        scheme: Option<Scheme>,
    ) -> Self {
        BlockParameters {
            name,
            channels,
            folded: Folded { weight: Vec::new(), bias: Vec::new() },
            factors: vec![1.0; channels],
            running: (vec![0.0; channels], vec![1.0; channels]),
            weight: Trained::new(weight),
            bias: bias.map(Trained::new),
            norm,
            scheme,
            simulated: None,
            statistics: Statistics::Running,
            coefficients: Coefficients::new(channels),
        }
    }

    /// Folds BatchNorm and, in a simulated run, makes the codes of this step. `input` is the input's quantizer in such a run.
    pub fn prepare(&mut self, input: Option<Quantizer>) -> Result<(), PlacementError> {
        let norm = self.norm.as_ref().map(NormParameters::as_folded);
        if let Some(norm) = &norm {
            self.factors = norm.factors();
            self.running.0.copy_from_slice(norm.mean);
            self.running.1.iter_mut().zip(norm.variance).for_each(|(d, v)| *d = (v + norm.epsilon).sqrt());
        }
        let bias = self.bias.as_ref().map(|b| b.value.as_slice());
        self.folded = fold::fold(self.weight.value.clone(), bias, self.channels, norm.as_ref());
        self.simulated = match (input, self.scheme) {
            (Some(input), Some(scheme)) => Some(self.simulate(input, &scheme)?),
            _ => None,
        };
        Ok(())
    }

    fn simulate(&self, input: Quantizer, scheme: &Scheme) -> Result<Simulated, PlacementError> {
        let (weight, bias) = fold::quantize_block(&self.name, scheme, &self.folded, input.scale())?;
        let (low, high) = input.centred_limits();
        let largest = f64::from(high.max(-low));
        let rows = weight.codes.chunks_exact(weight.codes.len() / self.channels);
        let bound = |(row, b): (&[f32], &i32)| row.iter().map(|w| f64::from(w.abs())).sum::<f64>() * largest + f64::from(*b).abs();
        let bound = rows.zip(&bias).map(bound).fold(0.0, f64::max);
        Ok(Simulated { codes: weight.codes, quantizers: weight.quantizers, bias: bias.iter().map(|&b| b as f32).collect(), bound })
    }

    /// The largest sum that an accumulator of this step can reach, `Σ|w_q|·max|x_q| + |b_q|`; f32 holds sums below 2^24 exactly.
    pub fn accumulator_bound(&self) -> Option<f64> {
        self.simulated.as_ref().map(|s| s.bound)
    }

    /// Whether this step computes with codes.
    pub fn is_simulated(&self) -> bool {
        self.simulated.is_some()
    }

    /// What the value path multiplies with.
    pub fn used_weights(&self) -> &[f32] {
        self.simulated.as_ref().map_or(&self.weight.value, |s| &s.codes)
    }

    /// The scale of a channel's weight codes.
    pub fn weight_scale(&self, channel: usize) -> f32 {
        self.simulated.as_ref().map_or(1.0, |s| s.quantizers[if s.quantizers.len() == 1 { 0 } else { channel }].scale())
    }

    /// `a`: the float convolution is `acc·a + b`. 0 where the channel's factor is 0.
    pub fn accumulator_unit(&self, channel: usize, input_scale: f32, simulated: bool) -> f32 {
        match (simulated, self.factors[channel]) {
            (false, _) => input_scale,
            (true, 0.0) => 0.0,
            (true, factor) => input_scale * self.weight_scale(channel) / factor,
        }
    }

    pub fn bias_of(&self, channel: usize) -> f32 {
        self.bias.as_ref().map_or(0.0, |b| b.value[channel])
    }

    /// `μ ← m·μ + (1−m)·μ_batch`, σ² likewise from the unbiased batch variance. `rows` is the number of values a channel.
    pub fn update_running_statistics(&mut self, input_scale: f32, two_paths: bool, rows: usize) {
        let simulated = self.is_simulated() && !two_paths;
        let units: Vec<f32> = (0..self.channels).map(|c| self.accumulator_unit(c, input_scale, simulated)).collect();
        let biases: Vec<f32> = (0..self.channels).map(|c| self.bias_of(c)).collect();
        let unbiased = rows as f32 / (rows as f32 - 1.0).max(1.0);
        let Some(norm) = &mut self.norm else { return };
        let (keep, c) = (norm.momentum, &self.coefficients);
        // A channel whose factor is 0 tells nothing about its convolution.
        for i in (0..self.channels).filter(|&i| units[i] != 0.0) {
            norm.mean[i] = keep * norm.mean[i] + (1.0 - keep) * (c.mean[i] * units[i] + biases[i]);
            norm.variance[i] = keep * norm.variance[i] + (1.0 - keep) * c.variance[i] * units[i] * units[i] * unbiased;
        }
    }
}
