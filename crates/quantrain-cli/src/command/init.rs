//! `quantrain init`: a recipe to begin with.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use quantrain::recipe::{Overrides, Recipe, RecipeFile};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::SettingFlags;

/// Print a commented recipe for a network, with the defaults filled in
#[derive(Debug, Args)]
pub struct Init {
    /// The float network, an ONNX file
    model: PathBuf,
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
}

impl Init {
    /// Checks the network and the flags, then fills in the recipe.
    pub fn run(self) -> Result<InitReport, CliError> {
        let mut overrides = Overrides { model: Some(self.model.clone()), out: self.out, ..Overrides::default() };
        self.settings.over(&mut overrides);
        let recipe = Recipe::load(None, overrides.clone())?;
        quantrain::image_size(&quantrain_onnx::read_with(recipe.model(), recipe.read_options())?)?;
        Ok(InitReport { recipe: RecipeFile::from(overrides).commented() })
    }
}

impl fmt::Display for InitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.recipe)
    }
}
