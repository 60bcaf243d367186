//! A metric of the user's judges evaluations and trainings.

use std::fs;
use std::path::Path;

use quantrain::metric::{Figure, Measured, Metric, Output, Score};
use quantrain::recipe::{Recipe, RecipeFile};
use quantrain::{Job, Keeper, LogLine, LossError, RunError, TrainState};
use quantrain_data::Batch;
use quantrain_graph::GraphBuilder;

/// The mean of the first output, with its sign turned: less is better.
#[derive(Default)]
struct LessIsBetter {
    sum: f64,
    values: usize,
    images: usize,
}

impl Metric for LessIsBetter {
    fn start(&mut self) {
        *self = LessIsBetter::default();
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        let [output] = outputs else { return Err(RunError::Metric { message: format!("{} outputs found", outputs.len()) }) };
        assert_eq!((output.name, output.shape), ("y", &[batch.size, 2, 2, 1][..]));
        self.sum += output.values.iter().map(|v| f64::from(*v)).sum::<f64>();
        self.values += output.values.len();
        self.images += batch.size;
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let figures = vec![Figure { name: "minus the mean".into(), value: -self.sum / self.values as f64 }];
        Some(Score::Measured(Measured { figures, images: self.images }))
    }
}

fn recipe(folder: &Path) -> Recipe {
    Recipe::try_from(toml::from_str::<RecipeFile>(&text(folder)).unwrap()).unwrap()
}

/// A recipe for a network and three images, which it writes.
fn text(folder: &Path) -> String {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[1, 2, 2]);
    let y = b.convolution("y", x, 1, [1, 1]).weights(vec![2.0]).bias(vec![1.0]).done().unwrap();
    b.output(y);
    quantrain_onnx::write_float(&b.finish().unwrap(), folder.join("net.onnx")).unwrap();
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2];
    images.extend([0, 51, 102, 255, 0, 0, 0, 0, 255, 255, 255, 255]);
    fs::write(folder.join("images-idx3-ubyte"), images).unwrap();
    let (model, data) = (folder.join("net.onnx"), folder.join("images-idx3-ubyte"));
    let (model, data) = (model.display(), data.display());
    format!(
        "model = '{model}'\n[quantization]\nenabled = false\n[data]\ntrain = '{data}'\neval = '{data}'\n[train]\nbatch-size = 3\nepochs = 2\nweight-decay = 0.0\n\
         loss = 'mean-squared-error'\n"
    )
}

/// Which epochs were the best so far.
#[derive(Default)]
struct Kept(Vec<bool>, Vec<Option<Score>>);

impl Keeper for Kept {
    fn log(&mut self, line: &LogLine) -> Result<(), RunError> {
        if let LogLine::Epoch { score, .. } = line {
            self.1.push(score.clone());
        }
        Ok(())
    }

    fn keep(&mut self, _: &TrainState, best: bool) -> Result<(), RunError> {
        self.0.push(best);
        Ok(())
    }
}

#[test]
fn a_metric_of_the_users_judges_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job::open(recipe(folder.path())).unwrap();
    assert_eq!(job.float_score(&mut ()).unwrap(), None, "nothing is known of these images");
    job.set_metric(Box::new(LessIsBetter::default()));
    let score = job.float_score(&mut ()).unwrap().unwrap();
    // Pixels sum to 5.6 in 12.
    assert!((score.value() + 2.0 * 5.6 / 12.0 + 1.0).abs() < 1e-6, "{score:?}");
    assert_eq!(score.images(), 3);
    assert_eq!(score.figures()[0].0, "minus the mean");

    let mut kept = Kept::default();
    let report = job.train(None, &mut kept, &mut ()).unwrap();
    assert_eq!(kept.1.last().unwrap(), &report.course.epochs.last().unwrap().score);
    // A network taught by itself does not change: no epoch is better than what was there before.
    assert_eq!((&kept.0[..], report.exported), (&[true, false, false][..], 0));
    assert_eq!(report.score(), Some(&score));
}

/// Better with every evaluation, until values are no longer finite.
struct Breaks {
    evaluations: u32,
    good: u32,
}

impl Metric for Breaks {
    fn start(&mut self) {
        self.evaluations += 1;
    }

    fn add(&mut self, _: &Batch, _: &[Output<'_>]) -> Result<(), RunError> {
        let is_finite = self.evaluations <= self.good;
        if is_finite { Ok(()) } else { Err(RunError::Loss(LossError::NotFinite { loss: f32::NAN })) }
    }

    fn score(&self) -> Option<Score> {
        let figures = vec![Figure { name: "evaluations".into(), value: f64::from(self.evaluations) }];
        Some(Score::Measured(Measured { figures, images: 3 }))
    }
}

#[test]
fn where_an_evaluation_is_not_finite_the_best_epoch_before_it_is_what_is_left() {
    for last in ["best", "last"] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{}[export]\ncheckpoint = '{last}'\n", text(folder.path()));
        let recipe = Recipe::try_from(toml::from_str::<RecipeFile>(&text).unwrap()).unwrap();
        let mut job = Job::open(recipe).unwrap();
        job.set_metric(Box::new(Breaks { evaluations: 0, good: 2 }));
        let mut kept = Kept::default();
        let report = job.train(None, &mut kept, &mut ()).unwrap();
        let divergence = report.diverged.as_ref().unwrap();
        assert_eq!((divergence.step, report.exported, report.course.epochs.len()), (2, 1, 1), "{last}");
        assert_eq!(report.score().map(Score::value), Some(2.0), "{last}");
        assert_eq!(kept.0, [true, true], "what is not finite is not kept");
    }
}
