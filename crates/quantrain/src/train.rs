//! Training: steps over batches, with what freezes, what is logged and what a resumed run needs.

mod average;
mod course;
mod objective;
mod recipe_loss;
mod state;
mod step;
mod warnings;

use std::time::{Duration, Instant};

use quantrain_data::{Batches, Loader};
use quantrain_engine::{Mode, Network};
use quantrain_graph::QuantGraph;
use serde::Serialize;

use crate::evaluate::evaluate;
use crate::loss::Loss;
use crate::metric::{Metric, Score};
use crate::optimizer::Optimizer;
use crate::oscillation::Oscillations;
use crate::progress::Progress;
use crate::quantizer_training::QuantizerTraining;
use crate::ranges::Ranges;
use crate::recipe::{Recipe, Which};
use crate::{CheckpointError, LossError, ObserveError, OptimizerError, RunError, mode};
use average::Average;
pub use course::{Best, Course, EpochScore};
use objective::Objective;
use recipe_loss::RecipeLoss;
pub(crate) use state::{OSCILLATION, tensors_of};
pub use state::{Position, TrainState, restore_network, restore_parameters};
use step::Stepper;

/// Keeps what a training tells: log lines and states to resume from.
pub trait Keeper {
    /// A line of the metrics log.
    ///
    /// # Errors
    /// The log cannot be written.
    fn log(&mut self, line: &LogLine) -> Result<(), RunError>;

    /// The state after a step; `best` when no evaluation before was better.
    ///
    /// # Errors
    /// The state cannot be written.
    fn keep(&mut self, state: &TrainState, best: bool) -> Result<(), RunError>;

    /// The last state that was kept as the best by a process before this one; `None` where there is none any more.
    ///
    /// # Errors
    /// The state cannot be read.
    fn best(&mut self) -> Result<Option<TrainState>, RunError> {
        Ok(None)
    }
}

/// Keeps nothing.
impl Keeper for () {
    fn log(&mut self, _: &LogLine) -> Result<(), RunError> {
        Ok(())
    }

    fn keep(&mut self, _: &TrainState, _: bool) -> Result<(), RunError> {
        Ok(())
    }
}

/// A line of the metrics log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LogLine {
    /// After some steps.
    Step {
        /// Steps done.
        step: u64,
        /// The epoch, from 0.
        epoch: u32,
        /// Mean loss since the line before.
        loss: f32,
        /// Learning rate of the last step.
        rate: f32,
        /// Norm of the last gradient, before clipping.
        gradient_norm: f32,
        /// Share of the weights that oscillate between codes, where that is watched.
        #[serde(skip_serializing_if = "Option::is_none")]
        oscillating: Option<f32>,
        /// Share of the weights that are frozen because they oscillated.
        #[serde(skip_serializing_if = "Option::is_none")]
        frozen: Option<f32>,
    },
    /// After an epoch.
    Epoch {
        /// Steps done.
        step: u64,
        /// The epoch, from 0.
        epoch: u32,
        /// Mean loss of the epoch.
        loss: f32,
        /// What the network is worth as simulated, where there are images that tell.
        score: Option<Score>,
    },
}

impl LogLine {
    /// Steps done when the line was written.
    pub fn step(&self) -> u64 {
        match *self {
            LogLine::Step { step, .. } | LogLine::Epoch { step, .. } => step,
        }
    }
}

/// How a training ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainReport {
    /// How it went, from its first step on.
    pub course: Course,
    /// Epochs done by the network that the trainer ends with, as the recipe's `export.checkpoint` says; 0 is the one before training.
    pub exported: u32,
    /// Steps done in this run.
    pub steps: u64,
    /// Time in steps, without evaluation.
    pub stepping: Duration,
    /// Time that steps waited for images.
    pub waited: Duration,
    /// The user stopped it.
    pub stopped: bool,
    /// Where values ceased to be finite, and training ended.
    pub diverged: Option<Divergence>,
}

/// Where a training could not go on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// The step, from 1.
    pub step: u64,
    /// The recipe's learning rate, where it may be to blame.
    pub rate: Option<f32>,
    /// What was not finite.
    pub cause: String,
}

