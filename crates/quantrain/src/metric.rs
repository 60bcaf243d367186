//! Metrics: what a network's outputs are worth, over a data set.
//!
//! [`Tally`] judges classes, [`Confusion`] a class for each pixel, [`Fidelity`] outputs without labels, by their distance from another
//! network's. [`ByAnnotation`] takes the one that fits the images. A task with a measure of its own implements [`Metric`] and hands it to
//! [`crate::Job::set_metric`].

mod accuracy;
mod fall;
mod fidelity;
mod kept_outputs;
mod segmentation;
mod targets;

pub use accuracy::{Accuracy, Tally};
pub use fall::{Fall, TOLERANCE};
pub use fidelity::{Fidelity, OutputSqnr, PartSqnr, Sqnr};
pub use segmentation::{Confusion, Segmentation};
pub use targets::Targets;

pub(crate) use accuracy::first_of;
pub(crate) use kept_outputs::{Keeping, KeptOutputs};

use std::fmt;

use quantrain_data::Batch;
use serde::{Deserialize, Serialize};

use crate::RunError;

/// An output of a network for a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Extents in memory: `[N, H, W, C]` for an image, else as in ONNX.
    pub shape: &'a [usize],
    /// Real values, row-major.
    pub values: &'a [f32],
}

/// Judges a network by its outputs.
pub trait Metric {
    /// Forgets what was seen.
    fn start(&mut self);

    /// Takes up a batch and the network's outputs for it, in the order of the file.
    ///
    /// # Errors
    /// The annotations do not fit the outputs; [`RunError::Metric`] for what only this metric knows.
    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError>;

    /// What the network is worth; `None` where the images say nothing about it.
    fn score(&self) -> Option<Score>;
}

/// What a network is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Score {
    /// One class for each image.
    Accuracy(Accuracy),
    /// One class for each pixel.
    Segmentation(Segmentation),
    /// Outputs against another network's.
    Sqnr(Sqnr),
    /// A measure of the user's.
    Measured(Measured),
}

/// The result of a metric of the user's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The figures; the best checkpoint is that with the largest first one.
    pub figures: Vec<Figure>,
    /// Number of images.
    pub images: usize,
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: String,
    /// How much.
    pub value: f64,
}

/// Its figures, in a line.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<String> = self.figures().into_iter().map(|(what, how_much)| format!("{what} {how_much}")).collect();
        f.write_str(&figures.join(", "))
    }
}

impl Score {
    /// What the best checkpoint is chosen by; more is better.
    pub fn value(&self) -> f64 {
        match self {
            Score::Accuracy(a) => a.top1,
            Score::Segmentation(s) => s.mean_iou,
            Score::Sqnr(s) => s.of_all(),
            Score::Measured(m) => m.figures.first().map_or(f64::NEG_INFINITY, |f| f.value),
        }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        match self {
            Score::Accuracy(a) => a.images,
            Score::Segmentation(s) => s.images,
            Score::Sqnr(s) => s.images,
            Score::Measured(m) => m.images,
        }
    }

    /// Its figures as people read them: what, and how much.
    pub fn figures(&self) -> Vec<(String, String)> {
        let percent = |name: &str, share: f64| (name.to_owned(), format!("{share:.2} %"));
        match self {
            Score::Accuracy(a) => {
                let with_interval = |name: &str, share, interval| (name.to_owned(), accuracy::with_interval(share, interval));
                vec![with_interval("top-1", a.top1, a.top1_interval), with_interval("top-5", a.top5, a.top5_interval)]
            }
            Score::Segmentation(s) => vec![percent("mean IoU", s.mean_iou), percent("pixel accuracy", s.pixel_accuracy)],
            Score::Sqnr(s) => s.sqnr.iter().flat_map(OutputSqnr::figures).collect(),
            Score::Measured(m) => m.figures.iter().map(|f| (f.name.clone(), format!("{:.4}", f.value))).collect(),
        }
    }
}

/// Judges by what the first batch is annotated with: classes by [`Tally`], masks by [`Confusion`], labels of other kinds or of several outputs
/// by [`Targets`], everything else by [`Fidelity`] where
/// there is a network to compare with.
pub struct ByAnnotation {
    ignored: Option<i64>,
    fidelity: Option<Fidelity>,
    chosen: Chosen,
}

