//! The command `quantrain`: what the library does, from a shell.
//!
//! Results go to standard output, progress and warnings to standard error. One line tells an error; the exit code is 2 for what the user
//! can mend, 130 after Ctrl-C and 1 if the results could not be printed, `verify` finds a difference, or a training diverged and what was
//! best before is exported.
#![forbid(unsafe_code)]

mod command;
mod coverage;
pub mod embedded;
mod error;
mod flags;
mod keeper;
mod pictures;
mod progress;
mod report;
mod scheme;
mod stop;
mod stored;
mod subject;
mod table;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::{CommandFactory, FromArgMatches, Parser};
use quantrain::printable;

use command::{Answer, Command};
use error::CliError;
use progress::Console;

/// Quantization-aware training: a float ONNX network in, an integer network out.
#[derive(Debug, Parser)]
#[command(name = "quantrain", version, arg_required_else_help = false, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object on standard output and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    quiet: bool,
}

/// The exit code of what is no error and no answer.
const SUCCESS: u8 = 0;

/// The exit code of `verify` that found a difference, of a training that diverged, and of results that could not be printed.
const FAILURE: u8 = 1;

/// Runs the command with these arguments, the program's name first; gives the exit code. It is for a process of its own: it sets the number of
/// threads and listens to signals.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => return print(&error.render().to_string()),
        Err(error) => return fail(&CliError::usage(&error)),
    };
    match run(arguments) {
        Ok(Answer { text, is_yes: true }) => print(&text),
        Ok(Answer { text, is_yes: false }) => {
            print(&text);
            FAILURE
        }
        Err(error) => fail(&error),
    }
}

/// The arguments; a value may be a negative number wherever one is taken.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let numbers = |argument: clap::Arg| {
        let takes_value = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_value)
    };
    let command = Cli::command().mut_subcommands(|command| command.mut_args(numbers));
    Cli::from_arg_matches(&command.try_get_matches_from(with_exponents_joined(arguments))?)
}

/// Joins a flag and a number such as -1e-3, which clap does not take for one, because of its second sign.
fn with_exponents_joined(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        let is_number = text.starts_with('-') && text.to_lowercase().contains("e-") && text.parse::<f64>().is_ok();
        match joined
            .last_mut()
            .filter(|flag| is_number && flag.to_str().is_some_and(|f| f.starts_with("--") && f.len() > 2 && !f.contains('=')))
        {
            Some(flag) => {
                flag.push("=");
                flag.push(argument);
            }
            None => joined.push(argument),
        }
    }
    joined
}

fn run(Cli { command, json, quiet }: Cli) -> Result<Answer, CliError> {
    stop::outlive_file_limits()?;
    quantrain_kernels::Simd::detect()?;
    command.run(&mut Console::new(json || quiet), json)
}

fn print(text: &str) -> u8 {
    match io::stdout().lock().write_all(printable(text).as_bytes()).and_then(|()| io::stdout().flush()) {
        // Whoever stopped reading (`quantrain inspect … | head`) has what was wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&CliError::Output { source: error }),
        _ => SUCCESS,
    }
}

/// Letters of the longest message; files may hold names of a million.
const LONGEST: usize = 4000;

/// A message without its middle, where it is very long.
fn shortened(message: &str) -> Cow<'_, str> {
    let count = message.chars().count();
    if count <= LONGEST {
        return message.into();
    }
    let start: String = message.chars().take(LONGEST / 2).collect();
    let end: String = message.chars().skip(count - LONGEST / 2).collect();
    format!("{start} … {end}").into()
}

fn fail(error: &CliError) -> u8 {
    // Where standard error is closed nobody can be told.
    let _ = writeln!(io::stderr(), "quantrain: {}", one_line(error));
    error.exit_code()
}

/// An error in one line, whatever a library put into its message.
fn one_line(error: &CliError) -> String {
    let message = error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
    printable(&shortened(&message)).into_owned()
}
