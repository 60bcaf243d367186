//! What the format or this writer cannot say, and why.

use quantrain_integer::LowerError;

/// Why a network is not written as a TensorFlow Lite file. Nothing has been written then.
#[derive(Debug, thiserror::Error)]
pub enum TfliteError {
    /// The program has no instructions.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// Weights have no codes.
    #[error(transparent)]
    Placement(#[from] quantrain_graph::PlacementError),
    /// The network is made for a target with other arithmetic.
    #[error("target `{target}` does not compute as TensorFlow Lite does; export with --target tflite-micro or litert")]
    Target {
        /// The target.
        target: String,
    },
    /// An operator, or a form of it, is not written.
    #[error("node `{node}` ({operator}) cannot be written as TensorFlow Lite: {reason}")]
    Node {
        /// The node.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// What of it, and what to do.
        reason: String,
    },
    /// A tensor has no form in the file.
    #[error("tensor `{tensor}` cannot be written as TensorFlow Lite: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What of it, and what to do.
        reason: &'static str,
    },
    /// Offsets of the format have 32 bits, half of which runtimes take.
    #[error("{bytes} bytes of weights are more than a TensorFlow Lite file holds")]
    TooLarge {
        /// What they take.
        bytes: usize,
    },
}
