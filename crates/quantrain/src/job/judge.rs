//! What networks are judged on, and whether the float one is worth quantizing.

use super::Job;
use crate::metric::Score;
use crate::recipe::Initialization;
use crate::warning::Warning;

impl Job {
    /// Whether networks are judged on images held out of the calibration's, as there are no others.
    pub fn judges_on_held_out(&self) -> bool {
        self.recipe.data().eval.is_none()
    }

    /// Number of scores in the first output's rows, where that is known.
    fn classes(&self) -> Option<usize> {
        let graph = self.graph();
        let output = graph.tensor(*graph.outputs().first()?);
        output.shape.0.get(1)?.fixed().filter(|&classes| classes > 1)
    }

    /// Whether training makes the network what it is to be.
    fn starts_untrained(&self) -> bool {
        let recipe = &self.recipe;
        recipe.train().initialization == Initialization::He || (self.trains && !recipe.quantization().enabled)
    }

    /// Whether the float network guesses, which is fine only where it has not been trained.
    pub(super) fn near_chance(&self, score: &Score) -> Option<Warning> {
        let Score::Accuracy(accuracy) = score else { return None };
        let classes = self.classes()?;
        let chance = 100.0 / classes as f64;
        // With many classes, a network that sees the wrong pixels is still a little better than chance.
        let near = if classes >= 10 { 2.0 * chance } else { chance };
        let guesses = !self.starts_untrained() && accuracy.images > 0 && accuracy.top1_interval[0] <= near;
        guesses.then_some(Warning::NearChance { top1: accuracy.top1, chance })
    }

    /// What the user should know of a float network's score, in words.
    pub fn warnings_of(&self, float: &Score) -> Vec<String> {
        self.near_chance(float).iter().map(Warning::to_string).collect()
    }
}
