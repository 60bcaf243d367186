//! Flags that several commands take, and what they say over a recipe.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use quantrain::RunDirectory;
use quantrain::observe::ObserverKind;
use quantrain::recipe::{
    ChannelOrder, Choices, ClassNames, Exif, ExportStyle, GradientPath, Interpolation, LastBatch, LossName, OnBadSample, OptimizerName,
    Overrides, PerChannel, Recipe, RecipeFile, ResizeMode, ResizeTo, ScheduleName, Size,
};
use quantrain_graph::Target;

use crate::error::CliError;
use crate::subject::Subject;

/// Reads one of the names that a key may have; the help lists them.
pub fn one_of<T>() -> impl TypedValueParser<Value = T>
where
    T: Choices + FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::NAMES.iter().copied()).try_map(|name| name.parse::<T>())
}

/// Help of a flag for images.
pub fn images(what: &str) -> String {
    format!("{what}: {}; several with commas between them, some rows of one with #START..END behind it", quantrain_data::KINDS)
}

/// Help of a flag for a target.
pub fn targets(what: &str, default: &str) -> String {
    format!("{what}: {}, or a target file (.toml) [default: {default}]", Target::names().collect::<Vec<_>>().join(", "))
}

/// Keys of a recipe that have no flag, or might have one.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Recipe")]
pub struct SetFlags {
    /// Set any key of the recipe, such as train.momentum=0.8; once for each (docs/recipe.md has all keys)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SetFlags {
    /// Whether no key is set.
    fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The keys that are set one by one, and those of flags.
    pub fn over(&self, flags: Overrides) -> Result<RecipeFile, CliError> {
        let (flags, mut set) = (RecipeFile::from(flags), RecipeFile::default());
        self.set.iter().try_for_each(|assignment| set.set(assignment))?;
        let twice = flags.keys().into_iter().find(|key| set.keys().contains(key));
        match twice {
            Some(key) => Err(CliError::Twice { key }),
            None => Ok(set.or(flags)),
        }
    }
}

/// A recipe, and flags that go before what it says.
#[derive(Clone, Debug, Args)]
pub struct RecipeFlags {
    /// A recipe (`quantrain init MODEL` writes one), a run directory, whose recipe is then taken, or the float network, an ONNX file
    #[arg(value_name = "RECIPE|RUN|MODEL")]
    subject: Option<PathBuf>,
    /// The float network, an ONNX file
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
    /// The run directory [default: run]
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Replace a trained run in the run directory
    #[arg(long, help_heading = "Run")]
    pub overwrite: bool,
}

