//! Every failure of this crate.

use quantrain_graph::{GraphError, PlacementError};
use quantrain_lowering::Unsupported;
use quantrain_lowering::memory::MemoryExceeded;
use thiserror::Error;

use crate::{Mode, Purpose};

/// A network could not be planned or run.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum EngineError {
    /// A node's form is readable but this engine cannot run it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A plan takes more memory than it may.
    #[error(transparent)]
    Memory(#[from] MemoryExceeded),
    /// An operator between constants breaks its rule.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A simulated run needs every range.
    #[error("tensor `{tensor}` has no range yet; calibrate the network first")]
    NotCalibrated {
        /// The tensor.
        tensor: String,
    },
    /// A quantizer or a bias cannot be made from the present weights and ranges.
    #[error(transparent)]
    Quantization(#[from] PlacementError),
    /// The caller's input has another length than the plan's.
    #[error("input `{tensor}`: {found} values found, {expected} expected")]
    InputLength {
        /// The network input.
        tensor: String,
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
    },
    /// An input picks elements, and there is none that it names.
    #[error("input `{tensor}`: index {found} found, one of {elements} elements expected: 0 to {}, or counted from the end", elements - 1)]
    Index {
        /// The network input.
        tensor: String,
        /// The index.
        found: f32,
        /// How many elements there are.
        elements: usize,
    },
    /// The network has another number of inputs than were given.
    #[error("{found} inputs found, {expected} expected")]
    InputCount {
        /// Inputs found.
        found: usize,
        /// Inputs expected.
        expected: usize,
    },
    /// A training step on a plan without its buffers.
    #[error("the plan is for {planned}, the step is {mode}; make a plan for the step's gradient path")]
    OtherPlan {
        /// What the plan was made for.
        planned: Purpose,
        /// The step.
        mode: Mode,
    },
}
