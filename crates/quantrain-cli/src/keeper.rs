//! What a training keeps in its run directory, and what is taken up from there.

use std::path::Path;

use quantrain::checkpoint::{self, Identity};
use quantrain::{CheckpointError, FileError, Keeper, LogLine, MetricsLog, Position, RunDirectory, RunError, TrainState};
use serde::{Deserialize, Serialize};

/// What a checkpoint of a run says beside its tensors.
#[derive(Serialize, Deserialize)]
struct Record<P> {
    position: P,
    /// Length of the metrics log.
    log: u64,
}

/// A checkpoint, read.
pub struct Checkpoint {
    /// The state of the training.
    pub state: TrainState,
    /// Length of the metrics log.
    log: u64,
    /// What is wrong with a newer one, in whose place this stands.
    pub in_place_of: Option<CheckpointError>,
}

impl Checkpoint {
    /// Reads a checkpoint of this identity.
    pub fn read(path: &Path, identity: &Identity) -> Result<Self, CheckpointError> {
        let (Record::<Position> { position, log }, tensors) = checkpoint::read(path, identity)?;
        Ok(Checkpoint { state: TrainState { position, tensors }, log, in_place_of: None })
    }

    /// The newest checkpoint of a run, if it has one; the one before it, where the newest is damaged.
    pub fn last(run: &RunDirectory, identity: &Identity) -> Result<Option<Self>, CheckpointError> {
        let (last, previous) = (run.last_checkpoint(), run.previous_checkpoint());
        if !last.exists() {
            return Ok(None);
        }
        match Checkpoint::read(&last, identity) {
            Err(damaged @ (CheckpointError::Damaged { .. } | CheckpointError::NotFinite { .. })) if previous.exists() => {
                let before = Checkpoint::read(&previous, identity).map_err(|_| damaged.clone())?;
                Ok(Some(Checkpoint { in_place_of: Some(damaged), ..before }))
            }
            read => read.map(Some),
        }
    }
}

/// Writes the metrics log and the checkpoints of a run.
pub struct RunKeeper<'r> {
    run: &'r RunDirectory,
    identity: Identity,
    log: MetricsLog,
    /// Steps done in the newest checkpoint.
    kept: Option<u64>,
}

impl<'r> RunKeeper<'r> {
    /// For a new run, or for one that goes on from a checkpoint.
    pub fn new(run: &'r RunDirectory, identity: Identity, from: Option<&Checkpoint>) -> Result<Self, FileError> {
        let log = from.map_or_else(|| run.start_metrics(), |checkpoint| run.resume_metrics(checkpoint.log))?;
        Ok(RunKeeper { run, identity, log, kept: from.map(|checkpoint| checkpoint.state.position.step) })
    }

    /// Steps done in the newest checkpoint.
    pub fn kept(&self) -> Option<u64> {
        self.kept
    }
}

impl Keeper for RunKeeper<'_> {
    fn log(&mut self, line: &LogLine) -> Result<(), RunError> {
        Ok(self.log.append(line)?)
    }

    fn keep(&mut self, state: &TrainState, best: bool) -> Result<(), RunError> {
        let record = Record { position: &state.position, log: self.log.length() };
        self.run.keep_previous_checkpoint()?;
        // The best first: killed in between, a resumed run comes here again.
        for path in [best.then(|| self.run.best_checkpoint()), Some(self.run.last_checkpoint())].into_iter().flatten() {
            checkpoint::write(&path, &self.identity, &record, &state.tensors)?;
        }
        self.kept = Some(state.position.step);
        Ok(())
    }

    fn best(&mut self) -> Result<Option<TrainState>, RunError> {
        let path = self.run.best_checkpoint();
        Ok(path.exists().then(|| Checkpoint::read(&path, &self.identity)).transpose()?.map(|checkpoint| checkpoint.state))
    }
}
