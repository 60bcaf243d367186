//! What a run did, as one HTML page that needs nothing else: no network, no other file.
//!
//! [`Run::read`] takes a run directory, [`page`] makes the page of one run or of several side by side. All figures are those of the run's
//! own files; the page's script only draws them.
#![forbid(unsafe_code)]

mod advice;
mod differences;
mod error;

pub use advice::{Advice, advice};
pub use differences::{Difference, differences};
pub use error::ReportError;

use std::fs;
use std::path::Path;

use quantrain::RunDirectory;
use quantrain::statistics::NetworkStatistics;
use serde::Serialize;
use serde_json::Value;

const PAGE: &str = include_str!("page/report.html");
const STYLE: &str = include_str!("page/report.css");
const SCRIPT: &str = include_str!("page/report.js");

/// Lines of a log that curves are drawn from; of a longer one so many, evenly spread, and the last.
const LOG_LINES: usize = 1000;

/// What the files of a run say.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its folder, as it was given.
    pub name: String,
    /// `summary.json`.
    pub summary: Value,
    /// Lines of `metrics.jsonl`.
    pub metrics: Vec<Value>,
    /// `statistics.json`; `None` for a run without quantization, or one that is older than statistics.
    pub statistics: Option<NetworkStatistics>,
    /// `recipe.toml`.
    pub recipe: String,
}

impl Run {
    /// Reads a run directory.
    ///
    /// # Errors
    /// It is no run's, or a file is missing or damaged.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let run = RunDirectory::open(path)?;
        let text = |file: &Path| fs::read_to_string(file).map_err(|source| ReportError::Read { file: file.into(), source });
        let damaged = |file: &Path| {
            let file = file.to_owned();
            move |source| ReportError::Json { file, source }
        };
        let summary = serde_json::from_str(&text(&run.summary())?).map_err(damaged(&run.summary()))?;
        let log = if run.metrics().exists() { text(&run.metrics())? } else { String::new() };
        let metrics = log.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>().map_err(damaged(&run.metrics()))?;
        let statistics = match run.statistics().exists() {
            true => Some(serde_json::from_str(&text(&run.statistics())?).map_err(damaged(&run.statistics()))?),
            false => None,
        };
        Ok(Run { name: path.display().to_string(), summary, metrics: thinned(metrics), statistics, recipe: text(&run.recipe())? })
    }
}

/// At most [`LOG_LINES`] lines, the last one among them.
fn thinned(lines: Vec<Value>) -> Vec<Value> {
    let every = lines.len().div_ceil(LOG_LINES).max(1);
    let last = lines.len().saturating_sub(1);
    lines.into_iter().enumerate().filter(|(i, _)| (last - i).is_multiple_of(every)).map(|(_, line)| line).collect()
}

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'r> {
    runs: &'r [Run],
    advice: Vec<Advice>,
    differences: Vec<Difference>,
}

/// The page of one run, or of several: the first in full, the others beside it in curves and tables.
///
/// # Errors
/// There is no run, or a recipe is no TOML.
pub fn page(runs: &[Run]) -> Result<String, ReportError> {
    let first = runs.first().ok_or(ReportError::NoRun)?;
    let data = Data { runs, advice: advice(first), differences: differences(runs)? };
    let json = serde_json::to_string(&data).map_err(|source| ReportError::Json { file: first.name.clone().into(), source })?;
    // Inside a script element only `<` could end it.
    let json = json.replace('<', "\\u003c");
    let title = format!("Quantrain: {}", first.name).replace('&', "&amp;").replace('<', "&lt;");
    // The data goes in last: a name in it may look like a mark.
    let page = PAGE.replace("@STYLE@", STYLE).replace("@SCRIPT@", SCRIPT).replace("@TITLE@", &title.replace('@', "&#64;"));
    Ok(page.replacen("@DATA@", &json, 1))
}

#[cfg(test)]
mod tests;
