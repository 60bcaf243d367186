//! `quantrain evaluate`: what an ONNX file is worth on some images.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::Job;
use quantrain::metric::Score;
use quantrain::recipe::{Overrides, Recipe};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::{MachineFlags, NetworkFlags, PreprocessFlags};
use crate::progress::Console;
use crate::report::{self, seconds, sentence};
use crate::table::grouped;

/// Measure a float or QDQ ONNX file: accuracy, mean IoU, or without labels the distance from another file's outputs
#[derive(Debug, Args)]
pub struct Evaluate {
    /// The network, an ONNX file
    model: PathBuf,
    /// Images with labels or masks: parquet, .npz, IDX or a folder; several with commas between them, some rows of one with #START..END behind it
    #[arg(long, value_name = "PATH", required_unless_present = "recipe")]
    data: Option<PathBuf>,
    /// Where the images have no labels: the float network whose outputs are the right ones, an ONNX file
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Use only so many images, spread over the classes
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Take images and preprocessing from this recipe, where no flag says otherwise
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    machine: MachineFlags,
}

/// What a network is worth.
#[derive(Debug, Serialize)]
pub struct EvaluateReport {
    model: PathBuf,
    data: PathBuf,
    #[serde(flatten)]
    score: Score,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    seconds: f64,
}

impl Evaluate {
    /// Runs the network as its file says, pairs of QuantizeLinear and DequantizeLinear included.
    pub fn run(self, console: &mut Console) -> Result<EvaluateReport, CliError> {
        let started = Instant::now();
        let mut overrides = Overrides { model: Some(self.model), eval_data: self.data, eval_images: self.images, ..Overrides::default() };
        overrides.enabled = Some(false);
        self.network.over(&mut overrides);
        self.preprocess.over(&mut overrides);
        self.machine.over(&mut overrides);
        let recipe = Recipe::load(self.recipe.as_deref(), overrides)?;
        let data = recipe.data().eval.clone().ok_or(quantrain::RunError::NoData { what: "evaluation", key: "data.eval" })?;
        super::start(&recipe)?;
        let model = recipe.model().to_owned();
        let mut job = Job::open(recipe)?;
        self.against.as_deref().map_or(Ok(()), |float| job.compare_with(float))?;
        let score = job.float_score(console)?.ok_or_else(|| CliError::Unlabelled { data: data.clone() })?;
        let warnings = job.warnings_of(&score);
        let notes = super::told(&job, console);
        Ok(EvaluateReport { model, data, score, warnings, notes, seconds: seconds(started.elapsed()) })
    }
}

impl fmt::Display for EvaluateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}", self.model.display(), self.data.display())?;
        writeln!(f, "{}, {} images, {:.1} s", sentence(&self.score), grouped(self.score.images()), self.seconds)?;
        report::data(f, None, &self.notes)?;
        if !self.warnings.is_empty() {
            writeln!(f)?;
        }
        report::warnings(f, &self.warnings)
    }
}
