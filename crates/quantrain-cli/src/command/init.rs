//! `quantrain init`: a recipe to begin with.

use std::fmt;
use std::path::{self, Path, PathBuf};

use clap::Args;
use quantrain::recipe::Overrides;
use quantrain::{FileError, write_whole};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::SettingFlags;
use crate::subject::Subject;

/// Print a commented recipe for a network, with the defaults filled in
#[derive(Debug, Args)]
pub struct Init {
    /// The float network, an ONNX file; or a recipe or run directory, whose choices are then taken over
    #[arg(value_name = "MODEL|RECIPE|RUN")]
    subject: PathBuf,
    /// Write the recipe to this file, with paths as they are from its folder; printed, paths are as they are from the current one
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
    /// The run directory that the recipe names [default: run]
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    out: Option<PathBuf>,
}

/// A recipe.
#[derive(Debug, Serialize)]
pub struct InitReport {
    recipe: String,
    /// Where it was written to; `null` where it is printed.
    file: Option<PathBuf>,
}

impl Init {
    /// Checks the network and the flags, then fills in the recipe.
    pub fn run(self) -> Result<InitReport, CliError> {
        let mut flags = Overrides { out: self.out.clone(), ..Overrides::default() };
        let recipe = match Subject::of(&self.subject)? {
            Subject::Model(model) => {
                flags.model = Some(model);
                None
            }
            Subject::Recipe(recipe) => Some(recipe),
            Subject::Run(run) => Some(run.recipe()),
        };
        let recipe = self.settings.load(recipe.as_deref(), flags)?;
        quantrain::check_inputs(&quantrain_onnx::read_with(recipe.model(), recipe.read_options())?, &recipe)?;
        let chosen = recipe.chosen().clone();
        let Some(file) = self.write else { return Ok(InitReport { recipe: chosen.commented(), file: None }) };
        if file.exists() {
            return Err(CliError::FileExists { file });
        }
        let folder = folder_of(&file)?;
        let text = chosen.seen_from(&folder).commented();
        write_whole(&file, text.as_bytes())?;
        Ok(InitReport { recipe: text, file: Some(file) })
    }
}

/// The folder that a file lies in, as an absolute path.
fn folder_of(file: &Path) -> Result<PathBuf, CliError> {
    let absolute = path::absolute(file).map_err(|source| FileError::new(file, source))?;
    Ok(absolute.parent().unwrap_or(Path::new("/")).to_owned())
}

impl fmt::Display for InitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "recipe written to {}", file.display()),
            None => f.write_str(&self.recipe),
        }
    }
}
