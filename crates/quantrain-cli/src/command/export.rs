//! `quantrain export`: a run's network in another form, or for another target.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::metric::Score;
use quantrain::recipe::{Overrides, Recipe, Which};
use quantrain::{ExportCheck, FileError, Footprint, Job, RunDirectory, RunError};
use serde::Serialize;

use crate::coverage::{Coverage, ranges_from};
use crate::error::CliError;
use crate::flags::{ExportFlags, MachineFlags, SetFlags, one_of, targets};
use crate::keeper::Checkpoint;
use crate::progress::Console;
use crate::report::{self, JudgedOn, seconds};
use crate::stored::Stored;
use crate::subject::Subject;
use crate::table::grouped;

/// Export the network of a run
#[derive(Debug, Args)]
pub struct Export {
    /// The run directory, or the recipe that names it
    run: PathBuf,
    #[arg(
        long,
        value_name = "NAME",
        help = targets("The runtime; for another one than the run's, quantizers are placed and calibrated anew", "the run's")
    )]
    target: Option<String>,
    /// Which checkpoint [default: the recipe's export.checkpoint]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Which>())]
    checkpoint: Option<Which>,
    /// The folder that files are written to [default: export/ of the run, export/TARGET/ for another target]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    export: ExportFlags,
    #[command(flatten)]
    machine: MachineFlags,
    #[command(flatten)]
    set: SetFlags,
}

/// What was exported.
#[derive(Debug, Serialize)]
pub struct ExportReport {
    run: PathBuf,
    /// Steps trained; `null` for a run without training.
    step: Option<u64>,
    quantized: Coverage,
    /// Images that quantizers were calibrated with for this export; `null` where the run's ranges were taken.
    calibration_images: Option<usize>,
    /// Percent of the values that ranges keep, where that was chosen by measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    percentile: Option<f32>,
    /// What the exported network is worth, as simulated; `null` where that is not known.
    score: Option<Score>,
    judged_on: JudgedOn,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_judged: Option<String>,
    /// What it takes as C.
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<Footprint>,
    files: Vec<PathBuf>,
    /// What ONNX Runtime says of them.
    onnxruntime: ExportCheck,
    seconds: f64,
}

impl Export {
    /// Restores the run's network and writes it.
    pub fn run(self, console: &mut Console) -> Result<ExportReport, CliError> {
        let started = Instant::now();
        let mut flags = Overrides::default();
        self.export.over(&mut flags);
        self.machine.over(&mut flags);
        let flags = self.set.over(flags)?;
        let run = match Subject::of(&self.run)? {
            Subject::Run(run) => run,
            Subject::Recipe(recipe) => RunDirectory::open(Recipe::load(Some(&recipe), Overrides::default())?.out())?,
            model => {
                let expected = "a run directory, which `quantrain quantize` makes of a model,";
                return Err(CliError::OtherSubject { path: self.run, found: model.kind(), expected });
            }
        };
        let recipe = Recipe::load(Some(&run.recipe()), flags)?;
        let _listening = super::start(&recipe)?;
        let other = self.target.as_deref().map(|name| recipe.for_target(name)).transpose()?;
        let other = other.filter(|other| other.target() != recipe.target() && recipe.quantization().enabled);
        let name = other.as_ref().map_or("", |other| other.target().name()).to_owned();
        if other.is_some() {
            console.warn(&format!("the run is for {}: placing quantizers for {name} and calibrating them", recipe.target().name()));
        }
        let Stored { mut job, has_ranges, checkpoint } = Stored::open(&run, other.unwrap_or(recipe), self.checkpoint)?;
        let calibrates = job.recipe().quantization().enabled && !has_ranges;
        let calibration_images = calibrates.then(|| job.calibrate(console)).transpose().map_err(|source| {
            let target = job.recipe().target().name().to_owned();
            CliError::Recalibration { target, source: Box::new(source) }
        })?;
        let (score, not_judged) = match checkpoint.as_ref().filter(|_| has_ranges).and_then(measured) {
            Some(score) => (Some(score), None),
            None => judge(&mut job, console)?,
        };
        if job.recipe().quantization().enabled {
            job.saturated_biases()?.into_iter().for_each(|warning| console.warn(&warning.to_string()));
        }
        let c = job.c_footprint()?;
        let folder = self.out.unwrap_or_else(|| run.export(&name));
        fs::create_dir_all(&folder).map_err(|source| FileError::new(&folder, source))?;
        let written = job.export(&folder);
        if written.is_err() {
            // Only an empty folder goes; the first error counts.
            let _ = fs::remove_dir(&folder);
        }
        let files = written?;
        run.note_exports(&files)?;
        let onnxruntime = job.check_export(&files)?;
        Ok(ExportReport {
            run: run.path().into(),
            step: checkpoint.map(|c| c.state.position.step),
            quantized: Coverage::of(job.net()),
            calibration_images,
            percentile: job.chosen_percentile(),
            score,
            judged_on: JudgedOn::of(&job),
            not_judged,
            c,
            files,
            onnxruntime,
            seconds: seconds(started.elapsed()),
        })
    }
}

/// What the network of a checkpoint was worth when training measured it.
fn measured(checkpoint: &Checkpoint) -> Option<Score> {
    let position = &checkpoint.state.position;
    let between_epochs = position.step_in_epoch == 0;
    between_epochs.then(|| position.course.score(position.epoch).cloned()).flatten()
}

/// What the network is worth now, or why that is not known.
fn judge(job: &mut Job, console: &mut Console) -> Result<(Option<Score>, Option<String>), CliError> {
    let quantized = job.recipe().quantization().enabled;
    match if quantized { job.simulated_score(console) } else { job.float_score(console) } {
        Ok(score) => Ok((score, None)),
        Err(stopped @ RunError::Stopped { .. }) => Err(stopped.into()),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => writeln!(f, "{} after {step} steps", self.run.display())?,
            None => writeln!(f, "{}, not trained", self.run.display())?,
        }
        write!(f, "{}", self.quantized)?;
        if let Some(images) = self.calibration_images {
            let when = if images > 0 { ", calibrated for this export" } else { "" };
            writeln!(f, "  {}{when}", ranges_from(images, self.percentile))?;
        }
        let on = match self.judged_on {
            JudgedOn::Evaluation => "",
            JudgedOn::HeldOut => " of the calibration, as there is no data.eval",
        };
        match (&self.score, &self.not_judged) {
            (Some(score), _) => writeln!(f, "  exported: {score}, {} images{on}", grouped(score.images()))?,
            (None, Some(reason)) => report::wrapped(f, "  what it is worth is not known:", "   ", reason)?,
            (None, None) => writeln!(f, "  what it is worth is not known, as no images judge it")?,
        }
        if let Some(footprint) = &self.c {
            report::wrapped(f, "  as C:", "   ", &footprint.to_string())?;
        }
        report::files(f, &self.run, &self.files)?;
        report::export_check(f, &self.onnxruntime)?;
        writeln!(f, "{:.1} s", self.seconds)
    }
}
