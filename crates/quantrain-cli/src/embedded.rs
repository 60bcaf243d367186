//! A training within another program, which puts in a loss, a metric or a listener of its own; the Python package calls it.

use std::ffi::OsString;

use quantrain::loss::Loss;
use quantrain::metric::Metric;
use quantrain::{LogLine, RunError};

use crate::command::Command;
use crate::error::CliError;
use crate::progress::Console;
use crate::report::render;
use crate::{Cli, one_line, parse};

/// Hears of each epoch; an error ends the training.
pub type EpochListener = Box<dyn FnMut(&LogLine) -> Result<(), RunError> + Send>;

/// What stands in the place of the recipe's own.
#[derive(Default)]
pub struct Parts {
    /// What is minimised.
    pub loss: Option<Box<dyn Loss + Send>>,
    /// What a network is judged by.
    pub metric: Option<Box<dyn Metric + Send>>,
    /// Hears of each epoch.
    pub on_epoch: Option<EpochListener>,
}

/// Why a training ended without a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one line, as the command prints it.
    pub message: String,
    /// As the command's: 130 after Ctrl-C.
    pub exit_code: u8,
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Failure { message: one_line(&error), exit_code: error.exit_code() }
    }
}

/// Runs `quantrain train` with these arguments, the program's name first, on threads of its own; gives the report as JSON. Ctrl-C is listened to
/// for as long as it runs, and stops it with a checkpoint.
///
/// # Errors
/// The arguments are no training's, or it could not be done.
pub fn train(arguments: impl IntoIterator<Item = OsString>, parts: Parts) -> Result<String, Failure> {
    let Cli { command, json, quiet } = parse(arguments).map_err(|error| CliError::usage(&error))?;
    let Command::Train(train) = command else {
        return Err(CliError::Usage { message: "another command found, `train` expected".into() }.into());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(train.threads()?);
    let pool = pool.build().map_err(|error| CliError::Threads { message: error.to_string() })?;
    Ok(pool.install(|| {
        let report = train.run_with(&mut Console::new(json || quiet), parts)?;
        render(&report, true)
    })?)
}
