//! `quantrain train`: calibration, then quantization-aware training; or training of the float network.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::checkpoint::Identity;
use quantrain::metric::Score;
use quantrain::recipe::{Overrides, Recipe};
use quantrain::{CheckpointError, Divergence, EpochScore, ExportCheck, InputStatistics, Job, Prepared, RunDirectory};
use serde::Serialize;

use crate::coverage::{Coverage, TakenOver, ranges_from};
use crate::embedded::{EpochListener, Parts};
use crate::error::CliError;
use crate::flags::RecipeFlags;
use crate::keeper::{Checkpoint, Circumstances, RunKeeper};
use crate::pictures;
use crate::progress::Console;
use crate::report::{self, Exported, JudgedOn, seconds};

/// Calibrate a network, train it quantization-aware (QAT) and export it
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    flags: RecipeFlags,
    /// Go on from the last checkpoint of the run directory; the result has the same bits as without the break
    #[arg(long, help_heading = "Run", conflicts_with = "overwrite")]
    resume: bool,
}

/// Epochs of a longer training that the table shows.
const EPOCHS_SHOWN: usize = 20;

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
    /// What there is to know of the data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// The first batch as the network takes it.
    input: Option<InputStatistics>,
    #[serde(flatten)]
    before: Prepared,
    /// After the last epoch of quantization-aware training, as simulated.
    qat: Option<Score>,
    /// After the last epoch of training without quantization.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_float: Option<Score>,
    judged_on: JudgedOn,
    epochs: u32,
    /// Loss and score of each epoch.
    course: Vec<EpochScore>,
    /// Epochs done by the best network; 0 is the one before training.
    best: Option<u32>,
    exported: Option<Exported>,
    /// Where values ceased to be finite, and training ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    diverged: Option<Divergence>,
    /// Steps done by this process.
    steps: u64,
    /// Time in steps, without reading images ahead and evaluation.
    stepping_seconds: f64,
    /// Time that steps waited for images.
    waiting_seconds: f64,
    files: Vec<PathBuf>,
    /// What ONNX Runtime says of them; `null` before they are written.
    onnxruntime: Option<ExportCheck>,
    /// The run in pictures, drawn last.
    #[serde(skip)]
    report: Option<PathBuf>,
    seconds: f64,
}

impl Train {
    /// The number of threads that the recipe asks for; 0 for as many as there are cores.
    pub fn threads(&self) -> Result<usize, CliError> {
        Ok(self.flags.load()?.threads())
    }

    /// Measures, calibrates, trains and exports.
    pub fn run(self, console: &mut Console) -> Result<TrainReport, CliError> {
        self.run_with(console, Parts::default())
    }

