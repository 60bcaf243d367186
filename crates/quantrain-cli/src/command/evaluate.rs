//! `quantrain evaluate`: the accuracy of an ONNX file.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::recipe::{Overrides, Recipe};
use quantrain::{Accuracy, Job};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::{MachineFlags, NetworkFlags, PreprocessFlags};
use crate::progress::Console;
use crate::report::{percent, seconds};
use crate::table::grouped;

/// Measure the accuracy of a float or QDQ ONNX file
#[derive(Debug, Args)]
pub struct Evaluate {
    /// The network, an ONNX file
    model: PathBuf,
    /// Images with labels: parquet, IDX or a folder; several with commas between them, some rows of one with #START..END behind it
    #[arg(long, value_name = "PATH", required_unless_present = "recipe")]
    data: Option<PathBuf>,
    /// Use only so many images, from the start
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

/// The accuracy of a network.
#[derive(Debug, Serialize)]
pub struct EvaluateReport {
    model: PathBuf,
    data: PathBuf,
    #[serde(flatten)]
    accuracy: Accuracy,
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
        let accuracy = Job::open(recipe)?.float_accuracy(console)?;
        let accuracy = accuracy.ok_or_else(|| CliError::Unlabelled { data: data.clone() })?;
        Ok(EvaluateReport { model, data, accuracy, seconds: seconds(started.elapsed()) })
    }
}

impl fmt::Display for EvaluateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accuracy { top1, top5, images } = self.accuracy;
        writeln!(f, "{} on {}", self.model.display(), self.data.display())?;
        writeln!(f, "top-1 {}, top-5 {}, {} images, {:.1} s", percent(top1), percent(top5), grouped(images), self.seconds)
    }
}
