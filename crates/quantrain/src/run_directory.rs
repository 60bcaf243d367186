//! The folder of a run: where its recipe, log, checkpoints, models and summary lie.
//!
//! | path | what it is |
//! |---|---|
//! | `recipe.toml` | the effective recipe |
//! | `metrics.jsonl` | the log, one JSON object a line |
//! | `checkpoints/last.safetensors`, `previous.safetensors`, `best.safetensors` | states to resume from |
//! | `export/` | the exported models |
//! | `summary.txt`, `summary.json` | the results |
//! | `statistics.json` | what quantization does to each layer |
//! | `report.html` | all of it in pictures |
//! | `.quantrain-run` | says that the folder is a run's, whose it is now, and what was exported: the next run removes that |

mod marker;
mod metrics;

pub use metrics::MetricsLog;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use marker::Marker;

use crate::whole_file::partial;
use crate::{FileError, RunDirectoryError, printable, write_whole};

const RECIPE: &str = "recipe.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const EXPORT: &str = "export";
const SUMMARY_TEXT: &str = "summary.txt";
const SUMMARY_JSON: &str = "summary.json";
const STATISTICS: &str = "statistics.json";
const REPORT: &str = "report.html";
const LAST: &str = "last.safetensors";
const PREVIOUS: &str = "previous.safetensors";
const BEST: &str = "best.safetensors";

/// The folder of a run, which exists.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Keeps other processes from writing a run into it, where this one does.
    marker: Option<Arc<Marker>>,
}

