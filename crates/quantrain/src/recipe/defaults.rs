//! What holds where a recipe says nothing: fixed values, and those that follow the target and other keys.

use quantrain_graph::{ChannelScales, Granularity, ScaleKind, Target};

use super::RecipeFile;
use super::channel_scales::PerChannelWeights;
use super::check::{given, target};
use super::choice::{BatchNorm, ClipWeights, GradientPath, RangeLearning, RefineStep, TrainObserver};
use super::file::{QuantizationFile, TABLES};
use crate::CheckError;
use crate::observe::ObserverKind;
use crate::schedule::FreezeSchedule;

/// Activations of so few bits want their range by squared error, and kept.
const FEW_BITS: u8 = 5;

/// A recipe with every key that has a default, and its target.
pub(super) fn filled_in(file: RecipeFile) -> Result<(RecipeFile, Target), CheckError> {
    let file = file.or(RecipeFile::standard());
    let target = target(given("target", file.target.as_deref())?)?;
    let dependent = dependent_defaults(&file, &target);
    Ok((file.or(dependent), target))
}

/// The keys of a recipe that were chosen: all, or where it lists them those and what is not as it would be filled in.
pub(super) fn chosen(mut file: RecipeFile) -> Result<RecipeFile, CheckError> {
    let Some(explicit) = file.explicit.take() else { return Ok(file) };
    let is_key = |name: &str| TABLES.iter().any(|table| table.keys.iter().any(|key| table.qualified(key.name) == name));
    if let Some(unknown) = explicit.iter().find(|name| !is_key(name)) {
        return Err(CheckError::Value { key: "explicit", found: format!("`{unknown}`"), expected: "keys such as `train.epochs`" });
    }
    let standard = RecipeFile::standard();
    let target = target(given("target", file.target.as_deref().or(standard.target.as_deref()))?)?;
    let whole = file.clone().or(standard.clone());
    let mut usual = dependent_defaults(&whole, &target).or(standard);
    // A run that only quantized has these filled in.
    let refined = usual_refinement(&whole, &target);
    if file.refine.steps.as_ref() == Some(&refined) {
        usual.refine.steps = Some(refined);
    }
    Ok(file.without(usual, &explicit))
}

/// The table `[quantization]` of a recipe that says nothing of it.
pub(super) fn usual_quantization(target: &Target) -> QuantizationFile {
    dependent_defaults(&RecipeFile::standard(), target).quantization
}

/// The refinement of a network that is not trained, where none was chosen: what docs/defaults.md shows to be worth its time.
pub(super) fn usual_refinement(file: &RecipeFile, target: &Target) -> Vec<RefineStep> {
    let q = &file.quantization;
    let has_own_widths = [(q.weight_bits, target.weights().bits), (q.activation_bits, target.activations().bits)]
        .iter()
        .all(|(given, own)| given.is_none_or(|bits| bits == *own));
    match has_own_widths && shares_power_of_two(q, target) {
        true => vec![RefineStep::Equalization, RefineStep::WeightClipping, RefineStep::BiasCorrection, RefineStep::AdaRound],
        false => Vec::new(),
    }
}

/// Whether the weights of a layer share one power of two.
fn shares_power_of_two(given: &QuantizationFile, target: &Target) -> bool {
    let of_target = target.weights().granularity == Granularity::PerChannel;
    let of_channels = given.per_channel.map_or(of_target, |scales| scales == PerChannelWeights(ChannelScales::All));
    target.weights().scale == ScaleKind::PowerOfTwo && !of_channels
}

/// The defaults that depend on the target and on other keys.
fn dependent_defaults(file: &RecipeFile, target: &Target) -> RecipeFile {
    let mut defaults = RecipeFile::default();
    let (given, q) = (&file.quantization, &mut defaults.quantization);
    let (own_weight_bits, own_activation_bits) = (target.weights().bits, target.activations().bits);
    let weight_bits = given.weight_bits.unwrap_or(own_weight_bits);
    let activation_bits = given.activation_bits.unwrap_or(own_activation_bits);
    let has_eight = target.check_weight_bits(8).is_ok() && target.check_activation_bits(8).is_ok();
    let powers_of_two = target.activations().scale == ScaleKind::PowerOfTwo;
    q.weight_bits = Some(own_weight_bits);
    q.activation_bits = Some(own_activation_bits);
    let fewer = weight_bits < own_weight_bits || activation_bits < own_activation_bits;
    q.edge_bits = (fewer && has_eight).then_some(8);
    q.per_channel = Some(PerChannelWeights(match target.weights().granularity {
        Granularity::PerChannel => ChannelScales::All,
        Granularity::PerTensor => ChannelScales::None,
    }));
    q.quantize_output = Some(target.quantizes_output());
    q.bias_limit = Some(target.bias_limit());
    q.clip_weights = Some(if shares_power_of_two(given, target) { ClipWeights::Outliers } else { ClipWeights::Off });
    (q.observer, q.train_observer) = match (activation_bits <= FEW_BITS, powers_of_two) {
        (true, _) => (Some(ObserverKind::MeanSquaredError), Some(TrainObserver::None)),
        (false, true) => (Some(ObserverKind::Pact2), Some(TrainObserver::Pact2)),
        (false, false) => {
            // Who names a percentile wants that one.
            let named = given.percentile.is_some() && given.percentile != RecipeFile::standard().quantization.percentile;
            let kind = if named { ObserverKind::Percentile } else { ObserverKind::Measured };
            (Some(kind), Some(TrainObserver::MovingAverage))
        }
    };
    if given.learn_ranges.is_some() {
        q.train_observer = Some(TrainObserver::None);
    }
    // The quantized path takes the derivative of folded weights as they are; only the batch's own statistics keep them in bounds.
    let quantized_path = matches!(given.gradient_path, None | Some(GradientPath::Quantized));
    let normalized = given.enabled != Some(false) && quantized_path;
    q.batch_norm = Some(if normalized { BatchNorm::Corrected } else { BatchNorm::Running });
    q.learn_weight_ranges = Some(given.learn_ranges.is_some_and(|method| method != RangeLearning::Pact));
    defaults.refine.steps = Some(Vec::new());
    defaults.data.calibration = file.data.train.clone();
    let freeze = file.train.epochs.map(FreezeSchedule::over);
    defaults.train.freeze_batch_norm_epoch = freeze.map(|f| f.batch_norm);
    defaults.train.freeze_ranges_epoch = freeze.map(|f| f.ranges);
    defaults
}