/// Everything that a recipe's flags say, but for the model and the run directory.
#[derive(Clone, Debug, Args)]
pub struct SettingFlags {
    #[arg(long, value_name = "PATH", help_heading = "Images", help = images("Training images"))]
    data: Option<PathBuf>,
    /// Images that accuracy is measured on
    #[arg(long, value_name = "PATH", help_heading = "Images")]
    eval_data: Option<PathBuf>,
    /// Images that ranges are calibrated on [default: the training images]
    #[arg(long, value_name = "PATH", help_heading = "Images")]
    calibration_data: Option<PathBuf>,
    /// How many of them [default: 512]
    #[arg(long, value_name = "N", help_heading = "Images")]
    calibration_images: Option<usize>,
    /// Training images of an epoch [default: all]
    #[arg(long, value_name = "N", help_heading = "Images")]
    train_images: Option<usize>,
    /// Images that accuracy is measured on, spread over the classes [default: all]
    #[arg(long, value_name = "N", help_heading = "Images")]
    eval_images: Option<usize>,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    quantization: QuantizationFlags,
    /// Train and export the float network, without quantization
    #[arg(long, help_heading = "Training")]
    float: bool,
    /// Passes over the training images [default: 5]
    #[arg(long, value_name = "N", help_heading = "Training")]
    epochs: Option<u32>,
    /// Images of a step [default: 64]
    #[arg(long, value_name = "N", help_heading = "Training")]
    batch_size: Option<usize>,
    /// Images that are run at once, a divisor of the batch size: gradients are summed over the parts [default: the whole step]
    #[arg(long, value_name = "N", help_heading = "Training")]
    micro_batch: Option<usize>,
    /// What is done with images of an epoch that do not fill a step [default: drop]
    #[arg(long, value_name = "NAME", help_heading = "Training", value_parser = one_of::<LastBatch>())]
    last_batch: Option<LastBatch>,
    /// What is minimised [default: cross-entropy]
    #[arg(long, value_name = "NAME", help_heading = "Training", value_parser = one_of::<LossName>())]
    loss: Option<LossName>,
    /// The optimizer [default: sgd]
    #[arg(long, value_name = "NAME", help_heading = "Training", value_parser = one_of::<OptimizerName>())]
    optimizer: Option<OptimizerName>,
    /// Learning rate [default: 0.001]
    #[arg(long, alias = "learning-rate", value_name = "RATE", help_heading = "Training")]
    lr: Option<f64>,
    /// How the rate falls [default: cosine]
    #[arg(long, value_name = "NAME", help_heading = "Training", value_parser = one_of::<ScheduleName>())]
    schedule: Option<ScheduleName>,
    /// Weight decay
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    weight_decay: Option<f64>,
    /// Whose derivative a layer has: of the float layer (the devkit's ste), of the quantized one (formula 16), or its qte (no masks) [default: quantized]
    #[arg(long, value_name = "PATH", help_heading = "Training", value_parser = one_of::<GradientPath>())]
    gradient_path: Option<GradientPath>,
    /// Seed of the order of samples and of augmentation [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training")]
    seed: Option<u64>,
    #[command(flatten)]
    export: ExportFlags,
    #[command(flatten)]
    machine: MachineFlags,
    #[command(flatten)]
    set: SetFlags,
}

/// How the network's file is read.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkFlags {
    /// Shape of an input, where the model leaves extents open or fixes the batch (N frees it); once for each input
    #[arg(long, value_name = "NAME=Nx3x224x224")]
    input_shape: Option<Vec<String>>,
}

/// From a stored image to a network's input.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Preprocessing")]
pub struct PreprocessFlags {
    /// Subtracted from the pixels: a number, or one for each channel (0.485,0.456,0.406) [default: 0]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Option<Vec<f64>>,
    /// The pixels are divided by it: a number, or one for each channel [default: 1]
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', allow_negative_numbers = true)]
    std: Option<Vec<f64>>,
    /// What a pixel of 255 becomes before mean and std: 1 or 255 [default: 1]
    #[arg(long, value_name = "N")]
    range: Option<u32>,
    /// Names of all classes in the order of the network's outputs: a file with one on each line, or A,B,C
    #[arg(long, value_name = "FILE")]
    classes: Option<ClassNames>,
    /// A label that does not count, such as void pixels [default: none]
    #[arg(long, value_name = "N")]
    ignored_label: Option<i64>,
    /// Column of the images in a parquet file [default: the one that holds images]
    #[arg(long, value_name = "NAME")]
    image_column: Option<String>,
    /// Column of the labels in a parquet file [default: the one named label, labels, fine_label, class or target]
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// Column of the masks in a parquet file [default: the one named mask, annotation or segmentation]
    #[arg(long, value_name = "NAME")]
    mask_column: Option<String>,
    /// What is done with the EXIF orientation of images [default: apply]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Exif>())]
    exif: Option<Exif>,
    /// What is done about samples that cannot be read [default: error]
    #[arg(long, value_name = "NAME", value_parser = one_of::<OnBadSample>())]
    on_bad_sample: Option<OnBadSample>,
    /// MiB that a packed file may unpack to [default: 512]
    #[arg(long, value_name = "MIB")]
    unpack_limit: Option<u64>,
    /// Resize the shorter side to this length, or the image to HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE")]
    resize: Option<ResizeTo>,
    /// What --resize means [default: by its form]
    #[arg(long, value_name = "NAME", value_parser = one_of::<ResizeMode>())]
    resize_mode: Option<ResizeMode>,
    /// Value of the pixels around a letterboxed image, 0 to 255 [default: 114]
    #[arg(long, value_name = "N")]
    letterbox_fill: Option<u8>,
    /// How images are resized [default: bilinear]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Interpolation>())]
    interpolation: Option<Interpolation>,
    /// Whether more pixels count where an image shrinks, as with Pillow and not with OpenCV [default: true]
    #[arg(long, value_name = "BOOL")]
    antialias: Option<bool>,
    /// Order of the channels [default: rgb]
    #[arg(long, value_name = "NAME", value_parser = one_of::<ChannelOrder>())]
    channel_order: Option<ChannelOrder>,
    /// Channels of the network's input, 1 or 3; images that differ are converted [default: the network's]
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Cut this size from the centre: a side, or HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE")]
    crop: Option<Size>,
}

