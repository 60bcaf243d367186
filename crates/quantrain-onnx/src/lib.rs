//! Reads ONNX files into a graph and writes quantized networks back; names of nodes, tensors, inputs and outputs survive.
//!
//! [`read`] gives a [`quantrain_graph::Graph`] or one error that says where the file and this crate part ways. Which operators of which
//! operator sets are read is one table, [`operators`].
//!
//! This crate knows nothing of execution.
#![forbid(unsafe_code)]

mod error;
#[cfg(test)]
mod fixture;
mod proto;
mod read;

pub use error::{NodeError, ReadError, TensorError};
pub use read::{Operator, operators, operators_page, read, read_bytes};
