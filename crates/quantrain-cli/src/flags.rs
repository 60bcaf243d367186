//! Flags that several commands take, and what they say over a recipe.

use std::path::PathBuf;

use clap::Args;
use quantrain::observe::ObserverKind;
use quantrain::recipe::{
    ChannelOrder, ClassNames, Exif, ExportStyle, GradientPath, Interpolation, OnBadSample, OptimizerName, Overrides, PerChannel, Recipe,
    ResizeMode, ResizeTo, Size,
};

use crate::error::CliError;

/// A recipe, and flags that go before what it says.
#[derive(Clone, Debug, Args)]
pub struct RecipeFlags {
    /// The recipe (`quantrain init MODEL` writes one); without it, --model and --data say enough
    recipe: Option<PathBuf>,
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
    /// Training images: parquet, IDX or a folder; several with commas between them, some rows of one with #START..END behind it
    #[arg(long, value_name = "PATH", help_heading = "Images")]
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
    /// sgd, adam or adamw [default: sgd]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    optimizer: Option<OptimizerName>,
    /// Learning rate [default: 0.001]
    #[arg(long, alias = "learning-rate", value_name = "RATE", help_heading = "Training")]
    lr: Option<f64>,
    /// Whose derivative a layer has: float (the devkit's ste) or quantized (qte) [default: quantized]
    #[arg(long, value_name = "PATH", help_heading = "Training")]
    gradient_path: Option<GradientPath>,
    /// Seed of the order of samples and of augmentation [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training")]
    seed: Option<u64>,
    #[command(flatten)]
    export: ExportFlags,
    #[command(flatten)]
    machine: MachineFlags,
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
    /// EXIF orientation of images: apply or ignore [default: apply]
    #[arg(long, value_name = "NAME")]
    exif: Option<Exif>,
    /// Samples that cannot be read: error or skip [default: error]
    #[arg(long, value_name = "NAME")]
    on_bad_sample: Option<OnBadSample>,
    /// Resize the shorter side to this length, or the image to HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE")]
    resize: Option<ResizeTo>,
    /// What --resize means: shorter-side, stretch or letterbox [default: by its form]
    #[arg(long, value_name = "NAME")]
    resize_mode: Option<ResizeMode>,
    /// How it is done: nearest, box, bilinear, hamming, bicubic or lanczos [default: bilinear]
    #[arg(long, value_name = "NAME")]
    interpolation: Option<Interpolation>,
    /// Order of the channels: rgb or bgr [default: rgb]
    #[arg(long, value_name = "NAME")]
    channel_order: Option<ChannelOrder>,
    /// Cut this size from the centre: a side, or HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE")]
    crop: Option<Size>,
}

/// Which integers the network gets.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Quantization")]
pub struct QuantizationFlags {
    /// The runtime: onnxruntime, onnxruntime-vnni, tidl-pow2, or a target file (.toml) [default: onnxruntime]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Bits of weights: 2 to 8, or 16 [default: the target's]
    #[arg(long, value_name = "N")]
    weight_bits: Option<u8>,
    /// Bits of activations: 2 to 8, or 16 [default: the target's]
    #[arg(long, value_name = "N")]
    activation_bits: Option<u8>,
    /// Bits of the first and the last layers [default: 8 if others have fewer]
    #[arg(long, value_name = "N")]
    edge_bits: Option<u8>,
    /// What finds ranges: min-max, moving-average, percentile, pact2 or mean-squared-error
    #[arg(long, value_name = "NAME")]
    observer: Option<ObserverKind>,
}

/// The form of exported models.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Export")]
pub struct ExportFlags {
    /// qdq (QuantizeLinear and DequantizeLinear) or clip (float with Clip at the ranges, for TIDL) [default: qdq]
    #[arg(long, value_name = "NAME")]
    style: Option<ExportStyle>,
    /// Write the quantized values as the float weights, with --style clip
    #[arg(long)]
    quantized_weights: bool,
    /// Write scales and zero points as JSON too
    #[arg(long)]
    encodings: bool,
    /// Operator set of the exported model, 13 to 23 [default: the model's, or what its operators and types need]
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
    /// The effective recipe.
    pub fn load(&self) -> Result<Recipe, CliError> {
        let mut overrides = Overrides { model: self.model.clone(), out: self.out.clone(), ..Overrides::default() };
        self.settings.over(&mut overrides);
        Ok(Recipe::load(self.recipe.as_deref(), overrides)?)
    }
}

impl SettingFlags {
    /// Puts what the flags say over a recipe.
    pub fn over(&self, overrides: &mut Overrides) {
        overrides.data = self.data.clone();
        overrides.eval_data = self.eval_data.clone();
        overrides.calibration_data = self.calibration_data.clone();
        overrides.calibration_images = self.calibration_images;
        overrides.train_images = self.train_images;
        overrides.eval_images = self.eval_images;
        overrides.enabled = self.float.then_some(false);
        overrides.epochs = self.epochs;
        overrides.batch_size = self.batch_size;
        overrides.optimizer = self.optimizer;
        overrides.learning_rate = self.lr;
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
        overrides.range = self.range;
        overrides.resize = self.resize;
        overrides.resize_mode = self.resize_mode;
        overrides.interpolation = self.interpolation;
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