/// Which integers the network gets.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Quantization")]
pub struct QuantizationFlags {
    #[arg(long, value_name = "NAME", help = targets("The runtime", "onnxruntime"))]
    target: Option<String>,
    /// Bits of weights: 2 to 8, or 16 [default: the target's]
    #[arg(long, value_name = "N")]
    weight_bits: Option<u8>,
    /// Bits of activations: 2 to 8, or 16 [default: the target's]
    #[arg(long, value_name = "N")]
    activation_bits: Option<u8>,
    /// Bits of the first and the last layers, whose weights get no more than the target's own [default: 8 if others have fewer]
    #[arg(long, value_name = "N")]
    edge_bits: Option<u8>,
    /// What finds ranges [default: by bits and target]
    #[arg(long, value_name = "NAME", value_parser = one_of::<ObserverKind>())]
    observer: Option<ObserverKind>,
}

/// The form of exported models.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Export")]
pub struct ExportFlags {
    /// Form of the model: QuantizeLinear and DequantizeLinear, float with Clip at the ranges, for TIDL, or C99 [default: qdq]
    #[arg(long, value_name = "NAME", value_parser = one_of::<ExportStyle>())]
    style: Option<ExportStyle>,
    /// Write the quantized values as the float weights, with --style clip
    #[arg(long)]
    quantized_weights: bool,
    /// Write scales and zero points as JSON too
    #[arg(long)]
    encodings: bool,
    /// Operator set of the exported model, 13 to 25 [default: the model's, or what its operators and types need]
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Store weights of at most 4 bits as INT4 (operator set 21)
    #[arg(long)]
    int4: bool,
    /// Write signed 8-bit activations as UINT8 with a zero point 128 higher
    #[arg(long)]
    uint8: bool,
    /// Do not open what was exported in ONNX Runtime
    #[arg(long)]
    unchecked: bool,
}

/// What computes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineFlags {
    /// Threads of the computation, 0 for one a core; results do not depend on it [default: 0]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where the computation runs: cpu [default: cpu]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
}

impl RecipeFlags {
    /// The run whose directory was given, if one was.
    pub fn run(&self) -> Result<Option<RunDirectory>, CliError> {
        match self.subject.as_deref().map(Subject::of).transpose()? {
            Some(Subject::Run(run)) => Ok(Some(run)),
            _ => Ok(None),
        }
    }

    /// The effective recipe.
    pub fn load(&self) -> Result<Recipe, CliError> {
        let mut flags = Overrides { model: self.model.clone(), out: self.out.clone(), ..Overrides::default() };
        let recipe = match self.subject.as_deref().map(Subject::of).transpose()? {
            None if flags.model.is_none() && self.settings.set.is_empty() => return Err(CliError::Nothing),
            None => None,
            Some(Subject::Model(model)) => {
                if let Some(other) = flags.model.replace(model.clone()) {
                    return Err(CliError::TwoModels { first: model, second: other });
                }
                None
            }
            Some(Subject::Recipe(recipe)) => Some(recipe),
            Some(Subject::Run(run)) => {
                // Wherever the folder lies now.
                flags.out.get_or_insert_with(|| run.path().into());
                Some(run.recipe())
            }
        };
        self.settings.load(recipe.as_deref(), flags)
    }
}

