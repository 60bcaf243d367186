//! Quantization-aware training as a library: recipes, calibration, training, export.
//!
//! A [`Job`] is a network under a [`Recipe`](recipe::Recipe), and walks the whole road: measure the float network, calibrate, train, export.
//! This is the main job, on the example of the repository, with few images; the command `quantrain train` does the same and adds words.
//!
//! ```
//! use quantrain::prelude::*;
//!
//! let example = "../../examples/fashion-mnist";
//! let mut recipe = RecipeFile { model: Some(format!("{example}/fashion_mobilenet.onnx").into()), ..RecipeFile::default() };
//! recipe.data.train = Some(format!("{example}/train-images-idx3-ubyte.gz").into());
//! recipe.data.eval = Some(format!("{example}/t10k-images-idx3-ubyte.gz").into());
//! // Every key has a field, and can be set as a recipe has it (docs/recipe.md).
//! for key in ["target=tidl-pow2", "quantization.weight-bits=6", "data.mean=0.286", "data.std=0.353", "train.epochs=1"] {
//!     recipe.set(key)?;
//! }
//! (recipe.data.calibration_images, recipe.data.eval_images, recipe.data.train_images) = (Some(64), Some(100), Some(320));
//! let recipe = Recipe::try_from(recipe)?; // filled in and checked
//!
//! let mut job = Job::for_training(recipe)?;
//! job.check_data(true)?; // what does not fit shows before any work is done
//! let before = job.prepare(&mut ())?; // `()` shows no progress; implement `Progress` to hear of it
//! let trained = job.train(None, &mut (), &mut ())?; // and `Keeper` to keep checkpoints to resume from
//! let folder = std::env::temp_dir().join(format!("quantrain-first-page-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let files = job.export(&folder)?;
//!
//! for (network, score) in [("float", before.float.as_ref()), ("calibrated", before.ptq.as_ref()), ("trained", trained.score())] {
//!     let score = score.ok_or("there are images that judge")?;
//!     println!("{network}: {score}");
//!     assert!(score.value() > 60.0);
//! }
//! assert!(files[0].ends_with("model.qdq.onnx") && files[0].exists());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | have most names at hand | [`prelude`] |
//! | write, read and check recipes | [`recipe`] |
//! | judge networks by a measure of one's own | [`metric::Metric`], [`Job::set_metric`] |
//! | keep and resume a training | [`Keeper`], [`checkpoint`], [`RunDirectory`] |
//! | find ranges another way | [`observe`], [`calibrate()`] |
//! | improve a network without labels | [`refine`] |
//! | know what each quantizer costs | [`sensitivity`] |
//! | compare simulation, integers and ONNX Runtime | [`verify`], [`onnxruntime`] |
//! | build, read, run and write networks | the crates [`graph`], [`onnx`], [`engine`], [`integer`] |
//! | read images | the crate [`data`] |
//!
//! Errors are typed: [`RunError`] holds all that a job can meet, each with the file, node or tensor and what to do.
#![forbid(unsafe_code)]

mod axis_values;
mod calibrate;
pub mod checkpoint;
mod clip_weights;
mod datasets;
mod dry_run;
mod error;
mod evaluate;
mod execution;
mod export;
mod export_check;
mod feeds;
mod held_out;
mod images;
mod initialize;
mod input;
mod job;
mod learned;
mod learned_ranges;
mod learned_weights;
pub mod loss;
mod measured;
pub mod metric;
mod mode;
mod model;
pub mod observe;
pub mod onnxruntime;
pub mod optimizer;
pub mod oscillation;
pub mod prelude;
mod printable;
mod progress;
mod quantizer_training;
mod ranges;
mod reach;
mod read;
pub mod recipe;
pub mod refine;
mod restore;
mod run_directory;
mod runner;
pub mod schedule;
pub mod sensitivity;
mod session;
mod sqnr;
mod stated;
pub mod statistics;
#[cfg(test)]
mod test_data;
mod train;
pub mod verify;
mod warning;
mod whole_file;

pub use quantrain_c::Footprint;
pub use quantrain_data as data;
pub use quantrain_engine as engine;
pub use quantrain_graph as graph;
pub use quantrain_integer as integer;
pub use quantrain_onnx as onnx;

pub use calibrate::{Calibrated, calibrate};
pub use clip_weights::{ClippedWeights, clip_weights};
pub use dry_run::dry_run;
pub use error::{
    CheckError, CheckpointError, FileError, Location, LossError, ObserveError, OptimizerError, RecipeError, RunDirectoryError, RunError,
};
pub use evaluate::{Evaluation, evaluate};
pub use execution::Execution;
pub use export::c_footprint;
pub use export_check::ExportCheck;
pub use feeds::check_inputs;
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
pub use session::{
    CalibrationReport, Feed, Labels, NamedRange, Pass, Port, Session, SessionError, SessionMemory, SessionParameter, SessionState, Tensor,
};
pub use stated::stated;
pub use train::{
    Best, Course, Divergence, EpochScore, Keeper, LogLine, Position, TrainReport, TrainState, Trainer, restore_network, restore_parameters,
};
pub use warning::Warning;
pub use whole_file::write_whole;
