//! What can go wrong.

use quantrain_graph::PlacementError;
use quantrain_lowering::Unsupported;
use quantrain_lowering::memory::MemoryExceeded;

/// Why a network has no integer program.
#[derive(Debug, thiserror::Error)]
pub enum LowerError {
    /// A quantizer has no range yet.
    #[error("tensor `{tensor}`: its quantizer has no range; calibrate the network first")]
    NotCalibrated {
        /// First tensor of the quantizer.
        tensor: String,
    },
    /// Codes of a tensor or of weights cannot be made.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A form of an operator that nothing here computes.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A run takes more memory than it may.
    #[error(transparent)]
    Memory(#[from] MemoryExceeded),
    /// A target that requantizes by shifts has a factor that is none.
    #[error(
        "block `{node}`: a factor of {factor} from sums to codes is no power of two, and the target shifts; use power-of-two scales for weights and activations"
    )]
    NotAPowerOfTwo {
        /// The block's node.
        node: String,
        /// `s_x·s_w / s_y`.
        factor: f32,
    },
    /// A target that requantizes by shifts rounds by another rule than half up.
    #[error("block `{node}`: a shift rounds half up, the output's quantizer rounds {rounding}; change one of them in the target")]
    ShiftRounding {
        /// The block's node.
        node: String,
        /// The rule of the output's quantizer.
        rounding: quantrain_graph::Rounding,
    },
    /// A factor from sums to codes is infinite.
    #[error("block `{node}`: the factor from sums to codes, {input} · {weight} / {output}, is not finite; calibrate with other ranges")]
    Factor {
        /// The block's node.
        node: String,
        /// Scale of the input.
        input: f32,
        /// Scale of the weights.
        weight: f32,
        /// Scale of the output.
        output: f32,
    },
}

/// Why a program did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another number of inputs than the network has.
    #[error("the network has {expected} inputs, {found} were given; pass one slice for each")]
    InputCount {
        /// Slices given.
        found: usize,
        /// Inputs of the network.
        expected: usize,
    },
    /// An input of another length.
    #[error("input `{tensor}`: {found} values were given, {expected} expected for this batch size; pass whole samples, images NHWC")]
    InputLength {
        /// The input.
        tensor: String,
        /// Values given.
        found: usize,
        /// Values of a batch.
        expected: usize,
    },
    /// A form of an operator that nothing here computes at this batch size.
    #[error(transparent)]
    Lower(#[from] LowerError),
}
