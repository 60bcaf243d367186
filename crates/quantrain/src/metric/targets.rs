//! Outputs against labels that are more than one class of the first output: numbers, truths, and classes of further outputs.

use quantrain_data::{Batch, TargetValues};

use super::{Figure, Measured, Metric, Output, Score, first_of};
use crate::{LossError, RunError};

/// Judges every output that has labels: numbers by R², MAE and RMSE; truths by F1 and average precision; classes by accuracy. Of several
/// outputs the first figure is the mean of their first ones.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    heads: Vec<(usize, String, Head)>,
    ignored: Option<i64>,
    samples: usize,
}

/// What was seen of one output.
#[derive(Clone, Debug)]
enum Head {
    Values(Errors),
    Truths(Ranking),
    Classes { right: usize, of: usize },
}

/// Of each element of a sample, sums over the samples.
#[derive(Clone, Debug, Default)]
struct Errors {
    samples: f64,
    absolute: Vec<f64>,
    squares: Vec<f64>,
    targets: Vec<f64>,
    target_squares: Vec<f64>,
}

/// Of each element of a sample, all scores and truths.
#[derive(Clone, Debug, Default)]
struct Ranking(Vec<Vec<(f32, bool)>>);

impl Targets {
    /// A metric that leaves out the class `ignored`.
    pub fn new(ignored: Option<i64>) -> Self {
        Targets { ignored, ..Targets::default() }
    }

    fn head(&mut self, output: usize, name: &str, empty: Head) -> &mut Head {
        let at = match self.heads.iter().position(|(known, ..)| *known == output) {
            Some(at) => at,
            None => {
                self.heads.push((output, name.to_owned(), empty));
                self.heads.len() - 1
            }
        };
        &mut self.heads[at].2
    }

    fn classes(&mut self, at: usize, output: &Output, labels: &[i64]) -> Result<(), RunError> {
        let classes = output.values.len() / labels.len().max(1);
        let counted: Vec<(i64, usize)> = labels.iter().copied().zip(first_of(output.values, labels.len())).collect();
        let counted = counted.into_iter().filter(|(label, _)| Some(*label) != self.ignored);
        let mut counts = (0, 0);
        for (label, found) in counted {
            let class = usize::try_from(label).ok().filter(|&c| c < classes).ok_or(RunError::Label { label, classes })?;
            counts = (counts.0 + usize::from(class == found), counts.1 + 1);
        }
        if let Head::Classes { right, of } = self.head(at, output.name, Head::Classes { right: 0, of: 0 }) {
            (*right, *of) = (*right + counts.0, *of + counts.1);
        }
        Ok(())
    }
}

impl Metric for Targets {
    fn start(&mut self) {
        *self = Targets::new(self.ignored);
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        self.samples += batch.size;
        if let (Some(output), false) = (outputs.first(), batch.labels.is_empty()) {
            self.classes(0, output, &batch.labels)?;
        }
        for target in &batch.targets {
            let Some(output) = outputs.get(target.output) else { continue };
            let same = |labels: &[f32]| match labels.len() == output.values.len() {
                true => Ok(()),
                false => Err(LossError::Length { what: "labels", found: labels.len(), expected: output.values.len() }),
            };
            match &target.values {
                TargetValues::Classes(labels) => self.classes(target.output, output, labels)?,
                TargetValues::Values(labels) => {
                    same(labels)?;
                    if let Head::Values(errors) = self.head(target.output, output.name, Head::Values(Errors::default())) {
                        errors.add(output.values, labels, batch.size);
                    }
                }
                TargetValues::Truths(labels) => {
                    same(labels)?;
                    if let Head::Truths(ranking) = self.head(target.output, output.name, Head::Truths(Ranking::default())) {
                        ranking.add(output.values, labels, batch.size);
                    }
                }
            }
        }
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let several = self.heads.len() > 1;
        let mut heads: Vec<_> = self.heads.iter().collect();
        heads.sort_by_key(|(output, ..)| *output);
        let figures: Vec<Vec<(&str, f64)>> = heads.iter().map(|(.., head)| head.figures()).collect();
        let firsts: Vec<f64> = figures.iter().filter_map(|figures| figures.first()).map(|(_, value)| *value).collect();
        let mean = several.then(|| Figure { name: "mean".into(), value: firsts.iter().sum::<f64>() / firsts.len() as f64 });
        let named = heads.iter().zip(&figures).flat_map(|((_, name, _), figures)| {
            figures.iter().map(move |(what, value)| {
                let name = if several { format!("{what} of {name}") } else { (*what).to_owned() };
                Figure { name, value: *value }
            })
        });
        let figures: Vec<Figure> = mean.into_iter().chain(named).collect();
        (!figures.is_empty()).then_some(Score::Measured(Measured { figures, images: self.samples }))
    }
}