impl RunDirectory {
    /// A folder for a new run: made with its parents if it is missing, and this process's until the value and its clones are dropped. Where a
    /// run was before, its files are removed; other files stay.
    ///
    /// # Errors
    /// The path is a file, or a folder with files in it that is not a run's; another process has it; it cannot be made or written.
    pub fn create(path: &Path) -> Result<Self, RunDirectoryError> {
        if RunDirectory::find(path)?.is_none() {
            fs::create_dir_all(path).map_err(|source| FileError::new(path, source))?;
        }
        let mut marker = Marker::take(path)?;
        clear(path, &marker)?;
        marker.forget_exports().map_err(|source| FileError::new(&path.join(marker::NAME), source))?;
        for folder in [CHECKPOINTS, EXPORT] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(|source| FileError::new(&folder, source))?;
        }
        Ok(RunDirectory { path: path.into(), marker: Some(Arc::new(marker)) })
    }

    /// The folder of a run that goes on; this process's as in [`RunDirectory::create`].
    ///
    /// # Errors
    /// The path is not the folder of a run, or another process has it.
    pub fn resume(path: &Path) -> Result<Self, RunDirectoryError> {
        let run = RunDirectory::open(path)?;
        let marker = Marker::take(path)?;
        Ok(RunDirectory { marker: Some(Arc::new(marker)), ..run })
    }

    /// The run at a path that a run may be written to; `None` where nothing is, or an empty folder. Changes nothing.
    ///
    /// # Errors
    /// The path is a file, or a folder with files in it that is not a run's; it cannot be read.
    pub fn find(path: &Path) -> Result<Option<Self>, RunDirectoryError> {
        let run = RunDirectory { path: path.into(), marker: None };
        match fs::read_dir(path) {
            Ok(_) if marker::is_there(path) => Ok(Some(run)),
            Ok(mut entries) => entries.next().map_or(Ok(None), |entry| {
                let entry = entry.map_err(|source| FileError::new(path, source))?.file_name().to_string_lossy().into_owned();
                Err(RunDirectoryError::Foreign { path: path.into(), entry })
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(RunDirectoryError::NotADirectory { path: path.into() }),
            Err(e) => Err(FileError::new(path, e).into()),
        }
    }

    /// The folder of a run that was made before, to read from it.
    ///
    /// # Errors
    /// The path is not the folder of a run.
    pub fn open(path: &Path) -> Result<Self, RunDirectoryError> {
        match marker::is_there(path) {
            true => Ok(RunDirectory { path: path.into(), marker: None }),
            false => Err(RunDirectoryError::NotARun { path: path.into() }),
        }
    }

    /// Refuses a folder that another process has.
    ///
    /// # Errors
    /// Another process has it, or its marker cannot be read.
    pub fn check_free(&self) -> Result<(), RunDirectoryError> {
        Marker::take(&self.path).map(|_| ())
    }

    /// Takes the run away: for one that failed before it had any result. The folder goes too if nothing else is in it.
    ///
    /// # Errors
    /// Another process has it, or a file cannot be removed.
    pub fn remove(self) -> Result<(), RunDirectoryError> {
        // One lock a process: the one that is held has to go before it is taken for what was exported.
        drop(self.marker);
        let marker = Marker::take(&self.path)?;
        clear(&self.path, &marker)?;
        remove_file(&self.path.join(marker::NAME))?;
        // A folder with other files in it stays.
        let _ = fs::remove_dir(&self.path);
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
        self.path.join(CHECKPOINTS).join(LAST)
    }

    /// The checkpoint before the newest, should that be damaged.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINTS).join(PREVIOUS)
    }

    /// The checkpoint of the best evaluation.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINTS).join(BEST)
    }

    /// Keeps the newest checkpoint as the one before it, for a newer one is about to be written. Whenever this ends, even amid it, the newest
    /// is there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep_previous_checkpoint(&self) -> Result<(), FileError> {
        let (last, previous) = (self.last_checkpoint(), self.previous_checkpoint());
        if !last.exists() {
            return Ok(());
        }
        remove_file(&previous)?;
        // Not every file system has links.
        fs::hard_link(&last, &previous)
            .or_else(|_| fs::copy(&last, &previous).map(|_| ()))
            .map_err(|source| FileError::new(&previous, source))
    }

    /// The summary as JSON.
    pub fn summary(&self) -> PathBuf {
        self.path.join(SUMMARY_JSON)
    }

    /// What quantization does to each layer, as JSON.
    pub fn statistics(&self) -> PathBuf {
        self.path.join(STATISTICS)
    }

    /// The run in pictures.
    pub fn report(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// The folder of exported files.
    pub fn exports(&self) -> PathBuf {
        self.path.join(EXPORT)
    }

    /// Where an exported file of a name goes.
    pub fn export(&self, name: &str) -> PathBuf {
        self.path.join(EXPORT).join(name)
    }

    /// Notes what was exported into the folder, so that a run after this one may remove it; files elsewhere are left alone for good.
    ///
    /// # Errors
    /// The marker cannot be written.
    pub fn note_exports(&self, files: &[PathBuf]) -> Result<(), FileError> {
        let own = files.iter().filter_map(|file| file.strip_prefix(&self.path).ok());
        marker::note_exports(&self.path, own).map_err(|source| FileError::new(&self.path.join(marker::NAME), source))
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
        write_whole(&self.path.join(SUMMARY_TEXT), printable(text).as_bytes())
    }

    /// Writes what quantization does to each layer.
    ///
    /// # Errors
    /// The file cannot be written; the one before stays then.
    pub fn write_statistics<S: Serialize>(&self, statistics: &S) -> Result<(), FileError> {
        let path = self.statistics();
        let bytes = serde_json::to_vec(statistics).map_err(|e| FileError::new(&path, e.into()))?;
        write_whole(&path, &bytes)
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

/// Removes what runs have written into a folder, and nothing else: folders go where nothing else is in them.
fn clear(path: &Path, marker: &Marker) -> Result<(), FileError> {
    let checkpoints = [LAST, PREVIOUS, BEST].map(|name| Path::new(CHECKPOINTS).join(name));
    let own = [RECIPE, METRICS, SUMMARY_TEXT, SUMMARY_JSON, STATISTICS, REPORT].map(PathBuf::from).into_iter().chain(checkpoints);
    let mut folders = vec![path.join(CHECKPOINTS)];
    for file in own.chain(marker.exported.iter().cloned()) {
        let file = path.join(file);
        // A link may lead out of the folder; what lies there is no run's.
        let folder = file.parent().unwrap_or(path);
        if !is_within(folder, path) {
            continue;
        }
        remove_file(&file)?;
        remove_file(&partial(&file))?;
        folders.push(folder.to_owned());
    }
    folders.push(path.join(EXPORT));
    for folder in folders.iter().filter(|folder| folder.as_path() != path) {
        // One that is not empty, or not there, stays as it is.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

fn is_within(folder: &Path, path: &Path) -> bool {
    matches!((folder.canonicalize(), path.canonicalize()), (Ok(folder), Ok(path)) if folder.starts_with(&path))
}

/// What is not there need not be removed.
fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
