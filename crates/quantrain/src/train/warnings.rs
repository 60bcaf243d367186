//! What the user should know of a training that did not help, and what to change.

use super::{Course, Divergence, TrainReport};
use crate::metric::Score;
use crate::recipe::{BatchNorm, Recipe};
use crate::warning::Warning;

impl TrainReport {
    /// What the network that the trainer ended with is worth.
    pub fn score(&self) -> Option<&Score> {
        self.course.score(self.exported)
    }

    /// Where the exported network is not better than the one before training, or worse than the calibrated one.
    pub fn warnings(&self, recipe: &Recipe, calibrated: Option<&Score>) -> Vec<Warning> {
        let (course, quantized) = (&self.course, recipe.quantization().enabled);
        if let Some(Divergence { step, rate, cause }) = self.diverged.clone() {
            let advice = rate.map(|_| lower_rate(recipe));
            return vec![Warning::Diverged { step, cause, advice, epoch: self.exported }];
        }
        let exported = self.score();
        let last = course.epochs.last().and_then(|epoch| epoch.score.as_ref());
        if let (0, Some(last)) = (self.exported, last) {
            let fall = course.fall_of(last).filter(|fall| fall.is_much());
            let advice = if fall.is_some() { course.advice(recipe) } else { course.advice_for_more(recipe) };
            return vec![Warning::TrainingInVain { fall, advice }];
        }
        let fall =
            exported.zip(calibrated.filter(|_| quantized).or(course.start.as_ref())).and_then(|(after, before)| after.fall_from(before));
        let worse = fall.filter(|fall| fall.is_much()).map(|fall| Warning::ExportedWorse { fall, advice: course.advice(recipe) });
        worse.into_iter().collect()
    }
}

impl Course {
    /// What to change where training makes a network worse.
    fn advice(&self, recipe: &Recipe) -> String {
        let rate = lower_rate(recipe);
        if let Some(step) = self.diverged {
            return format!("training diverged at step {step}: {rate}");
        }
        let follows = recipe.quantization().enabled && recipe.quantization().batch_norm != BatchNorm::Frozen;
        let norm = if follows { ", or set quantization.batch-norm to \"frozen\"" } else { "" };
        let clip = if recipe.train().gradient_clip.is_none() { ", or set train.gradient-clip" } else { "" };
        format!("{rate}{norm}{clip}")
    }

    /// What to change where it does not make it better.
    fn advice_for_more(&self, recipe: &Recipe) -> String {
        let train = recipe.train();
        format!("try another train.learning-rate (it is {}), more epochs or images, or leave training out", train.learning_rate)
    }
}

fn lower_rate(recipe: &Recipe) -> String {
    let rate = recipe.train().learning_rate;
    // A tenth of a number in single precision is seldom as short as what was meant; powers of ten of any size are no reading matter in full.
    let short = |rate: f32| {
        let rate: f64 = format!("{rate:.2e}").parse().unwrap_or_default();
        if (1e-6..1e6).contains(&rate) { format!("{rate}") } else { format!("{rate:e}") }
    };
    format!("lower train.learning-rate (it is {}; try {})", short(rate), short(rate / 10.0))
}
