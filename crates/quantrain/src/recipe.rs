//! The recipe: everything that a run depends on, as one TOML file.
//!
//! [`RecipeFile`] is what is written; `TryFrom<RecipeFile> for Recipe` fills in the defaults and is the only check; [`Recipe`] is what
//! runs. The keys, with their defaults and what they do, stand once, in `recipe/file.rs`; [`reference()`] and [`RecipeFile::commented`] print
//! them.

mod assignment;
mod channel_scales;
mod check;
mod choice;
mod class_names;
mod defaults;
mod error;
mod file;
mod inputs;
mod overrides;
mod parse;
mod per_channel;
mod reference;
mod resize;
mod size;
mod suggestion;
mod table;
mod text_file;

pub use channel_scales::PerChannelWeights;
pub use choice::{
    BatchNorm, ChannelOrder, ClipWeights, Distance, Exif, ExportStyle, GradientPath, Initialization, InputKind, Interpolation, LabelName,
    LastBatch, LossName, OnBadSample, OptimizerName, RangeLearning, RefineStep, ResizeMode, ScheduleName, TrainObserver, Which,
};
pub use class_names::ClassNames;
pub use error::{CheckError, Location, RecipeError};
pub use file::{
    AugmentationFile, DataFile, ExportFile, InputFile, LabelFile, LayerFile, OutputFile, QuantizationFile, RecipeFile, RefineFile, TABLES,
    TrainFile,
};
pub use inputs::{InputFiles, Inputs, NamedInput, NamedLabel};
pub use overrides::Overrides;
pub use per_channel::PerChannel;
pub use reference::reference;
pub use resize::ResizeTo;
pub use size::Size;
pub use suggestion::{key_meant, nearest};
pub use table::{Choices, Default, Key, Table};

use std::path::{Path, PathBuf};

use quantrain_data::{Augment, Channels, Order, PixelRange, Preprocess, Resize, Scaling};
use quantrain_graph::{LayerSettings, Settings, Target};
use quantrain_onnx::{ClipOptions, FloatOptions, QdqOptions, ReadOptions};

use crate::RunError;
use crate::checkpoint::Fingerprint;
use crate::loss::{CrossEntropy, Distillation, ValueLoss};
use crate::observe::ObserverSettings;
use crate::optimizer::{Optimizer, Rule};
use crate::oscillation::OscillationSettings;
use crate::refine::Refinement;
use crate::schedule::{Decay, FreezeSchedule, RateSchedule};

/// A checked recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    model: PathBuf,
    read: ReadOptions,
    target: Target,
    out: PathBuf,
    seed: u64,
    threads: usize,
    memory_limit: Option<u64>,
    device: Device,
    quantization: Quantization,
    data: Data,
    refine: Refinement,
    augmentation: Augment,
    train: Train,
    export: Export,
    /// What was chosen.
    said: RecipeFile,
    /// The same with every default that was filled in.
    file: RecipeFile,
}

/// Where the computation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// On the processor.
    Cpu,
}

/// The table `[quantization]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// Whether the network is quantized at all.
    pub enabled: bool,
    /// Widths and layers, allowed by the target.
    pub settings: Settings,
    /// How weights are clipped once.
    pub clip_weights: ClipWeights,
    /// Whose derivative a block has.
    pub gradient_path: GradientPath,
    /// BatchNormalization in training.
    pub batch_norm: BatchNorm,
    /// Whether layers without BatchNormalization get one for training.
    pub restore_batch_norm: bool,
    /// What finds ranges in calibration.
    pub observer: ObserverSettings,
    /// What moves ranges in training.
    pub train_observer: Option<ObserverSettings>,
    /// How ranges are learned; `None` where they are not.
    pub learn_ranges: Option<LearnRanges>,
}