/// A training under way.
pub struct Trainer<'r> {
    recipe: &'r Recipe,
    network: Network,
    objective: Objective<'r>,
    optimizer: Optimizer,
    quantizers: QuantizerTraining,
    position: Position,
    /// Of the parameters, where it is what is judged and exported.
    average: Option<Average>,
    /// The network of the best score, where this process has seen it.
    best: Option<TrainState>,
    /// What the network is worth before the first step, where it was measured.
    start: Option<Score>,
}

impl<'r> Trainer<'r> {
    /// Prepares the training of a network whose quantizers are calibrated. The teacher of a distillation is the network as it is now, in
    /// float. `calibrated` are the observers of the calibration: where training observes the same way, they go on.
    pub fn new(recipe: &'r Recipe, net: QuantGraph, calibrated: Option<Ranges>) -> Self {
        let objective = RecipeLoss::new(recipe.train().losses.clone(), || Network::new(net.clone()));
        let mut network = Network::new(net);
        let quantizers = QuantizerTraining::new(recipe, &mut network, calibrated);
        Trainer {
            quantizers,
            average: recipe.train().ema_decay.map(|decay| Average::new(&mut network, decay)),
            optimizer: recipe.train().optimizer(),
            position: Position::default(),
            best: None,
            start: None,
            recipe,
            network,
            objective: Objective::Recipe(Box::new(objective)),
        }
    }

    /// Lets `float` teach where a teacher is wanted: the float network, where the one to train is refined and no longer that.
    pub fn taught_by(mut self, float: &QuantGraph) -> Self {
        self.objective.taught_by(|| Network::new(float.clone()));
        self
    }

    /// Minimises a loss of the caller's in the place of the recipe's.
    pub fn minimizing(self, loss: &'r mut dyn Loss) -> Self {
        Trainer { objective: Objective::Own(loss), ..self }
    }

    /// Spares measuring what the network is worth before the first step.
    pub fn worth(self, start: Option<Score>) -> Self {
        Trainer { start, ..self }
    }

    /// Trains until the recipe's last epoch, until the user stops it, or until a loss, a gradient or a weight is no longer finite. Before the
    /// first step and after each epoch the metric judges the network on images of its own; the trainer ends with the one that the recipe's
    /// `export.checkpoint` names, or with the best where values ceased to be finite.
    ///
    /// # Errors
    /// Images cannot be read or do not fit, a state cannot be kept, or values are not finite and there is no network to go back to. What was
    /// kept before stays.
    pub fn fit(
        &mut self,
        train: &Loader,
        eval: Option<(&Loader, &mut dyn Metric)>,
        keeper: &mut dyn Keeper,
        progress: &mut dyn Progress,
    ) -> Result<TrainReport, RunError> {
        let mut report = TrainReport::default();
        match self.run(train, eval, keeper, progress, &mut report) {
            Ok(()) if report.stopped => return Ok(report),
            Ok(()) => report.exported = self.settle(keeper)?,
            Err(RunError::Diverged { step, rate, source }) => {
                let cause = source.to_string();
                report.exported = self.go_back(keeper)?.ok_or(RunError::Diverged { step, rate, source })?;
                report.diverged = Some(Divergence { step, rate, cause });
            }
            Err(error) => return Err(error),
        }
        report.course = self.position.course.clone();
        Ok(report)
    }