impl Head {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        match self {
            Head::Values(errors) => vec![("R²", errors.r2()), ("MAE", errors.mean_absolute()), ("RMSE", errors.mean_square().sqrt())],
            Head::Truths(ranking) => vec![("average precision", ranking.average_precision()), ("F1", ranking.f1())],
            Head::Classes { right, of } => vec![("top-1", *right as f64 / (*of).max(1) as f64)],
        }
    }
}

impl Errors {
    fn add(&mut self, output: &[f32], target: &[f32], samples: usize) {
        let width = output.len() / samples.max(1);
        for sums in [&mut self.absolute, &mut self.squares, &mut self.targets, &mut self.target_squares] {
            sums.resize(width, 0.0);
        }
        self.samples += samples as f64;
        for (i, (&y, &t)) in output.iter().zip(target).enumerate() {
            let (at, error, t) = (i % width, f64::from(y) - f64::from(t), f64::from(t));
            self.absolute[at] += error.abs();
            self.squares[at] += error * error;
            self.targets[at] += t;
            self.target_squares[at] += t * t;
        }
    }

    fn mean_absolute(&self) -> f64 {
        self.absolute.iter().sum::<f64>() / (self.samples * self.absolute.len() as f64)
    }

    fn mean_square(&self) -> f64 {
        self.squares.iter().sum::<f64>() / (self.samples * self.squares.len() as f64)
    }

    /// `1 − Σ(y − t)²/Σ(t − t̄)²` of each element, and the mean of these; 1 or 0 where the targets are all the same.
    fn r2(&self) -> f64 {
        let of = |i: usize| {
            let spread = self.target_squares[i] - self.targets[i] * self.targets[i] / self.samples;
            match self.squares[i] {
                squares if spread > 0.0 => 1.0 - squares / spread,
                0.0 => 1.0,
                _ => 0.0,
            }
        };
        (0..self.squares.len()).map(of).sum::<f64>() / self.squares.len() as f64
    }
}

impl Ranking {
    fn add(&mut self, logits: &[f32], truths: &[f32], samples: usize) {
        let width = logits.len() / samples.max(1);
        self.0.resize(width, Vec::new());
        for (i, (&x, &t)) in logits.iter().zip(truths).enumerate() {
            self.0[i % width].push((x, t > 0.5));
        }
    }

    /// `2·TP/(2·TP + FP + FN)` over all elements, true where a logit is above 0; 1 where nothing is true or found.
    fn f1(&self) -> f64 {
        let (mut both, mut either) = (0usize, 0usize);
        for &(x, truth) in self.0.iter().flatten() {
            both += usize::from(truth && x > 0.0);
            either += usize::from(truth) + usize::from(x > 0.0);
        }
        if either == 0 { 1.0 } else { 2.0 * both as f64 / either as f64 }
    }

