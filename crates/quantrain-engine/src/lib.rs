//! Runs a [`QuantGraph`](quantrain_graph::QuantGraph): forward in float or in simulated integers, and backward.
//!
//! A [`Network`] owns the float master parameters. A [`Plan`] is made once for a batch size and a [`Purpose`]: the order of work, which
//! buffer holds what and when it may be reused, what the backward replays and what it skips; it prints itself. A [`Workspace`] holds the
//! buffers of a plan.
//!
//! Inside, images are NHWC and quantized tensors hold *centred codes* `q − z` as f32: sums of their products are exact below 2^24, so a
//! simulated evaluation has the integers of the device. Gradients are in real units.
//!
//! | module | what it does |
//! |---|---|
//! | `network` | parameters, quantizers, the walk forward and backward |
//! | `plan`, `buffers`, `layout` | what is made ahead of time |
//! | `block` | convolutions and products with BatchNorm: both gradient paths, all BatchNorm modes |
//! | `reconstruct` | what a block's sums lack, and rounding learned from it |
//! | `op` | everything without weights, a file for each family |
//! | `constants` | one operator between constants |
//!
//! This crate knows neither files nor optimizers.
#![forbid(unsafe_code)]

mod block;
mod buffers;
mod constants;
mod error;
mod layout;
mod monitor;
mod network;
mod op;
mod plan;
mod reconstruct;

pub use block::{BatchNormMode, GradientPath, Sums};
pub use constants::evaluate;
pub use error::EngineError;
pub use layout::{in_memory_order, in_onnx_order, physical_shape};
pub use monitor::{Monitor, Want};
pub use network::{
    BlockInput, BlockMut, GradientSums, Mode, Network, Parameter, ParameterLayout, Training, Weight, WeightLimits, Workspace,
};
pub use plan::{Plan, Purpose};
pub use quantrain_kernels::range_sums::RangeSums;
pub use quantrain_lowering::memory::MemoryExceeded;
pub use quantrain_lowering::memory_order::physical_permutation;
pub use quantrain_lowering::{Unsupported, memory};
pub use reconstruct::{AdaRound, Learned, Moments, Wanted};
