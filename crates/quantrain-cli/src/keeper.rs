//! What a training keeps in its run directory.

use quantrain::checkpoint::{self, Identity};
use quantrain::{FileError, Keeper, LogLine, MetricsLog, RunDirectory, RunError, TrainState};

/// Writes the metrics log and the checkpoints of a run.
pub struct RunKeeper<'r> {
    run: &'r RunDirectory,
    identity: Identity,
    log: MetricsLog,
    kept: Option<u64>,
}

impl<'r> RunKeeper<'r> {
    /// For a new run, or for one that goes on from a state.
    pub fn new(run: &'r RunDirectory, identity: Identity, from: Option<&TrainState>) -> Result<Self, FileError> {
        let kept = from.map(|state| state.position.step);
        let log = kept.map_or_else(|| run.start_metrics(), |step| run.resume_metrics(step))?;
        Ok(RunKeeper { run, identity, log, kept })
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
        // The best first: killed in between, a resumed run comes here again.
        for path in [best.then(|| self.run.best_checkpoint()), Some(self.run.last_checkpoint())].into_iter().flatten() {
            checkpoint::write(&path, &self.identity, &state.position, &state.tensors)?;
        }
        self.kept = Some(state.position.step);
        Ok(())
    }
}
