//! What a training does to quantizers beside the weights: ranges that observers move or gradients learn, and weights that oscillate.

use quantrain_engine::{EngineError, Mode, Network, Parameter, Plan, Workspace};

use crate::RunError;
use crate::learned::LearnedQuantizers;
use crate::observe::ObserverState;
use crate::optimizer::{Optimizer, ParameterView};
use crate::oscillation::Oscillations;
use crate::ranges::Ranges;
use crate::recipe::Recipe;
use crate::train::OSCILLATION;

/// The quantizers of a network in training.
pub(crate) struct QuantizerTraining {
    /// What moves ranges of activations; `None` where they stay or are learned.
    pub ranges: Option<Ranges>,
    learned: Option<LearnedQuantizers>,
    /// What is known of oscillating weights; `None` where they are not watched.
    pub oscillations: Option<Oscillations>,
}

impl QuantizerTraining {
    /// Those of a network whose quantizers have ranges. `calibrated` are the observers of the calibration: where training observes the same way,
    /// they go on.
    pub fn new(recipe: &Recipe, network: &mut Network, calibrated: Option<Ranges>) -> Self {
        let quantized = recipe.quantization().enabled;
        let learned = recipe.quantization().learn_ranges.filter(|_| quantized);
        let learned = learned.map(|settings| LearnedQuantizers::new(network, settings));
        let oscillations = recipe.train().oscillation.filter(|_| quantized).map(|settings| Oscillations::new(network, settings));
        let observed = recipe.quantization().train_observer.filter(|_| quantized);
        let images = calibrated.as_ref().map_or(recipe.data().calibration_images as u64, Ranges::images);
        let same = |settings| recipe.quantization().observer == settings;
        let going_on = |settings| calibrated.filter(|_| same(settings)).unwrap_or_else(|| Ranges::continuing(network, &settings, images));
        QuantizerTraining { ranges: observed.map(going_on), learned, oscillations }
    }

    /// Runs a training step forward; observers watch where `watching`.
    ///
    /// # Errors
    /// See [`Network::forward`].
    pub fn forward(
        &mut self,
        network: &mut Network,
        (plan, workspace): (&Plan, &mut Workspace),
        mode: Mode,
        inputs: &[&[f32]],
        watching: bool,
    ) -> Result<(), EngineError> {
        match self.ranges.as_mut().filter(|_| watching) {
            Some(ranges) => network.forward(plan, workspace, mode, inputs, ranges),
            None => network.forward(plan, workspace, mode, inputs, &mut ()),
        }
    }

    /// The optimizer's step after a backward, when `done` of the training's steps, 0 to 1, are done: changes parameters and learned quantizers,
    /// and sets the ranges that observers found where `watching`. Returns the norm of the gradient.
    ///
    /// # Errors
    /// A gradient or a value is not finite.
    pub fn update(
        &mut self,
        network: &mut Network,
        optimizer: &mut Optimizer,
        rate: f32,
        done: f64,
        watching: bool,
    ) -> Result<f32, RunError> {
        if let Some(learned) = &mut self.learned {
            learned.take_up(network);
        }
        let mut parameters: Vec<ParameterView> = network.parameters().into_iter().map(optimized).collect();
        parameters.extend(self.learned.iter_mut().flat_map(LearnedQuantizers::views));
        let norm = optimizer.step(rate, &mut parameters)?;
        if let Some(learned) = self.learned.as_ref().filter(|_| watching) {
            learned.apply(network);
        }
        if let Some(oscillations) = &mut self.oscillations {
            oscillations.after_step(network, rate, done);
        }
        self.apply(network, watching)?;
        Ok(norm)
    }

    /// Sets the ranges that observers found, where `watching`.
    ///
    /// # Errors
    /// A value was not finite.
    pub fn apply(&self, network: &mut Network, watching: bool) -> Result<(), RunError> {
        self.ranges.as_ref().filter(|_| watching).map_or(Ok(()), |ranges| ranges.apply(network))
    }

    /// Goes on from a state: of its tensors those of oscillations, and what observers remember.
    ///
    /// # Errors
    /// The state is of another network or recipe.
    pub fn restore(&mut self, tensors: &[(String, Vec<f32>)], observers: Vec<(String, ObserverState)>) -> Result<(), RunError> {
        if let Some(oscillations) = &mut self.oscillations {
            let kept = tensors.iter().filter_map(|(name, values)| Some((name.strip_prefix(OSCILLATION)?.to_owned(), values.clone())));
            oscillations.restore(&kept.collect::<Vec<_>>())?;
        }
        self.ranges.as_mut().map_or(Ok(()), |ranges| ranges.restore(observers))
    }

    /// Whether there is more to train than the network's parameters.
    pub fn has_own_parameters(&self) -> bool {
        self.learned.is_some()
    }
}

/// Weight decay acts on every parameter, as in the devkit.
fn optimized(p: Parameter<'_>) -> ParameterView<'_> {
    ParameterView { name: p.name, value: p.value, gradient: p.gradient, decay: true, rate_factor: 1.0 }
}
