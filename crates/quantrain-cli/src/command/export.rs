//! `quantrain export`: a run's network in another form, or for another target.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::recipe::{Overrides, Recipe, Which};
use quantrain::{ExportCheck, FileError, Job, RunDirectory};
use serde::Serialize;

use crate::coverage::{Coverage, ranges_from};
use crate::error::CliError;
use crate::flags::{ExportFlags, MachineFlags};
use crate::keeper::Checkpoint;
use crate::progress::Console;
use crate::report::{self, seconds};

/// Export the network of a run
#[derive(Debug, Args)]
pub struct Export {
    /// The run directory
    run: PathBuf,
    /// The runtime: onnxruntime, onnxruntime-vnni, tidl-pow2, or a target file (.toml); for another one than the run's, quantizers are placed and calibrated
    /// anew [default: the run's]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Which checkpoint: best or last [default: the recipe's export.checkpoint]
    #[arg(long, value_name = "NAME")]
    checkpoint: Option<Which>,
    /// The folder that files are written to [default: export/ of the run, export/TARGET/ for another target]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    export: ExportFlags,
    #[command(flatten)]
    machine: MachineFlags,
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
    files: Vec<PathBuf>,
    /// What ONNX Runtime says of them.
    onnxruntime: ExportCheck,
    seconds: f64,
}

impl Export {
    /// Restores the run's network and writes it.
    pub fn run(self, console: &mut Console) -> Result<ExportReport, CliError> {
        let started = Instant::now();
        let run = RunDirectory::open(&self.run)?;
        let mut overrides = Overrides::default();
        self.export.over(&mut overrides);
        self.machine.over(&mut overrides);
        let recipe = Recipe::load(Some(&run.recipe()), overrides)?;
        super::start(&recipe)?;
        // A trained network has what training added to it.
        let open = if run.last_checkpoint().exists() { Job::for_checkpoint } else { Job::open };
        let mut job = open(recipe.clone())?;
        let identity = job.identity();
        let checkpoint = match self.checkpoint.unwrap_or(recipe.export().checkpoint) {
            Which::Best if self.checkpoint.is_some() || run.best_checkpoint().exists() => {
                Some(Checkpoint::read(&run.best_checkpoint(), &identity)?)
            }
            Which::Best | Which::Last => Checkpoint::last(&run, &identity)?,
        };
        let target = self.target.as_deref().map(|name| recipe.for_target(name)).transpose()?;
        let target = target.filter(|other| other.target() != recipe.target() && recipe.quantization().enabled);
        let name = target.as_ref().map_or("", |other| other.target().name()).to_owned();
        let calibration_images = match (target, &checkpoint) {
            (None, Some(checkpoint)) => {
                job.restore(&checkpoint.state)?;
                None
            }
            (other, checkpoint) => {
                if let Some(other) = other {
                    console.warn(&format!("the run is for {}: placing quantizers for {name} and calibrating them", recipe.target().name()));
                    job = open(other)?;
                }
                if let Some(checkpoint) = checkpoint {
                    job.restore_parameters(&checkpoint.state)?;
                }
                recipe.quantization().enabled.then(|| job.calibrate(console)).transpose()?
            }
        };
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
            run: self.run,
            step: checkpoint.map(|c| c.state.position.step),
            quantized: Coverage::of(job.net()),
            calibration_images,
            files,
            onnxruntime,
            seconds: seconds(started.elapsed()),
        })
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
            writeln!(f, "  {}{when}", ranges_from(images))?;
        }
        report::files(f, &self.run, &self.files)?;
        report::export_check(f, &self.onnxruntime)?;
        writeln!(f, "{:.1} s", self.seconds)
    }
}
