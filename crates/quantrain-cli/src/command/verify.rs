//! `quantrain verify`: whether what was simulated is what a device computes.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::onnxruntime::{Library, OnnxRuntime, SessionOptions};
use quantrain::recipe::Overrides;
use quantrain::verify::{CauseCount, Verification};
use quantrain::{Job, RunError};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::{MachineFlags, NetworkFlags, PreprocessFlags, SetFlags, images, targets};
use crate::progress::Console;
use crate::report::{self, percent, seconds};
use crate::table::{Align, Table, grouped};

/// Compare simulation, integer program and ONNX Runtime on a QDQ file, code for code
///
/// The exit code is 1 where the integer program has other codes than the simulation, and 2 where ONNX Runtime is there and does not run the file.
#[derive(Debug, Args)]
pub struct Verify {
    /// The quantized network, a QDQ ONNX file of quantrain or of others; or a run directory, whose exported model and recipe are then taken
    #[arg(value_name = "MODEL|RUN|RECIPE")]
    subject: PathBuf,
    #[arg(long, value_name = "PATH", help = images("Images"))]
    data: Option<PathBuf>,
    /// Use only so many images, spread over the classes
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Take images and preprocessing from this recipe or run directory, where no flag says otherwise
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    #[arg(long, value_name = "NAME", help = targets("The runtime whose integers are meant", "as the file says"))]
    target: Option<String>,
    /// ONNX Runtime: its shared library, or the folder of Python's package [default: ORT_DYLIB_PATH, the package in VIRTUAL_ENV, that of python3]
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Open ONNX Runtime's session with session.x64quantprecision=1: no sum of two products saturates on x86-64 without VNNI
    #[arg(long)]
    exact_session: bool,
    /// Show every tensor, also where none differs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    machine: MachineFlags,
    #[command(flatten)]
    set: SetFlags,
}

/// What is the same, and what is not.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    model: PathBuf,
    data: PathBuf,
    /// Whose arithmetic the simulation and the integer program have.
    target: String,
    /// ONNX Runtime's library.
    onnxruntime: Option<PathBuf>,
    /// Why it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_onnxruntime: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(flatten)]
    found: Verification,
    seconds: f64,
    #[serde(skip)]
    all: bool,
}

/// Tensors shown where some differ.
const WORST: usize = 20;

impl Verify {
    /// Runs the network as its file says in three ways.
    pub fn run(self, console: &mut Console) -> Result<VerifyReport, CliError> {
        let started = Instant::now();
        let chosen = self.target.is_some();
        let mut flags = Overrides { eval_data: self.data, eval_images: self.images, enabled: Some(false), ..Overrides::default() };
        flags.target = self.target;
        self.network.over(&mut flags);
        self.preprocess.over(&mut flags);
        self.machine.over(&mut flags);
        let recipe = super::of_subject(&self.subject, self.recipe.as_deref(), flags, &self.set)?;
        let data = recipe.data().eval.clone().ok_or(RunError::NoData { what: "evaluation", key: "data.eval" })?;
        let _listening = super::start(&recipe)?;
        let (model, target) = (recipe.model().to_owned(), chosen.then(|| recipe.target().clone()));
        let job = Job::open(recipe)?;
        let options = SessionOptions { threads: rayon::current_num_threads(), exact: self.exact_session };
        let library = Library::find(self.onnxruntime.as_deref()).map_err(RunError::from)?;
        let opened = library.as_ref().map(|library| OnnxRuntime::open(library, &model, options)).transpose();
        let mut runtime = opened.map_err(RunError::from)?;
        let (target, found) = job.verify(target, runtime.as_mut(), console)?;
        let notes = super::told(&job, console);
        let onnxruntime = library.map(|library| library.path().to_owned());
        let without_onnxruntime = onnxruntime.is_none().then_some(report::WITHOUT_ONNXRUNTIME);
        let (target, seconds) = (target.name().to_owned(), seconds(started.elapsed()));
        Ok(VerifyReport { model, data, target, onnxruntime, without_onnxruntime, notes, found, seconds, all: self.all })
    }
}

impl VerifyReport {
    /// Whether the integer program has the codes of the simulation.
    pub fn is_exact(&self) -> bool {
        self.found.is_exact()
    }

    fn tensors(&self) -> Table {
        let (left, right) = (Align::Left, Align::Right);
        let columns = [("tensor", left), ("operator", left), ("codes", right), ("differ", right), ("largest", right)];
        let mut table = Table::new(&columns);
        let shown = self.found.tensors.iter().filter(|t| self.all || t.differ > 0).take(if self.all { usize::MAX } else { WORST });
        for t in shown {
            table.row(vec![t.tensor.clone(), t.operator.into(), grouped(t.codes), grouped(t.differ), grouped(t.largest as usize)]);
        }
        table
    }

