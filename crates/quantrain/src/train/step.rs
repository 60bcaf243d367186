//! One training step after the other, with the plans they run by.

use quantrain_data::Batch;
use quantrain_engine::{BatchNormMode, GradientPath, Mode, Network, Parameter, Purpose, Training, physical_shape};

use super::Trainer;
use crate::learned::LearnedQuantizers;
use crate::loss::{CrossEntropy, Distillation, Power, relative};
use crate::optimizer::ParameterView;
use crate::recipe::{self, Recipe};
use crate::runner::{Runner, read_outputs};
use crate::schedule::RateSchedule;
use crate::{RunError, check_images};

pub(super) struct Stepper<'r> {
    recipe: &'r Recipe,
    rates: RateSchedule,
    runner: Runner,
    teacher_runner: Runner,
    /// Of each output, the weight of its distance from the teacher's.
    distances: Vec<Option<(f32, Distillation)>>,
    /// Of each output, the length of its rows: the last extent in memory.
    widths: Vec<usize>,
    outputs: Vec<Vec<f32>>,
    taught: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    teacher_gradient: Vec<f32>,
    pub rate: f32,
    pub gradient_norm: f32,
}

impl<'r> Stepper<'r> {
    pub fn new(recipe: &'r Recipe, rates: RateSchedule, network: &Network) -> Result<Self, RunError> {
        let graph = network.quant_graph().graph();
        let outputs = || graph.outputs().iter().map(|&t| graph.tensor(t));
        let names: Vec<&str> = outputs().map(|t| t.name.as_str()).collect();
        Ok(Stepper {
            runner: Runner::new(Purpose::Training(gradient_path(recipe))),
            teacher_runner: Runner::new(Purpose::Inference),
            distances: recipe.train().losses.distances(&names)?,
            widths: outputs().map(|t| physical_shape(&t.shape, 1).last().copied().unwrap_or(1)).collect(),
            outputs: Vec::new(),
            taught: Vec::new(),
            gradients: vec![Vec::new(); names.len()],
            teacher_gradient: Vec::new(),
            rate: 0.0,
            gradient_norm: 0.0,
            recipe,
            rates,
        })
    }

    /// How the trained network is evaluated.
    pub fn evaluation(&self) -> Mode {
        Mode { simulate: self.recipe.quantization().enabled, training: None }
    }

    /// Forward, loss, backward, update. Returns the loss.
    pub fn run(&mut self, trainer: &mut Trainer, batch: &Batch) -> Result<f32, RunError> {
        let Trainer { network, teacher, optimizer, ranges, learned, oscillations, position, .. } = trainer;
        check_images(network, batch)?;
        let (settings, epoch) = (self.recipe.train(), position.epoch);
        let batch_norm = match self.recipe.quantization().batch_norm {
            _ if settings.freeze.batch_norm_is_frozen(epoch) && self.recipe.quantization().enabled => BatchNormMode::Frozen,
            recipe::BatchNorm::Running => BatchNormMode::Running,
            recipe::BatchNorm::Corrected => BatchNormMode::Corrected,
            recipe::BatchNorm::Frozen => BatchNormMode::Frozen,
        };
        let training = Training { gradient_path: gradient_path(self.recipe), batch_norm };
        let mode = Mode { training: Some(training), ..self.evaluation() };
        let watching = !settings.freeze.ranges_are_frozen(epoch);
        network.widen(settings.step_down.get(epoch as usize).copied());
        let (plan, workspace) = self.runner.plan(network, batch.size)?;
        match ranges.as_mut().filter(|_| watching) {
            Some(ranges) => network.forward(plan, workspace, mode, &[&batch.images], ranges)?,
            None => network.forward(plan, workspace, mode, &[&batch.images], &mut ())?,
        }
        read_outputs(network, plan, workspace, &mut self.outputs);
        if let Some(teacher) = teacher {
            self.teacher_runner.outputs(teacher, Mode::FLOAT, batch.size, &batch.images, &mut self.taught)?;
        }
        let loss = self.loss(batch, &mut position.powers)?;
        let gradients: Vec<&[f32]> = self.gradients.iter().map(Vec::as_slice).collect();
        let (plan, workspace) = self.runner.plan(network, batch.size)?;
        network.backward(plan, workspace, mode, &gradients);
        self.rate = self.rates.rate_at(position.step);
        if let Some(learned) = learned.as_mut() {
            learned.take_up(network);
        }
        let mut parameters: Vec<ParameterView> = network.parameters().into_iter().map(optimized).collect();
        parameters.extend(learned.iter_mut().flat_map(LearnedQuantizers::views));
        self.gradient_norm = optimizer.step(self.rate, &mut parameters)?;
        if let Some(learned) = learned.as_ref().filter(|_| watching) {
            learned.apply(network);
        }
        if let Some(oscillations) = oscillations {
            let done = position.step as f64 / self.rates.total_steps.max(1) as f64;
            oscillations.after_step(network, self.rate, done.min(1.0));
        }
        if let Some(ranges) = ranges.as_ref().filter(|_| watching) {
            ranges.apply(network)?;
        }
        Ok(loss)
    }