enum Chosen {
    Nothing,
    Classes(Tally),
    Pixels(Confusion),
    Targets(Targets),
    Outputs,
}

impl ByAnnotation {
    /// A metric that leaves out labels of `ignored`.
    pub fn new(ignored: Option<i64>, fidelity: Option<Fidelity>) -> Self {
        ByAnnotation { ignored, fidelity, chosen: Chosen::Nothing }
    }
}

impl Metric for ByAnnotation {
    fn start(&mut self) {
        self.chosen = Chosen::Nothing;
        self.fidelity.iter_mut().for_each(Fidelity::start);
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        if let Chosen::Nothing = self.chosen {
            self.chosen = match (&batch.masks, batch.labels.is_empty()) {
                _ if !batch.targets.is_empty() => Chosen::Targets(Targets::new(self.ignored)),
                (Some(_), _) => Chosen::Pixels(Confusion::new(self.ignored)),
                (None, false) => Chosen::Classes(Tally::new(self.ignored)),
                (None, true) => Chosen::Outputs,
            };
        }
        match (&mut self.chosen, &mut self.fidelity) {
            (Chosen::Classes(tally), _) => Metric::add(tally, batch, outputs),
            (Chosen::Pixels(confusion), _) => confusion.add(batch, outputs),
            (Chosen::Targets(targets), _) => targets.add(batch, outputs),
            (Chosen::Outputs, Some(fidelity)) => fidelity.add(batch, outputs),
            (Chosen::Outputs | Chosen::Nothing, _) => Ok(()),
        }
    }

    fn score(&self) -> Option<Score> {
        match &self.chosen {
            Chosen::Nothing => None,
            Chosen::Classes(tally) => tally.score(),
            Chosen::Pixels(confusion) => confusion.score(),
            Chosen::Targets(targets) => targets.score(),
            Chosen::Outputs => self.fidelity.as_ref()?.score(),
        }
    }
}

/// A metric, and the distance from the float network's outputs beside it where it is wanted, in one pass.
pub(crate) struct WithFidelity<'m> {
    pub metric: &'m mut dyn Metric,
    pub fidelity: Option<&'m mut Fidelity>,
}

impl Metric for WithFidelity<'_> {
    fn start(&mut self) {
        self.metric.start();
        self.fidelity.iter_mut().for_each(|f| f.start());
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        self.metric.add(batch, outputs)?;
        self.fidelity.as_mut().map_or(Ok(()), |f| f.add(batch, outputs))
    }

    fn score(&self) -> Option<Score> {
        self.metric.score()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_read_back_as_itself() {
        let scores = [
            Score::Accuracy(Accuracy::of(1, 2, 2)),
            Score::Segmentation(Segmentation { mean_iou: 1.0, pixel_accuracy: 2.0, class_iou: vec![None, Some(1.0)], images: 3 }),
            Score::Sqnr(Sqnr { sqnr: vec![OutputSqnr { output: "y".into(), decibels: Some(30.0), parts: Vec::new() }], images: 4 }),
            Score::Measured(Measured { figures: vec![Figure { name: "kept".into(), value: 0.5 }], images: 5 }),
        ];
        for score in scores {
            let text = serde_json::to_string(&score).unwrap();
            assert_eq!(serde_json::from_str::<Score>(&text).unwrap(), score, "{text}");
        }
    }

    #[test]
    fn the_annotation_decides() {
        let mut metric = ByAnnotation::new(Some(9), None);
        let output = Output { name: "y", shape: &[1, 1, 2, 2], values: &[0.0, 1.0, 1.0, 0.0] };
        let mut batch = Batch { size: 1, masks: Some(vec![1, 9]), ..Batch::default() };
        metric.add(&batch, &[output]).unwrap();
        assert!(matches!(metric.score(), Some(Score::Segmentation(s)) if s.pixel_accuracy == 100.0));
        metric.start();
        (batch.masks, batch.labels) = (None, vec![1]);
        metric.add(&batch, &[Output { shape: &[1, 2], values: &[0.0, 1.0], ..output }]).unwrap();
        assert!(matches!(metric.score(), Some(Score::Accuracy(a)) if a.top1 == 100.0));
        metric.start();
        batch.labels.clear();
        metric.add(&batch, &[output]).unwrap();
        assert_eq!(metric.score(), None);
    }
}