    /// `Σ (R_k − R_{k−1})·P_k` over falling thresholds, of each element that is true somewhere, and the mean of these.
    fn average_precision(&self) -> f64 {
        let of = |scores: &Vec<(f32, bool)>| {
            let positives = scores.iter().filter(|(_, truth)| *truth).count();
            if positives == 0 {
                return None;
            }
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
            let (mut seen, mut found, mut sum) = (0, 0, 0.0);
            // Equal scores are behind one threshold.
            for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
                let more = tied.iter().filter(|(_, truth)| *truth).count();
                (seen, found) = (seen + tied.len(), found + more);
                sum += more as f64 / positives as f64 * found as f64 / seen as f64;
            }
            Some(sum)
        };
        let each: Vec<f64> = self.0.iter().filter_map(of).collect();
        each.iter().sum::<f64>() / each.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use quantrain_data::Target;

    use super::*;

    fn batch(size: usize, targets: Vec<(usize, TargetValues)>) -> Batch {
        let targets = targets.into_iter().map(|(output, values)| Target { output, values }).collect();
        Batch { size, targets, ..Batch::default() }
    }

    fn figures(metric: &Targets) -> Vec<(String, f64)> {
        match metric.score() {
            Some(Score::Measured(m)) => m.figures.into_iter().map(|f| (f.name, (f.value * 1e6).round() / 1e6)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_of_values_are_those_of_the_definitions() {
        // Errors 1, 0, −2, 1 of targets 0, 1, 2, 5, whose mean is 2: Σe² = 6, Σ(t − 2)² = 14.
        let mut metric = Targets::default();
        for (y, t) in [([1.0, 1.0], [0.0, 1.0]), ([0.0, 6.0], [2.0, 5.0])] {
            let output = Output { name: "y", shape: &[2, 1], values: &y };
            metric.add(&batch(2, vec![(0, TargetValues::Values(t.to_vec()))]), &[output]).unwrap();
        }
        let expected = [("R²", 1.0 - 6.0 / 14.0), ("MAE", 1.0), ("RMSE", 1.5f64.sqrt())];
        let rounded = |v: f64| (v * 1e6).round() / 1e6;
        assert_eq!(figures(&metric), expected.map(|(name, value)| (name.to_owned(), rounded(value))));
    }

    #[test]
    fn truths_are_ranked_and_counted() {
        // Label 0 by falling logit: true, false, true: precision 1 and 2/3 at recalls 1/2 and 1. Label 1: false, true: 1/2.
        let mut metric = Targets::default();
        let output = Output { name: "y", shape: &[3, 2], values: &[3.0, 2.0, 1.0, -1.0, -2.0, -3.0] };
        let truths = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        metric.add(&batch(3, vec![(0, TargetValues::Truths(truths))]), &[output]).unwrap();
        // Above 0 are 3, 2 and 1, of which one is true; two that are true are missed: F1 = 2/(2 + 2 + 2).
        let precision: f64 = ((0.5 + 0.5 * 2.0 / 3.0) + 0.5) / 2.0;
        assert_eq!(figures(&metric), [("average precision".into(), (precision * 1e6).round() / 1e6), ("F1".into(), 0.333_333)]);
    }

    #[test]
    fn equal_scores_are_behind_one_threshold() {
        let ranking = Ranking(vec![vec![(0.0, true), (0.0, false), (0.0, false), (0.0, true)]]);
        assert_eq!((ranking.average_precision(), ranking.f1()), (0.5, 0.0));
    }

    #[test]
    fn several_outputs_have_a_mean_before_them() {
        let mut metric = Targets::default();
        let outputs = [
            Output { name: "class", shape: &[2, 2], values: &[1.0, 0.0, 1.0, 0.0] },
            Output { name: "angle", shape: &[2, 1], values: &[1.0, 3.0] },
        ];
        let mut batch = batch(2, vec![(1, TargetValues::Values(vec![1.0, 3.0]))]);
        batch.labels = vec![0, 1];
        metric.add(&batch, &outputs).unwrap();
        let expected = [("mean", 0.75), ("top-1 of class", 0.5), ("R² of angle", 1.0), ("MAE of angle", 0.0), ("RMSE of angle", 0.0)];
        assert_eq!(figures(&metric), expected.map(|(name, value)| (name.to_owned(), value)));
        batch.targets[0].values = TargetValues::Values(vec![1.0]);
        assert!(metric.add(&batch, &outputs).is_err());
    }
}
