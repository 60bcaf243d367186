//! What most programs need: `use quantrain::prelude::*;`.

pub use quantrain_data::Batch;
pub use quantrain_graph::{Graph, GraphBuilder, QuantGraph, Settings, Target};
pub use quantrain_onnx::{write_clip, write_encodings, write_float, write_qdq};

pub use crate::metric::{Metric, Output, Score};
pub use crate::recipe::{Overrides, Recipe, RecipeFile};
pub use crate::{
    EpochScore, ExportCheck, Job, Keeper, LogLine, Model, Prepared, Progress, RecipeError, RunDirectory, RunError, TrainReport, TrainState,
    Warning, read,
};
