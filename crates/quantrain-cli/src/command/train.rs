//! `quantrain train`: calibration, then quantization-aware training; or training of the float network.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::checkpoint::Identity;
use quantrain::metric::Score;
use quantrain::recipe::Recipe;
use quantrain::refine::StepReport;
use quantrain::{ExportCheck, Job, RunDirectory};
use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, TakenOver, names_before, ranges_from};
use crate::error::CliError;
use crate::flags::RecipeFlags;
use crate::keeper::{Checkpoint, RunKeeper};
use crate::progress::Console;
use crate::report::{self, scores, seconds, sentence};

/// Calibrate a network, train it quantization-aware (QAT) and export it
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    flags: RecipeFlags,
    /// Go on from the last checkpoint of the run directory; the result has the same bits as without the break
    #[arg(long, help_heading = "Run", conflicts_with = "overwrite")]
    resume: bool,
}

/// A trained network.
#[derive(Debug, Serialize)]
pub struct TrainReport {
    run: PathBuf,
    model: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantized: Option<Coverage>,
    /// The quantizers of a file that is quantized already, from which training goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_over: Option<TakenOver>,
    /// Layers that got a BatchNormalization for training.
    #[serde(skip_serializing_if = "is_zero")]
    restored_batch_norm: usize,
    #[serde(flatten)]
    before: Before,
    /// After quantization-aware training, as simulated.
    qat: Option<Score>,
    /// After training without quantization.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_float: Option<Score>,
    epochs: u32,
    /// Steps done by this process.
    steps: u64,
    /// Time in steps, without reading images ahead and evaluation.
    stepping_seconds: f64,
    /// Time that steps waited for images.
    waiting_seconds: f64,
    files: Vec<PathBuf>,
    /// What ONNX Runtime says of them; `null` before they are written.
    onnxruntime: Option<ExportCheck>,
    seconds: f64,
}

/// What is known before the first step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Before {
    calibration_images: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refinement: Vec<StepReport>,
    float: Option<Score>,
    ptq: Option<Score>,
}

impl Train {
    /// Measures, calibrates, trains and exports.
    pub fn run(self, console: &mut Console) -> Result<TrainReport, CliError> {
        let started = Instant::now();
        let recipe = self.flags.load()?;
        let interrupted = match self.resume {
            true => RunDirectory::find(recipe.out())?,
            false => super::check_out(&recipe, self.flags.overwrite).map(|()| None)?,
        };
        super::start(&recipe)?;
        let mut job = Job::for_training(recipe.clone())?;
        let identity = job.identity();
        let checkpoint = interrupted.as_ref().map_or(Ok(None), |run| Checkpoint::last(run, &identity))?;
        job.check_data(true)?;
        let mut report = TrainReport::new(&recipe, &mut job);
        report.before = match interrupted.filter(|_| checkpoint.is_some()).and_then(|run| Before::stored(&run)) {
            Some(before) => before,
            None => Before::measure(&recipe, &mut job, console)?,
        };
        report.cover(&mut job);
        let run = match &checkpoint {
            Some(_) => RunDirectory::resume(recipe.out())?,
            None => RunDirectory::create(recipe.out())?,
        };
        if let Some(damaged) = checkpoint.as_ref().and_then(|from| from.in_place_of.as_ref()) {
            console.warn(&format!("{damaged}: going on from the checkpoint before it"));
        }
        match &checkpoint {
            Some(from) => console.note(&format!("going on from step {}", from.state.position.step)),
            None if self.resume => console.warn(&format!("{}: no checkpoint found, starting anew", run.path().display())),
            None => {}
        }
        let kept = checkpoint.as_ref().map(|from| from.state.position.step);
        let mut work = Work { run: &run, recipe: &recipe, job, identity, started, kept };
        match (work.train(&mut report, checkpoint, console), work.kept) {
            (Ok(()), _) => Ok(report),
            (Err(CliError::Run(source)), Some(step)) => Err(CliError::Training { source: Box::new(source), step, run: run.path().into() }),
            (Err(error), Some(_)) => Err(error),
            (Err(error), None) => {
                // Without a checkpoint there is nothing to go on from; the first error counts.
                let _ = run.remove();
                Err(error)
            }
        }
    }
}

impl Before {
    /// What an interrupted run has measured.
    fn stored(run: &RunDirectory) -> Option<Self> {
        serde_json::from_slice(&fs::read(run.summary()).ok()?).ok()
    }

    fn measure(recipe: &Recipe, job: &mut Job, console: &mut Console) -> Result<Self, CliError> {
        let mut before = Before { float: job.float_score(console)?, ..Before::default() };
        let taken_over = TakenOver::of(job.file_quantizers());
        note(console, names_before(taken_over.as_ref(), false).0, &before.float);
        if recipe.quantization().enabled {
            before.calibration_images = Some(job.calibrate(console)?);
            before.refinement = job.refine(console)?;
            before.ptq = job.simulated_score(console)?;
            note(console, names_before(taken_over.as_ref(), !before.refinement.is_empty()).1, &before.ptq);
        }
        Ok(before)
    }
}

