//! `quantrain quantize`: calibration without training.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::metric::{Score, Sqnr};
use quantrain::{ExportCheck, InputStatistics, Job, Prepared, RunDirectory, RunError, Warning};
use serde::Serialize;

use crate::coverage::{Coverage, TakenOver, ranges_from};
use crate::error::CliError;
use crate::flags::RecipeFlags;
use crate::pictures;
use crate::progress::Console;
use crate::report::{self, Exported, JudgedOn, seconds};

/// Calibrate a network and export it, without training (PTQ)
#[derive(Debug, Args)]
pub struct Quantize {
    #[command(flatten)]
    flags: RecipeFlags,
    /// Calibrate only, without any refinement, which may take minutes
    #[arg(long, help_heading = "Quantization")]
    plain: bool,
}

/// A calibrated network.
#[derive(Debug, Serialize)]
pub struct QuantizeReport {
    run: PathBuf,
    model: PathBuf,
    quantized: Coverage,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_over: Option<TakenOver>,
    /// What there is to know of the data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// The first batch as the network takes it.
    input: Option<InputStatistics>,
    #[serde(flatten)]
    prepared: Prepared,
    /// Output SQNR in dB on the images that judge; of several outputs that of their mean relative noise.
    sqnr: Option<f64>,
    judged_on: JudgedOn,
    exported: Exported,
    files: Vec<PathBuf>,
    /// What ONNX Runtime says of them; `null` before they are written.
    onnxruntime: Option<ExportCheck>,
    /// The run in pictures, drawn last.
    #[serde(skip)]
    report: Option<PathBuf>,
    seconds: f64,
}

impl Quantize {
    /// Measures, calibrates, measures again, and writes the run.
    pub fn run(self, console: &mut Console) -> Result<QuantizeReport, CliError> {
        let started = Instant::now();
        let recipe = self.flags.load()?;
        if !recipe.quantization().enabled {
            return Err(CliError::NothingToQuantize);
        }
        super::check_out(&recipe, self.flags.overwrite)?;
        let _listening = super::start(&recipe)?;
        let mut job = if self.plain { Job::open(recipe.without_refinement())? } else { Job::for_quantizing(recipe)? };
        job.check_data(false)?;
        let recipe = job.recipe().clone();
        let mut prepared = job.prepare(console)?;
        prepared.warnings.extend(job.sqnr().into_iter().flat_map(Warning::of_outputs).map(|warning| warning.to_string()));
        let sqnr = job.sqnr().map(Sqnr::of_all);
        let taken_over = TakenOver::of(job.file_quantizers());
        let notes = super::told(&job, console);
        let run = RunDirectory::create(recipe.out())?;
        let mut report = QuantizeReport {
            run: run.path().into(),
            model: recipe.model().into(),
            quantized: Coverage::of(job.net()),
            exported: Exported { network: report::stage(&prepared, taken_over.as_ref()).to_owned(), score: prepared.ptq.clone() },
            judged_on: JudgedOn::of(&job),
            taken_over,
            prepared,
            sqnr,
            notes,
            input: job.input(),
            files: Vec::new(),
            onnxruntime: None,
            report: None,
            seconds: 0.0,
        };
        let written = report.write(&run, &recipe.to_toml(), &mut job, started, console);
        // A model that ONNX Runtime refuses stays, to be looked at.
        if written.as_ref().is_err_and(|error| !matches!(error, CliError::Run(RunError::ExportCheck { .. }))) {
            // The first error counts.
            let _ = run.remove();
        }
        written.map(|()| report)
    }
}

impl QuantizeReport {
    fn write(&mut self, run: &RunDirectory, recipe: &str, job: &mut Job, started: Instant, console: &mut Console) -> Result<(), CliError> {
        run.write_recipe(recipe)?;
        self.files = job.export(&run.exports())?;
        run.note_exports(&self.files)?;
        self.onnxruntime = Some(job.check_export(&self.files)?);
        self.seconds = seconds(started.elapsed());
        run.write_summary(&self.to_string(), self)?;
        self.report = pictures::draw(run, job, console);
        Ok(())
    }
}

impl fmt::Display for QuantizeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.model.display())?;
        if let Some(taken_over) = &self.taken_over {
            writeln!(f, "{taken_over}")?;
        }
        write!(f, "{}", self.quantized)?;
        if let Some(images) = self.prepared.calibration_images {
            writeln!(f, "  {}", ranges_from(images, self.prepared.percentile))?;
        }
        report::data(f, self.input.as_ref(), &self.notes)?;
        report::clipped_weights(f, &self.prepared.clipped_weights)?;
        writeln!(f)?;
        report::refinement(f, &self.prepared.refinement)?;
        report::scores(f, &report::prepared_rows(&self.prepared, self.taken_over.as_ref()), self.judged_on)?;
        if let (Some(sqnr), Some(Score::Accuracy(_) | Score::Segmentation(_)) | None) = (self.sqnr, &self.prepared.ptq) {
            writeln!(f, "output SQNR {sqnr:.2} dB on the same images")?;
            writeln!(f)?;
        }
        report::warnings(f, &self.prepared.warnings)?;
        report::files(f, &self.run, self.files.iter().chain(&self.report))?;
        self.onnxruntime.iter().try_for_each(|check| report::export_check(f, check))?;
        writeln!(f, "{:.1} s", self.seconds)
    }
}