    /// The inner tensors at which ONNX Runtime's codes begin to differ.
    fn origins(&self) -> Table {
        let (left, right) = (Align::Left, Align::Right);
        let columns =
            [("tensor", left), ("operator", left), ("runs as", left), ("begin to differ", right), ("largest", right), ("why", left)];
        let mut table = Table::new(&columns);
        for t in self.found.inner.iter().filter(|t| t.begins > 0).take(WORST) {
            let begins = format!("{} of {}", grouped(t.begins), grouped(t.codes));
            let runs_as = t.runs_as.clone().unwrap_or_else(|| "?".into());
            table.row(vec![t.tensor.clone(), t.operator.into(), runs_as, begins, grouped(t.largest as usize), causes(&t.causes)]);
        }
        table
    }

    fn accuracies(&self) -> Table {
        let f = &self.found;
        let mut table = Table::new(&[("run by", Align::Left), ("top-1", Align::Right), ("other predictions", Align::Right)]);
        let shares = |top1: Option<f64>| top1.map_or_else(|| "-".into(), percent);
        let others = |n: Option<usize>| n.map_or_else(|| "-".into(), grouped);
        table.row(vec!["simulation".into(), shares(f.top1_simulated), String::new()]);
        table.row(vec!["integer program".into(), shares(f.top1_integer), others(f.predictions_differ_integer)]);
        match &self.onnxruntime {
            Some(_) => table.row(vec!["ONNX Runtime".into(), shares(f.top1_onnxruntime), others(f.predictions_differ_onnxruntime)]),
            None => table.row(vec!["ONNX Runtime".into(), "not run".into(), "-".into()]),
        }
        table
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        let (model, data) = (self.model.display(), self.data.display());
        writeln!(f, "{model} on {data}, {} images, target {}, {:.1} s", grouped(found.images), self.target, self.seconds)?;
        report::data(f, None, &self.notes)?;
        let (codes, differ, tensors) = (grouped(found.codes), grouped(found.differ_integer), found.tensors.len());
        writeln!(f, "simulation and integer program: {differ} of {codes} codes differ, in {tensors} tensors")?;
        if self.all || !self.is_exact() {
            writeln!(f, "\n{}", self.tensors().fitted(f.width()))?;
        }
        for o in &found.outputs {
            let (differ, values) = (grouped(o.differ), grouped(o.values));
            match o.quantized {
                true => {
                    let why = if o.causes.is_empty() { String::new() } else { format!(": {}", causes(&o.causes)) };
                    writeln!(f, "ONNX Runtime, output `{}`: {differ} of {values} codes differ, by at most {}{why}", o.output, o.largest)?;
                }
                false => writeln!(
                    f,
                    "ONNX Runtime, output `{}` (float): the largest difference of {values} values is {:.3e}",
                    o.output, o.largest
                )?,
            }
        }
        if let Some(first) = found.first_difference() {
            let (images, why) = (grouped(found.inner_images), causes(&first.causes));
            writeln!(f, "ONNX Runtime differs first at `{}` ({}): {why}; seen in {images} images", first.tensor, first.operator)?;
            if found.inner_fused_otherwise > 0 {
                let values = grouped(found.inner_fused_otherwise);
                writeln!(f, "handing inner tensors out changed {values} values of outputs: the optimizer fused otherwise there")?;
            }
            writeln!(f, "\n{}", self.origins().fitted(f.width()))?;
        }
        found.causes().iter().try_for_each(|cause| writeln!(f, "{}: {}", cause.name(), cause.text()))?;
        if let Some(reason) = &found.without_inner {
            writeln!(f, "inner tensors were not compared: {reason}")?;
        }
        if !found.float_operators.is_empty() {
            writeln!(f, "in float, as the file has no quantizer behind them: {}", found.float_operators.join(", "))?;
        }
        if let Some(reason) = self.without_onnxruntime {
            report::wrapped(f, "not run:", "   ", reason)?;
        }
        write!(f, "\n{}", self.accuracies().fitted(f.width()))
    }
}

/// Causes with the number of their codes, most frequent first.
fn causes(counts: &[CauseCount]) -> String {
    let mut counts = counts.to_vec();
    counts.sort_by_key(|count| (std::cmp::Reverse(count.codes), count.cause));
    counts.iter().map(|count| format!("{} {}", count.cause.name(), grouped(count.codes))).collect::<Vec<_>>().join(", ")
}