fn note(console: &Console, what: &str, score: &Option<Score>) {
    if let Some(score) = score {
        console.note(&format!("{what}: {}", sentence(score)));
    }
}

/// What happens once the run directory is there.
struct Work<'w> {
    run: &'w RunDirectory,
    recipe: &'w Recipe,
    job: Job,
    identity: Identity,
    started: Instant,
    /// Steps done in the newest checkpoint.
    kept: Option<u64>,
}

impl Work<'_> {
    fn train(&mut self, report: &mut TrainReport, from: Option<Checkpoint>, console: &mut Console) -> Result<(), CliError> {
        if from.is_none() {
            self.run.write_recipe(&self.recipe.to_toml())?;
        }
        report.write_summary(self.run, self.started)?;
        let mut keeper = RunKeeper::new(self.run, self.identity, from.as_ref())?;
        let trained = self.job.train(from.map(|f| f.state), &mut keeper, console);
        self.kept = keeper.kept();
        let trained = trained?;
        if trained.stopped {
            let (recipe, step) = (self.run.recipe(), self.kept.unwrap_or(0));
            return Err(CliError::Stopped { advice: format!("`quantrain train {} --resume` goes on from step {step}", recipe.display()) });
        }
        report.steps = trained.steps;
        report.stepping_seconds = seconds(trained.stepping);
        report.waiting_seconds = seconds(trained.waited);
        let quantized = self.recipe.quantization().enabled;
        let score = match trained.last {
            Some(score) => Some(score),
            None if quantized => self.job.simulated_score(console)?,
            None => self.job.float_score(console)?,
        };
        *(if quantized { &mut report.qat } else { &mut report.trained_float }) = score;
        report.cover(&mut self.job);
        report.files = self.job.export(&self.run.exports())?;
        self.run.note_exports(&report.files)?;
        report.onnxruntime = Some(self.job.check_export(&report.files)?);
        report.write_summary(self.run, self.started)
    }
}

fn is_zero(layers: &usize) -> bool {
    *layers == 0
}

impl TrainReport {
    fn new(recipe: &Recipe, job: &mut Job) -> Self {
        TrainReport {
            run: recipe.out().into(),
            model: recipe.model().into(),
            quantized: recipe.quantization().enabled.then(|| Coverage::of(job.net())),
            taken_over: TakenOver::of(job.file_quantizers()),
            restored_batch_norm: job.restored_layers(),
            before: Before::default(),
            qat: None,
            trained_float: None,
            epochs: recipe.train().epochs,
            steps: 0,
            stepping_seconds: 0.0,
            waiting_seconds: 0.0,
            files: Vec::new(),
            onnxruntime: None,
            seconds: 0.0,
        }
    }

    /// Takes down what is quantized: ranges may have changed the rules.
    fn cover(&mut self, job: &mut Job) {
        self.quantized = self.quantized.take().map(|_| Coverage::of(job.net()));
    }

    fn write_summary(&mut self, run: &RunDirectory, started: Instant) -> Result<(), CliError> {
        self.seconds = seconds(started.elapsed());
        Ok(run.write_summary(&self.to_string(), self)?)
    }
}

impl fmt::Display for TrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.model.display())?;
        if let Some(taken_over) = &self.taken_over {
            writeln!(f, "{taken_over}")?;
        }
        if let Some(quantized) = &self.quantized {
            write!(f, "{quantized}")?;
        }
        if self.restored_batch_norm > 0 {
            writeln!(f, "  {} layers without BatchNormalization got one for training", self.restored_batch_norm)?;
        }
        if let Some(images) = self.before.calibration_images {
            writeln!(f, "  {}", ranges_from(images))?;
        }
        writeln!(f)?;
        report::refinement(f, &self.before.refinement)?;
        let trained = if self.qat.is_some() { &self.qat } else { &self.trained_float };
        let (before, after) = names_before(self.taken_over.as_ref(), !self.before.refinement.is_empty());
        let rows = [(before, &self.before.float), (after, &self.before.ptq), ("trained", trained)];
        if rows.iter().any(|(_, score)| score.is_some()) {
            writeln!(f, "{}", scores(&rows))?;
        }
        report::files(f, &self.run, &self.files)?;
        self.onnxruntime.iter().try_for_each(|check| report::export_check(f, check))?;
        let step = 1e3 * self.stepping_seconds / self.steps.max(1) as f64;
        writeln!(f, "{:.1} s, {} steps of {step:.0} ms", self.seconds, self.steps)
    }
}