    /// The same, with parts of the caller's.
    pub fn run_with(self, console: &mut Console, parts: Parts) -> Result<TrainReport, CliError> {
        let started = Instant::now();
        let recipe = self.flags.load()?;
        let interrupted = match self.resume {
            true => RunDirectory::find(recipe.out())?,
            false => super::check_out(&recipe, self.flags.overwrite).map(|()| None)?,
        };
        let _listening = super::start(&recipe)?;
        let mut job = Job::for_training(recipe.clone())?;
        if let Some(loss) = parts.loss {
            job.set_loss(loss);
        }
        if let Some(metric) = parts.metric {
            job.set_metric(metric);
        }
        let identity = job.identity();
        let last = |run| Checkpoint::last(run, &identity).map_err(|error| explained(error, run, &recipe));
        let checkpoint = interrupted.as_ref().map_or(Ok(None), last)?;
        job.check_data(true)?;
        let circumstances = Circumstances::of(&job)?;
        if let Some((run, from)) = interrupted.as_ref().zip(checkpoint.as_ref()) {
            from.goes_on(run, &circumstances)?.iter().for_each(|warning| console.warn(warning));
        }
        let recipe = job.recipe().clone();
        let mut report = TrainReport::new(&recipe, &mut job);
        report.before = match interrupted.filter(|_| checkpoint.is_some()).and_then(|run| stored(&run)) {
            Some(before) => before,
            None => prepare(&mut job, console)?,
        };
        report.cover(&mut job);
        report.notes = super::told(&job, console);
        report.input = job.input();
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
        let on_epoch = parts.on_epoch;
        let mut work = Work { run: &run, recipe: &recipe, job, identity, circumstances, started, kept, on_epoch };
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

/// Says which keys of a recipe are others than a run's, where its checkpoint is refused for them.
fn explained(error: CheckpointError, run: &RunDirectory, recipe: &Recipe) -> CliError {
    let own = Recipe::load(Some(&run.recipe()), Overrides::default());
    match (error, own) {
        (source @ CheckpointError::OtherRecipe { .. }, Ok(own)) => CliError::OtherKeys { source, keys: recipe.differences(&own) },
        (error, _) => error.into(),
    }
}

/// What an interrupted run has measured.
fn stored(run: &RunDirectory) -> Option<Prepared> {
    serde_json::from_slice(&fs::read(run.summary()).ok()?).ok()
}

fn prepare(job: &mut Job, console: &mut Console) -> Result<Prepared, CliError> {
    let prepared = job.prepare(console)?;
    for (what, score) in report::prepared_rows(&prepared, TakenOver::of(job.file_quantizers()).as_ref()) {
        note(console, &what, score);
    }
    Ok(prepared)
}

fn note(console: &Console, what: &str, score: Option<&Score>) {
    if let Some(score) = score {
        console.note(&format!("{what}: {score}"));
    }
}

/// What happens once the run directory is there.
struct Work<'w> {
    run: &'w RunDirectory,
    recipe: &'w Recipe,
    job: Job,
    identity: Identity,
    circumstances: Circumstances,
    started: Instant,
    /// Steps done in the newest checkpoint.
    kept: Option<u64>,
    on_epoch: Option<EpochListener>,
}

impl Work<'_> {
    fn train(&mut self, report: &mut TrainReport, from: Option<Checkpoint>, console: &mut Console) -> Result<(), CliError> {
        if from.is_none() {
            self.run.write_recipe(&self.recipe.to_toml())?;
        }
        report.write_summary(self.run, self.started)?;
        let mut keeper = RunKeeper::new(self.run, self.identity, self.circumstances.clone(), from.as_ref())?.heard_by(self.on_epoch.take());
        let trained = self.job.train(from.map(|f| f.state), &mut keeper, console);
        self.kept = keeper.kept();
        let trained = trained?;
        if trained.stopped {
            let (run, step) = (self.run.path(), self.kept.unwrap_or(0));
            return Err(CliError::Stopped { advice: format!("`quantrain train {} --resume` goes on from step {step}", run.display()) });
        }
        report.steps = trained.steps;
        report.stepping_seconds = seconds(trained.stepping);
        report.waiting_seconds = seconds(trained.waited);
        let last = trained.course.epochs.last().and_then(|epoch| epoch.score.clone());
        *(if self.recipe.quantization().enabled { &mut report.qat } else { &mut report.trained_float }) = last;
        let network = match trained.exported {
            0 => report::stage(&report.before, report.taken_over.as_ref()).to_owned(),
            epoch => format!("epoch {epoch}"),
        };
        report.cover(&mut self.job);
        report.exported = Some(Exported { network, score: trained.score().cloned() });
        let mut warnings = trained.warnings(self.recipe, report.before.after_calibration().as_ref());
        if self.recipe.quantization().enabled {
            warnings.extend(self.job.saturated_biases()?);
        }
        for warning in warnings {
            let warning = warning.to_string();
            // A run that is resumed after its end has said so before.
            if !report.before.warnings.contains(&warning) {
                report.before.warnings.push(warning);
            }
        }
        report.best = trained.course.best.map(|best| best.epoch);
        report.diverged = trained.diverged;
        report.course = trained.course.epochs;
        report.files = self.job.export(&self.run.exports())?;
        self.run.note_exports(&report.files)?;
        report.onnxruntime = Some(self.job.check_export(&report.files)?);
        report.write_summary(self.run, self.started)?;
        report.report = pictures::draw(self.run, &mut self.job, console);
        Ok(())
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
            notes: Vec::new(),
            input: None,
            before: Prepared::default(),
            qat: None,
            trained_float: None,
            judged_on: JudgedOn::of(job),
            course: Vec::new(),
            best: None,
            exported: None,
            diverged: None,
            epochs: recipe.train().epochs,
            steps: 0,
            stepping_seconds: 0.0,
            waiting_seconds: 0.0,
            files: Vec::new(),
            onnxruntime: None,
            report: None,
            seconds: 0.0,
        }
    }

    /// Whether training did what it was asked for.
    pub fn is_whole(&self) -> bool {
        self.diverged.is_none()
    }

    /// Takes down what is quantized: ranges may have changed the rules.
    fn cover(&mut self, job: &mut Job) {
        self.quantized = self.quantized.take().map(|_| Coverage::of(job.net()));
    }

    /// The networks from the first to the one that was exported.
    fn rows(&self) -> Vec<(String, Option<&Score>)> {
        let mut rows = report::prepared_rows(&self.before, self.taken_over.as_ref());
        let every = self.course.len().div_ceil(EPOCHS_SHOWN).max(1);
        let is_best = |epoch: &EpochScore| Some(epoch.epoch) == self.best;
        for epoch in &self.course {
            if is_best(epoch) || (self.course.len() - epoch.epoch as usize).is_multiple_of(every) {
                let best = if is_best(epoch) { " (best)" } else { "" };
                rows.push((format!("epoch {}{best}", epoch.epoch), epoch.score.as_ref()));
            }
        }
        rows.extend(self.exported.as_ref().map(|exported| (format!("exported: {}", exported.network), exported.score.as_ref())));
        rows
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
            writeln!(f, "  {}", ranges_from(images, self.before.percentile))?;
        }
        report::data(f, self.input.as_ref(), &self.notes)?;
        report::clipped_weights(f, &self.before.clipped_weights)?;
        writeln!(f)?;
        report::refinement(f, &self.before.refinement)?;
        report::scores(f, &self.rows(), self.judged_on)?;
        report::warnings(f, &self.before.warnings)?;
        report::files(f, &self.run, self.files.iter().chain(&self.report))?;
        self.onnxruntime.iter().try_for_each(|check| report::export_check(f, check))?;
        let step = 1e3 * self.stepping_seconds / self.steps.max(1) as f64;
        writeln!(f, "{:.1} s, {} steps of {step:.0} ms", self.seconds, self.steps)
    }
}
