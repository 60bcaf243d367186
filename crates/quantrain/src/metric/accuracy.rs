//! One class for each image: how often it is right.

use quantrain_data::Batch;
use serde::{Deserialize, Serialize};

use super::{Metric, Output, Score};
use crate::RunError;

/// How often the right class came first, or among the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Percent of images whose label has the highest score.
    pub top1: f64,
    /// Percent of images whose label is among the five highest scores.
    pub top5: f64,
    /// Where the true share of `top1` is, by Wilson's interval at 95 %: other images of the same kind give figures in it.
    pub top1_interval: [f64; 2],
    /// The same of `top5`.
    pub top5_interval: [f64; 2],
    /// Number of images.
    pub images: usize,
}

/// The standard normal distribution has 95 % within so many standard deviations.
const DEVIATIONS: f64 = 1.959964;

impl Accuracy {
    /// Of so many images that were right, first and among the first five.
    pub fn of(first: usize, five: usize, images: usize) -> Self {
        let percent = |n: usize| 100.0 * n as f64 / images.max(1) as f64;
        let [top1_interval, top5_interval] = [first, five].map(|right| wilson_interval(right, images));
        Accuracy { top1: percent(first), top5: percent(five), top1_interval, top5_interval, images }
    }
}

/// `(p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n)` in percent (Wilson 1927); everything is possible without images.
fn wilson_interval(right: usize, images: usize) -> [f64; 2] {
    let n = images as f64;
    if images == 0 {
        return [0.0, 100.0];
    }
    let (p, z) = (right as f64 / n, DEVIATIONS);
    let (middle, half) = (p + z * z / (2.0 * n), z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt());
    [middle - half, middle + half].map(|limit| (100.0 * limit / (1.0 + z * z / n)).clamp(0.0, 100.0))
}

/// A share and half of its interval, as people read it.
pub(super) fn with_interval(share: f64, [low, high]: [f64; 2]) -> String {
    format!("{share:.2} ± {:.2} %", (high - low) / 2.0)
}

/// Counts right answers batch by batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    first: usize,
    five: usize,
    images: usize,
    ignored: Option<i64>,
    unlabelled: bool,
}

impl Tally {
    /// A tally that leaves out images whose label is `ignored`.
    pub fn new(ignored: Option<i64>) -> Self {
        Tally { ignored, ..Tally::default() }
    }

    /// Takes up `logits` of `[images, classes]` and their labels. Of equal scores the first class comes first, as with argmax.
    ///
    /// # Errors
    /// A label is not the number of a class.
    pub fn add(&mut self, logits: &[f32], labels: &[i64]) -> Result<(), RunError> {
        let classes = logits.len() / labels.len().max(1);
        for (scores, &label) in logits.chunks_exact(classes.max(1)).zip(labels).filter(|(_, label)| Some(**label) != self.ignored) {
            let right = usize::try_from(label).ok().filter(|&l| l < classes).ok_or(RunError::Label { label, classes })?;
            // A score of NaN is no answer: as with argmax, it comes before all others, and is never the right one.
            let better = |(i, &s): (usize, &f32)| {
                let expected = scores[right];
                s > expected || s.is_nan() || expected.is_nan() || (s == expected && i < right)
            };
            let rank = scores.iter().enumerate().filter(|&(i, s)| better((i, s))).count();
            self.first += usize::from(rank == 0);
            self.five += usize::from(rank < 5);
            self.images += 1;
        }
        Ok(())
    }

    /// The shares in percent.
    pub fn accuracy(&self) -> Accuracy {
        Accuracy::of(self.first, self.five, self.images)
    }
}

/// Of each of `images`, the first of its largest scores.
pub(crate) fn first_of(logits: &[f32], images: usize) -> Vec<usize> {
    let rows = logits.chunks_exact((logits.len() / images.max(1)).max(1));
    rows.map(|row| (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })).collect()
}

/// Judges the first output by the labels; `None` where an image has none.
impl Metric for Tally {
    fn start(&mut self) {
        *self = Tally::new(self.ignored);
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        match outputs.first() {
            Some(logits) if batch.labels.len() == batch.size => Tally::add(self, logits.values, &batch.labels),
            _ => {
                self.unlabelled = true;
                Ok(())
            }
        }
    }

    fn score(&self) -> Option<Score> {
        (!self.unlabelled).then(|| Score::Accuracy(self.accuracy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_wins() {
        let mut tally = Tally::default();
        Tally::add(&mut tally, &[1.0, 1.0, 0.0, 1.0, 1.0, 0.0], &[0, 1]).unwrap();
        assert_eq!(tally.accuracy(), Accuracy::of(1, 2, 2));
    }

    #[test]
    fn a_network_of_nan_is_never_right() {
        let (mut tally, nan) = (Tally::default(), f32::NAN);
        Tally::add(&mut tally, &[[nan; 6], [1.0, 0.0, 0.0, 0.0, 0.0, nan], [nan, 0.0, 0.0, 0.0, 0.0, 1.0]].concat(), &[0, 0, 0]).unwrap();
        assert_eq!(tally.accuracy(), Accuracy::of(0, 1, 3));
    }

    #[test]
    fn an_ignored_label_does_not_count() {
        let mut tally = Tally::new(Some(7));
        Tally::add(&mut tally, &[1.0, 0.0, 1.0, 0.0], &[7, 0]).unwrap();
        assert_eq!(tally.accuracy(), Accuracy::of(1, 1, 1));
    }

    #[test]
    fn the_interval_is_wilsons() {
        // As statsmodels' proportion_confint(356, 400, method="wilson") has it.
        let close = |found: [f64; 2], expected: [f64; 2]| found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 0.01);
        let accuracy = Accuracy::of(356, 400, 400);
        assert!(close(accuracy.top1_interval, [85.55, 91.70]), "{accuracy:?}");
        assert!(close(accuracy.top5_interval, [99.05, 100.0]), "{accuracy:?}");
        assert_eq!(with_interval(accuracy.top1, accuracy.top1_interval), "89.00 ± 3.07 %");
        assert_eq!(wilson_interval(0, 0), [0.0, 100.0]);
    }

    #[test]
    fn a_label_beyond_the_classes_is_an_error() {
        let add = |label| Tally::add(&mut Tally::default(), &[0.0, 1.0], &[label]);
        assert!(matches!(add(2), Err(RunError::Label { label: 2, classes: 2 })));
        assert!(matches!(add(-1), Err(RunError::Label { label: -1, .. })));
    }
}