/// The table `[data]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Training images.
    pub train: Option<PathBuf>,
    /// Images that accuracy is measured on.
    pub eval: Option<PathBuf>,
    /// Images that ranges are calibrated on; the training images by default.
    pub calibration: Option<PathBuf>,
    /// How files are read.
    pub read: quantrain_data::ReadOptions,
    /// The names of all classes, by number; none where they are not known ahead.
    pub classes: Vec<String>,
    /// What is done about samples that cannot be read.
    pub on_bad_sample: quantrain_data::OnBadSample,
    /// A label that does not count.
    pub ignored_label: Option<i64>,
    /// What 255 becomes.
    pub range: PixelRange,
    /// Subtracted; one or one for each channel.
    pub mean: Vec<f32>,
    /// Divided by; one or one for each channel.
    pub std: Vec<f32>,
    /// What images are resized to.
    pub resize: Option<Resize>,
    /// How they are resized.
    pub scaling: Scaling,
    /// The order of three channels.
    pub channel_order: quantrain_data::ChannelOrder,
    /// Height and width.
    pub crop: Option<[usize; 2]>,
    /// 1 or 3; those of the network if absent.
    pub channels: Option<usize>,
    /// Images of a calibration.
    pub calibration_images: usize,
    /// Images of an epoch; all if absent.
    pub train_images: Option<usize>,
    /// Images of an evaluation; all if absent.
    pub eval_images: Option<usize>,
    /// Background threads.
    pub loader_threads: usize,
    /// Inputs of which something is said.
    pub inputs: Vec<NamedInput>,
    /// Outputs whose labels something is said of.
    pub labels: Vec<NamedLabel>,
}

impl Data {
    /// How an image becomes the input of a network with so many channels.
    pub fn preprocess(&self, network_channels: usize) -> Preprocess {
        Preprocess {
            resize: self.resize,
            scaling: self.scaling,
            channel_order: self.channel_order,
            crop: self.crop,
            range: self.range,
            mean: self.mean.clone(),
            std: self.std.clone(),
            channels: Channels::Convert(self.channels.unwrap_or(network_channels)),
            order: Order::default(),
        }
    }
}

/// The table `[train]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// What weights training starts from.
    pub initialization: Initialization,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images of a step.
    pub batch_size: usize,
    /// Images that are run at once; a divisor of `batch_size`.
    pub micro_batch: usize,
    /// Whether the images of an epoch that do not fill a step are left out of it.
    pub drop_last: bool,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// The optimizer's rule.
    pub rule: Rule,
    /// Learning rate after the warm-up.
    pub learning_rate: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Largest norm of the gradient.
    pub gradient_clip: Option<f32>,
    /// How the rate falls.
    pub schedule: ScheduleName,
    /// Epochs at which the schedule `step` lowers the rate.
    pub milestones: Vec<f64>,
    /// By this factor.
    pub gamma: f32,
    /// Share of the rate that a cosine ends with.
    pub final_rate_fraction: f32,
    /// Steps over which the rate rises.
    pub warmup_steps: u64,
    /// What is minimised.
    pub losses: Losses,
    /// Widths of the first epochs; narrower quantizers have them then.
    pub step_down: Vec<u8>,
    /// What is done about oscillating weights; `None` where they are not watched.
    pub oscillation: Option<OscillationSettings>,
    /// When BatchNorm and ranges freeze.
    pub freeze: FreezeSchedule,
    /// What a step keeps of the average of the parameters, where that is what is judged and exported.
    pub ema_decay: Option<f32>,
    /// Epochs after the best one, after which training ends early.
    pub patience: Option<u32>,
    /// Steps between two lines of the metrics log.
    pub log_every: u64,
    /// Steps between two checkpoints; only after each epoch if absent.
    pub checkpoint_every: Option<u64>,
}

impl Train {
    /// Parts that a full step is run in.
    pub fn parts(&self) -> usize {
        self.batch_size / self.micro_batch
    }

    /// The rule with decay and clipping around it.
    pub fn optimizer(&self) -> Optimizer {
        Optimizer::new(self.rule, self.weight_decay, self.gradient_clip)
    }

    /// The learning rate of every step.
    pub fn rate_schedule(&self, steps_per_epoch: u64) -> RateSchedule {
        let decay = match self.schedule {
            ScheduleName::Constant => Decay::Constant,
            ScheduleName::Cosine => Decay::Cosine { final_fraction: self.final_rate_fraction },
            ScheduleName::Step => Decay::Step {
                milestones: self.milestones.iter().map(|epoch| (epoch * steps_per_epoch as f64).round() as u64).collect(),
                gamma: self.gamma,
            },
        };
        let total_steps = u64::from(self.epochs) * steps_per_epoch;
        RateSchedule { rate: self.learning_rate, warmup_steps: self.warmup_steps, total_steps, decay }
    }
}

