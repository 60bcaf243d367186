//! Step sizes of weights as parameters: LSQ and TQT.
//!
//! | method | parameter | gradient, G = Σ g·(code − t inside, code beyond) of the weights that share a step |
//! |---|---|---|
//! | LSQ (Esser et al. 2020), LSQ+ | step s of the masters | `G·f/√(N·qmax)` |
//! | TQT (Jain et al. 2020) | log₂ of the limit | `s·ln 2·G` |
//!
//! N weights share the step, `qmax` is the highest code. A step of folded weights `w̃ = w·f` is learned as one of the masters, s/f: so it and
//! they learn at the same pace, whatever BatchNorm's factor f. What is kept between steps is the limit alone, as with activations
//! ([`crate::learned_ranges`]).

use quantrain_engine::{Network, WeightLimits};

use crate::learned_ranges::share;
use crate::optimizer::ParameterView;
use crate::recipe::RangeLearning;

/// The parameters of one block.
struct Learned {
    name: String,
    values: Vec<f32>,
    gradients: Vec<f32>,
}

/// The learned limits of a network's weights.
pub(crate) struct LearnedWeights {
    method: RangeLearning,
    rate_factor: f32,
    learned: Vec<Learned>,
}

impl LearnedWeights {
    /// Limits of the weights of `network` are learned from here on, `rate_factor` times as fast as weights. They begin as the weights' extents.
    pub fn new(network: &mut Network, method: RangeLearning, rate_factor: f32) -> Self {
        network.learn_weight_limits();
        let of = |limits: WeightLimits| {
            let zeros = vec![0.0; limits.values.len()];
            Learned { name: format!("{}/limit", limits.name), values: zeros.clone(), gradients: zeros }
        };
        LearnedWeights { method, rate_factor, learned: network.weight_limits().into_iter().map(of).collect() }
    }

    /// Makes parameters and their gradients of the limits and of the last backward.
    pub fn take_up(&mut self, network: &mut Network) {
        for (learned, limits) in self.learned.iter_mut().zip(network.weight_limits()) {
            for (i, value) in learned.values.iter_mut().enumerate() {
                *value = parameter(self.method, &limits, i);
                learned.gradients[i] = gradient(self.method, &limits, i);
            }
        }
    }

    /// The parameters as an optimizer sees them, the same at every step.
    pub fn views(&mut self) -> impl Iterator<Item = ParameterView<'_>> {
        let rate_factor = self.rate_factor;
        self.learned.iter_mut().map(move |l| ParameterView {
            name: &l.name,
            value: &mut l.values,
            gradient: &l.gradients,
            decay: false,
            rate_factor,
        })
    }

    /// Makes limits of the parameters.
    pub fn apply(&self, network: &mut Network) {
        for (learned, limits) in self.learned.iter().zip(network.weight_limits()) {
            for (i, &new) in learned.values.iter().enumerate() {
                let old = parameter(self.method, &limits, i);
                // What no gradient reaches keeps its bits.
                if new != old {
                    limits.values[i] *= match self.method {
                        RangeLearning::Tqt => share(new.exp2(), old.exp2()),
                        RangeLearning::Lsq | RangeLearning::LsqPlus | RangeLearning::Pact => share(new, old),
                    };
                }
            }
        }
    }
}

fn parameter(method: RangeLearning, limits: &WeightLimits, i: usize) -> f32 {
    match method {
        RangeLearning::Tqt => limits.values[i].max(f32::MIN_POSITIVE).log2(),
        RangeLearning::Lsq | RangeLearning::LsqPlus | RangeLearning::Pact => limits.grids[i].scale / limits.units[i],
    }
}

fn gradient(method: RangeLearning, limits: &WeightLimits, i: usize) -> f32 {
    let (grid, by_step) = (&limits.grids[i], limits.step_gradients[i]);
    (match method {
        RangeLearning::Tqt => f64::from(grid.scale) * std::f64::consts::LN_2 * by_step,
        RangeLearning::Lsq | RangeLearning::LsqPlus | RangeLearning::Pact => {
            by_step * f64::from(limits.units[i]) / (limits.weights as f64 * f64::from(grid.range.hi)).sqrt()
        }
    }) as f32
}

#[cfg(test)]
mod tests;
