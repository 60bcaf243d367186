//! What can be wrong with a recipe.

use std::path::PathBuf;
use std::{fmt, io};

use quantrain_graph::TargetError;
use thiserror::Error;

/// A place in a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file; empty if there is none and all was given by flags.
    pub file: PathBuf,
    /// The line, from 1, if it is known.
    pub line: Option<usize>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            _ if self.file.as_os_str().is_empty() => f.write_str("flags"),
            Some(line) => write!(f, "{}:{line}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

/// A recipe could not be read.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// The file could not be read.
    #[error("{file}: {source}; is the path right?")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not text in UTF-8.
    #[error("{location}: not UTF-8 found here; save the recipe as text in UTF-8")]
    NotText {
        /// Where that begins.
        location: Location,
    },
    /// The file is not TOML.
    #[error("{location}: {message}")]
    Syntax {
        /// Where.
        location: Location,
        /// What the parser says.
        message: String,
    },
    /// No key has this name.
    #[error("{location}: key `{key}` is not known; {hint}")]
    UnknownKey {
        /// Where.
        location: Location,
        /// The key.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A key has a name for a value that it does not know.
    #[error("{location}: {key}: `{found}` found, {expected}")]
    UnknownValue {
        /// Where.
        location: Location,
        /// The key.
        key: String,
        /// The value.
        found: String,
        /// The values that it knows, and which may have been meant.
        expected: String,
    },
    /// A key has a value of the wrong type.
    #[error("{location}: {key}: {message}")]
    InvalidValue {
        /// Where.
        location: Location,
        /// The key.
        key: String,
        /// What the parser says.
        message: String,
    },
    /// A value is out of its range, or contradicts another.
    #[error("{location}: {source}")]
    Check {
        /// Where.
        location: Location,
        /// What is wrong.
        source: Box<CheckError>,
    },
}

/// A value of a recipe is wrong; the caller adds file and line.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A key without a default is absent.
    #[error("{key}: nothing found; set it in the recipe or by its flag")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value lies outside its range.
    #[error("{key}: {found} found, {expected} expected")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// A name that stands for no choice, from a flag.
    #[error("`{found}` found, {expected} expected")]
    Name {
        /// The name.
        found: String,
        /// What is known.
        expected: String,
    },
    /// A device that this build does not have.
    #[error("device: `{found}` found, only `cpu` is built in; remove the key or the flag")]
    Device {
        /// The device.
        found: String,
    },
    /// The target is not known, its file is wrong, or it does not have a width.
    #[error("{key}: {source}")]
    Target {
        /// The key that asks for it.
        key: &'static str,
        /// What is wrong.
        source: TargetError,
    },
    /// A file of class names could not be read.
    #[error("data.classes: {file}: {source}; is the path right?")]
    ClassFile {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A target file could not be read.
    #[error("target: {file}: {source}; is the path right?")]
    TargetFile {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl CheckError {
    /// The key that is wrong, as `table.key`.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            CheckError::Missing { key } | CheckError::Value { key, .. } | CheckError::Target { key, .. } => Some(key),
            CheckError::Device { .. } => Some("device"),
            CheckError::TargetFile { .. } => Some("target"),
            CheckError::ClassFile { .. } => Some("data.classes"),
            CheckError::Name { .. } => None,
        }
    }
}
