//! From a recipe as written to a checked one: the only place where values are judged. Conditions are written so that NaN fails.

use std::path::{Path, PathBuf};

use quantrain_data::{Augment, Columns, Filter, LabelKind, PixelRange, ReadOptions, Resize, Scaling};
use quantrain_engine::AdaRound;
use quantrain_graph::{LayerSettings, Range, ScaleKind, Settings, Target, TensorSettings};
use quantrain_onnx::InputShape;

use super::choice::{
    ChannelOrder, Distance, Exif, GradientPath, InputKind, Interpolation, LabelName, LastBatch, LossName, OnBadSample, OptimizerName,
    RangeLearning, ResizeMode, TrainObserver,
};
use super::defaults::{chosen, filled_in};
use super::file::{AugmentationFile, DataFile, InputFile, LabelFile, QuantizationFile, RefineFile, TrainFile, is_target_file};
use super::inputs::{NamedInput, NamedLabel};
use super::per_channel::PerChannel;
use super::resize::ResizeTo;
use super::{Data, Device, Export, LearnRanges, Losses, OutputLoss, Quantization, Recipe, RecipeFile, Train};
use crate::CheckError;
use crate::error::listed;
use crate::loss::{CrossEntropy, Distillation, ValueLoss};
use crate::observe::{ObserverKind, ObserverSettings};
use crate::optimizer::{Adam, Rule, Sgd};
use crate::oscillation::{Freezing, OscillationSettings};
use crate::refine::Refinement;
use crate::schedule::FreezeSchedule;

impl TryFrom<RecipeFile> for Recipe {
    type Error = CheckError;

    fn try_from(file: RecipeFile) -> Result<Self, CheckError> {
        let said = chosen(file)?;
        let (file, target) = filled_in(said.clone())?;
        Ok(Recipe {
            said,
            model: path("model", given("model", file.model.clone())?)?,
            read: quantrain_onnx::ReadOptions {
                input_shapes: input_shapes(file.input_shape.as_deref().unwrap_or_default())?,
                evaluate: Some(crate::EVALUATE),
            },
            out: path("out", given("out", file.out.clone())?)?,
            seed: check("seed", file.seed, "0 to 2^63 - 1", |s| i64::try_from(s).is_ok())?,
            threads: check("threads", file.threads, "0 to 1024", |t| t <= 1024)?,
            memory_limit: optional("memory-limit", file.memory_limit, "16 to 16777216 MiB", |m| (16..=1 << 24).contains(&m))?
                .map(|m| m << 20),
            device: match given("device", file.device.as_deref())? {
                "cpu" => Device::Cpu,
                other => return Err(CheckError::Device { found: other.into() }),
            },
            quantization: quantization(&file.quantization, &target)?,
            data: data(&file.data)?,
            refine: refinement(&file.refine)?,
            augmentation: augmentation(&file.augmentation, file.data.ignored_label)?,
            train: train(&file.train, file.data.ignored_label)?,
            export: Export {
                style: given("export.style", file.export.style)?,
                checkpoint: given("export.checkpoint", file.export.checkpoint)?,
                quantized_weights: given("export.quantized-weights", file.export.quantized_weights)?,
                encodings: given("export.encodings", file.export.encodings)?,
                opset: optional("export.opset", file.export.opset, "13 to 25", |set| quantrain_onnx::OPERATOR_SETS.contains(&set))?,
                int4: given("export.int4", file.export.int4)?,
                uint8: given("export.uint8", file.export.uint8)?,
                check: given("export.check", file.export.check)?,
            },
            target,
            file,
        })
    }
}

fn input_shapes(texts: &[String]) -> Result<Vec<InputShape>, CheckError> {
    let expected = "a shape like Nx3x224x224, or with the input's name image=Nx3x224x224";
    let shape = |text: &String| text.parse().map_err(|_| CheckError::Value { key: "input-shape", found: format!("`{text}`"), expected });
    texts.iter().map(shape).collect()
}

