//! Quantization-aware training as a library: recipes, calibration, training, export.
#![forbid(unsafe_code)]

mod error;
pub mod loss;
pub mod observe;
pub mod optimizer;
pub mod schedule;

pub use error::{LossError, ObserveError, OptimizerError};