/// Ranges that are learned along with the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnRanges {
    /// How.
    pub method: RangeLearning,
    /// Factor on the learning rate.
    pub rate_factor: f32,
    /// Whether those of weights are learned too.
    pub weights: bool,
}

/// What is minimised: the weighted sum of what is here, at least one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// Weight of, and distance from, labels that are classes.
    pub labels: Option<(f32, CrossEntropy)>,
    /// Weight of, and distance from, labels that are values or truths: these go before a distance from the float network's outputs.
    pub values: Option<(f32, ValueLoss)>,
    /// Weight of, and distance from, the float network's outputs.
    pub teacher: Option<(f32, Distillation)>,
    /// Outputs with a distance of their own.
    pub outputs: Vec<OutputLoss>,
}

/// The distance of one output from the float network's.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputLoss {
    /// Name of the output.
    pub name: String,
    /// Its weight, on top of that of the whole distance.
    pub weight: f32,
    /// How it is compared with the float network's.
    pub distance: Option<Distillation>,
    /// How it is compared with values.
    pub values: Option<ValueLoss>,
}

impl Losses {
    /// Whether labels teach, where there are some.
    pub fn learns_labels(&self) -> bool {
        self.labels.is_some() || self.values.is_some()
    }

    /// Whether there is nothing to learn without labels.
    pub fn needs_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// Weight and distance of an output from labels that are values or truths.
    pub(crate) fn of_values(&self, output: &str) -> Option<(f32, ValueLoss)> {
        let (weight, values) = self.values?;
        let own = self.outputs.iter().find(|o| o.name == output);
        Some(own.map_or((weight, values), |own| (weight * own.weight, own.values.unwrap_or(values))))
    }

    /// The weight of an output on top of that of all.
    pub(crate) fn weight_of(&self, output: &str) -> f32 {
        self.outputs.iter().find(|o| o.name == output).map_or(1.0, |own| own.weight)
    }

    /// Weight and distance of each of a network's outputs, where it is compared with the float network's.
    ///
    /// # Errors
    /// An output with a distance of its own that the network does not have.
    pub fn distances(&self, outputs: &[&str]) -> Result<Vec<Option<(f32, Distillation)>>, RunError> {
        if let Some(unknown) = self.outputs.iter().find(|o| !outputs.contains(&o.name.as_str())) {
            let outputs = outputs.iter().map(|&name| name.into()).collect();
            return Err(RunError::NoOutput { name: unknown.name.clone(), outputs });
        }
        let of_output = |name: &&str| {
            let (weight, distance) = self.teacher?;
            let own = self.outputs.iter().find(|o| o.name == *name);
            let (weight, distance) = own.map_or((weight, distance), |own| (weight * own.weight, own.distance.unwrap_or(distance)));
            (weight > 0.0).then_some((weight, distance))
        };
        Ok(outputs.iter().map(of_output).collect())
    }
}

/// The table `[export]`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Form of the model.
    pub style: ExportStyle,
    /// Which network of a training is written.
    pub checkpoint: Which,
    /// Whether weights are written as the quantized values.
    pub quantized_weights: bool,
    /// Whether encodings are written.
    pub encodings: bool,
    /// The operator set, where one is asked for.
    pub opset: Option<i64>,
    /// Whether weights of at most 4 bits are stored as such.
    pub int4: bool,
    /// Whether activations of 8 bits are unsigned in the file.
    pub uint8: bool,
    /// Whether models are opened in ONNX Runtime once they are written.
    pub check: bool,
}

impl Export {
    /// What of it concerns a QDQ file.
    pub(crate) fn qdq(&self) -> QdqOptions {
        QdqOptions { int4_weights: self.int4, uint8_activations: self.uint8, opset: self.opset }
    }

    /// What of it concerns a file with Clip nodes.
    pub(crate) fn clip(&self) -> ClipOptions {
        ClipOptions { quantized_weights: self.quantized_weights, opset: self.opset }
    }

    /// What of it concerns a float file.
    pub(crate) fn float(&self) -> FloatOptions {
        FloatOptions { opset: self.opset }
    }
}