pub(super) fn target(name: &str) -> Result<Target, CheckError> {
    let wrong = |source| CheckError::Target { key: "target", source };
    if !is_target_file(name) {
        return Target::named(name).map_err(wrong);
    }
    let text = super::text_file::read(name.as_ref()).map_err(|source| CheckError::TargetFile { file: name.into(), source })?;
    let stem = Path::new(name).file_stem().map_or(name.into(), |s| s.to_string_lossy());
    Target::parse(&stem, &text).map_err(wrong)
}

fn quantization(file: &QuantizationFile, target: &Target) -> Result<Quantization, CheckError> {
    let weight = |key, bits: u8| target.check_weight_bits(bits).map_err(|source| CheckError::Target { key, source });
    let activation = |key, bits: u8| target.check_activation_bits(bits).map_err(|source| CheckError::Target { key, source });
    let mut layers = Vec::new();
    for layer in file.layer.iter().flatten() {
        layers.push(LayerSettings {
            pattern: given("quantization.layer.name", layer.name.clone())?,
            weight_bits: layer.weight_bits.map(|b| weight("quantization.layer.weight-bits", b)).transpose()?,
            activation_bits: layer.activation_bits.map(|b| activation("quantization.layer.activation-bits", b)).transpose()?,
            per_channel: layer.per_channel,
            float: layer.float.unwrap_or(false),
        });
    }
    let mut tensors = Vec::new();
    for tensor in file.tensor.iter().flatten() {
        let wrong = |[low, high]: [f64; 2]| CheckError::Value {
            key: "quantization.tensor.range",
            found: format!("[{low}, {high}]"),
            expected: "two rising finite numbers that 0 lies between or is one of",
        };
        let range = tensor.range.map(|range @ [low, high]| {
            let is_range = low <= 0.0 && 0.0 <= high && low < high && low.is_finite() && high.is_finite();
            if is_range { Ok(Range::new(low as f32, high as f32)) } else { Err(wrong(range)) }
        });
        tensors.push(TensorSettings {
            pattern: given("quantization.tensor.name", tensor.name.clone())?,
            range: range.transpose()?,
            bits: tensor.bits.map(|b| activation("quantization.tensor.bits", b)).transpose()?,
            float: tensor.float.unwrap_or(false),
        });
    }
    let edge = "quantization.edge-bits";
    let settings = Settings {
        weight_bits: file.weight_bits.map(|b| weight("quantization.weight-bits", b)).transpose()?,
        activation_bits: file.activation_bits.map(|b| activation("quantization.activation-bits", b)).transpose()?,
        edge_bits: file.edge_bits.map(|b| weight(edge, b).and_then(|b| activation(edge, b))).transpose()?,
        per_channel: file.per_channel.map(|scales| scales.0),
        quantize_output: file.quantize_output,
        bias_limit: file.bias_limit,
        layers,
        tensors,
    };
    let percentile = real("quantization.percentile", file.percentile, "a number above 50 up to 100", |p| p > 50.0 && p <= 100.0)?;
    let rate = real("quantization.moving-average-rate", file.moving_average_rate, "a number above 0 up to 1", |r| r > 0.0 && r <= 1.0)?;
    let observer = |kind| ObserverSettings { kind, percentile, moving_average_rate: rate };
    Ok(Quantization {
        enabled: given("quantization.enabled", file.enabled)?,
        settings,
        clip_weights: given("quantization.clip-weights", file.clip_weights)?,
        gradient_path: given("quantization.gradient-path", file.gradient_path)?,
        batch_norm: given("quantization.batch-norm", file.batch_norm)?,
        restore_batch_norm: given("quantization.restore-batch-norm", file.restore_batch_norm)?,
        observer: observer(given("quantization.observer", file.observer)?),
        train_observer: match given("quantization.train-observer", file.train_observer)? {
            TrainObserver::None => None,
            TrainObserver::MovingAverage => Some(observer(ObserverKind::MovingAverage)),
            TrainObserver::Pact2 => Some(observer(ObserverKind::Pact2)),
        },
        learn_ranges: learn_ranges(file, target)?,
    })
}

