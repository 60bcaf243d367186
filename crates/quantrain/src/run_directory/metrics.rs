//! The metrics log: one JSON object a line, each with the step it belongs to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::FileError;

/// A log that lines are added to.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

/// What every line has.
#[derive(Deserialize)]
struct Line {
    step: u64,
}

impl MetricsLog {
    /// An empty log.
    pub(super) fn start(path: &Path) -> Result<Self, FileError> {
        let file = File::create(path).map_err(|source| FileError::new(path, source))?;
        Ok(MetricsLog { path: path.into(), file, length: 0 })
    }

    /// A log that keeps the lines up to a step, as they lay when the checkpoint of that step was written: the first line of a later step, or
    /// one that was not written to its end, goes with all behind it.
    pub(super) fn resume(path: &Path, step: u64) -> Result<Self, FileError> {
        let error = |source| FileError::new(path, source);
        let text = match fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(error)?,
        };
        let belongs = |line: &&[u8]| line.ends_with(b"\n") && serde_json::from_slice::<Line>(line).is_ok_and(|l| l.step <= step);
        let length = text.split_inclusive(|&b| b == b'\n').take_while(belongs).map(|line| line.len() as u64).sum();
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(error)?;
        file.set_len(length).map_err(error)?;
        Ok(MetricsLog { path: path.into(), file, length })
    }

    /// Adds a line: an object with a field `step`. Write the lines of a step before its checkpoint, and they are there after a resume.
    ///
    /// # Errors
    /// The disk is full or the like; no part of the line is left then.
    pub fn append<T: Serialize>(&mut self, line: &T) -> Result<(), FileError> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| FileError::new(&self.path, e.into()))?;
        bytes.push(b'\n');
        if let Err(source) = self.file.write_all(&bytes) {
            // A torn line would be dropped on resume anyway; the first error counts.
            let _ = self.file.set_len(self.length);
            return Err(FileError::new(&self.path, source));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}
