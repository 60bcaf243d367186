//! What has no C form, and why.

use quantrain_integer::LowerError;

/// Why a network is not printed as C. Nothing has been written then.
#[derive(Debug, thiserror::Error)]
pub enum CError {
    /// The program has no instructions.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// An operator, or a form of it, has no C form.
    #[error("node `{node}` ({operator}) cannot be written as C: {reason}")]
    Node {
        /// The node.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// What of it, and what to do.
        reason: String,
    },
    /// An input or an output cannot be handed over in C.
    #[error("{what} `{tensor}` cannot be handed over in C: {reason}")]
    Border {
        /// `input` or `output`.
        what: &'static str,
        /// The tensor.
        tensor: String,
        /// What of it, and what to do.
        reason: &'static str,
    },
    /// A tensor or all of them have more elements than C's 32-bit integers count.
    #[error("{bytes} bytes of tensors are more than the C file counts with 32 bits; give the network a smaller input")]
    TooLarge {
        /// What they take.
        bytes: usize,
    },
}
