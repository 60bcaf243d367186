//! What reports share: accuracies and files.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use quantrain::Accuracy;
use quantrain::refine::StepReport;
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Align, Table, grouped};

/// A report as it goes to standard output: the text, or the same as JSON.
pub fn render<R: Serialize + Display>(report: &R, json: bool) -> Result<String, CliError> {
    if !json {
        return Ok(report.to_string());
    }
    let text = serde_json::to_string_pretty(report).map_err(|source| CliError::Json { source })?;
    Ok(text + "\n")
}

/// Accuracies before, between and after, as far as they are known.
pub fn accuracies(rows: &[(&str, Option<Accuracy>)]) -> Table {
    let mut table = Table::new(&[("network", Align::Left), ("top-1", Align::Right), ("top-5", Align::Right), ("images", Align::Right)]);
    for (name, accuracy) in rows {
        if let Some(a) = accuracy {
            table.row(vec![(*name).into(), percent(a.top1), percent(a.top5), grouped(a.images)]);
        }
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

/// An accuracy in a sentence.
pub fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

/// The files written, one a line.
pub fn files(f: &mut fmt::Formatter<'_>, run: &Path, files: &[PathBuf]) -> fmt::Result {
    writeln!(f, "written to {}:", run.display())?;
    files.iter().try_for_each(|file| writeln!(f, "  {}", file.strip_prefix(run).unwrap_or(file).display()))
}

/// A number of seconds that JSON readers need not round.
pub fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