fn learn_ranges(file: &QuantizationFile, target: &Target) -> Result<Option<LearnRanges>, CheckError> {
    let rate_factor = real("quantization.range-rate", file.range_rate, "a finite number above 0", |r| r > 0.0 && r.is_finite())?;
    let weights = given("quantization.learn-weight-ranges", file.learn_weight_ranges)?;
    if weights && file.learn_ranges.is_none_or(|method| method == RangeLearning::Pact) {
        let (key, expected) = ("quantization.learn-weight-ranges", "false, or learn-ranges lsq, lsq-plus or tqt");
        return Err(CheckError::Value { key, found: "true".into(), expected });
    }
    let Some(method) = file.learn_ranges else { return Ok(None) };
    let wrong = |expected| CheckError::Value { key: "quantization.learn-ranges", found: method.name().into(), expected };
    let powers_of_two = target.activations().scale == ScaleKind::PowerOfTwo;
    match method {
        _ if file.gradient_path != Some(GradientPath::Quantized) => Err(wrong("gradient-path quantized beside learned ranges")),
        _ if file.train_observer.is_some_and(|o| o != TrainObserver::None) => Err(wrong("no learned ranges beside a train-observer")),
        RangeLearning::Tqt if !powers_of_two => Err(wrong("lsq, lsq-plus or pact where scales are free")),
        RangeLearning::Lsq | RangeLearning::LsqPlus | RangeLearning::Pact if powers_of_two => {
            Err(wrong("tqt where scales are powers of two"))
        }
        RangeLearning::LsqPlus if target.activations().symmetric => Err(wrong("lsq or pact where codes have no zero point")),
        method => Ok(Some(LearnRanges { method, rate_factor, weights })),
    }
}

fn data(file: &DataFile) -> Result<Data, CheckError> {
    let images = |key, count| optional(key, count, "1 or more", |c: usize| c > 0);
    let a_side = "1 to 16384 pixels";
    let side = |s: usize| (1..=16384).contains(&s);
    let resize = resize(file)?;
    let channels = optional("data.channels", file.channels, "1 or 3", |c| matches!(c, 1 | 3))?;
    let crop = file.crop.map(|size| size.0.map(|s| s as usize));
    if let Some(found) = file.crop.filter(|_| crop.is_some_and(|[height, width]| !(side(height) && side(width)))) {
        return Err(CheckError::Value { key: "data.crop", found: found.to_string(), expected: a_side });
    }
    Ok(Data {
        train: file.train.clone().map(|p| path("data.train", p)).transpose()?,
        eval: file.eval.clone().map(|p| path("data.eval", p)).transpose()?,
        calibration: file.calibration.clone().map(|p| path("data.calibration", p)).transpose()?,
        read: ReadOptions {
            columns: Columns {
                image: file.image_column.clone(),
                label: file.label_column.clone(),
                mask: file.mask_column.clone(),
                ..Columns::default()
            },
            exif: match given("data.exif", file.exif)? {
                Exif::Apply => quantrain_data::Exif::Apply,
                Exif::Ignore => quantrain_data::Exif::Ignore,
            },
            unpack_limit: check("data.unpack-limit", file.unpack_limit, "1 to 1048576 MiB", |m| (1..=1 << 20).contains(&m))? << 20,
        },
        classes: file.classes.as_ref().map_or(Ok(Vec::new()), |classes| classes.read("data.classes"))?,
        on_bad_sample: match given("data.on-bad-sample", file.on_bad_sample)? {
            OnBadSample::Error => quantrain_data::OnBadSample::Error,
            OnBadSample::Skip => quantrain_data::OnBadSample::Skip,
        },
        ignored_label: file.ignored_label,
        range: match check("data.range", file.range, "1 or 255", |r| matches!(r, 1 | 255))? {
            1 => PixelRange::Unit,
            _ => PixelRange::Byte,
        },
        mean: per_channel("data.mean", file.mean.as_deref(), channels, "finite numbers, one or one for each channel", f32::is_finite)?,
        std: per_channel("data.std", file.std.as_deref(), channels, "finite numbers above 0, one or one for each channel", |s| {
            s > 0.0 && s.is_finite()
        })?,
        resize,
        scaling: Scaling {
            filter: match given("data.interpolation", file.interpolation)? {
                Interpolation::Nearest => Filter::Nearest,
                Interpolation::Box => Filter::Box,
                Interpolation::Bilinear => Filter::Bilinear,
                Interpolation::Hamming => Filter::Hamming,
                Interpolation::Bicubic => Filter::Bicubic,
                Interpolation::Lanczos => Filter::Lanczos,
            },
            antialias: given("data.antialias", file.antialias)?,
        },
        channel_order: match given("data.channel-order", file.channel_order)? {
            ChannelOrder::Rgb => quantrain_data::ChannelOrder::Rgb,
            ChannelOrder::Bgr => quantrain_data::ChannelOrder::Bgr,
        },
        crop,
        channels,
        calibration_images: check("data.calibration-images", file.calibration_images, "1 or more", |c| c > 0)?,
        train_images: images("data.train-images", file.train_images)?,
        eval_images: images("data.eval-images", file.eval_images)?,
        loader_threads: check("data.loader-threads", file.loader_threads, "1 to 1024", |t| (1..=1024).contains(&t))?,
        inputs: file
            .input
            .iter()
            .flat_map(|inputs| &inputs.0)
            .map(|(name, input)| named_input(file, name, input))
            .collect::<Result<_, _>>()?,
        labels: file.label.iter().flat_map(|labels| &labels.0).map(|(name, label)| named_label(name, label)).collect::<Result<_, _>>()?,
    })
}

