//! The float masters of a block, their gradients, and the codes made of them for a step.

use quantrain_graph::pairs::{self, Extent, Pairs};
use quantrain_graph::{BlockCodes, Granularity, PlacementError, Quantizer, Range, WeightQuantizer};
use quantrain_graph::{bias, fold};
use quantrain_kernels::integer::Convolution;
use quantrain_kernels::weights::{self as kernels, Grid};
use rayon::prelude::*;

use super::code_range;
use super::coefficients::{Coefficients, Statistics};
use super::limits::Limits;
use super::sums::Reach;

/// Values a channel from which on a batch has its whole share in the running statistics.
const WHOLE_SHARE: usize = 16;

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

/// The codes of a step; its memory is kept from step to step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    /// w̃, BatchNorm folded into the weights.
    pub folded: Vec<f32>,
    /// Least and greatest of w̃, of each channel.
    limits: Vec<(f32, f32)>,
    /// The largest sum of neighbours that a device adds in pairs, of each channel.
    pairs: Vec<f32>,
    /// b̃.
    folded_bias: Vec<f32>,
    /// Centred codes of ŵ, in the order of the weights.
    pub codes: Vec<f32>,
    /// One quantizer, or one for each channel.
    pub quantizers: Vec<Quantizer>,
    /// The same as the kernels take them.
    pub grids: Vec<Grid>,
    pub bias: Vec<i32>,
    /// The most that codes of neighbours may sum up to, where that counts.
    pub largest_pair: Option<f32>,
    /// Least and greatest centred code of the input.
    pub input_limits: (f32, f32),
    /// How far sums reach, once an evaluation has asked.
    pub reach: Option<Reach>,
    /// The weights for the kernels of bytes, once an evaluation has needed them.
    pub packed: Option<Convolution>,
}

impl Simulated {
    fn new(weights: usize, channels: usize) -> Self {
        Simulated {
            folded: vec![0.0; weights],
            limits: vec![(0.0, 0.0); channels],
            pairs: vec![0.0; channels],
            folded_bias: vec![0.0; channels],
            codes: vec![0.0; weights],
            bias: vec![0; channels],
            ..Simulated::default()
        }
    }

    fn set_grids(&mut self) {
        self.grids.clear();
        self.grids.extend(self.quantizers.iter().map(|q| Grid { scale: q.scale(), range: code_range(q) }));
    }

