//! Gradients over several backwards: what a step sums whose batch is run in parts.

use quantrain_kernels::range_sums::RangeSums;

use super::Network;
use crate::block::Trained;

/// Gradients of a network, added in the order in which they were found. Its memory is kept from step to step.
#[derive(Clone, Debug, Default)]
pub struct GradientSums {
    /// Backwards in the sums.
    backwards: usize,
    /// Of each trained tensor, in the order of the network.
    trained: Vec<Vec<f32>>,
    /// Of the step sizes of weights, where they are learned.
    steps: Vec<Vec<f64>>,
    /// Of ranges, where they are learned.
    ranges: Vec<RangeSums>,
}

impl GradientSums {
    /// Whether nothing was added since the sums were last put into a network.
    pub fn is_empty(&self) -> bool {
        self.backwards == 0
    }
}

impl Network {
    /// Adds the gradients of the last backward to sums of this network.
    pub fn add_gradients_to(&mut self, sums: &mut GradientSums) {
        if sums.is_empty() {
            // Copied, not added to zeros: the sum of one has its bits.
            sums.trained.resize_with(self.trained().count(), Vec::new);
            sums.trained.iter_mut().zip(self.trained()).for_each(|(sum, p)| sum.clone_from(&p.gradient));
            sums.steps.resize_with(self.step_gradients().count(), Vec::new);
            sums.steps.iter_mut().zip(self.step_gradients()).for_each(|(sum, found)| found.clone_into(sum));
            sums.ranges.clone_from(&self.range_sums);
        } else {
            for (sum, p) in sums.trained.iter_mut().zip(self.trained()) {
                sum.iter_mut().zip(&p.gradient).for_each(|(sum, g)| *sum += g);
            }
            for (sum, found) in sums.steps.iter_mut().zip(self.step_gradients()) {
                sum.iter_mut().zip(found).for_each(|(sum, g)| *sum += *g);
            }
            sums.ranges.iter_mut().zip(&self.range_sums).for_each(|(sum, found)| *sum = sum.plus(*found));
        }
        sums.backwards += 1;
    }

    /// Puts sums in the place of the gradients of the last backward. Nothing is in the sums then.
    pub fn take_gradients_from(&mut self, sums: &mut GradientSums) {
        sums.trained.iter().zip(self.trained()).for_each(|(sum, p)| p.gradient.clone_from(sum));
        sums.steps.iter().zip(self.step_gradients()).for_each(|(sum, found)| found.copy_from_slice(sum));
        self.range_sums.clone_from(&sums.ranges);
        sums.backwards = 0;
    }

    /// Every trained tensor, in one order.
    fn trained(&mut self) -> impl Iterator<Item = &mut Trained> {
        let own = self.own.iter_mut().flatten().map(|(_, p)| p);
        own.chain(self.blocks.iter_mut().flatten().flat_map(|p| {
            let norm = p.norm.iter_mut().flat_map(|norm| [&mut norm.gamma, &mut norm.beta]);
            std::iter::once(&mut p.weight).chain(&mut p.bias).chain(norm)
        }))
    }

    /// Of every block whose step sizes are learned, their gradients.
    fn step_gradients(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.blocks.iter_mut().flatten().filter_map(|p| p.limits.as_mut()).map(|limits| limits.step_gradients())
    }
}
