//! Where a training stands: what is kept of it, and how it goes on from there.

use quantrain_engine::Network;
use quantrain_graph::Separation;
use serde::{Deserialize, Serialize};

use super::{Course, Trainer};
use crate::RunError;
use crate::loss::Power;
use crate::observe::ObserverState;
use crate::optimizer::OptimizerState;
use crate::oscillation::Oscillations;
use crate::ranges::Ranges;

/// Where a training stands, and everything it needs to go on with the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// The numbers.
    pub position: Position,
    /// Parameters, statistics and moments by name.
    pub tensors: Vec<(String, Vec<f32>)>,
}

impl TrainState {
    /// Without what only a training needs.
    pub(super) fn of_network(self) -> Self {
        let of_network = |name: &str| [PARAMETER, STATISTIC, LIMIT].iter().any(|prefix| name.starts_with(prefix));
        TrainState { tensors: self.tensors.into_iter().filter(|(name, _)| of_network(name)).collect(), ..self }
    }
}

/// The part of a [`TrainState`] that is no tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u32,
    /// Steps done in this epoch.
    pub step_in_epoch: u64,
    /// Steps that the optimizer counted.
    pub optimizer_steps: u64,
    /// What each observer remembers; empty where ranges are not observed.
    pub observers: Vec<(String, ObserverState)>,
    /// The range of each quantizer: tensor, lower and upper limit.
    pub ranges: Vec<(String, f32, f32)>,
    /// Where quantizers are placed apart from the rules of the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub separations: Vec<Separation>,
    /// How the training went.
    pub course: Course,
    /// Of each output, the power that its distance from the teacher's is relative to.
    pub(crate) powers: Vec<Power>,
    /// Sum of the losses since the last log line, and their number.
    pub unlogged_loss: (f64, u64),
    /// Sum of the losses of this epoch, and their number.
    pub epoch_loss: (f64, u64),
}

impl Trainer<'_> {
    /// Everything a resumed training needs.
    pub fn state(&mut self) -> TrainState {
        let OptimizerState { steps, tensors: moments } = self.optimizer.state();
        let quantizers = self.network.quant_graph().quantizers();
        let ranges = quantizers.iter().filter_map(|q| q.range.map(|r| (q.tensor.clone(), r.min, r.max))).collect();
        let observers = self.quantizers.ranges.as_ref().map_or_else(Vec::new, Ranges::states);
        let separations = self.network.quant_graph().separations().to_vec();
        let powers = self.objective.powers();
        let position = Position { optimizer_steps: steps, observers, ranges, separations, powers, ..self.position.clone() };
        self.exchange();
        let mut tensors = tensors_of(&mut self.network, self.quantizers.oscillations.as_ref());
        let last = self.average.iter().flat_map(|average| average.tensors(&mut self.network));
        tensors.extend(last.map(|(name, values)| (format!("{LAST}{name}"), values)).collect::<Vec<_>>());
        self.exchange();
        tensors.extend(moments.into_iter().map(|(name, values)| (format!("{MOMENT}{name}"), values)));
        TrainState { position, tensors }
    }

    /// Goes on from a state of this recipe and network.
    ///
    /// # Errors
    /// The state is of another network or recipe.
    pub fn restore(&mut self, state: TrainState) -> Result<(), RunError> {
        let TrainState { position, tensors } = state;
        restore_network(&mut self.network, &position, &tensors)?;
        self.quantizers.restore(&tensors, position.observers.clone())?;
        if let Some(average) = &mut self.average {
            let last: Vec<_> = tensors.iter().filter_map(|(name, values)| Some((name.strip_prefix(LAST)?, values.as_slice()))).collect();
            if !average.restore(&mut self.network, &last) {
                return Err(RunError::OtherNetwork { what: "averages" });
            }
            average.exchange(&mut self.network);
        }
        let moments = tensors.into_iter().filter_map(|(name, values)| Some((name.strip_prefix(MOMENT)?.to_owned(), values)));
        self.optimizer.restore(OptimizerState { steps: position.optimizer_steps, tensors: moments.collect() })?;
        self.objective.set_powers(position.powers.clone());
        self.position = Position { observers: Vec::new(), ranges: Vec::new(), separations: Vec::new(), ..position };
        Ok(())
    }
}

const PARAMETER: &str = "parameter/";
const STATISTIC: &str = "statistic/";
const MOMENT: &str = "optimizer/";
/// Parameters of the last step, where [`PARAMETER`] has their averages.
const LAST: &str = "last/";
const LIMIT: &str = "limit/";
pub(crate) const OSCILLATION: &str = "oscillation/";

/// What a network and its oscillating weights are, by name.
pub(crate) fn tensors_of(network: &mut Network, oscillations: Option<&Oscillations>) -> Vec<(String, Vec<f32>)> {
    let mut tensors = Vec::new();
    network.for_each_parameter(|p| tensors.push((format!("{PARAMETER}{}", p.name), p.value.to_vec())));
    tensors.extend(network.statistics().into_iter().map(|(name, values)| (format!("{STATISTIC}{name}"), values.to_vec())));
    network.settle_weight_limits();
    tensors.extend(network.weight_limits().into_iter().map(|l| (format!("{LIMIT}{}", l.name), l.values.to_vec())));
    let oscillations = oscillations.into_iter().flat_map(Oscillations::state);
    tensors.extend(oscillations.map(|(name, values)| (format!("{OSCILLATION}{name}"), values)));
    tensors
}

/// Writes the parameters, statistics and ranges of a state into a network.
///
/// # Errors
/// The state is of another network.
pub fn restore_network(network: &mut Network, position: &Position, tensors: &[(String, Vec<f32>)]) -> Result<(), RunError> {
    restore_parameters(network, tensors)?;
    if network.quant_graph().separations() != position.separations {
        network.place_by(position.separations.clone())?;
    }
    for (name, values) in tensors.iter().filter_map(|(name, values)| Some((name.strip_prefix(LIMIT)?, values))) {
        if !network.set_weight_limits(name, values) {
            return Err(RunError::OtherNetwork { what: "limits of weights" });
        }
    }
    for q in network.quant_graph_mut().quantizers_mut() {
        let range = position.ranges.iter().find(|(tensor, ..)| *tensor == q.tensor);
        let (_, min, max) = range.ok_or(RunError::OtherNetwork { what: "ranges" })?;
        q.range = Some(quantrain_graph::Range::new(*min, *max));
    }
    Ok(())
}

/// Writes the parameters and statistics of a state into a network.
///
/// # Errors
/// The state is of another network.
pub fn restore_parameters(network: &mut Network, tensors: &[(String, Vec<f32>)]) -> Result<(), RunError> {
    let other = |what| RunError::OtherNetwork { what };
    let find = |name: String, len: usize| tensors.iter().find(|(n, v)| *n == name && v.len() == len).map(|(_, v)| v.as_slice());
    for p in network.parameters() {
        p.value.copy_from_slice(find(format!("{PARAMETER}{}", p.name), p.value.len()).ok_or(other("parameters"))?);
    }
    for (name, values) in network.statistics() {
        values.copy_from_slice(find(format!("{STATISTIC}{name}"), values.len()).ok_or(other("statistics"))?);
    }
    Ok(())
}
