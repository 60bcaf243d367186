//! How a training went: the loss over its steps, and the score after each epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metric::{Fall, Score};

/// How many times its first value the loss is when training has gone astray.
const ASTRAY: f64 = 10.0;

/// What is told of a training, and kept in its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// What the network was worth before the first step; `None` where nothing tells.
    pub start: Option<Score>,
    /// The epochs done, in order.
    pub epochs: Vec<EpochScore>,
    /// Which of all was worth most.
    pub best: Option<Best>,
    /// The first step after which the loss was far beyond what it began with.
    pub diverged: Option<u64>,
    /// The loss of the first step.
    first_loss: Option<f64>,
    /// The running mean of the losses.
    mean_loss: f64,
}

/// An epoch of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochScore {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Steps done after it.
    pub step: u64,
    /// Mean loss.
    pub loss: f32,
    /// What the network is worth after it, as simulated; `None` where nothing tells.
    pub score: Option<Score>,
}

/// Loss and score, in a line.
impl fmt::Display for EpochScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        self.score.iter().try_for_each(|score| write!(f, ", {score}"))
    }
}

/// The best network of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epochs done; 0 is the network before the first step.
    pub epoch: u32,
    /// Steps done.
    pub step: u64,
    /// What it is worth.
    value: f64,
}

impl Course {
    /// Takes up what the network is worth before the first step. Returns whether that is known.
    pub fn begin(&mut self, start: Option<Score>) -> bool {
        self.start = start.filter(Score::is_number);
        self.best = self.start.as_ref().map(|score| Best { epoch: 0, step: 0, value: score.value() });
        self.best.is_some()
    }

    /// Takes up the loss of a step.
    pub fn step_done(&mut self, step: u64, loss: f32) {
        let loss = f64::from(loss);
        let first = *self.first_loss.get_or_insert(loss);
        self.mean_loss = if step <= 1 { loss } else { 0.8 * self.mean_loss + 0.2 * loss };
        if self.diverged.is_none() && self.mean_loss > ASTRAY * first + 1.0 {
            self.diverged = Some(step);
        }
    }

    /// Takes up an epoch. Returns whether no network was better: larger by its score, and in no figure much worse than the network was before
    /// the first step.
    pub fn epoch_done(&mut self, epoch: EpochScore) -> bool {
        let score = epoch.score.as_ref().filter(|score| score.is_number());
        let fell = |score: &Score| self.fall_of(score).is_some_and(|fall| fall.is_much());
        let value = score.filter(|score| !fell(score)).map(Score::value);
        let best = value.filter(|value| self.best.is_none_or(|best| *value > best.value));
        if let Some(value) = best {
            self.best = Some(Best { epoch: epoch.epoch, step: epoch.step, value });
        }
        self.epochs.push(epoch);
        best.is_some()
    }

    /// Whether so many epochs have gone by since the best network; not where nothing tells which is best.
    pub fn is_out_of_patience(&self, patience: Option<u32>) -> bool {
        let done = self.epochs.last().map_or(0, |last| last.epoch);
        self.best.zip(patience).is_some_and(|(best, patience)| done - best.epoch >= patience)
    }

    /// How much less a score is than that before the first step.
    pub fn fall_of(&self, score: &Score) -> Option<Fall> {
        score.fall_from(self.start.as_ref()?)
    }

    /// What the network was worth after so many epochs.
    pub fn score(&self, epoch: u32) -> Option<&Score> {
        match epoch {
            0 => self.start.as_ref(),
            _ => self.epochs.iter().find(|done| done.epoch == epoch)?.score.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Accuracy, OutputSqnr, Sqnr};

    fn accuracy(right: usize) -> Option<Score> {
        Some(Score::Accuracy(Accuracy::of(right, right, 1000)))
    }

    fn sqnr(decibels: [f64; 2]) -> Option<Score> {
        let of = |(i, d)| OutputSqnr { output: format!("y{i}"), decibels: Some(d), parts: Vec::new() };
        Some(Score::Sqnr(Sqnr { sqnr: decibels.into_iter().enumerate().map(of).collect(), images: 9 }))
    }

    fn best_of(start: Option<Score>, epochs: &[Option<Score>]) -> Option<u32> {
        let mut course = Course::default();
        course.begin(start);
        for (epoch, score) in (1..).zip(epochs) {
            course.epoch_done(EpochScore { epoch, step: u64::from(epoch), loss: 1.0, score: score.clone() });
        }
        course.best.map(|best| best.epoch)
    }

    #[test]
    fn the_network_before_training_may_be_the_best() {
        assert_eq!(best_of(accuracy(780), &[accuracy(127), accuracy(300)]), Some(0));
        assert_eq!(best_of(accuracy(780), &[accuracy(800), accuracy(127), accuracy(800)]), Some(1), "of equals the first");
        assert_eq!(best_of(None, &[accuracy(127), accuracy(300), None]), Some(2));
        assert_eq!(best_of(None, &[None]), None);
    }

    #[test]
    fn what_ruins_one_output_is_not_the_best() {
        assert_eq!(best_of(sqnr([40.0, 20.0]), &[sqnr([30.0, 25.0])]), Some(0));
        assert_eq!(best_of(sqnr([40.0, 20.0]), &[sqnr([39.8, 25.0])]), Some(1));
        assert_eq!(best_of(sqnr([40.0, 20.0]), &[sqnr([f64::NAN, 60.0])]), Some(0));
    }

    #[test]
    fn a_loss_far_beyond_its_beginning_is_noted_at_its_step() {
        let mut course = Course::default();
        [2.0, 1.0, 3.0, 2.0].into_iter().zip(1..).for_each(|(loss, step)| course.step_done(step, loss));
        assert_eq!(course.diverged, None);
        [400.0, 900.0].into_iter().zip(5..).for_each(|(loss, step)| course.step_done(step, loss));
        assert_eq!(course.diverged, Some(5));
    }
}