    /// The grid of a channel.
    pub fn grid(&self, channel: usize) -> Grid {
        self.grids[if self.grids.len() == 1 { 0 } else { channel }]
    }
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
    pub quantizer: Option<WeightQuantizer>,
    /// Codes that are used as they are, in the order of the weights.
    pub fixed: Option<BlockCodes>,
    /// What the weights' range is instead of their extent, where it is learned.
    pub limits: Option<Limits>,
    /// The codes of this step, in a simulated run.
    pub simulated: Option<Simulated>,
    /// Which statistics the last forward normalised with.
    pub statistics: Statistics,
    pub coefficients: Coefficients,
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
        quantizer: Option<WeightQuantizer>,
    ) -> Self {
        BlockParameters {
            name,
            channels,
            factors: vec![1.0; channels],
            running: (vec![0.0; channels], vec![1.0; channels]),
            weight: Trained::new(weight),
            bias: bias.map(Trained::new),
            norm,
            quantizer,
            fixed: None,
            limits: None,
            simulated: None,
            statistics: Statistics::Running,
            coefficients: Coefficients::new(channels),
        }
    }

    /// Takes up BatchNorm's statistics and, in a simulated run, makes the codes of this step. `input` is the input's quantizer in such a
    /// run; weights of fewer bits than `at_least` get so many.
    pub fn prepare(&mut self, input: Option<Quantizer>, at_least: Option<u8>) -> Result<(), PlacementError> {
        self.update_factors();
        let Some((input, mut weights)) = input.zip(self.quantizer) else {
            self.simulated = None;
            return Ok(());
        };
        weights.scheme.bits = at_least.map_or(weights.scheme.bits, |least| least.max(weights.scheme.bits));
        let mut simulated = self.simulated.take().unwrap_or_else(|| Simulated::new(self.weight.value.len(), self.channels));
        self.simulate(input, &weights, &mut simulated)?;
        self.simulated = Some(simulated);
        Ok(())
    }

    /// Takes up BatchNorm's statistics and γ as they are now, and limits with them.
    pub fn update_factors(&mut self) {
        if let Some(norm) = &self.norm {
            self.running.0.copy_from_slice(&norm.mean);
            self.running.1.iter_mut().zip(&norm.variance).for_each(|(d, v)| *d = (v + norm.epsilon).sqrt());
            let factors = norm.gamma.value.iter().zip(&self.running.1).map(|(gamma, deviation)| gamma / deviation);
            self.factors.iter_mut().zip(factors).for_each(|(f, factor)| *f = factor);
        }
        if let Some(limits) = &mut self.limits {
            limits.follow(&self.factors);
        }
    }

    /// As [`fold::fold`] and [`fold::quantize_block`], on all threads and in memory that is there.
    fn simulate(&self, input: Quantizer, weights: &WeightQuantizer, to: &mut Simulated) -> Result<(), PlacementError> {
        kernels::fold(&self.weight.value, &self.factors, &mut to.folded, &mut to.limits);
        for c in 0..self.channels {
            let beta = self.norm.as_ref().map_or(0.0, |norm| norm.beta.value[c]);
            to.folded_bias[c] = (self.bias_of(c) - self.running.0[c]) * self.factors[c] + beta;
        }
        (to.input_limits, to.reach, to.packed) = (input.centred_limits(), None, None);
        if let Some(BlockCodes { weight, bias }) = &self.fixed {
            to.quantizers.clone_from(&weight.quantizers);
            to.set_grids();
            to.codes.copy_from_slice(&weight.codes);
            to.bias.copy_from_slice(bias);
            return Ok(());
        }
        let largest_sum = pairs::largest_sum_of_codes(&weights.scheme, pairs::largest_byte(&input)).filter(|_| weights.pairs.is_some());
        to.largest_pair = largest_sum.map(|sum| sum as f32);
        if largest_sum.is_some() {
            let rows = to.folded.par_chunks_exact(to.folded.len() / self.channels);
            to.pairs.par_iter_mut().zip(rows).for_each(|(pair, row)| *pair = Pairs::IN_ORDER.largest_sum(row));
        }
        let extent = |(&(min, max), &pair): (&(f32, f32), &f32)| Extent { range: Range::new(min, max), pair };
        let of_channels = to.limits.iter().zip(&to.pairs).map(extent);
        let limit = |grid: usize| self.limits.as_ref().map(|l| l.values[grid]);
        let q = &mut to.quantizers;
        match weights.scheme.granularity {
            Granularity::PerChannel => {
                let extents = of_channels.enumerate().map(|(c, extent)| extent.limited(limit(c)));
                fold::block_quantizers(&self.name, weights, extents, &to.folded_bias, &input, q)?
            }
            Granularity::PerTensor => {
                // A comparison that lets NaN win, which `f32::min` does not.
                let nan = Extent { range: Range::new(f32::NAN, f32::NAN), pair: 0.0 };
                let wider = |a: Extent, b: Extent| if a.range.min.is_nan() || b.range.min.is_nan() { nan } else { a.union(b) };
                let whole = of_channels.reduce(wider).into_iter().map(|all| all.limited(limit(0)));
                fold::block_quantizers(&self.name, weights, whole, &to.folded_bias, &input, q)?
            }
        }
        loop {
            to.set_grids();
            kernels::codes(&to.folded, &to.grids, &mut to.codes);
            let limit = bias::in_force(weights, &input);
            let codes = bias::bias_codes(&self.name, &to.folded_bias, &input, &to.quantizers, limit);
            for (bias, code) in to.bias.iter_mut().zip(codes) {
                *bias = code?;
            }
            if !fold::widen_for_sums(&self.name, &mut to.quantizers, &to.codes, &to.bias, &input)? {
                return Ok(());
            }
        }
    }

    /// The largest sum that an accumulator of this step can reach, `Σ|w_q|·max|x_q| + |b_q|`; f32 holds sums below 2^24 exactly.
    pub fn accumulator_bound(&self) -> Option<f64> {
        self.simulated.as_ref().map(|codes| Reach::of(codes).sums)
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
        self.simulated.as_ref().map_or(1.0, |s| s.grid(channel).scale)
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

    /// `μ ← m·μ + (1−m)·μ_batch`, σ² likewise from the unbiased batch variance. `rows` is the number of values a channel; few of them have a
    /// smaller share than `1−m`, and one says nothing of the variance.
    pub fn update_running_statistics(&mut self, input_scale: f32, two_paths: bool, rows: usize) {
        let simulated = self.is_simulated() && !two_paths;
        let unbiased = rows as f32 / (rows as f32 - 1.0).max(1.0);
        let Some(mut norm) = self.norm.take() else { return };
        let kept = |freedom: usize| 1.0 - (1.0 - norm.momentum) * (freedom as f32 / WHOLE_SHARE as f32);
        let (of_mean, of_variance) = match rows {
            WHOLE_SHARE.. => (norm.momentum, norm.momentum),
            few => (kept(few), kept(few.saturating_sub(1))),
        };
        let batch = &self.coefficients;
        for c in 0..self.channels {
            let unit = self.accumulator_unit(c, input_scale, simulated);
            // A channel whose factor is 0 tells nothing about its convolution.
            if unit != 0.0 {
                norm.mean[c] = of_mean * norm.mean[c] + (1.0 - of_mean) * (batch.mean[c] * unit + self.bias_of(c));
                norm.variance[c] = of_variance * norm.variance[c] + (1.0 - of_variance) * batch.variance[c] * unit * unit * unbiased;
            }
        }
        self.norm = Some(norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The running statistics of one channel after a batch of mean 2 and biased variance 3 in so many values; from mean 0, variance 1, momentum 0.9.
    fn updated(rows: usize) -> (f32, f32) {
        let part = || Trained::new(vec![1.0]);
        let norm = NormParameters { gamma: part(), beta: part(), mean: vec![0.0], variance: vec![1.0], epsilon: 0.0, momentum: 0.9 };
        let mut p = BlockParameters::new("block".into(), vec![1.0], None, Some(norm), 1, None);
        (p.coefficients.mean[0], p.coefficients.variance[0]) = (2.0, if rows > 1 { 3.0 } else { 0.0 });
        p.update_running_statistics(1.0, false, rows);
        let norm = p.norm.unwrap();
        (norm.mean[0], norm.variance[0])
    }

    fn close(found: (f32, f32), expected: (f32, f32)) -> bool {
        (found.0 - expected.0).abs() < 1e-6 && (found.1 - expected.1).abs() < 1e-6
    }

    #[test]
    fn running_statistics_follow_the_batch() {
        assert!(close(updated(31), (0.2, 0.9 + 0.1 * 3.0 * 31.0 / 30.0)), "{:?}", updated(31));
    }

    #[test]
    fn one_value_says_nothing_of_the_variance_and_two_say_little() {
        assert!(close(updated(1), (0.1 * 2.0 / 16.0, 1.0)), "{:?}", updated(1));
        let share = 0.1 / 16.0;
        assert!(close(updated(2), (2.0 * share * 2.0, (1.0 - share) + share * 6.0)), "{:?}", updated(2));
    }
}
