//! Values of a recipe that are names.

use serde::{Deserialize, Serialize};

use super::table::Choices;
use crate::CheckError;

macro_rules! choices {
    ($( $(#[doc = $about:literal])+ $enum:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, )+ } )+) => { $(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $enum {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        impl $enum {
            /// The names, as recipes and flags have them.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name, as recipes and flags have it.
            pub fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)+
                }
            }
        }

        impl Choices for $enum {
            const NAMES: &'static [&'static str] = $enum::NAMES;
        }

        impl std::str::FromStr for $enum {
            type Err = CheckError;

            fn from_str(name: &str) -> Result<Self, CheckError> {
                match name {
                    $($name => Ok($enum::$variant),)+
                    _ => Err(CheckError::Name { found: name.into(), expected: $enum::NAMES.join(", ") }),
                }
            }
        }
    )+ };
}

choices! {
    /// Whose derivative a block has.
    GradientPath {
        /// Of the float block: the devkit's `ste`.
        Float = "float",
        /// Of the quantized block, zero where a code saturates: whitepaper formula 16.
        Quantized = "quantized",
        /// Of the quantized block, without masks: the devkit's `qte`.
        DevkitQte = "devkit-qte",
    }

    /// How weights are clipped once, before ranges are found.
    ClipWeights {
        /// Not at all.
        Off = "off",
        /// By the devkit's rule, where what it clips stands far from all other weights.
        Outliers = "outliers",
        /// By the devkit's rule.
        Devkit = "devkit",
        /// To the range with the least squared error.
        SquaredError = "squared-error",
    }

    /// How BatchNormalization behaves in training.
    BatchNorm {
        /// Folded with running statistics, which the float path updates.
        Running = "running",
        /// Folded with running statistics, scaled back and normalised by the batch.
        Corrected = "corrected",
        /// Folded with the float network's statistics, which stay as they are.
        Frozen = "frozen",
    }

    /// What updates the ranges of activations in training.
    TrainObserver {
        /// Nothing: the calibrated ranges stay.
        None = "none",
        /// The moving average of the extrema of 64 images.
        MovingAverage = "moving-average",
        /// The devkit's running range.
        Pact2 = "pact2",
    }

    /// What is done with the orientation that an image carries.
    Exif {
        /// The image is turned upright.
        Apply = "apply",
        /// It stays as it is stored.
        Ignore = "ignore",
    }

    /// What is done about samples that cannot be read.
    OnBadSample {
        /// They are an error.
        Error = "error",
        /// They are left out.
        Skip = "skip",
    }

    /// What a size to resize to means.
    ResizeMode {
        /// The shorter side gets the length.
        ShorterSide = "shorter-side",
        /// Both sides get theirs.
        Stretch = "stretch",
        /// The image fits into the size, the rest is filled.
        Letterbox = "letterbox",
    }

    /// What the pixels of a resized image are made of.
    Interpolation {
        /// The pixel under the centre.
        Nearest = "nearest",
        /// The mean of the pixels covered.
        Box = "box",
        /// A triangle.
        Bilinear = "bilinear",
        /// A cosine.
        Hamming = "hamming",
        /// Cubic polynomials.
        Bicubic = "bicubic",
        /// A windowed sine of three lobes.
        Lanczos = "lanczos",
    }

    /// The order of three channels.
    ChannelOrder {
        /// Red, green, blue.
        Rgb = "rgb",
        /// Blue, green, red.
        Bgr = "bgr",
    }

    /// What is done with the images of an epoch that do not fill a step.
    LastBatch {
        /// They are left out of that epoch.
        Drop = "drop",
        /// They make a smaller step.
        Keep = "keep",
    }

    /// How ranges of activations are learned.
    RangeLearning {
        /// The step size, with its scaled gradient.
        Lsq = "lsq",
        /// Step size and offset.
        LsqPlus = "lsq-plus",
        /// The clip limit.
        Pact = "pact",
        /// The logarithm of a power-of-two limit.
        Tqt = "tqt",
    }

    /// The optimizers.
    OptimizerName {
        /// Gradient descent with momentum.
        Sgd = "sgd",
        /// Adam.
        Adam = "adam",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
    }

    /// How the learning rate falls.
    ScheduleName {
        /// Half a cosine.
        Cosine = "cosine",
        /// By a factor at milestones.
        Step = "step",
        /// Not at all.
        Constant = "constant",
    }

    /// What an input is made of.
    InputKind {
        /// Numbers.
        Array = "array",
        /// Images.
        Image = "image",
    }

    /// What labels are.
    LabelName {
        /// A class for each sample.
        Class = "class",
        /// A number for each element of the output.
        Values = "values",
        /// 0 or 1 for each element of the output.
        Truths = "truths",
    }

    /// What training minimises.
    LossName {
        /// Cross entropy with the labels.
        CrossEntropy = "cross-entropy",
        /// The same; of truths.
        BinaryCrossEntropy = "binary-cross-entropy",
        /// The same; absolute difference of values.
        L1 = "l1",
        /// The same; of values squared where it is small, else absolute difference.
        Huber = "huber",
        /// Squared difference from labels that are values, else from the float network's outputs.
        MeanSquaredError = "mean-squared-error",
        /// Angle to the float network's outputs.
        Cosine = "cosine",
        /// Kullback-Leibler divergence from the float network's probabilities.
        Distillation = "distillation",
    }

    /// The steps of a refinement without labels.
    RefineStep {
        /// Ranges of activations by mean squared error.
        MeanSquaredErrorRanges = "mean-squared-error-ranges",
        /// Ranges of activations by entropy.
        EntropyRanges = "entropy-ranges",
        /// Equal ranges of weights across layers.
        Equalization = "equalization",
        /// Weights clipped once, to the range with the least squared error.
        WeightClipping = "weight-clipping",
        /// The mean error of each layer's sums taken out of its bias.
        BiasCorrection = "bias-correction",
        /// The devkit's bias calibration by the means of layers' outputs.
        BiasCalibration = "bias-calibration",
        /// Rounding of weights learned layer by layer.
        AdaRound = "adaround",
    }

    /// How an output is compared with its labels or with the float network's.
    Distance {
        /// Absolute difference from labels.
        L1 = "l1",
        /// Squared difference from labels where it is small, else absolute.
        Huber = "huber",
        /// Squared difference.
        MeanSquaredError = "mean-squared-error",
        /// Angle.
        Cosine = "cosine",
        /// Kullback-Leibler divergence of probabilities.
        Distillation = "distillation",
    }

    /// What weights training starts from.
    Initialization {
        /// Those of the file.
        File = "file",
        /// Random ones after He et al.
        He = "he",
    }

    /// Which network of a training.
    Which {
        /// That of the best score, the one before training included.
        Best = "best",
        /// That after the last step.
        Last = "last",
    }

    /// The form of an exported model.
    ExportStyle {
        /// QuantizeLinear and DequantizeLinear nodes.
        Qdq = "qdq",
        /// A float model with Clip nodes at the ranges, for TIDL's own import.
        Clip = "clip",
        /// C99, a source file and a header, for devices without a runtime.
        C = "c",
        /// TensorFlow Lite, for the targets tflite-micro and litert.
        Tflite = "tflite",
    }
}
