//! What may be wrong with the files of a run.

use std::io;
use std::path::PathBuf;

use quantrain::RunDirectoryError;
use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A report of no runs was asked for.
    #[error("no run directory given; name at least one")]
    NoRun,
    /// The folder is no run's.
    #[error(transparent)]
    Run(#[from] RunDirectoryError),
    /// A file is missing or cannot be read.
    #[error("{}: {source}; a report needs a run that ended", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("{}: no valid JSON: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A recipe is damaged.
    #[error("{run}/recipe.toml: {}", message.trim())]
    Recipe {
        /// The run.
        run: String,
        /// What is wrong.
        message: String,
    },
}
