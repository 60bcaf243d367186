//! The metrics log: one JSON object a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::FileError;

/// A log that lines are added to.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl MetricsLog {
    /// An empty log.
    pub(super) fn start(path: &Path) -> Result<Self, FileError> {
        let file = File::create(path).map_err(|source| FileError::new(path, source))?;
        Ok(MetricsLog { path: path.into(), file, length: 0 })
    }

    /// A log that goes on where it was `length` bytes long: what was written behind that goes. Where it is shorter, as after a power failure,
    /// its whole lines stay.
    pub(super) fn resume(path: &Path, length: u64) -> Result<Self, FileError> {
        let error = |source| FileError::new(path, source);
        let mut text = match fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(error)?,
        };
        text.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let length = text.iter().rposition(|&b| b == b'\n').map_or(0, |end| end as u64 + 1);
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(error)?;
        file.set_len(length).map_err(error)?;
        Ok(MetricsLog { path: path.into(), file, length })
    }

    /// Bytes of the lines so far: what a checkpoint remembers.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a line. Write the lines of a step before its checkpoint, and they are there after a resume.
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