impl Recipe {
    /// The recipe of a file, or of flags alone, with what flags say over it. The file's relative paths start at its folder, those of flags at
    /// the current one.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, an unknown key or value, a value out of its range.
    pub fn load(path: Option<&Path>, flags: impl Into<RecipeFile>) -> Result<Self, RecipeError> {
        let (file, text) = match path {
            None => (RecipeFile::default(), String::new()),
            Some(path) => {
                let bytes = text_file::bytes(path).map_err(|source| RecipeError::Read { file: path.into(), source })?;
                let text = String::from_utf8(bytes).map_err(|error| {
                    let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
                    RecipeError::NotText { location: Location { file: path.into(), line: Some(line) } }
                })?;
                (parse::parse(path, &text)?.based_on(path.parent().unwrap_or(Path::new(""))), text)
            }
        };
        // What a file lists as chosen is told from the rest before a flag changes what the rest follows.
        let chosen = defaults::chosen(file);
        chosen.and_then(|file| Recipe::try_from(flags.into().or(file))).map_err(|source| {
            let line = source.key().and_then(|key| parse::line_of(&text, key));
            let file = path.map_or_else(PathBuf::new, PathBuf::from);
            RecipeError::Check { location: Location { file, line }, source: Box::new(source) }
        })
    }

    /// The effective recipe, with every default filled in and absolute paths: it means the same in any folder. The key `explicit` lists what
    /// was chosen.
    pub fn to_toml(&self) -> String {
        let file = RecipeFile { explicit: Some(self.explicit()), ..self.file.clone().absolute() };
        toml::to_string(&file).expect("checked values can be written")
    }

    /// The keys that were chosen, as `table.key`; the others were filled in.
    pub fn explicit(&self) -> Vec<String> {
        self.said.keys()
    }

    /// The recipe as it was chosen, with nothing filled in.
    pub fn chosen(&self) -> &RecipeFile {
        &self.said
    }

    /// The recipe for another target, named or a file, of a network that is trained already: what was filled in is found anew, what was chosen
    /// stays. How ranges were learned counts no more.
    ///
    /// # Errors
    /// The target is not known or does not have the widths that were chosen.
    pub fn for_target(&self, target: &str) -> Result<Self, CheckError> {
        let mut said = self.said.clone();
        said.target = Some(target.into());
        let q = &mut said.quantization;
        (q.learn_ranges, q.learn_weight_ranges, q.train_observer) = (None, None, None);
        Recipe::try_from(said)
    }

    /// The recipe of a run that only quantizes: where no refinement was chosen, the usual one of its target and widths.
    pub fn refined_as_usual(&self) -> Self {
        match self.said.refine.steps {
            Some(_) => self.clone(),
            None => self.with_steps(defaults::usual_refinement(&self.file, &self.target)),
        }
    }

    /// The recipe without refinement, whatever was chosen.
    pub fn without_refinement(&self) -> Self {
        self.with_steps(Vec::new())
    }

    fn with_steps(&self, steps: Vec<RefineStep>) -> Self {
        let mut recipe = self.clone();
        recipe.file.refine.steps = Some(steps.clone());
        recipe.refine.steps = steps;
        recipe
    }

    /// The keys that ask for other quantizers than the target's default ones; a file that is quantized already has its own.
    pub fn other_quantizers(&self) -> Vec<&'static str> {
        let (given, usual) = (&self.file.quantization, defaults::usual_quantization(&self.target));
        let differs = [
            ("quantization.weight-bits", given.weight_bits != usual.weight_bits),
            ("quantization.activation-bits", given.activation_bits != usual.activation_bits),
            ("quantization.edge-bits", given.edge_bits != usual.edge_bits),
            ("quantization.per-channel", given.per_channel != usual.per_channel),
            ("quantization.quantize-output", given.quantize_output != usual.quantize_output),
            ("quantization.layer", given.layer.as_ref().is_some_and(|rules| !rules.is_empty())),
            ("quantization.tensor", given.tensor.as_ref().is_some_and(|rules| !rules.is_empty())),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// The same recipe with more rules for layers, which go before those that are there.
    ///
    /// # Errors
    /// The target does not have a width.
    pub fn with_layers(&self, rules: &[LayerSettings]) -> Result<Self, CheckError> {
        let mut said = self.said.clone();
        let rule = |rule: &LayerSettings| LayerFile {
            name: Some(rule.pattern.clone()),
            weight_bits: rule.weight_bits,
            activation_bits: rule.activation_bits,
            per_channel: rule.per_channel,
            float: rule.float.then_some(true),
        };
        said.quantization.layer.get_or_insert_default().extend(rules.iter().map(rule));
        Recipe::try_from(said)
    }

    /// The same recipe with the names of all classes, in the order of the network's outputs.
    ///
    /// # Errors
    /// A name is empty or there twice.
    pub fn with_classes(&self, names: Vec<String>) -> Result<Self, CheckError> {
        let mut said = self.said.clone();
        said.data.classes = Some(ClassNames::Names(names));
        Recipe::try_from(said)
    }

    /// Of all that the trained network depends on: not where files go, in which form, or how many threads work.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&toml::to_string(&self.of_results()).expect("checked values can be written"))
    }

