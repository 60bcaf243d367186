//! Ranges of activations as parameters: LSQ, LSQ+, PACT and TQT.
//!
//! | method | parameters | gradient | for |
//! |---|---|---|---|
//! | LSQ (Esser et al. 2020) | step s; both limits follow | `(inside + hi·above + lo·below)/√(N·qmax)` | any scheme with free scales |
//! | LSQ+ (Bhalgat et al. 2020) | step s and lower limit β | by s `(inside + (hi − lo)·above)/√(N·qmax)`, by β `(above + below)/√(N·qmax)` | asymmetric schemes |
//! | PACT (Choi et al. 2018) | upper limit α | `above`, less `below` where the range is symmetric | any scheme with free scales |
//! | TQT (Jain et al. 2020) | log₂ of the limit | `s·ln 2·(inside + hi·above + lo·below)` | powers of two |
//!
//! `inside`, `above` and `below` are [`quantrain_engine::RangeSums`], lo and hi the centred codes' limits, N the values of a sample. What is
//! kept between steps is the range alone: parameters are made of it before each step and it of them behind, so a checkpoint that has the
//! ranges and the optimizer's moments has everything.

use quantrain_engine::{Network, RangeSums};
use quantrain_graph::{Quantizer, Range};

use crate::optimizer::ParameterView;
use crate::recipe::RangeLearning;

/// A step may be halved at most, whatever its gradient: it stays above 0.
const LEAST_SHARE: f32 = 0.5;

/// What a limit is multiplied with when its parameter goes from `old` to `new`.
pub(crate) fn share(new: f32, old: f32) -> f32 {
    // Written so that NaN takes the least.
    if new / old > LEAST_SHARE { new / old } else { LEAST_SHARE }
}

/// The parameters of one quantizer.
struct Learned {
    names: [String; 2],
    values: [f32; 2],
    gradients: [f32; 2],
    /// `√(N·qmax)`.
    gradient_scale: f64,
    /// The quantizer of the step.
    quantizer: Option<Quantizer>,
}

/// The learned ranges of a network.
pub(crate) struct LearnedRanges {
    method: RangeLearning,
    rate_factor: f32,
    learned: Vec<Learned>,
}

impl LearnedRanges {
    /// Ranges of the calibrated `network` are learned from here on, `rate_factor` times as fast as weights.
    pub fn new(network: &mut Network, method: RangeLearning, rate_factor: f32) -> Self {
        network.learn_ranges(true);
        let net = network.quant_graph();
        let values = |tensor: &str| net.graph().tensors().iter().find(|t| t.name == tensor).map_or(1, |t| t.shape.elements(1));
        let of = |q: &quantrain_graph::ActivationQuantizer| {
            let qmax = f64::from((1u32 << q.scheme.bits) - 1);
            Learned {
                names: [format!("{}/range", q.tensor), format!("{}/offset", q.tensor)],
                values: [0.0; 2],
                gradients: [0.0; 2],
                gradient_scale: (values(&q.tensor) as f64 * qmax).sqrt(),
                quantizer: None,
            }
        };
        LearnedRanges { method, rate_factor, learned: net.quantizers().iter().map(of).collect() }
    }

    /// Makes parameters and their gradients of the ranges and of the last backward.
    pub fn take_up(&mut self, network: &Network) {
        let in_use = network.quant_graph().quantizers().iter().zip(network.quantizers_in_use());
        for ((learned, (q, quantizer)), sums) in self.learned.iter_mut().zip(in_use).zip(network.range_sums()) {
            learned.quantizer = *quantizer;
            let Some((range, quantizer)) = q.range.zip(*quantizer) else { continue };
            learned.values = values(self.method, range, &quantizer);
            learned.gradients = gradients(self.method, &quantizer, *sums, learned.gradient_scale);
        }
    }

    /// The parameters as an optimizer sees them, the same at every step.
    pub fn views(&mut self) -> impl Iterator<Item = ParameterView<'_>> {
        let (count, rate_factor) = (if self.method == RangeLearning::LsqPlus { 2 } else { 1 }, self.rate_factor);
        self.learned.iter_mut().flat_map(move |l| {
            let parts = l.names.iter().zip(l.values.chunks_exact_mut(1)).zip(l.gradients.chunks_exact(1)).take(count);
            parts.map(move |((name, value), gradient)| ParameterView { name, value, gradient, decay: false, rate_factor })
        })
    }

    /// Makes ranges of the parameters.
    pub fn apply(&self, network: &mut Network) {
        for (learned, q) in self.learned.iter().zip(network.quant_graph_mut().quantizers_mut()) {
            let Some((range, quantizer)) = q.range.zip(learned.quantizer) else { continue };
            // A quantizer that no gradient reaches keeps its range to the bit.
            if learned.gradients != [0.0; 2] || learned.values != values(self.method, range, &quantizer) {
                q.range = Some(new_range(self.method, range, &quantizer, learned.values));
            }
        }
    }
}

fn values(method: RangeLearning, range: Range, quantizer: &Quantizer) -> [f32; 2] {
    match method {
        RangeLearning::Lsq => [quantizer.scale(), 0.0],
        RangeLearning::LsqPlus => [quantizer.scale(), range.min.min(0.0)],
        RangeLearning::Pact => [limit(range), 0.0],
        RangeLearning::Tqt => [limit(range).log2(), 0.0],
    }
}

/// The largest magnitude in a range.
fn limit(range: Range) -> f32 {
    range.max.max(-range.min).max(f32::MIN_POSITIVE)
}

fn gradients(method: RangeLearning, quantizer: &Quantizer, sums: RangeSums, scale: f64) -> [f32; 2] {
    let (low, high) = quantizer.centred_limits();
    let (low, high) = (f64::from(low), f64::from(high));
    let by_step = sums.inside + high * sums.above + low * sums.below;
    let (first, second) = match method {
        RangeLearning::Lsq => (by_step / scale, 0.0),
        RangeLearning::LsqPlus => ((sums.inside + (high - low) * sums.above) / scale, (sums.above + sums.below) / scale),
        RangeLearning::Pact => (sums.above - if low < 0.0 && quantizer.zero_point() == 0 { sums.below } else { 0.0 }, 0.0),
        RangeLearning::Tqt => (f64::from(quantizer.scale()) * std::f64::consts::LN_2 * by_step, 0.0),
    };
    [first as f32, second as f32]
}

fn new_range(method: RangeLearning, range: Range, quantizer: &Quantizer, [first, second]: [f32; 2]) -> Range {
    let scaled = |factor: f32| Range::new(range.min * factor, range.max * factor);
    match method {
        RangeLearning::Lsq => scaled(share(first, quantizer.scale())),
        RangeLearning::LsqPlus => {
            let step = quantizer.scale() * share(first, quantizer.scale());
            let min = second.min(0.0);
            Range::new(min, min + step * (quantizer.qmax() - quantizer.qmin()) as f32)
        }
        RangeLearning::Pact if quantizer.zero_point() == 0 => scaled(share(first, limit(range))),
        RangeLearning::Pact => Range::new(range.min, range.max * share(first, limit(range))),
        RangeLearning::Tqt => scaled(share(first.exp2(), limit(range))),
    }
}

#[cfg(test)]
mod tests;