/// An input with what the table `[data]` says of its images.
fn named_input(data_file: &DataFile, name: &str, input: &InputFile) -> Result<NamedInput, CheckError> {
    let kind = input.kind.unwrap_or(InputKind::Array);
    let for_images = [
        ("range", input.range.is_some()),
        ("resize", input.resize.is_some()),
        ("crop", input.crop.is_some()),
        ("channels", input.channels.is_some()),
    ];
    if let Some((key, _)) = for_images.iter().find(|(_, set)| *set && kind == InputKind::Array) {
        return Err(CheckError::Value {
            key: "data.input.NAME.kind",
            found: format!("array for `{name}` beside {key}"),
            expected: "image",
        });
    }
    if input.padding_mask == Some(true) && kind == InputKind::Image {
        let found = format!("true for the image `{name}`");
        return Err(CheckError::Value { key: "data.input.NAME.padding-mask", found, expected: "false" });
    }
    let merged = DataFile {
        input: None,
        label: None,
        range: input.range.or(data_file.range),
        resize: input.resize.or(data_file.resize),
        crop: input.crop.or(data_file.crop),
        channels: input.channels.or(data_file.channels),
        mean: if kind == InputKind::Image { input.mean.clone().or(data_file.mean.clone()) } else { data_file.mean.clone() },
        std: if kind == InputKind::Image { input.std.clone().or(data_file.std.clone()) } else { data_file.std.clone() },
        ..data_file.clone()
    };
    let numbers = |key, values: &Option<PerChannel>, usual: f64, expected, holds: fn(f32) -> bool| {
        let values: Vec<f32> = values.as_deref().unwrap_or(&[usual]).iter().map(|&v| v as f32).collect();
        match values.iter().find(|v| !holds(**v)) {
            Some(found) => Err(CheckError::Value { key, found: found.to_string(), expected }),
            None if values.is_empty() => Err(CheckError::Value { key, found: "no number".into(), expected }),
            None => Ok(values),
        }
    };
    let positive = |s: f32| s > 0.0 && s.is_finite();
    Ok(NamedInput {
        name: name.into(),
        kind,
        column: input.column.clone(),
        files: [
            input.train.clone().map(|p| path("data.input.NAME.train", p)).transpose()?,
            input.eval.clone().map(|p| path("data.input.NAME.eval", p)).transpose()?,
            input.calibration.clone().map(|p| path("data.input.NAME.calibration", p)).transpose()?,
        ],
        padding_mask: input.padding_mask.unwrap_or(false),
        mean: numbers("data.input.NAME.mean", &input.mean, 0.0, "finite numbers", f32::is_finite)?,
        std: numbers("data.input.NAME.std", &input.std, 1.0, "finite numbers above 0", positive)?,
        images: Box::new(data(&merged)?),
    })
}