    /// The keys among those that the trained network depends on whose values are others than in another recipe.
    pub fn differences(&self, other: &Recipe) -> Vec<String> {
        let (own, other) = (self.of_results(), other.of_results());
        let mut keys = own.clone().without(other.clone(), &[]).keys();
        let more = other.without(own, &[]).keys().into_iter().filter(|key| !keys.contains(key)).collect::<Vec<_>>();
        keys.extend(more);
        keys
    }

    /// What the trained network depends on.
    fn of_results(&self) -> RecipeFile {
        let mut file = self.file.clone().absolute();
        (file.out, file.threads, file.device, file.data.loader_threads) = (None, None, None, None);
        file.memory_limit = None;
        file.export = ExportFile::default();
        file
    }

    /// The name of the exported ONNX file in the folder of exports. A run that is exported in another form may have a QDQ file beside.
    pub fn exported_model(&self) -> &'static str {
        match (self.quantization.enabled, self.export.style) {
            (false, _) => "model.float.onnx",
            (true, ExportStyle::Qdq | ExportStyle::C | ExportStyle::Tflite) => "model.qdq.onnx",
            (true, ExportStyle::Clip) => "model.clip.onnx",
        }
    }

    /// The name of the exported C source: that of the float network's file.
    pub fn exported_source(&self) -> String {
        format!("{}.c", quantrain_c::identifier(&self.model.file_stem().unwrap_or_default().to_string_lossy()))
    }

    /// The name of the exported TensorFlow Lite file: that of the float network's file.
    pub fn exported_tflite(&self) -> String {
        format!("{}.tflite", self.model.file_stem().unwrap_or_default().to_string_lossy())
    }

    /// The float network's file.
    pub fn model(&self) -> &Path {
        &self.model
    }

    /// How it is read.
    pub fn read_options(&self) -> &ReadOptions {
        &self.read
    }

    /// The runtime to quantize for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The run directory.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Seed of the order of samples and of augmentation.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Threads of the computation, 0 for one a core.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Bytes that the buffers of a network may take; `None` for a share by what the network and its images take.
    pub fn memory_limit(&self) -> Option<usize> {
        self.memory_limit.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Where the computation runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Widths, layers and gradients.
    pub fn quantization(&self) -> &Quantization {
        &self.quantization
    }

    /// What placement needs.
    pub fn settings(&self) -> Settings {
        self.quantization.settings.clone()
    }

    /// The images.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The refinement after calibration.
    pub fn refine(&self) -> &Refinement {
        &self.refine
    }

    /// Random changes of training images.
    pub fn augmentation(&self) -> &Augment {
        &self.augmentation
    }

    /// The first key of `[augmentation]` that changes images; none where nothing does.
    pub fn augments(&self) -> Option<&'static str> {
        let Augment { flip, scale, padded_crop, resized_crop, color, .. } = &self.augmentation;
        let keys = [
            ("flip", *flip),
            ("scale", scale.is_some()),
            ("padded-crop", padded_crop.is_some()),
            ("resized-crop", resized_crop.is_some()),
            ("color", color.is_some()),
        ];
        keys.into_iter().find(|(_, set)| *set).map(|(key, _)| key)
    }

    /// The training.
    pub fn train(&self) -> &Train {
        &self.train
    }

    /// The files written.
    pub fn export(&self) -> &Export {
        &self.export
    }
}

#[cfg(test)]
mod tests;
