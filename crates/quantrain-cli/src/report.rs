//! What reports share: scores and files.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use quantrain::ExportCheck;
use quantrain::metric::Score;
use quantrain::refine::StepReport;
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Align, Table, grouped};

/// Why ONNX Runtime had no say, and what to do.
pub const WITHOUT_ONNXRUNTIME: &str = "ONNX Runtime was not found; \
    set ORT_DYLIB_PATH to the folder of Python's package onnxruntime or to its library, or activate the virtual environment it is in";

/// A report as it goes to standard output: the text, or the same as JSON.
pub fn render<R: Serialize + Display>(report: &R, json: bool) -> Result<String, CliError> {
    if !json {
        return Ok(report.to_string());
    }
    let text = serde_json::to_string_pretty(report).map_err(|source| CliError::Json { source })?;
    Ok(text + "\n")
}

/// Scores before, between and after, as far as they are known.
pub fn scores(rows: &[(&str, &Option<Score>)]) -> Table {
    let known = || rows.iter().filter_map(|(name, score)| Some((name, score.as_ref()?)));
    let titles: Vec<String> = known().next().map_or_else(Vec::new, |(_, score)| score.figures().into_iter().map(|f| f.0).collect());
    let mut columns = vec![("network", Align::Left)];
    columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
    columns.push(("images", Align::Right));
    let mut table = Table::new(&columns);
    for (name, score) in known() {
        let mut row = vec![(*name).to_owned()];
        row.extend(score.figures().into_iter().map(|f| f.1));
        row.push(grouped(score.images()));
        table.row(row);
    }
    table
}

/// What the steps of a refinement did; nothing where there were none.
pub fn refinement(f: &mut fmt::Formatter<'_>, steps: &[StepReport]) -> fmt::Result {
    if steps.is_empty() {
        return Ok(());
    }
    let columns = [("step", Align::Left), ("output SQNR", Align::Right), ("by", Align::Right), ("what changed", Align::Left)];
    let mut table = Table::new(&columns);
    for (i, step) in steps.iter().enumerate() {
        let by = i.checked_sub(1).map_or_else(String::new, |before| format!("{:+.2} dB", step.sqnr - steps[before].sqnr));
        table.row(vec![step.step.clone(), format!("{:.2} dB", step.sqnr), by, step.changed.clone()]);
    }
    writeln!(f, "{table}")
}

/// A score in a sentence.
pub fn sentence(score: &Score) -> String {
    score.figures().into_iter().map(|(what, how_much)| format!("{what} {how_much}")).collect::<Vec<_>>().join(", ")
}

/// A share in a sentence.
pub fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

/// The files written, one a line.
pub fn files(f: &mut fmt::Formatter<'_>, run: &Path, files: &[PathBuf]) -> fmt::Result {
    writeln!(f, "written to {}:", run.display())?;
    files.iter().try_for_each(|file| writeln!(f, "  {}", file.strip_prefix(run).unwrap_or(file).display()))
}

/// What ONNX Runtime says of the files written.
pub fn export_check(f: &mut fmt::Formatter<'_>, check: &ExportCheck) -> fmt::Result {
    match check {
        ExportCheck::Opened { library } => writeln!(f, "opened in ONNX Runtime: outputs as the float network's ({})", library.display()),
        ExportCheck::NotFound => writeln!(f, "not opened: {WITHOUT_ONNXRUNTIME}"),
        ExportCheck::LeftOut => writeln!(f, "not opened in ONNX Runtime, as export.check says"),
    }
}

/// A number of seconds that JSON readers need not round.
pub fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
