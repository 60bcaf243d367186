//! What a training keeps in its run directory, and what is taken up from there.

use std::path::Path;

use quantrain::checkpoint::{self, DataFingerprint, Identity};
use quantrain::{CheckpointError, FileError, Job, Keeper, LogLine, MetricsLog, Position, RunDirectory, RunError, TrainState};
use serde::{Deserialize, Serialize};

use crate::embedded::EpochListener;

/// What a checkpoint of a run says beside its tensors.
#[derive(Serialize, Deserialize)]
struct Record<P, C> {
    position: P,
    /// Length of the metrics log.
    log: u64,
    circumstances: C,
}

/// What the bits of a training depend on, beside its recipe and its network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The data.
    data: Vec<DataFingerprint>,
    /// The instructions that the kernels use.
    kernels: String,
}

impl Circumstances {
    /// Those of this process.
    pub fn of(job: &Job) -> Result<Self, RunError> {
        Ok(Circumstances { data: job.data_fingerprints()?, kernels: quantrain_kernels::simd().name().to_owned() })
    }
}

/// A checkpoint, read.
pub struct Checkpoint {
    /// The state of the training.
    pub state: TrainState,
    /// Length of the metrics log.
    log: u64,
    /// Where the training began; none in a file of an older version.
    circumstances: Option<Circumstances>,
    /// What is wrong with a newer one, in whose place this stands.
    pub in_place_of: Option<CheckpointError>,
}

impl Checkpoint {
    /// Reads a checkpoint of this identity.
    pub fn read(path: &Path, identity: &Identity) -> Result<Self, CheckpointError> {
        let (Record::<Position, _> { position, log, circumstances }, tensors) = checkpoint::read(path, identity)?;
        Ok(Checkpoint { state: TrainState { position, tensors }, log, circumstances, in_place_of: None })
    }

    /// Whether a training may go on from here: on the data that it began with. Returns a warning where its bits will be others.
    pub fn goes_on(&self, run: &RunDirectory, now: &Circumstances) -> Result<Option<String>, CheckpointError> {
        let Some(before) = &self.circumstances else { return Ok(None) };
        let found = |key: &str| now.data.iter().find(|data| data.key == key);
        let change =
            before.data.iter().find_map(|was| Some((was.key.clone(), found(&was.key)?)).and_then(|(key, is)| Some((key, was.change(is)?))));
        if let Some((key, change)) = change {
            return Err(CheckpointError::OtherData { path: run.last_checkpoint(), key, change });
        }
        Ok((before.kernels != now.kernels).then(|| {
            let (before, now) = (&before.kernels, &now.kernels);
            format!(
                "the training began on `{before}` kernels, this process has `{now}`: the result will not have the bits of a run left alone"
            )
        }))
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
    circumstances: Circumstances,
    log: MetricsLog,
    /// Steps done in the newest checkpoint.
    kept: Option<u64>,
    on_epoch: Option<EpochListener>,
}

impl<'r> RunKeeper<'r> {
    /// For a new run, or for one that goes on from a checkpoint.
    pub fn new(
        run: &'r RunDirectory,
        identity: Identity,
        circumstances: Circumstances,
        from: Option<&Checkpoint>,
    ) -> Result<Self, FileError> {
        let log = from.map_or_else(|| run.start_metrics(), |checkpoint| run.resume_metrics(checkpoint.log))?;
        Ok(RunKeeper { run, identity, circumstances, log, kept: from.map(|checkpoint| checkpoint.state.position.step), on_epoch: None })
    }

    /// Tells somebody of each epoch.
    pub fn heard_by(mut self, on_epoch: Option<EpochListener>) -> Self {
        self.on_epoch = on_epoch;
        self
    }

    /// Steps done in the newest checkpoint.
    pub fn kept(&self) -> Option<u64> {
        self.kept
    }
}

impl Keeper for RunKeeper<'_> {
    fn log(&mut self, line: &LogLine) -> Result<(), RunError> {
        self.log.append(line)?;
        match &mut self.on_epoch {
            Some(hear) if matches!(line, LogLine::Epoch { .. }) => hear(line),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, state: &TrainState, best: bool) -> Result<(), RunError> {
        let record = Record { position: &state.position, log: self.log.length(), circumstances: &self.circumstances };
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
