//! Quantization-aware training as a library: recipes, calibration, training, export.
#![forbid(unsafe_code)]

mod calibrate;
pub mod checkpoint;
mod datasets;
mod error;
mod evaluate;
mod export_check;
mod held_out;
mod images;
mod initialize;
mod input;
mod job;
mod learned;
mod learned_ranges;
mod learned_weights;
pub mod loss;
pub mod metric;
mod model;
pub mod observe;
pub mod onnxruntime;
pub mod optimizer;
pub mod oscillation;
mod printable;
mod progress;
mod ranges;
mod read;
pub mod recipe;
pub mod refine;
mod restore;
mod run_directory;
mod runner;
pub mod schedule;
pub mod sensitivity;
mod sqnr;
pub mod statistics;
#[cfg(test)]
mod test_data;
mod train;
pub mod verify;
mod warning;
mod whole_file;

pub use calibrate::{Calibrated, calibrate};
pub use error::{
    CheckError, CheckpointError, FileError, Location, LossError, ObserveError, OptimizerError, RecipeError, RunDirectoryError, RunError,
};
pub use evaluate::evaluate;
pub use export_check::ExportCheck;
use images::check_images;
pub use images::image_size;
pub use initialize::initialize;
pub use input::InputStatistics;
pub use job::{Job, Prepared};
pub use model::Model;
pub use printable::printable;
pub use progress::Progress;
pub use ranges::Ranges;
pub use read::{EVALUATE, read};
pub use restore::restore_batch_norm;
pub use run_directory::{MetricsLog, RunDirectory};
pub use runner::Runner;
pub use train::{
    Best, Course, EpochScore, Keeper, LogLine, Position, TrainReport, TrainState, Trainer, restore_network, restore_parameters,
};
pub use warning::Warning;
pub use whole_file::write_whole;
