//! The folder of a run: where its recipe, log, checkpoints, models and summary lie.
//!
//! | path | what it is |
//! |---|---|
//! | `recipe.toml` | the effective recipe |
//! | `metrics.jsonl` | the log, one JSON object a line |
//! | `checkpoints/last.safetensors`, `checkpoints/best.safetensors` | states to resume from |
//! | `export/` | the exported models |
//! | `summary.txt`, `summary.json` | the results |
//! | `.quantrain-run` | says that the folder is a run's, and may be emptied for the next |

mod metrics;

pub use metrics::MetricsLog;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{FileError, RunDirectoryError, write_whole};

const MARKER: &str = ".quantrain-run";
const MARKER_TEXT: &str = "The folder of a run of quantrain. A new run into it removes what the run before has written.\n";
const RECIPE: &str = "recipe.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const EXPORT: &str = "export";
const SUMMARY_TEXT: &str = "summary.txt";
const SUMMARY_JSON: &str = "summary.json";

/// The folder of a run, which exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// A folder for a new run: made with its parents if it is missing. Where a run was before, its files are removed; other files stay.
    ///
    /// # Errors
    /// The path is a file, or a folder with files in it that is not a run's; it cannot be made or written.
    pub fn create(path: &Path) -> Result<Self, RunDirectoryError> {
        let run = RunDirectory { path: path.into() };
        match RunDirectory::find(path)? {
            Some(before) => before.clear()?,
            None => fs::create_dir_all(path).map_err(|source| FileError::new(path, source))?,
        }
        write_whole(&path.join(MARKER), MARKER_TEXT.as_bytes())?;
        for folder in [CHECKPOINTS, EXPORT] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(|source| FileError::new(&folder, source))?;
        }
        Ok(run)
    }

    /// The run at a path that a run may be written to; `None` where nothing is, or an empty folder. Changes nothing.
    ///
    /// # Errors
    /// The path is a file, or a folder with files in it that is not a run's; it cannot be read.
    pub fn find(path: &Path) -> Result<Option<Self>, RunDirectoryError> {
        let run = RunDirectory { path: path.into() };
        match fs::read_dir(path) {
            Ok(_) if run.is_marked() => Ok(Some(run)),
            Ok(mut entries) => entries.next().map_or(Ok(None), |entry| {
                let entry = entry.map_err(|source| FileError::new(path, source))?.file_name().to_string_lossy().into_owned();
                Err(RunDirectoryError::Foreign { path: path.into(), entry })
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(RunDirectoryError::NotADirectory { path: path.into() }),
            Err(e) => Err(FileError::new(path, e).into()),
        }
    }

    /// The folder of a run that was made before, to resume or to export.
    ///
    /// # Errors
    /// The path is not the folder of a run.
    pub fn open(path: &Path) -> Result<Self, RunDirectoryError> {
        let run = RunDirectory { path: path.into() };
        if run.is_marked() { Ok(run) } else { Err(RunDirectoryError::NotARun { path: path.into() }) }
    }

    /// Takes the run away: for one that failed before it had any result. The folder goes too if nothing else is in it.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(self) -> Result<(), FileError> {
        self.clear()?;
        let marker = self.path.join(MARKER);
        absent(fs::remove_file(&marker)).map_err(|source| FileError::new(&marker, source))?;
        // A folder with other files in it stays.
        let _ = fs::remove_dir(&self.path);
        Ok(())
    }

    fn is_marked(&self) -> bool {
        self.path.join(MARKER).is_file()
    }

    /// Removes what a run writes, and nothing else.
    fn clear(&self) -> Result<(), FileError> {
        for name in [RECIPE, METRICS, SUMMARY_TEXT, SUMMARY_JSON] {
            let path = self.path.join(name);
            absent(fs::remove_file(&path)).map_err(|source| FileError::new(&path, source))?;
        }
        for name in [CHECKPOINTS, EXPORT] {
            let path = self.path.join(name);
            absent(fs::remove_dir_all(&path)).map_err(|source| FileError::new(&path, source))?;
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The effective recipe.
    pub fn recipe(&self) -> PathBuf {
        self.path.join(RECIPE)
    }

    /// The metrics log.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The newest checkpoint.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINTS).join("last.safetensors")
    }

    /// The checkpoint of the best evaluation.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINTS).join("best.safetensors")
    }

    /// The summary as JSON.
    pub fn summary(&self) -> PathBuf {
        self.path.join(SUMMARY_JSON)
    }

    /// The folder of exported files.
    pub fn exports(&self) -> PathBuf {
        self.path.join(EXPORT)
    }

    /// Where an exported file of a name goes.
    pub fn export(&self, name: &str) -> PathBuf {
        self.path.join(EXPORT).join(name)
    }

    /// Writes the effective recipe.
    ///
    /// # Errors
    /// The file cannot be written; nothing is left of it then.
    pub fn write_recipe(&self, text: &str) -> Result<(), FileError> {
        write_whole(&self.recipe(), text.as_bytes())
    }

    /// Writes the summary, for people and as JSON.
    ///
    /// # Errors
    /// A file cannot be written; the one before stays then.
    pub fn write_summary<S: Serialize>(&self, text: &str, summary: &S) -> Result<(), FileError> {
        let json = self.summary();
        let mut bytes = serde_json::to_vec_pretty(summary).map_err(|e| FileError::new(&json, e.into()))?;
        bytes.push(b'\n');
        write_whole(&json, &bytes)?;
        write_whole(&self.path.join(SUMMARY_TEXT), text.as_bytes())
    }

    /// The log of a new run.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn start_metrics(&self) -> Result<MetricsLog, FileError> {
        MetricsLog::start(&self.metrics())
    }

    /// The log of a resumed run, without what was written after the checkpoint: `length` is what [`MetricsLog::length`] was then.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn resume_metrics(&self, length: u64) -> Result<MetricsLog, FileError> {
        MetricsLog::resume(&self.metrics(), length)
    }
}

/// What is not there need not be removed.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

#[cfg(test)]
mod tests;