    /// The epochs that are left.
    fn run(
        &mut self,
        train: &Loader,
        mut eval: Option<(&Loader, &mut dyn Metric)>,
        keeper: &mut dyn Keeper,
        progress: &mut dyn Progress,
        report: &mut TrainReport,
    ) -> Result<(), RunError> {
        let (settings, threads) = (self.recipe.train(), self.recipe.data().loader_threads);
        let parts = settings.parts();
        let per_epoch = train.batches_per_epoch().div_ceil(parts) as u64;
        let rates = settings.rate_schedule(per_epoch);
        let mut step = Stepper::new(self.recipe, rates, &self.network)?;
        if self.position.step == 0 {
            let start = match (self.start.take(), &mut eval) {
                (None, Some(eval)) => self.judge(eval, mode::evaluation(self.recipe), progress)?,
                (start, _) => start,
            };
            let best = self.position.course.begin(start);
            self.keep(best, keeper)?;
        }
        if self.position.course.best.is_none() {
            // Nothing tells which is best; where values cease to be finite, that is the network as it is now.
            self.best = Some(self.state().of_network());
        }
        while self.position.epoch < settings.epochs && !self.position.course.is_out_of_patience(settings.patience) {
            let epoch = self.position.epoch;
            let first = usize::try_from(self.position.step_in_epoch).unwrap_or(usize::MAX);
            let mut batches = train.batches(u64::from(epoch), first.saturating_mul(parts), threads);
            let stage = format!("epoch {}/{}", epoch + 1, settings.epochs);
            progress.begin(&stage, per_epoch - self.position.step_in_epoch);
            while let Some(loss) = self.next_step(&mut step, &mut batches, train.samples(), report)? {
                report.steps += 1;
                self.position.step += 1;
                self.position.step_in_epoch += 1;
                for (sum, count) in [&mut self.position.unlogged_loss, &mut self.position.epoch_loss] {
                    *sum += f64::from(loss);
                    *count += 1;
                }
                self.position.course.step_done(self.position.step, loss);
                progress.advance(1, &format!("loss {loss:.4}"));
                if self.position.step.is_multiple_of(settings.log_every) {
                    let (sum, count) = std::mem::take(&mut self.position.unlogged_loss);
                    let loss = (sum / count as f64) as f32;
                    let (rate, gradient_norm) = (step.rate, step.gradient_norm);
                    let (oscillating, frozen) = self.quantizers.oscillations.as_ref().map(Oscillations::shares).unzip();
                    keeper.log(&LogLine::Step { step: self.position.step, epoch, loss, rate, gradient_norm, oscillating, frozen })?;
                }
                let stop = progress.stop_requested();
                if stop || settings.checkpoint_every.is_some_and(|every| self.position.step.is_multiple_of(every)) {
                    self.keep(false, keeper)?;
                }
                if stop {
                    report.waited += batches.waited();
                    report.stopped = true;
                    progress.end();
                    return Ok(());
                }
            }
            report.waited += batches.waited();
            progress.end();
            let score = match &mut eval {
                Some(eval) => self.judge(eval, mode::evaluation(self.recipe), progress),
                None => Ok(None),
            };
            if let Err(RunError::Stopped { .. }) = score {
                self.keep(false, keeper)?;
                report.stopped = true;
                return Ok(());
            }
            let score = score.map_err(|error| self.diverged(error, self.position.step))?;
            let (sum, count) = std::mem::take(&mut self.position.epoch_loss);
            let loss = (sum / count.max(1) as f64) as f32;
            self.position.epoch += 1;
            self.position.step_in_epoch = 0;
            keeper.log(&LogLine::Epoch { step: self.position.step, epoch, loss, score: score.clone() })?;
            let done = EpochScore { epoch: self.position.epoch, step: self.position.step, loss, score };
            let told = done.to_string();
            let best = self.position.course.epoch_done(done);
            progress.tell(&format!("epoch {}/{}: {told}{}", epoch + 1, settings.epochs, if best { " (best)" } else { "" }));
            self.keep(best, keeper)?;
            let is_early = self.position.epoch < settings.epochs && self.position.course.is_out_of_patience(settings.patience);
            if let Some(patience) = settings.patience.filter(|_| is_early) {
                progress.tell(&format!("no better network for {patience} epochs (train.patience): training ends"));
            }
        }
        Ok(())
    }

