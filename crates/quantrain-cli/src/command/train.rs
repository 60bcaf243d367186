//! `quantrain train`: calibration, then quantization-aware training; or training of the float network.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::recipe::Recipe;
use quantrain::{Accuracy, Job, RunDirectory, TrainState, checkpoint};
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::error::CliError;
use crate::flags::RecipeFlags;
use crate::keeper::RunKeeper;
use crate::progress::Console;
use crate::report::{self, accuracies, percent, seconds};

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
    #[serde(flatten)]
    before: Before,
    /// After quantization-aware training, as simulated.
    qat: Option<Accuracy>,
    /// After training without quantization.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_float: Option<Accuracy>,
    epochs: u32,
    /// Steps done by this process.
    steps: u64,
    /// Time in steps, without reading images ahead and evaluation.
    stepping_seconds: f64,
    /// Time that steps waited for images.
    waiting_seconds: f64,
    files: Vec<PathBuf>,
    seconds: f64,
}

/// What is known before the first step.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Before {
    calibration_images: Option<usize>,
    float: Option<Accuracy>,
    ptq: Option<Accuracy>,
}

impl Train {
    /// Measures, calibrates, trains and exports.
    pub fn run(self, console: &mut Console) -> Result<TrainReport, CliError> {
        let started = Instant::now();
        let recipe = self.flags.load()?;
        let found = if self.resume { RunDirectory::find(recipe.out())? } else { None };
        if !self.resume {
            super::check_out(&recipe, self.flags.overwrite)?;
        }
        super::start(&recipe)?;
        let mut job = Job::open(recipe.clone())?;
        let mut report = TrainReport::new(&recipe, &mut job);
        let identity = job.identity();
        let state = match found.filter(|run| run.last_checkpoint().exists()) {
            None => None,
            Some(run) => {
                let (position, tensors) = checkpoint::read(&run.last_checkpoint(), &identity)?;
                Some((run, TrainState { position, tensors }))
            }
        };
        let stored = state.as_ref().and_then(|(run, _)| Before::stored(run));
        job.check_data(true)?;
        report.before = match stored {
            Some(before) => before,
            None => Before::measure(&recipe, &mut job, console)?,
        };
        let (run, state) = match state {
            Some((run, state)) => {
                console.note(&format!("going on from step {}", state.position.step));
                (run, Some(state))
            }
            None if self.resume => {
                console.warn(&format!("{}: no checkpoint found, starting anew", recipe.out().display()));
                (RunDirectory::create(recipe.out())?, None)
            }
            None => (RunDirectory::create(recipe.out())?, None),
        };
        let mut kept = state.as_ref().map(|s| s.position.step);
        let trained = report.train(&run, &recipe, job, identity, state, &mut kept, started, console);
        match (trained, kept) {
            (Ok(()), _) => Ok(report),
            (Err(CliError::Run(source)), Some(step)) => Err(CliError::Training { source, step, run: run.path().into() }),
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
        let mut before = Before { float: job.float_accuracy(console)?, ..Before::default() };
        before.note(console, "float", before.float);
        if recipe.quantization().enabled {
            before.calibration_images = Some(job.calibrate(console)?);
            before.ptq = job.simulated_accuracy(console)?;
            before.note(console, "calibrated", before.ptq);
        }
        Ok(before)
    }

    fn note(&self, console: &Console, what: &str, accuracy: Option<Accuracy>) {
        if let Some(accuracy) = accuracy {
            console.note(&format!("{what}: top-1 {}", percent(accuracy.top1)));
        }
    }
}

impl TrainReport {
    fn new(recipe: &Recipe, job: &mut Job) -> Self {
        TrainReport {
            run: recipe.out().into(),
            model: recipe.model().into(),
            quantized: recipe.quantization().enabled.then(|| Coverage::of(job.net())),
            before: Before::default(),
            qat: None,
            trained_float: None,
            epochs: recipe.train().epochs,
            steps: 0,
            stepping_seconds: 0.0,
            waiting_seconds: 0.0,
            files: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Trains and writes; `kept` becomes the step of the newest checkpoint.
    fn train(
        &mut self,
        run: &RunDirectory,
        recipe: &Recipe,
        mut job: Job,
        identity: checkpoint::Identity,
        state: Option<TrainState>,
        kept: &mut Option<u64>,
        started: Instant,
        console: &mut Console,
    ) -> Result<(), CliError> {
        if state.is_none() {
            run.write_recipe(&recipe.to_toml())?;
        }
        self.write_summary(run, started)?;
        let mut keeper = RunKeeper::new(run, identity, state.as_ref())?;
        let trained = job.train(state, &mut keeper, console);
        *kept = keeper.kept();
        let trained = trained?;
        if trained.stopped {
            let advice = format!("`quantrain train {} --resume` goes on from step {}", run.recipe().display(), kept.unwrap_or(0));
            return Err(CliError::Stopped { advice });
        }
        self.steps = trained.steps;
        self.stepping_seconds = seconds(trained.stepping);
        self.waiting_seconds = seconds(trained.waited);
        let quantized = recipe.quantization().enabled;
        let accuracy = match trained.last {
            Some(accuracy) => Some(accuracy),
            None if quantized => job.simulated_accuracy(console)?,
            None => job.float_accuracy(console)?,
        };
        *(if quantized { &mut self.qat } else { &mut self.trained_float }) = accuracy;
        self.files = job.export(&run.export(""))?;
        self.write_summary(run, started)
    }

    fn write_summary(&mut self, run: &RunDirectory, started: Instant) -> Result<(), CliError> {
        self.seconds = seconds(started.elapsed());
        Ok(run.write_summary(&self.to_string(), self)?)
    }
}

impl fmt::Display for TrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.model.display())?;
        if let Some(quantized) = &self.quantized {
            write!(f, "{quantized}")?;
        }
        if let Some(images) = self.before.calibration_images {
            writeln!(f, "  ranges from {images} images")?;
        }
        writeln!(f)?;
        let rows = [("float", self.before.float), ("calibrated", self.before.ptq), ("trained", self.qat.or(self.trained_float))];
        if rows.iter().any(|(_, accuracy)| accuracy.is_some()) {
            writeln!(f, "{}", accuracies(&rows))?;
        }
        report::files(f, &self.run, &self.files)?;
        writeln!(f, "{:.1} s, {} steps", self.seconds, self.steps)
    }
}
