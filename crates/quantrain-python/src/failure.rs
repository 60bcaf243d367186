//! Errors of the library as the exceptions of `quantrain.errors`, with the same words.

use pyo3::prelude::*;
use quantrain::{CheckpointError, FileError, RecipeError, RunError, SessionError};
use quantrain_engine::EngineError;
use quantrain_onnx::ReadError;

/// Names in `quantrain.errors`.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Settings that do not hold.
    Recipe,
    /// A file that is no network, or one that cannot be run or quantized so.
    Model,
    /// Arrays that do not fit.
    Input,
    /// A call at the wrong time.
    State,
    /// NaN or infinities.
    Numeric,
    /// A checkpoint of something else.
    Checkpoint,
    /// A file that is not there.
    MissingFile,
    /// A file that cannot be read or written.
    FileAccess,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Recipe => "RecipeError",
            Kind::Model => "ModelError",
            Kind::Input => "InputError",
            Kind::State => "StateError",
            Kind::Numeric => "NumericError",
            Kind::Checkpoint => "CheckpointError",
            Kind::MissingFile => "MissingFileError",
            Kind::FileAccess => "FileAccessError",
        }
    }
}

/// An exception of a kind.
pub fn raise(kind: Kind, message: impl Into<String>) -> PyErr {
    let message = message.into();
    Python::attach(|py| {
        let made = py.import("quantrain.errors").and_then(|errors| errors.getattr(kind.class())).and_then(|class| class.call1((message,)));
        made.map_or_else(|error| error, PyErr::from_value)
    })
}

/// An error of the library.
pub fn of(error: impl Into<RunError>) -> PyErr {
    let error = error.into();
    raise(kind(&error), error.to_string())
}

/// An error of a recipe.
pub fn of_recipe(error: &RecipeError) -> PyErr {
    let missing = matches!(error, RecipeError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    raise(if missing { Kind::MissingFile } else { Kind::Recipe }, error.to_string())
}

fn kind(error: &RunError) -> Kind {
    match error {
        RunError::Session(session) => match session {
            SessionError::NotFinite { .. } => Kind::Numeric,
            SessionError::NoForward
            | SessionError::NoBackward
            | SessionError::NotRestored { .. }
            | SessionError::NoCalibration
            | SessionError::NotQuantized { .. } => Kind::State,
            SessionError::Threads { .. } | SessionError::Epoch { .. } => Kind::Recipe,
            _ => Kind::Input,
        },
        RunError::Read(ReadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Kind::MissingFile,
        RunError::Read(ReadError::Io { .. }) => Kind::FileAccess,
        RunError::Read(_) => Kind::Model,
        RunError::Engine(EngineError::NotCalibrated { .. }) => Kind::State,
        RunError::Engine(_) | RunError::Placement(_) | RunError::Graph(_) | RunError::Lower(_) | RunError::Integer(_) => Kind::Model,
        RunError::QuantizedAlready { .. } | RunError::Check(_) => Kind::Recipe,
        RunError::Loss(_) | RunError::Optimizer(_) | RunError::Range { .. } | RunError::Diverged { .. } => Kind::Numeric,
        RunError::File(file) => of_file(file),
        RunError::Checkpoint(CheckpointError::File(file)) => of_file(file),
        RunError::Checkpoint(_) | RunError::OtherNetwork { .. } => Kind::Checkpoint,
        RunError::Write(_) => Kind::FileAccess,
        _ => Kind::Input,
    }
}

fn of_file(error: &FileError) -> Kind {
    match error {
        FileError::Other { message, .. } if message.contains("No such file") => Kind::MissingFile,
        _ => Kind::FileAccess,
    }
}
