//! What is learned of quantizers along with the weights: ranges of activations, and step sizes of weights where they are wanted.

use quantrain_engine::Network;

use crate::learned_ranges::LearnedRanges;
use crate::learned_weights::LearnedWeights;
use crate::optimizer::ParameterView;
use crate::recipe::LearnRanges;

/// The learned quantizers of a network.
pub(crate) struct LearnedQuantizers {
    ranges: LearnedRanges,
    weights: Option<LearnedWeights>,
}

impl LearnedQuantizers {
    /// Those of the calibrated `network`, from here on.
    pub fn new(network: &mut Network, LearnRanges { method, rate_factor, weights }: LearnRanges) -> Self {
        let ranges = LearnedRanges::new(network, method, rate_factor);
        LearnedQuantizers { ranges, weights: weights.then(|| LearnedWeights::new(network, method, rate_factor)) }
    }

    /// Makes parameters and their gradients of the quantizers and of the last backward.
    pub fn take_up(&mut self, network: &mut Network) {
        self.ranges.take_up(network);
        self.weights.iter_mut().for_each(|weights| weights.take_up(network));
    }

    /// The parameters as an optimizer sees them, the same at every step.
    pub fn views(&mut self) -> impl Iterator<Item = ParameterView<'_>> {
        self.ranges.views().chain(self.weights.iter_mut().flat_map(LearnedWeights::views))
    }

    /// Makes quantizers of the parameters.
    pub fn apply(&self, network: &mut Network) {
        self.ranges.apply(network);
        self.weights.iter().for_each(|weights| weights.apply(network));
    }
}
