//! The network of a run, taken up again.

use std::path::PathBuf;

use quantrain::recipe::{Overrides, Recipe, Which};
use quantrain::{Job, RunDirectory};

use crate::error::CliError;
use crate::keeper::Checkpoint;

/// A run's network under a recipe.
pub struct Stored {
    /// The network with the weights of the checkpoint, if there is one.
    pub job: Job,
    /// Whether its ranges are those of the checkpoint too; else it has none yet.
    pub has_ranges: bool,
    /// What it was taken from.
    pub checkpoint: Option<Checkpoint>,
}

impl Stored {
    /// Opens a run's network under its own recipe or another, and takes up what training made of it: the best or the last checkpoint, or
    /// what the run exports. Ranges are taken too where quantizers are the same.
    ///
    /// # Errors
    /// The run's recipe, its model or a checkpoint cannot be read, or a checkpoint that was asked for is not there.
    pub fn open(run: &RunDirectory, recipe: Recipe, which: Option<Which>) -> Result<Self, CliError> {
        // A trained network has what training added to it.
        let open = if run.last_checkpoint().exists() { Job::for_checkpoint } else { Job::open };
        let own = Recipe::load(Some(&run.recipe()), Overrides::default())?;
        let identity = open(own)?.identity();
        let checkpoint = match which.unwrap_or(recipe.export().checkpoint) {
            Which::Best if which.is_some() || run.best_checkpoint().exists() => Some(Checkpoint::read(&run.best_checkpoint(), &identity)?),
            Which::Best | Which::Last => Checkpoint::last(run, &identity)?,
        };
        let mut job = open(recipe)?;
        let has_ranges = checkpoint.is_some() && job.identity().network == identity.network;
        match &checkpoint {
            Some(checkpoint) if has_ranges => job.restore(&checkpoint.state)?,
            Some(checkpoint) => job.restore_parameters(&checkpoint.state)?,
            None => {}
        }
        Ok(Stored { job, has_ranges, checkpoint })
    }
}

/// The model that a run exported.
///
/// # Errors
/// There is none.
pub fn exported(run: &RunDirectory, recipe: &Recipe) -> Result<PathBuf, CliError> {
    let model = run.export(recipe.exported_model());
    if model.exists() { Ok(model) } else { Err(CliError::NotExported { run: run.path().into(), model }) }
}