fn named_label(name: &str, label: &LabelFile) -> Result<NamedLabel, CheckError> {
    Ok(NamedLabel {
        name: name.into(),
        kind: label.kind.map(|kind| match kind {
            LabelName::Class => LabelKind::Class,
            LabelName::Values => LabelKind::Values,
            LabelName::Truths => LabelKind::Truths,
        }),
        column: label.column.clone(),
        files: [
            label.train.clone().map(|p| path("data.label.NAME.train", p)).transpose()?,
            label.eval.clone().map(|p| path("data.label.NAME.eval", p)).transpose()?,
        ],
    })
}

fn resize(file: &DataFile) -> Result<Option<Resize>, CheckError> {
    let Some(to) = file.resize else {
        return match file.resize_mode {
            None => Ok(None),
            Some(mode) => Err(CheckError::Value { key: "data.resize-mode", found: mode.name().into(), expected: "resize beside it" }),
        };
    };
    let size = to.sides();
    let wrong = |expected| CheckError::Value { key: "data.resize", found: to.to_string(), expected };
    if size.iter().any(|side| !(1..=16384).contains(side)) {
        return Err(wrong("1 to 16384 pixels"));
    }
    let by_form = if matches!(to, ResizeTo::Length(_)) { ResizeMode::ShorterSide } else { ResizeMode::Stretch };
    match (file.resize_mode.unwrap_or(by_form), to) {
        (ResizeMode::ShorterSide, ResizeTo::Length(_)) => Ok(Some(Resize::ShorterSide(size[0]))),
        (ResizeMode::ShorterSide, ResizeTo::Size(_)) => Err(wrong("one length with resize-mode shorter-side")),
        (ResizeMode::Stretch, _) => Ok(Some(Resize::Stretch(size))),
        (ResizeMode::Letterbox, _) => {
            let class = file.ignored_label.and_then(|label| u8::try_from(label).ok()).unwrap_or(0);
            Ok(Some(Resize::Letterbox { size, fill: given("data.letterbox-fill", file.letterbox_fill)?, class }))
        }
    }
}

fn refinement(file: &RefineFile) -> Result<Refinement, CheckError> {
    let above_zero = "a finite number above 0";
    let positive = |x: f32| x > 0.0 && x.is_finite();
    Ok(Refinement {
        steps: given("refine.steps", file.steps.clone())?,
        held_out: real("refine.held-out", file.held_out, "a number above 0 and below 1", |h| h > 0.0 && h < 1.0)?,
        bias_epochs: check("refine.bias-epochs", file.bias_epochs, "1 or more", |e| e > 0)?,
        bias_rate: real("refine.bias-rate", file.bias_rate, "a number above 0 up to 1", |r| r > 0.0 && r <= 1.0)?,
        rounding: AdaRound {
            iterations: check("refine.rounding-iterations", file.rounding_iterations, "1 or more", |n| n > 0)? as usize,
            rate: real("refine.rounding-rate", file.rounding_rate, above_zero, positive)?,
            strength: real("refine.rounding-strength", file.rounding_strength, above_zero, positive)?,
        },
    })
}

fn augmentation(file: &AugmentationFile, ignored_label: Option<i64>) -> Result<Augment, CheckError> {
    let scale = match file.scale.map(|limits| limits.map(|x| x as f32)) {
        Some([low, high]) if !(low > 0.0 && low <= high && high <= 16.0) => {
            let (key, found) = ("augmentation.scale", format!("{low}, {high}"));
            return Err(CheckError::Value { key, found, expected: "two rising factors above 0 up to 16" });
        }
        Some(limits) if file.resized_crop.is_some() => {
            let (key, found) = ("augmentation.scale", format!("{} beside resized-crop", listed(&limits)));
            return Err(CheckError::Value { key, found, expected: "one way to cut out a random part" });
        }
        limits => limits.map(|[low, high]| (low, high)),
    };
    let key = "augmentation.resized-crop";
    let resized_crop = match file.resized_crop.map(|limits| limits.map(|x| x as f32)) {
        Some([low, high]) if !(low > 0.0 && low <= high && high <= 1.0) => {
            return Err(CheckError::Value { key, found: format!("{low}, {high}"), expected: "two rising shares above 0 up to 1" });
        }
        limits => limits.map(|[low, high]| (low, high)),
    };
    let padded_crop = check("augmentation.padded-crop", file.padded_crop, "0 to 65536 pixels", |p| p <= 65536)?;
    let color = real("augmentation.color", file.color, "0 to 1", |c| (0.0..=1.0).contains(&c))?;
    Ok(Augment {
        flip: given("augmentation.flip", file.flip)?,
        scale,
        padding: given("augmentation.padding", file.padding)?,
        padding_class: ignored_label.and_then(|label| u8::try_from(label).ok()),
        padded_crop: Some(padded_crop).filter(|&p| p > 0),
        resized_crop,
        color: Some(color).filter(|&c| c > 0.0),
    })
}

