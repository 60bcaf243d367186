//! `quantrain evaluate`: what an ONNX file is worth on some images.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::metric::Score;
use quantrain::recipe::Overrides;
use quantrain::{Execution, Job};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::{MachineFlags, NetworkFlags, PreprocessFlags, SetFlags, images};
use crate::progress::Console;
use crate::report::{self, seconds};
use crate::table::grouped;

/// Measure a float or QDQ ONNX file: accuracy, mean IoU, or the distance from another file's outputs
#[derive(Debug, Args)]
pub struct Evaluate {
    /// The network, an ONNX file; or a run directory, whose exported model and recipe are then taken, or a recipe
    #[arg(value_name = "MODEL|RUN|RECIPE")]
    subject: PathBuf,
    #[arg(long, value_name = "PATH", help = images("Images with labels or masks"))]
    data: Option<PathBuf>,
    /// The float network whose outputs are the right ones, an ONNX file; labels, if there are any, do not count then
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Use only so many images, spread over the classes
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Take images and preprocessing from this recipe or run directory, where no flag says otherwise
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    machine: MachineFlags,
    #[command(flatten)]
    set: SetFlags,
}

/// What a network is worth.
#[derive(Debug, Serialize)]
pub struct EvaluateReport {
    model: PathBuf,
    data: PathBuf,
    #[serde(flatten)]
    score: Score,
    /// What ran the network.
    execution: Option<Execution>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    seconds: f64,
}

impl Evaluate {
    /// Runs the network as its file says: a quantized one by the integers that its pairs of QuantizeLinear and DequantizeLinear stand for,
    /// where it lowers whole, else pairs included in float.
    pub fn run(self, console: &mut Console) -> Result<EvaluateReport, CliError> {
        let started = Instant::now();
        let mut flags = Overrides { eval_data: self.data, eval_images: self.images, enabled: Some(false), ..Overrides::default() };
        self.network.over(&mut flags);
        self.preprocess.over(&mut flags);
        self.machine.over(&mut flags);
        let recipe = super::of_subject(&self.subject, self.recipe.as_deref(), flags, &self.set)?;
        let data = recipe.data().eval.clone().ok_or(quantrain::RunError::NoData { what: "evaluation", key: "data.eval" })?;
        let _listening = super::start(&recipe)?;
        let model = recipe.model().to_owned();
        let mut job = Job::open(recipe)?;
        self.against.as_deref().map_or(Ok(()), |float| job.compare_with(float))?;
        let score = job.float_score(console)?.ok_or_else(|| CliError::Unlabelled { data: data.clone() })?;
        let warnings = job.warnings_of(&score);
        let (notes, execution) = (super::told(&job, console), job.execution());
        Ok(EvaluateReport { model, data, score, execution, warnings, notes, seconds: seconds(started.elapsed()) })
    }
}

impl fmt::Display for EvaluateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}", self.model.display(), self.data.display())?;
        let how = self.execution.map_or_else(String::new, |execution| format!(" {execution}"));
        writeln!(f, "{}, {} images{how}, {:.1} s", self.score, grouped(self.score.images()), self.seconds)?;
        report::data(f, None, &self.notes)?;
        if !self.warnings.is_empty() {
            writeln!(f)?;
        }
        report::warnings(f, &self.warnings)
    }
}
