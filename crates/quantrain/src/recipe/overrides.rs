//! What flags say over a recipe.

use std::path::PathBuf;

use super::RecipeFile;
use super::choice::{
    ChannelOrder, Exif, ExportStyle, GradientPath, Interpolation, LastBatch, LossName, OnBadSample, OptimizerName, ResizeMode, ScheduleName,
};
use super::class_names::ClassNames;
use super::per_channel::PerChannel;
use super::resize::ResizeTo;
use super::size::Size;
use crate::observe::ObserverKind;

macro_rules! overrides {
    ($( $field:ident: $type:ty => $($key:ident).+; )+) => {
        /// Values of flags, which go before those of the recipe; relative paths start at the current folder.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Overrides {
            $(
                #[doc = concat!("Of the key `", stringify!($($key).+), "`.")]
                pub $field: Option<$type>,
            )+
        }

        impl From<Overrides> for RecipeFile {
            fn from(flags: Overrides) -> Self {
                let mut file = RecipeFile::default();
                $( file.$($key).+ = flags.$field; )+
                file
            }
        }
    };
}

overrides! {
    model: PathBuf => model;
    input_shape: Vec<String> => input_shape;
    target: String => target;
    out: PathBuf => out;
    seed: u64 => seed;
    threads: usize => threads;
    device: String => device;
    enabled: bool => quantization.enabled;
    weight_bits: u8 => quantization.weight_bits;
    activation_bits: u8 => quantization.activation_bits;
    edge_bits: u8 => quantization.edge_bits;
    gradient_path: GradientPath => quantization.gradient_path;
    observer: ObserverKind => quantization.observer;
    data: PathBuf => data.train;
    eval_data: PathBuf => data.eval;
    calibration_data: PathBuf => data.calibration;
    classes: ClassNames => data.classes;
    exif: Exif => data.exif;
    on_bad_sample: OnBadSample => data.on_bad_sample;
    unpack_limit: u64 => data.unpack_limit;
    image_column: String => data.image_column;
    label_column: String => data.label_column;
    mask_column: String => data.mask_column;
    ignored_label: i64 => data.ignored_label;
    channels: usize => data.channels;
    range: u32 => data.range;
    mean: PerChannel => data.mean;
    std: PerChannel => data.std;
    resize: ResizeTo => data.resize;
    resize_mode: ResizeMode => data.resize_mode;
    letterbox_fill: u8 => data.letterbox_fill;
    interpolation: Interpolation => data.interpolation;
    antialias: bool => data.antialias;
    channel_order: ChannelOrder => data.channel_order;
    crop: Size => data.crop;
    calibration_images: usize => data.calibration_images;
    train_images: usize => data.train_images;
    eval_images: usize => data.eval_images;
    epochs: u32 => train.epochs;
    batch_size: usize => train.batch_size;
    micro_batch: usize => train.micro_batch;
    optimizer: OptimizerName => train.optimizer;
    last_batch: LastBatch => train.last_batch;
    learning_rate: f64 => train.learning_rate;
    weight_decay: f64 => train.weight_decay;
    schedule: ScheduleName => train.schedule;
    loss: LossName => train.loss;
    style: ExportStyle => export.style;
    quantized_weights: bool => export.quantized_weights;
    encodings: bool => export.encodings;
    opset: i64 => export.opset;
    int4: bool => export.int4;
    uint8: bool => export.uint8;
    check: bool => export.check;
}