fn train(file: &TrainFile, ignored_label: Option<i64>) -> Result<Train, CheckError> {
    let momentum = real("train.momentum", file.momentum, "0 to below 1", |m| (0.0..1.0).contains(&m))?;
    let milestones = given("train.milestones", file.milestones.as_deref())?;
    if let Some(found) = milestones.iter().find(|m| !(**m >= 0.0 && m.is_finite())) {
        return Err(CheckError::Value { key: "train.milestones", found: found.to_string(), expected: "epochs, 0 or more" });
    }
    let batch_size = check("train.batch-size", file.batch_size, "1 to 65536", |b| (1..=65536).contains(&b))?;
    let divides = |part: usize| part > 0 && batch_size.is_multiple_of(part);
    Ok(Train {
        initialization: given("train.initialization", file.initialization)?,
        epochs: check("train.epochs", file.epochs, "1 or more", |e| e > 0)?,
        drop_last: given("train.last-batch", file.last_batch)? == LastBatch::Drop,
        shuffle: given("train.shuffle", file.shuffle)?,
        batch_size,
        micro_batch: optional("train.micro-batch", file.micro_batch, "a divisor of train.batch-size", divides)?.unwrap_or(batch_size),
        rule: match given("train.optimizer", file.optimizer)? {
            OptimizerName::Sgd => Rule::Sgd(Sgd { momentum, nesterov: false }),
            OptimizerName::Adam => Rule::Adam(Adam::default()),
            OptimizerName::AdamW => Rule::AdamW(Adam::default()),
        },
        learning_rate: real("train.learning-rate", file.learning_rate, "a finite number above 0", |r| r > 0.0 && r.is_finite())?,
        weight_decay: real("train.weight-decay", file.weight_decay, "a finite number, 0 or more", |d| d >= 0.0 && d.is_finite())?,
        gradient_clip: match file.gradient_clip {
            None => None,
            clip => Some(real("train.gradient-clip", clip, "a finite number above 0", |c| c > 0.0 && c.is_finite())?),
        },
        schedule: given("train.schedule", file.schedule)?,
        milestones: milestones.to_vec(),
        gamma: real("train.gamma", file.gamma, "a number above 0 up to 1", |g| g > 0.0 && g <= 1.0)?,
        final_rate_fraction: real("train.final-rate-fraction", file.final_rate_fraction, "0 to 1", |f| (0.0..=1.0).contains(&f))?,
        warmup_steps: given("train.warmup-steps", file.warmup_steps)?,
        losses: losses(file, ignored_label)?,
        step_down: step_down(file)?,
        oscillation: oscillation(file)?,
        freeze: FreezeSchedule {
            batch_norm: given("train.freeze-batch-norm-epoch", file.freeze_batch_norm_epoch)?,
            ranges: given("train.freeze-ranges-epoch", file.freeze_ranges_epoch)?,
        },
        log_every: check("train.log-every", file.log_every, "1 or more", |n| n > 0)?,
        ema_decay: match file.ema_decay {
            None => None,
            decay => Some(real("train.ema-decay", decay, "above 0 and below 1", |d| 0.0 < d && d < 1.0)?),
        },
        patience: optional("train.patience", file.patience, "1 or more", |epochs| epochs > 0)?,
        checkpoint_every: Some(given("train.checkpoint-every", file.checkpoint_every)?).filter(|&n| n > 0),
    })
}

