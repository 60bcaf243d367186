//! Networks from files, with what only a program that runs them can fold.

use std::path::Path;

use quantrain_graph::Graph;
use quantrain_onnx::{Evaluate, ReadError, ReadOptions, read_with};

/// Runs what lies between constants of a file by the engine; for [`ReadOptions::evaluate`].
pub const EVALUATE: Evaluate = Evaluate(|op, inputs| quantrain_engine::evaluate(op, inputs).ok());

/// Reads a float network from an ONNX file, as [`quantrain_onnx::read`] does, and folds every operator between constants that the engine runs.
///
/// # Errors
/// As [`quantrain_onnx::read`].
pub fn read(path: impl AsRef<Path>) -> Result<Graph, ReadError> {
    read_with(path, &ReadOptions { evaluate: Some(EVALUATE), ..ReadOptions::default() })
}
