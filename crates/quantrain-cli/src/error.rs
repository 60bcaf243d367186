//! Every failure of the command line, and its exit code.

use std::io;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use quantrain::recipe::key_meant;
use quantrain::{CheckpointError, Location, RecipeError, RunError};
use thiserror::Error;

use crate::stop;

/// A command could not do its work.
#[derive(Debug, Error)]
pub enum CliError {
    /// The arguments are wrong.
    #[error("{message}")]
    Usage {
        /// What clap says, in one line.
        message: String,
    },
    /// The environment names vector instructions that this machine does not have.
    #[error(transparent)]
    Simd(#[from] quantrain_kernels::SimdError),
    /// The recipe is wrong.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The library could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A training could not go on, and what it had before is kept.
    #[error("{source}; the checkpoint of step {step} is kept in {run}")]
    Training {
        /// What went wrong.
        source: Box<RunError>,
        /// Steps done in the checkpoint.
        step: u64,
        /// The run directory.
        run: PathBuf,
    },
    /// The run directory holds a training that would be lost.
    #[error(
        "{run}: a trained run found, an empty or new folder expected; go on with it (train --resume), replace it (--overwrite) or choose another --out"
    )]
    RunExists {
        /// The run directory.
        run: PathBuf,
    },
    /// Accuracy was asked for of images without labels.
    #[error("{data}: the images have no labels; accuracy needs them, or give the float network with --against")]
    Unlabelled {
        /// The images.
        data: PathBuf,
    },
    /// A training that is to go on has another recipe.
    #[error("{source}: it differs in {}", keys.join(", "))]
    OtherKeys {
        /// What is found.
        source: CheckpointError,
        /// Where.
        keys: Vec<String>,
    },
    /// Nothing was named to work on.
    #[error("nothing to work on found; name a network in ONNX, a recipe or a run directory")]
    Nothing,
    /// A key has a flag and is set beside it.
    #[error("{key}: given by its flag and by --set, one of them expected")]
    Twice {
        /// The key.
        key: String,
    },
    /// Two models were given.
    #[error("two models found, {} and {}, one expected", first.display(), second.display())]
    TwoModels {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A file that no command works on.
    #[error(
        "{}: {found} found; a network in ONNX, a recipe or a run directory expected (images go behind --data)", path.display()
    )]
    NoSubject {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A command does not work on what was given.
    #[error("{}: {found} found, {expected} expected", path.display())]
    OtherSubject {
        /// As given.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What the command works on.
        expected: &'static str,
    },
    /// A run has no exported model.
    #[error(
        "{}: no exported model found, {} expected; `quantrain train {0} --resume` ends the run, `quantrain export {0}` exports it as it is",
        run.display(), model.display()
    )]
    NotExported {
        /// The run directory.
        run: PathBuf,
        /// What would be there.
        model: PathBuf,
    },
    /// An export for other quantizers cannot calibrate them.
    #[error("quantizers for {target} are to be calibrated, which the run was not: {source}")]
    Recalibration {
        /// The target.
        target: String,
        /// Why that fails.
        source: Box<RunError>,
    },
    /// A file that a recipe was to be written to is there.
    #[error("{}: a file found there; remove it, or choose another name", file.display())]
    FileExists {
        /// The file.
        file: PathBuf,
    },
    /// Only calibration was asked for, and there is nothing to calibrate.
    #[error("quantization.enabled: false found, true expected: there is nothing to calibrate; `quantrain train` trains float networks")]
    NothingToQuantize,
    /// The user stopped the command.
    #[error("stopped; {advice}")]
    Stopped {
        /// How to go on.
        advice: String,
    },
    /// The number of threads cannot be had.
    #[error("threads: {message}; ask for fewer")]
    Threads {
        /// What the system says.
        message: String,
    },
    /// Ctrl-C cannot be caught.
    #[error("the handler of Ctrl-C cannot be set: {source}")]
    Signal {
        /// What the system says.
        source: io::Error,
    },
    /// There is no page of a run.
    #[error(transparent)]
    Report(#[from] quantrain_report::ReportError),
    /// The report has no form in JSON.
    #[error("the report cannot be printed as JSON: {source}")]
    Json {
        /// A path that is not UTF-8.
        source: serde_json::Error,
    },
    /// Standard output cannot be written.
    #[error("standard output: {source}")]
    Output {
        /// What the system says.
        source: io::Error,
    },
}

impl CliError {
    /// Clap's message without its usage lines.
    pub fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let lines = text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"));
        let words: Vec<&str> = lines.filter(|l| !l.is_empty()).collect();
        let message = words.join(" ").replace(" tip: ", "; ");
        let mut message = message.trim_start_matches("error: ").to_owned();
        if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) = (error.kind(), error.get(ContextKind::InvalidArg)) {
            if Path::new(flag).exists() {
                message += "; images go behind --data";
            }
            let key = key_meant(flag).filter(|_| flag.starts_with("--"));
            // What is a key by its very name is no slip for a flag.
            let is_key = key.as_ref().is_some_and(|key| key.rsplit('.').next() == Some(flag.trim_start_matches('-')));
            let has_similar = message.contains("a similar argument exists");
            if let Some(key) = key.filter(|_| is_key || !has_similar) {
                message.truncate(message.find("; ").unwrap_or(message.len()));
                message += &format!("; --set {key}=VALUE sets a key of the recipe");
            }
        }
        CliError::Usage { message: in_words(&message) }
    }

    /// What the shell sees.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Stopped { .. } | CliError::Run(RunError::Stopped { .. }) => stop::EXIT_CODE,
            CliError::Recalibration { source, .. } if matches!(**source, RunError::Stopped { .. }) => stop::EXIT_CODE,
            CliError::Output { .. } => 1,
            _ => 2,
        }
    }
}

/// What the standard library says of a number, in the words of the flag.
fn in_words(message: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("invalid digit found in string", "a whole number, 0 or more, expected"),
        ("cannot parse integer from empty string", "a whole number, 0 or more, expected"),
        ("number too large to fit in target type", "a smaller number expected"),
        ("invalid float literal", "a number expected"),
        ("cannot parse float from empty string", "a number expected"),
    ];
    let message = WORDS.iter().fold(message.to_owned(), |message, (theirs, ours)| message.replace(theirs, ours));
    match message.split_once(" is not in ").and_then(|(before, range)| Some((before, range.split_once("..=")?))) {
        // `invalid value '-1' for '--epochs <N>': -1 is not in 0..=4294967295`
        Some((before, (low, high))) => {
            let flag = before.rsplit_once(": ").map_or(before, |(flag, _)| flag);
            format!("{flag}: {low} to {high} expected")
        }
        None => message,
    }
}

/// What flags say is wrong in the same words as what a file says.
impl From<quantrain::CheckError> for CliError {
    fn from(source: quantrain::CheckError) -> Self {
        CliError::Recipe(RecipeError::Check { location: Location { file: PathBuf::new(), line: None }, source: Box::new(source) })
    }
}

macro_rules! through_run_error {
    ($($source:ty),+) => { $(
        impl From<$source> for CliError {
            fn from(source: $source) -> Self {
                CliError::Run(source.into())
            }
        }
    )+ };
}

through_run_error!(
    quantrain::CheckpointError,
    quantrain::FileError,
    quantrain::RunDirectoryError,
    quantrain_engine::EngineError,
    quantrain_graph::PlacementError,
    quantrain_onnx::ReadError
);
