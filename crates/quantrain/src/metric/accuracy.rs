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
    /// Number of images.
    pub images: usize,
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
            let better = |(i, &s): (usize, &f32)| s > scores[right] || (s == scores[right] && i < right);
            let rank = scores.iter().enumerate().filter(|&(i, s)| better((i, s))).count();
            self.first += usize::from(rank == 0);
            self.five += usize::from(rank < 5);
            self.images += 1;
        }
        Ok(())
    }

    /// The shares in percent.
    pub fn accuracy(&self) -> Accuracy {
        let percent = |n: usize| 100.0 * n as f64 / self.images.max(1) as f64;
        Accuracy { top1: percent(self.first), top5: percent(self.five), images: self.images }
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
        assert_eq!(tally.accuracy(), Accuracy { top1: 50.0, top5: 100.0, images: 2 });
    }

    #[test]
    fn an_ignored_label_does_not_count() {
        let mut tally = Tally::new(Some(7));
        Tally::add(&mut tally, &[1.0, 0.0, 1.0, 0.0], &[7, 0]).unwrap();
        assert_eq!(tally.accuracy(), Accuracy { top1: 100.0, top5: 100.0, images: 1 });
    }

    #[test]
    fn a_label_beyond_the_classes_is_an_error() {
        let add = |label| Tally::add(&mut Tally::default(), &[0.0, 1.0], &[label]);
        assert!(matches!(add(2), Err(RunError::Label { label: 2, classes: 2 })));
        assert!(matches!(add(-1), Err(RunError::Label { label: -1, .. })));
    }
}