    /// A step over the batches that are its parts, of an epoch of so many samples; its loss, or `None` at the end of the epoch.
    fn next_step(
        &mut self,
        step: &mut Stepper,
        batches: &mut Batches,
        samples: usize,
        report: &mut TrainReport,
    ) -> Result<Option<f32>, RunError> {
        let settings = self.recipe.train();
        let done = usize::try_from(self.position.step_in_epoch).unwrap_or(usize::MAX).saturating_mul(settings.batch_size);
        let size = settings.batch_size.min(samples.saturating_sub(done));
        let (mut loss, mut run) = (0.0, 0);
        while run < size {
            let Some(batch) = batches.next() else { return Ok(None) };
            let batch = batch?;
            let started = Instant::now();
            let share = batch.size as f32 / size as f32;
            loss += step.part(self, &batch, share).map_err(|error| self.diverged(error, self.position.step + 1))?;
            report.stepping += started.elapsed();
            run += batch.size;
            batches.recycle(batch);
        }
        if run == 0 {
            return Ok(None);
        }
        let started = Instant::now();
        step.update(self).map_err(|error| self.diverged(error, self.position.step + 1))?;
        if let Some(average) = &mut self.average {
            average.follow(&mut self.network, self.position.step + 1);
        }
        report.stepping += started.elapsed();
        Ok(Some(loss))
    }

    /// What the network that would be exported now is worth.
    fn judge(
        &mut self,
        (eval, metric): &mut (&Loader, &mut dyn Metric),
        mode: Mode,
        progress: &mut dyn Progress,
    ) -> Result<Option<Score>, RunError> {
        progress.begin("evaluating", eval.samples() as u64);
        self.network.widen(None);
        let batches = eval.batches(0, 0, self.recipe.data().loader_threads);
        self.exchange();
        let score = evaluate(&mut self.network, mode, batches, *metric, progress);
        self.exchange();
        progress.end();
        Ok(score?.score)
    }

    /// Gives the network the averages of its parameters, or the last values back.
    fn exchange(&mut self) {
        if let Some(average) = &mut self.average {
            average.exchange(&mut self.network);
        }
    }

    fn keep(&mut self, best: bool, keeper: &mut dyn Keeper) -> Result<(), RunError> {
        let state = self.state();
        keeper.keep(&state, best).map_err(|error| self.diverged(error, self.position.step))?;
        if best {
            self.best = Some(state.of_network());
        }
        Ok(())
    }

    /// Goes back to the best network where the recipe wants it; gives the epochs done by the one that is left.
    fn settle(&mut self, keeper: &mut dyn Keeper) -> Result<u32, RunError> {
        // From here on the network has the averages, as those that were kept.
        self.exchange();
        self.average = None;
        let wanted = self.recipe.export().checkpoint == Which::Best;
        let is_left = self.position.course.best.is_none_or(|best| best.step == self.position.step);
        let best = if wanted && !is_left { self.go_back(keeper)? } else { None };
        Ok(best.unwrap_or(self.position.epoch))
    }

    /// Goes back to the best network, where there still is one; gives the epochs done by it.
    fn go_back(&mut self, keeper: &mut dyn Keeper) -> Result<Option<u32>, RunError> {
        let Some(state) = self.best.take().map_or_else(|| keeper.best(), |state| Ok(Some(state)))? else { return Ok(None) };
        restore_network(&mut self.network, &state.position, &state.tensors)?;
        self.average = None;
        self.position.course.best = state.position.course.best;
        Ok(Some(state.position.epoch))
    }

    /// Says at which step values ceased to be finite. What the engine refuses after it has run a step are weights that have none any more.
    fn diverged(&self, error: RunError, step: u64) -> RunError {
        // Before the first step nothing has been changed yet.
        let (changed, rate) = (self.position.step > 0, self.recipe.train().learning_rate);
        let rate = match &error {
            RunError::Loss(LossError::NotFinite { .. }) | RunError::Optimizer(OptimizerError::NotFinite { .. }) => changed.then_some(rate),
            RunError::Range { source: ObserveError::Nan | ObserveError::Infinite, .. } => changed.then_some(rate),
            RunError::Checkpoint(CheckpointError::NotFinite { .. }) => Some(rate),
            RunError::Engine(_) if changed => Some(rate),
            RunError::TeacherNotFinite { .. } => None,
            _ => return error,
        };
        RunError::Diverged { step, rate, source: Box::new(error) }
    }

    /// The network as trained so far.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The trained network.
    pub fn into_network(mut self) -> Network {
        self.network.widen(None);
        self.network.learn_ranges(false);
        self.network
    }
}
