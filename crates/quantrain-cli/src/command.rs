//! The commands, a file each: arguments, what the library is asked, and the report.

mod evaluate;
mod export;
mod init;
mod inspect;
mod quantize;
mod report;
mod sensitivity;
mod train;
mod verify;

use clap::Subcommand;
use std::path::{Path, PathBuf};

use quantrain::recipe::{Overrides, Recipe};
use quantrain::{Job, RunDirectory};

use crate::error::CliError;
use crate::flags::SetFlags;
use crate::progress::Console;
use crate::report::render;
use crate::stop;
use crate::stored::exported;
use crate::subject::Subject;

/// What `quantrain` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Inspect(inspect::Inspect),
    Init(init::Init),
    Quantize(quantize::Quantize),
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Verify(verify::Verify),
    Sensitivity(sensitivity::Sensitivity),
    Export(export::Export),
    Report(report::Report),
}

impl Command {
    /// Does the work; gives what goes to standard output, and the exit code.
    pub fn run(self, console: &mut Console, json: bool) -> Result<Answer, CliError> {
        let text = match self {
            Command::Inspect(command) => render(&command.run()?, json),
            Command::Init(command) => render(&command.run()?, json),
            Command::Quantize(command) => render(&command.run(console)?, json),
            Command::Train(command) => {
                let report = command.run(console)?;
                return Ok(Answer { text: render(&report, json)?, is_yes: report.is_whole() });
            }
            Command::Evaluate(command) => render(&command.run(console)?, json),
            Command::Sensitivity(command) => render(&command.run(console)?, json),
            Command::Export(command) => render(&command.run(console)?, json),
            Command::Report(command) => render(&command.run()?, json),
            Command::Verify(command) => {
                let report = command.run(console)?;
                return Ok(Answer { text: render(&report, json)?, is_yes: report.is_exact() });
            }
        };
        Ok(Answer { text: text?, is_yes: true })
    }
}

/// What goes to standard output, and whether the exit code is 0 rather than 1.
pub struct Answer {
    /// The report.
    pub text: String,
    /// False where a question was asked and the answer is no, and where a training ended before its time.
    pub is_yes: bool,
}

/// Readies the process for long work: threads, unless a caller has given some; Ctrl-C, until the result is dropped.
fn start(recipe: &Recipe) -> Result<stop::Listening, CliError> {
    if rayon::current_thread_index().is_none() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(recipe.threads());
        pool.build_global().map_err(|e| CliError::Threads { message: e.to_string() })?;
    }
    stop::listen()
}

/// What there is to know of a job's data, for the report; told on a terminal at once.
fn told(job: &Job, console: &Console) -> Vec<String> {
    let notes = job.notes();
    notes.iter().for_each(|note| console.note(note));
    notes
}

/// The recipe by which a file is judged: a model, the model of a recipe, or what a run exported; images and preprocessing are those of the
/// recipe that is given, else of the run.
fn of_subject(subject: &Path, recipe: Option<&Path>, flags: Overrides, set: &SetFlags) -> Result<Recipe, CliError> {
    let given = recipe.map(Subject::recipe).transpose()?;
    let load = |recipe: Option<PathBuf>, flags: Overrides| Ok(Recipe::load(recipe.as_deref(), set.over(flags)?)?);
    match Subject::of(subject)? {
        Subject::Model(model) => load(given, Overrides { model: Some(model), ..flags }),
        Subject::Recipe(own) if given.is_none() => load(Some(own), flags),
        Subject::Recipe(own) => {
            let model = Recipe::load(Some(&own), Overrides::default())?.model().to_owned();
            load(given, Overrides { model: Some(model), ..flags })
        }
        Subject::Run(run) => {
            let model = exported(&run, &Recipe::load(Some(&run.recipe()), Overrides::default())?)?;
            load(given.or(Some(run.recipe())), Overrides { model: Some(model), ..flags })
        }
    }
}

/// Refuses a run directory that a new run may not be written to, before any work is done.
fn check_out(recipe: &Recipe, overwrite: bool) -> Result<(), CliError> {
    let Some(run) = RunDirectory::find(recipe.out())? else { return Ok(()) };
    run.check_free()?;
    match !overwrite && run.last_checkpoint().exists() {
        true => Err(CliError::RunExists { run: run.path().into() }),
        false => Ok(()),
    }
}
