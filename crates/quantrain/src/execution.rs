//! How a network is run to be judged.

use std::fmt;

use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::QuantGraph;
use quantrain_integer::IntegerProgram;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::runner::Runner;
use crate::verify::target_of;

/// What ran a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// The engine, in float; the pairs of a quantized file round in between.
    Float,
    /// The engine, in simulated integers.
    Simulation,
    /// The integer program: the codes of the simulation, from bytes and sums of 32 bits.
    IntegerProgram,
}

impl fmt::Display for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Execution::Float => "in float",
            Execution::Simulation => "in simulated integers",
            Execution::IntegerProgram => "in integers",
        })
    }
}

/// Runs one network that does not change meanwhile: by the integer program where it is whole, else by the engine.
pub(crate) struct Executor<'n> {
    network: &'n mut Network,
    mode: Mode,
    runner: Runner,
    program: Option<IntegerProgram>,
}

impl<'n> Executor<'n> {
    /// Of a network in a mode that does not train. A quantized file in float, whose pairs are part of its graph, is run by the codes that they
    /// stand for.
    pub fn new(network: &'n mut Network, mode: Mode) -> Self {
        let program = integer_program(network, mode);
        Executor { network, mode, runner: Runner::new(Purpose::Inference), program }
    }

    /// What runs the network.
    pub fn execution(&self) -> Execution {
        match (&self.program, self.mode.simulate) {
            (Some(_), _) => Execution::IntegerProgram,
            (None, true) => Execution::Simulation,
            (None, false) => Execution::Float,
        }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network
    }

    /// Runs a batch, whose values are given for each input as they lie in memory, and writes every output, as it lies in memory, to `outputs`.
    ///
    /// # Errors
    /// See [`Runner::outputs`].
    pub fn outputs(&mut self, batch: usize, inputs: &[&[f32]], outputs: &mut Vec<Vec<f32>>) -> Result<(), RunError> {
        match &self.program {
            Some(program) => *outputs = program.run(batch, inputs, &mut ())?,
            None => self.runner.outputs(self.network, self.mode, batch, inputs, outputs)?,
        }
        Ok(())
    }
}

/// The integer program that gives what a network does in a mode, where there is one and it is whole.
pub(crate) fn integer_program(network: &mut Network, mode: Mode) -> Option<IntegerProgram> {
    match (mode.training, mode.simulate) {
        (Some(_), _) => None,
        (None, true) => {
            network.store();
            whole(network.quant_graph())
        }
        (None, false) => of_file(network),
    }
}

/// The integer program of a network, where it is whole.
fn whole(net: &QuantGraph) -> Option<IntegerProgram> {
    // What cannot be lowered is told by the simulation, or runs there.
    IntegerProgram::lower(net).ok().filter(IntegerProgram::is_whole)
}

/// The integer program of a network whose pairs are part of its graph, by the arithmetic of the target that it was written for.
fn of_file(network: &mut Network) -> Option<IntegerProgram> {
    let graph = network.quant_graph().graph();
    if !graph.is_quantized() {
        return None;
    }
    let target = target_of(graph);
    whole(&QuantGraph::adopt(graph.clone(), target).ok()?)
}

#[cfg(test)]
mod tests;
