//! All that a session remembers: to go on with the same bits.

use std::path::Path;

use quantrain_engine::Network;
use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

use super::Session;
use crate::restore::restore_structure;
use crate::train::{Position, restore_network, restore_parameters, tensors_of};
use crate::{Ranges, RunError, checkpoint};

/// Parameters, statistics, ranges and what observers and learned quantizers remember.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionState {
    /// The part that is no tensor.
    pub memory: SessionMemory,
    /// Tensors by name, with what they are before it: `parameter/NAME`, `statistic/NAME`, …; in the engine's order.
    pub tensors: Vec<(String, Vec<f32>)>,
}

/// The part of a [`SessionState`] that is no tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionMemory {
    position: Position,
    calibrated: bool,
    restored: bool,
    epoch: u32,
    epochs: u32,
}

impl Session {
    /// Takes down where the session stands.
    ///
    /// # Errors
    /// A value that was observed was not finite.
    pub fn state(&mut self) -> Result<SessionState, RunError> {
        self.settle()?;
        let quantizers = self.quantizers.as_ref();
        let oscillations = quantizers.and_then(|q| q.oscillations.as_ref());
        let tensors = tensors_of(&mut self.network, oscillations);
        let net = self.network.quant_graph();
        let ranges = net.quantizers().iter().filter_map(|q| q.range.map(|r| (q.tensor.clone(), r.min, r.max))).collect();
        let observers = quantizers.and_then(|q| q.ranges.as_ref()).map_or_else(Vec::new, Ranges::states);
        let position = Position { ranges, observers, separations: net.separations().to_vec(), ..Position::default() };
        let memory = SessionMemory {
            position,
            calibrated: self.quantizers.is_some(),
            restored: self.restored,
            epoch: self.epoch,
            epochs: self.epochs,
        };
        Ok(SessionState { memory, tensors })
    }

    /// Goes on from where a session of the same network and settings stood.
    ///
    /// # Errors
    /// The state is of another network or other settings; then the session must not be used on.
    pub fn load_state(&mut self, state: &SessionState) -> Result<(), RunError> {
        let SessionState { memory, tensors } = state;
        if memory.restored && !self.restored {
            // Parameters keep their place once they were seen.
            if self.layers_to_restore() == 0 {
                return Err(RunError::OtherNetwork { what: "parameters" });
            }
            let restored = restore_structure(self.model.graph.clone())?;
            self.network = Network::new(self.model.place(&self.recipe, restored)?);
            self.restored = true;
        }
        self.calibrating = None;
        (self.epoch, self.epochs) = (memory.epoch, memory.epochs);
        if !memory.calibrated {
            restore_parameters(&mut self.network, tensors)?;
            self.quantizers = None;
            self.forget_plans();
            return Ok(());
        }
        restore_network(&mut self.network, &memory.position, tensors)?;
        self.begin_training(None);
        let Some(quantizers) = &mut self.quantizers else { return Ok(()) };
        quantizers.restore(tensors, memory.position.observers.clone())
    }

    /// Writes the state as a checkpoint, which appears whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written, or a value is not finite.
    pub fn save(&mut self, path: &Path) -> Result<(), RunError> {
        let state = self.state()?;
        Ok(checkpoint::write(path, &self.identity, &state.memory, &state.tensors)?)
    }

    /// Goes on from a checkpoint of [`Session::save`].
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of another network or other settings.
    pub fn load(&mut self, path: &Path) -> Result<(), RunError> {
        let (memory, tensors) = checkpoint::read(path, &self.identity)?;
        self.load_state(&SessionState { memory, tensors })
    }

    /// The network with its quantizers, as it is stored.
    pub fn into_quant_graph(self) -> QuantGraph {
        self.network.into_quant_graph()
    }
}
