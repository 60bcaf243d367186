//! The page of a run: measured and drawn once the run is whole.

use std::path::PathBuf;

use quantrain::{Job, Progress, RunDirectory, write_whole};
use quantrain_report::{Run, page};

use crate::error::CliError;
use crate::progress::Console;

/// Measures what quantization does to each layer of a job's network, and draws the run: the page's path. What fails, or is stopped, is told and
/// spoils nothing else: the run is whole without a picture.
pub fn draw(run: &RunDirectory, job: &mut Job, console: &mut Console) -> Option<PathBuf> {
    match drawn(run, job, console) {
        Ok(()) => Some(run.report()),
        Err(error) => {
            console.end();
            console.warn(&format!("no report.html: {error}"));
            None
        }
    }
}

fn drawn(run: &RunDirectory, job: &mut Job, console: &mut Console) -> Result<(), CliError> {
    if job.recipe().quantization().enabled {
        run.write_statistics(&job.statistics(console)?)?;
    }
    let page = page(&[Run::read(run.path())?])?;
    Ok(write_whole(&run.report(), page.as_bytes())?)
}