    /// The weighted sum of the recipe's losses; leaves its gradients in `self.gradients`. Squared errors are relative to `powers`, of the
    /// teacher's outputs so far.
    fn loss(&mut self, batch: &Batch, powers: &mut Vec<Power>) -> Result<f32, RunError> {
        for (gradient, output) in self.gradients.iter_mut().zip(&self.outputs) {
            gradient.clear();
            gradient.resize(output.len(), 0.0);
        }
        let losses = &self.recipe.train().losses;
        let mut total = 0.0;
        if let (Some((weight, cross_entropy)), Some(output), Some(gradient)) =
            (&losses.labels, self.outputs.first(), self.gradients.first_mut())
        {
            total += weight * labelled(cross_entropy, batch, output, self.widths[0], gradient)?;
            gradient.iter_mut().for_each(|g| *g *= weight);
        }
        powers.resize(self.taught.len(), Power::default());
        let mut squared = Vec::with_capacity(self.distances.len());
        for ((distance, power), taught) in self.distances.iter().zip(powers).zip(&self.taught) {
            let is_squared = matches!(distance, Some((_, Distillation::MeanSquaredError)));
            if is_squared {
                power.add(taught);
            }
            squared.push(is_squared.then_some(*power));
        }
        let factors = relative(&squared);
        let taught = self.distances.iter().zip(factors).zip(&self.outputs).zip(&self.taught).zip(&mut self.gradients).zip(&self.widths);
        for (((((distance, factor), output), taught), gradient), &row) in taught {
            let Some((weight, distance)) = distance else { continue };
            let weight = weight * factor;
            let width = match distance {
                // Probabilities are those of a row, be it an image's or a pixel's.
                Distillation::KullbackLeibler { .. } => row,
                Distillation::MeanSquaredError | Distillation::Cosine => output.len() / batch.size.max(1),
            };
            self.teacher_gradient.resize(output.len(), 0.0);
            total += weight * distance.loss_and_gradient(output, taught, width, &mut self.teacher_gradient)?;
            gradient.iter_mut().zip(&self.teacher_gradient).for_each(|(g, t)| *g += weight * t);
        }
        Ok(total)
    }
}

/// Cross entropy with the class of each image, or with that of each pixel.
fn labelled(loss: &CrossEntropy, batch: &Batch, output: &[f32], width: usize, gradient: &mut [f32]) -> Result<f32, RunError> {
    match &batch.masks {
        Some(masks) => Ok(loss.loss_and_gradient(output, masks, width, gradient)?),
        None if batch.labels.len() == batch.size => {
            Ok(loss.loss_and_gradient(output, &batch.labels, output.len() / batch.size.max(1), gradient)?)
        }
        None => Err(RunError::NoLabels),
    }
}

/// Weight decay acts on every parameter, as in the devkit.
fn optimized(p: Parameter<'_>) -> ParameterView<'_> {
    ParameterView { name: p.name, value: p.value, gradient: p.gradient, decay: true, rate_factor: 1.0 }
}

fn gradient_path(recipe: &Recipe) -> GradientPath {
    match recipe.quantization().gradient_path {
        recipe::GradientPath::Float => GradientPath::Float,
        recipe::GradientPath::Quantized => GradientPath::Quantized,
    }
}
