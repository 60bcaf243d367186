//! `quantrain report`: runs in pictures.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use quantrain::{RunDirectory, write_whole};
use quantrain_report::{Run, page};
use serde::Serialize;

use crate::error::CliError;

/// Draw a run, or several side by side, as one HTML page that needs nothing else
#[derive(Debug, Args)]
pub struct Report {
    /// The run directories; the first is shown in full
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page [default: report.html in the first run directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What was drawn.
#[derive(Debug, Serialize)]
pub struct ReportReport {
    runs: Vec<PathBuf>,
    report: PathBuf,
    bytes: usize,
}

impl Report {
    /// Reads the runs and writes the page.
    pub fn run(self) -> Result<ReportReport, CliError> {
        let runs = self.runs.iter().map(|path| Run::read(path)).collect::<Result<Vec<_>, _>>()?;
        let page = page(&runs)?;
        let first = self.runs.first().map_or_else(|| Err(quantrain_report::ReportError::NoRun), |path| Ok(RunDirectory::open(path)?))?;
        let report = self.out.unwrap_or_else(|| first.report());
        write_whole(&report, page.as_bytes())?;
        Ok(ReportReport { runs: self.runs, report, bytes: page.len() })
    }
}

impl fmt::Display for ReportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs.len();
        let of = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
        writeln!(f, "{}: {of}, {} kB; open it in a browser", self.report.display(), self.bytes.div_ceil(1000))
    }
}