impl SettingFlags {
    /// The recipe of a file, or of flags alone, under these flags and more.
    pub fn load(&self, recipe: Option<&Path>, flags: Overrides) -> Result<Recipe, CliError> {
        Ok(Recipe::load(recipe, self.over(flags)?)?)
    }

    /// What the flags say, and more flags.
    pub fn over(&self, mut flags: Overrides) -> Result<RecipeFile, CliError> {
        self.put_over(&mut flags);
        self.set.over(flags)
    }

    fn put_over(&self, overrides: &mut Overrides) {
        overrides.data = self.data.clone();
        overrides.eval_data = self.eval_data.clone();
        overrides.calibration_data = self.calibration_data.clone();
        overrides.calibration_images = self.calibration_images;
        overrides.train_images = self.train_images;
        overrides.eval_images = self.eval_images;
        overrides.enabled = self.float.then_some(false);
        overrides.epochs = self.epochs;
        overrides.batch_size = self.batch_size;
        overrides.micro_batch = self.micro_batch;
        overrides.optimizer = self.optimizer;
        overrides.last_batch = self.last_batch;
        overrides.loss = self.loss;
        overrides.learning_rate = self.lr;
        overrides.schedule = self.schedule;
        overrides.weight_decay = self.weight_decay;
        overrides.gradient_path = self.gradient_path;
        overrides.seed = self.seed;
        self.network.over(overrides);
        self.preprocess.over(overrides);
        self.quantization.over(overrides);
        self.export.over(overrides);
        self.machine.over(overrides);
    }
}

impl NetworkFlags {
    /// Puts what the flags say over a recipe.
    pub fn over(&self, overrides: &mut Overrides) {
        overrides.input_shape = self.input_shape.clone();
    }
}

impl PreprocessFlags {
    /// Puts what the flags say over a recipe.
    pub fn over(&self, overrides: &mut Overrides) {
        overrides.mean = self.mean.clone().map(PerChannel);
        overrides.std = self.std.clone().map(PerChannel);
        overrides.classes = self.classes.clone();
        overrides.exif = self.exif;
        overrides.on_bad_sample = self.on_bad_sample;
        overrides.ignored_label = self.ignored_label;
        overrides.image_column = self.image_column.clone();
        overrides.label_column = self.label_column.clone();
        overrides.mask_column = self.mask_column.clone();
        overrides.unpack_limit = self.unpack_limit;
        overrides.range = self.range;
        overrides.resize = self.resize;
        overrides.resize_mode = self.resize_mode;
        overrides.letterbox_fill = self.letterbox_fill;
        overrides.interpolation = self.interpolation;
        overrides.antialias = self.antialias;
        overrides.channels = self.channels;
        overrides.channel_order = self.channel_order;
        overrides.crop = self.crop;
    }
}

impl QuantizationFlags {
    /// Puts what the flags say over a recipe.
    pub fn over(&self, overrides: &mut Overrides) {
        overrides.target = self.target.clone();
        overrides.weight_bits = self.weight_bits;
        overrides.activation_bits = self.activation_bits;
        overrides.edge_bits = self.edge_bits;
        overrides.observer = self.observer;
    }
}

impl ExportFlags {
    /// Puts what the flags say over a recipe.
    pub fn over(&self, overrides: &mut Overrides) {
        overrides.style = self.style;
        overrides.quantized_weights = self.quantized_weights.then_some(true);
        overrides.encodings = self.encodings.then_some(true);
        overrides.opset = self.opset;
        overrides.int4 = self.int4.then_some(true);
        overrides.uint8 = self.uint8.then_some(true);
        overrides.check = self.unchecked.then_some(false);
    }
}

impl MachineFlags {
    /// Puts what the flags say over a recipe.
    pub fn over(&self, overrides: &mut Overrides) {
        overrides.threads = self.threads;
        overrides.device = self.device.clone();
    }
}
