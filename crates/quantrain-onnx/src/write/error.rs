//! Every failure of writing, one documented variant each.

use std::path::PathBuf;

use quantrain_graph::PlacementError;
use thiserror::Error;

/// A file could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file or its folder cannot be written to.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A node has no form in ONNX.
    #[error("node `{node}` ({operator}) has no form in ONNX: {reason}")]
    NoForm {
        /// The node.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The operator set that was asked for does not have what the network needs.
    #[error("operator set {asked} was asked for, but {what} needs {needed}; set export.opset to {needed} or more, or leave it out")]
    Opset {
        /// The operator set asked for.
        asked: i64,
        /// The first that will do.
        needed: i64,
        /// What needs it.
        what: String,
    },
    /// The file that was made would be refused by any runtime: a fault of this program.
    #[error("the file made is broken: {what}; nothing was written, please report it with the network")]
    Broken {
        /// What is wrong.
        what: String,
    },
    /// A quantizer has no range yet.
    #[error("tensor `{tensor}` has no range; calibrate or train the network before it is exported")]
    NotCalibrated {
        /// The tensor.
        tensor: String,
    },
    /// A quantizer, weight or bias does not fit its integers.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}
