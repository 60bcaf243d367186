//! How a recipe's steps run.

use quantrain_engine::{BatchNormMode, GradientPath, Mode, Training};

use crate::recipe::{self, Recipe};
use crate::schedule::FreezeSchedule;

/// How the network is evaluated.
pub(crate) fn evaluation(recipe: &Recipe) -> Mode {
    Mode { simulate: recipe.quantization().enabled, training: None }
}

/// How a step of an epoch trains.
pub(crate) fn training(recipe: &Recipe, freeze: &FreezeSchedule, epoch: u32) -> Mode {
    let batch_norm = match recipe.quantization().batch_norm {
        _ if freeze.batch_norm_is_frozen(epoch) && recipe.quantization().enabled => BatchNormMode::Frozen,
        mode => mode.into(),
    };
    Mode { training: Some(Training { gradient_path: gradient_path(recipe), batch_norm }), ..evaluation(recipe) }
}

/// Whose derivative is taken.
pub(crate) fn gradient_path(recipe: &Recipe) -> GradientPath {
    recipe.quantization().gradient_path.into()
}

impl From<recipe::GradientPath> for GradientPath {
    fn from(path: recipe::GradientPath) -> Self {
        match path {
            recipe::GradientPath::Float => GradientPath::Float,
            recipe::GradientPath::Quantized => GradientPath::Quantized,
            recipe::GradientPath::DevkitQte => GradientPath::QuantizedUnmasked,
        }
    }
}

impl From<recipe::BatchNorm> for BatchNormMode {
    fn from(mode: recipe::BatchNorm) -> Self {
        match mode {
            recipe::BatchNorm::Running => BatchNormMode::Running,
            recipe::BatchNorm::Corrected => BatchNormMode::Corrected,
            recipe::BatchNorm::Frozen => BatchNormMode::Frozen,
        }
    }
}