fn step_down(file: &TrainFile) -> Result<Vec<u8>, CheckError> {
    let widths = given("train.step-down", file.step_down.clone())?;
    match widths.iter().find(|w| !matches!(w, 2..=8 | 16)) {
        Some(found) => {
            Err(CheckError::Value { key: "train.step-down", found: found.to_string(), expected: "widths of 2 to 8 bits, or 16" })
        }
        None => Ok(widths),
    }
}

fn oscillation(file: &TrainFile) -> Result<Option<OscillationSettings>, CheckError> {
    let settings = OscillationSettings {
        damping: real("train.oscillation-damping", file.oscillation_damping, "a finite number, 0 or more", |d| d >= 0.0 && d.is_finite())?,
        freezing: freezing(file)?,
        momentum: share("train.oscillation-momentum", file.oscillation_momentum)?,
    };
    Ok(Some(settings).filter(|s| s.damping > 0.0 || s.freezing.is_some()))
}

fn freezing(file: &TrainFile) -> Result<Option<Freezing>, CheckError> {
    let of = |key, value: Option<f64>| value.map(|v| share(key, Some(v))).transpose();
    let key = "train.oscillation-freezing-start";
    let first = of(key, file.oscillation_freezing_start)?;
    let last = of("train.oscillation-freezing", file.oscillation_freezing)?;
    match (first, last) {
        (Some(first), None) => {
            Err(CheckError::Value { key, found: first.to_string(), expected: "oscillation-freezing, the share at the end, beside it" })
        }
        (None, None) => Ok(None),
        (Some(first), Some(last)) if first < last => {
            Err(CheckError::Value { key, found: first.to_string(), expected: "at least oscillation-freezing" })
        }
        (first, Some(last)) => Ok(Some(Freezing { first: first.unwrap_or(last), last })),
    }
}

fn share(key: &'static str, value: Option<f64>) -> Result<f32, CheckError> {
    real(key, value, "a number above 0 up to 1", |s| s > 0.0 && s <= 1.0)
}

fn losses(file: &TrainFile, ignored_label: Option<i64>) -> Result<Losses, CheckError> {
    let label_smoothing = real("train.label-smoothing", file.label_smoothing, "0 to below 1", |s| (0.0..1.0).contains(&s))?;
    let weight = real("train.distillation-weight", file.distillation_weight, "a number above 0 up to 1", |w| w > 0.0 && w <= 1.0)?;
    let temperature = real("train.temperature", file.temperature, "a finite number above 0", |t| t > 0.0 && t.is_finite())?;
    let delta = real("train.huber-delta", file.huber_delta, "a finite number above 0", |d| d > 0.0 && d.is_finite())?;
    let distance = |distance| match distance {
        Distance::MeanSquaredError => Some(Distillation::MeanSquaredError),
        Distance::Cosine => Some(Distillation::Cosine),
        Distance::Distillation => Some(Distillation::KullbackLeibler { temperature }),
        Distance::L1 | Distance::Huber => None,
    };
    let of_values = |distance| match distance {
        Distance::MeanSquaredError => Some(ValueLoss::MeanSquaredError),
        Distance::L1 => Some(ValueLoss::L1),
        Distance::Huber => Some(ValueLoss::Huber { delta }),
        Distance::Cosine | Distance::Distillation => None,
    };
    let loss = given("train.loss", file.loss)?;
    let (teacher, values) = match loss {
        LossName::CrossEntropy | LossName::BinaryCrossEntropy => (None, Some(ValueLoss::MeanSquaredError)),
        LossName::L1 => (None, of_values(Distance::L1)),
        LossName::Huber => (None, of_values(Distance::Huber)),
        LossName::MeanSquaredError => (distance(Distance::MeanSquaredError), of_values(Distance::MeanSquaredError)),
        LossName::Cosine => (distance(Distance::Cosine), None),
        LossName::Distillation => (distance(Distance::Distillation), None),
    };
    let mut outputs = Vec::new();
    for output in file.output.iter().flatten() {
        let name = given("train.output.name", output.name.clone())?;
        if let Some(found) = output.loss.filter(|&l| teacher.is_none() && of_values(l).is_none()) {
            let expected =
                "mean-squared-error, l1 or huber, or a train.loss that compares outputs: mean-squared-error, cosine or distillation";
            return Err(CheckError::Value { key: "train.output.loss", found: found.name().into(), expected });
        }
        let of_output = output.weight.or(Some(1.0));
        let of_output = real("train.output.weight", of_output, "a finite number, 0 or more", |w| w >= 0.0 && w.is_finite())?;
        let (distance, values) = (output.loss.and_then(distance), output.loss.and_then(of_values));
        outputs.push(OutputLoss { name, weight: of_output, distance, values });
    }
    let class_weights: Option<Vec<f32>> = file.class_weights.as_ref().map(|weights| weights.iter().map(|&w| w as f32).collect());
    if let Some(found) = class_weights.iter().flatten().find(|w| !(**w > 0.0 && w.is_finite())) {
        return Err(CheckError::Value { key: "train.class-weights", found: found.to_string(), expected: "finite numbers above 0" });
    }
    let labels_weight = if teacher.is_some() { 1.0 - weight } else { 1.0 };
    let cross_entropy = CrossEntropy { label_smoothing, ignored_label, class_weights };
    Ok(Losses {
        labels: Some((labels_weight, cross_entropy)).filter(|(weight, _)| *weight > 0.0),
        values: match (values, teacher) {
            (Some(values), _) => Some((1.0, values)),
            (None, Some(_)) if labels_weight > 0.0 => Some((labels_weight, ValueLoss::MeanSquaredError)),
            (None, _) => None,
        },
        teacher: teacher.map(|d| (weight, d)),
        outputs,
    })
}

