//! One training step after the other, with the plans they run by.

use quantrain_data::Batch;
use quantrain_engine::{GradientSums, Mode, Network, Purpose, physical_shape};

use super::Trainer;
use crate::loss::Loss;
use crate::metric::Output;
use crate::recipe::Recipe;
use crate::runner::{Runner, read_outputs};
use crate::schedule::RateSchedule;
use crate::{LossError, RunError, check_images, mode};

pub(super) struct Stepper<'r> {
    recipe: &'r Recipe,
    rates: RateSchedule,
    runner: Runner,
    outputs: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    /// Of the parameters, over the parts of a step that were run.
    sums: GradientSums,
    pub rate: f32,
    pub gradient_norm: f32,
}

impl<'r> Stepper<'r> {
    pub fn new(recipe: &'r Recipe, rates: RateSchedule, network: &Network) -> Result<Self, RunError> {
        let graph = network.quant_graph().graph();
        let names: Vec<&str> = graph.outputs().iter().map(|&t| graph.tensor(t).name.as_str()).collect();
        recipe.train().losses.distances(&names)?;
        Ok(Stepper {
            runner: Runner::new(Purpose::Training(mode::gradient_path(recipe))),
            outputs: Vec::new(),
            gradients: vec![Vec::new(); names.len()],
            sums: GradientSums::default(),
            rate: 0.0,
            gradient_norm: 0.0,
            recipe,
            rates,
        })
    }

    /// Forward, loss and backward of a part of a step, which has that share of its samples. Returns its share of the loss.
    pub fn part(&mut self, trainer: &mut Trainer, batch: &Batch, share: f32) -> Result<f32, RunError> {
        let Trainer { network, objective, quantizers, position, .. } = trainer;
        check_images(network, batch)?;
        let (mode, watching) = self.mode(position.epoch);
        network.widen(self.recipe.train().step_down.get(position.epoch as usize).copied());
        let (plan, workspace) = self.runner.plan(network, batch.size)?;
        quantizers.forward(network, (plan, workspace), mode, &batch.inputs(), watching)?;
        read_outputs(network, plan, workspace, &mut self.outputs);
        let loss = self.loss(network, objective.loss(), batch)?;
        if share < 1.0 {
            self.gradients.iter_mut().flatten().for_each(|g| *g *= share);
        }
        let gradients: Vec<&[f32]> = self.gradients.iter().map(Vec::as_slice).collect();
        let (plan, workspace) = self.runner.plan(network, batch.size)?;
        network.backward(plan, workspace, mode, &gradients);
        if share < 1.0 {
            network.add_gradients_to(&mut self.sums);
        }
        Ok(loss * share)
    }

    /// Changes what is trained by the gradients of the parts of a step.
    pub fn update(&mut self, trainer: &mut Trainer) -> Result<(), RunError> {
        let Trainer { network, optimizer, quantizers, position, .. } = trainer;
        if !self.sums.is_empty() {
            network.take_gradients_from(&mut self.sums);
        }
        self.rate = self.rates.rate_at(position.step);
        let done = position.step as f64 / self.rates.total_steps.max(1) as f64;
        let (_, watching) = self.mode(position.epoch);
        self.gradient_norm = quantizers.update(network, optimizer, self.rate, done.min(1.0), watching)?;
        Ok(())
    }

    /// How the steps of an epoch run, and whether ranges still move.
    fn mode(&self, epoch: u32) -> (Mode, bool) {
        let freeze = &self.recipe.train().freeze;
        (mode::training(self.recipe, freeze, epoch), !freeze.ranges_are_frozen(epoch))
    }

    /// The loss of the outputs; leaves its gradients in `self.gradients`.
    fn loss(&mut self, network: &Network, loss: &mut dyn Loss, batch: &Batch) -> Result<f32, RunError> {
        for (gradient, output) in self.gradients.iter_mut().zip(&self.outputs) {
            gradient.clear();
            gradient.resize(output.len(), 0.0);
        }
        let graph = network.quant_graph().graph();
        let tensors = || graph.outputs().iter().map(|&t| graph.tensor(t));
        let shapes: Vec<Vec<usize>> = tensors().map(|t| physical_shape(&t.shape, batch.size)).collect();
        let outputs = tensors().zip(&shapes).zip(&self.outputs);
        let outputs: Vec<Output> = outputs.map(|((t, shape), values)| Output { name: &t.name, shape, values }).collect();
        let loss = loss.loss(batch, &outputs, &mut self.gradients)?;
        for (gradient, output) in self.gradients.iter().zip(&outputs) {
            if gradient.len() != output.values.len() {
                let (found, expected) = (gradient.len(), output.values.len());
                return Err(LossError::Length { what: "gradients", found, expected }.into());
            }
        }
        if loss.is_finite() { Ok(loss) } else { Err(LossError::NotFinite { loss }.into()) }
    }
}
