//! What a node of the graph is in the kernels' terms, for both that run it: the engine and the integer program.
//!
//! These are the places of elements in memory, the windows of convolutions and pools, which elements fall together, and which of the kernels'
//! functions an operator is; and how much memory a run may take. What the two differ in, how tensors are held and what gradients need, is theirs.
#![forbid(unsafe_code)]

pub mod activation;
pub mod convolution;
pub mod elementwise;
pub mod layout;
pub mod lookup;
pub mod memory;
pub mod memory_order;
pub mod normalization;
pub mod pooling;
pub mod quantize;
pub mod recurrent;
pub mod reduction;
pub mod resize;
mod site;

pub use site::{Site, Unsupported};