pub(super) fn given<T>(key: &'static str, value: Option<T>) -> Result<T, CheckError> {
    value.ok_or(CheckError::Missing { key })
}

fn check<T: Copy + ToString>(
    key: &'static str,
    value: Option<T>,
    expected: &'static str,
    holds: impl Fn(T) -> bool,
) -> Result<T, CheckError> {
    let value = given(key, value)?;
    if holds(value) { Ok(value) } else { Err(CheckError::Value { key, found: value.to_string(), expected }) }
}

fn optional<T: Copy + ToString>(
    key: &'static str,
    value: Option<T>,
    expected: &'static str,
    holds: impl Fn(T) -> bool,
) -> Result<Option<T>, CheckError> {
    value.map(|value| check(key, Some(value), expected, holds)).transpose()
}

/// A number in single precision, judged as such: 1e-60 is not above 0 there.
fn real(key: &'static str, value: Option<f64>, expected: &'static str, holds: impl Fn(f32) -> bool) -> Result<f32, CheckError> {
    let value = given(key, value)?;
    let single = value as f32;
    if holds(single) { Ok(single) } else { Err(CheckError::Value { key, found: value.to_string(), expected }) }
}

/// One number for all channels, or one for each.
fn per_channel(
    key: &'static str,
    values: Option<&[f64]>,
    channels: Option<usize>,
    expected: &'static str,
    holds: impl Fn(f32) -> bool,
) -> Result<Vec<f32>, CheckError> {
    let values = given(key, values)?;
    let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    let fits = single.len() == 1 || channels.map_or(single.len() == 3, |c| single.len() == c);
    if fits && single.iter().all(|&v| holds(v)) { Ok(single) } else { Err(CheckError::Value { key, found: listed(values), expected }) }
}

/// A path that the effective recipe can hold.
fn path(key: &'static str, path: PathBuf) -> Result<PathBuf, CheckError> {
    // The effective recipe has it as an absolute path.
    let absolute_fits = std::path::absolute(&path).map_or(true, |p| p.to_str().is_some());
    match path.to_str() {
        Some(text) if !text.is_empty() && absolute_fits => Ok(path),
        _ => Err(CheckError::Value { key, found: format!("`{}`", path.display()), expected: "a path in UTF-8" }),
    }
}
