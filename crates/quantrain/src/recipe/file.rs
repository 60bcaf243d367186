//! A recipe as written: every key, with its documentation and its default.

use std::path::{self, Path, PathBuf};

use quantrain_graph::BiasLimit;

use super::channel_scales::PerChannelWeights;
use super::choice::{
    BatchNorm, ChannelOrder, ClipWeights, Distance, Exif, ExportStyle, GradientPath, Initialization, InputKind, Interpolation, LabelName,
    LastBatch, LossName, OnBadSample, OptimizerName, RangeLearning, RefineStep, ResizeMode, ScheduleName, TrainObserver, Which,
};
use super::class_names::ClassNames;
use super::inputs::Inputs;
use super::per_channel::PerChannel;
use super::resize::ResizeTo;
use super::size::Size;
use super::table::{Default, recipe_tables};
use crate::observe::ObserverKind;

recipe_tables! {
    /// What is run, for what, and where the results go. Relative paths start at the recipe's folder.
    "" RecipeFile {
        /// The float network, an ONNX file.
        "model" model: PathBuf, words "none, it must be given", example "\"model.onnx\"";
        /// Shapes of the model's inputs, where it leaves extents open or fixes the batch: NAME=Nx3x480x640, N being the batch; the name may be left
        /// out where there is one input.
        "input-shape" input_shape: Vec<String>, words "the model's", example "[\"image=Nx3x480x640\"]";
        /// The runtime to quantize for: onnxruntime, onnxruntime-vnni, tidl-pow2, tflite-micro, litert, or the path of a target file (.toml).
        "target" target: String, "\"onnxruntime\"";
        /// The run directory: effective recipe, metrics, checkpoints, exported models and summary go there.
        "out" out: PathBuf, "\"run\"";
        /// Seed of the order of samples and of augmentation. A seed fixes every bit of a run. 0 to 2^63 − 1.
        "seed" seed: u64, "0";
        /// Threads of the computation; 0 takes one for each core, 1024 is the most. The results do not depend on it.
        "threads" threads: usize, "0";
        /// MiB that the buffers of a network may take, 16 to 16777216; evaluation and calibration run smaller batches where one would take more.
        "memory-limit" memory_limit: u64, words "256, 64 times the weights and 512 times the images of a training's batch, or one image; at most half of the machine's memory", example "4096";
        /// Where the computation runs: cpu.
        "device" device: String, "\"cpu\"";
        /// Which of the keys that are set were chosen, where others were filled in, as in the recipe of a run: what was filled in is found anew
        /// where a flag changes what it follows, and what is not as it would be filled in counts as chosen.
        "explicit" explicit: Vec<String>, words "all that are set", example "[\"model\", \"train.epochs\"]";
    }
    then {
        /// The integers.
        quantization: QuantizationFile;
        /// The images.
        data: DataFile;
        /// Refinement without labels.
        refine: RefineFile;
        /// Random changes of training images.
        augmentation: AugmentationFile;
        /// The training.
        train: TrainFile;
        /// The files written.
        export: ExportFile;
    }

    /// Which integers the network gets, and how ranges and gradients are found.
    "quantization" QuantizationFile {
        /// Whether the network is quantized; false trains and evaluates the float network.
        "enabled" enabled: bool, "true";
        /// Bits of weights: 2 to 8, or 16.
        "weight-bits" weight_bits: u8, words "the target's, usually 8", example "8";
        /// Bits of activations: 2 to 8, or 16.
        "activation-bits" activation_bits: u8, words "the target's, usually 8", example "8";
        /// Bits of the weights and inputs of the first and the last layers, and of the network's outputs. Up to 8, their weights get no more than
        /// the target's own width or weight-bits.
        "edge-bits" edge_bits: u8, words "8 if weights or activations have fewer than the target's, else theirs", example "8";
        /// Whether weights have a scale for each output channel: true, false, or "depthwise" for depthwise convolutions only.
        "per-channel" per_channel: PerChannelWeights, words "the target's", example "true";
        /// Whether the network's outputs are quantized. Where not, everything that leads to outputs only stays in float too.
        "quantize-output" quantize_output: bool, words "the target's", example "true";
        /// What is done with biases of layers of 8 bits on first-generation TIDL hardware: off (they have 32 bits), saturate (at 16 bits),
        /// reduce-weight-scale (the weights lose bits until 16 bits hold it) or devkit-split (the devkit's model: 8 bits, then a product of two
        /// bytes). docs/tidl-arithmetic.md has the numbers.
        "bias-limit" bias_limit: BiasLimit, words "the target's", example "\"saturate\"";
        /// How weights are clipped once, before ranges are found, BatchNormalization folded in: devkit (where the largest of a layer is above
        /// 15 and above 16 times the median, to 16 medians rounded up to a power of two, less 8 steps of 128), outliers (only weights that are 8
        /// times as large as all others of such a layer), squared-error (to the range with the least) or off. The summary says what was clipped.
        "clip-weights" clip_weights: ClipWeights, words "outliers where a layer's weights share one power of two, else off", example "\"off\"";
        /// Whose derivative a layer has in training: float (of the float layer, the devkit's ste), quantized (straight through the rounding, zero
        /// where a code saturates: whitepaper formula 16; faster) or devkit-qte (the same without masks, as the devkit's qte).
        "gradient-path" gradient_path: GradientPath, "\"quantized\"";
        /// BatchNormalization in training: running (folded with running statistics, which are updated), corrected (normalised by the batch)
        /// or frozen.
        "batch-norm" batch_norm: BatchNorm, words "corrected along the gradient path quantized, else running", example "\"corrected\"";
        /// Whether layers without BatchNormalization, the last ones excepted, get one for training: with the statistics of training
        /// images as they are augmented, and so that the network computes the same. Networks whose BatchNormalization was folded into the weights train well then.
        "restore-batch-norm" restore_batch_norm: bool, "true";
        /// What finds the ranges of activations in calibration: min-max, moving-average, percentile, pact2, mean-squared-error,
        /// entropy, or measured (percentile 99.999, unless 99.99 or 100 has an output SQNR better by 0.5 dB on 32 of the images).
        "observer" observer: ObserverKind, words "mean-squared-error at 5 bits or fewer, pact2 where the target's scales are powers of two, percentile where another than 99.99 is given, else measured", example "\"measured\"";
        /// What moves the ranges of activations in training until they freeze: none (they stay as calibrated), moving-average or pact2.
        "train-observer" train_observer: TrainObserver, words "none at 5 bits or fewer and where ranges are learned, pact2 where the target's scales are powers of two, else moving-average", example "\"moving-average\"";
        /// Percent of the values that the percentile observer keeps, above 50 to 100; half of the rest is cut at each end. Nothing is cut
        /// of outputs, of what a Softmax or ArgMax reads, and of what leads only there element by element: the largest value decides.
        "percentile" percentile: f64, "99.99";
        /// Share of 64 new images in the moving average of ranges, above 0 to 1; fewer have less, whatever the batch.
        "moving-average-rate" moving_average_rate: f64, "0.01";
        /// How ranges of activations are learned along with the weights, instead of observed, until they freeze: lsq (step size), lsq-plus (step
        /// size and offset, where codes have a zero point), pact (clip limit) or tqt (logarithm of the limit, where scales are powers of two).
        /// Wants the gradient path quantized.
        "learn-ranges" learn_ranges: RangeLearning, words "ranges are not learned", example "\"lsq\"";
        /// Whether the step sizes of weights are learned too, by the same method; they begin with the weights' own ranges. Not for pact.
        "learn-weight-ranges" learn_weight_ranges: bool, words "true where learn-ranges is lsq, lsq-plus or tqt", example "false";
        /// Factor on the learning rate for learned ranges, above 0.
        "range-rate" range_rate: f64, "1.0";
        /// Rules for single layers, the last that matches wins.
        "layer" layer: Vec<LayerFile>, words "none", example "[]";
        /// Rules for single tensors, the last that matches wins.
        "tensor" tensor: Vec<TensorFile>, words "none", example "[]";
    }

    /// A rule for some layers; repeat the table for each.
    "quantization.layer" LayerFile {
        /// Name of a node as `quantrain inspect` shows it, * standing for any text.
        "name" name: String, words "none, it must be given", example "\"*/classifier/*\"";
        /// Bits of the layer's weights.
        "weight-bits" weight_bits: u8, words "quantization.weight-bits or edge-bits", example "8";
        /// Bits of the layer's output.
        "activation-bits" activation_bits: u8, words "quantization.activation-bits or edge-bits", example "8";
        /// Whether the layer's weights have a scale for each output channel.
        "per-channel" per_channel: bool, words "quantization.per-channel", example "true";
        /// Whether the layer stays in float.
        "float" float: bool, "false";
    }

    /// A rule for some tensors; repeat the table for each.
    "quantization.tensor" TensorFile {
        /// Name of a tensor that leaves a layer, or of an input, * standing for any text.
        "name" name: String, words "none, it must be given", example "\"*/relu\"";
        /// Its range, which neither calibration nor training moves: [lower, upper].
        "range" range: [f64; 2], words "found by the observer", example "[0.0, 6.0]";
        /// Bits of its codes.
        "bits" bits: u8, words "the layer's activation-bits", example "16";
        /// Whether what writes it stays in float.
        "float" float: bool, "false";
    }

    /// Images and labels, and how an image becomes the network's input: channels, resize, crop, then (p − mean)/std.
    "data" DataFile {
        /// Training images: a parquet file with an image column, an IDX file (-images-idx3-ubyte, .gz too), an .npz file or a folder; several
        /// with commas between them.
        "train" train: PathBuf, words "none, training needs it", example "\"train.parquet\"";
        /// Images that networks are judged on.
        "eval" eval: PathBuf, words "a fifth of the calibration images, which refinement and training then leave out", example "\"test.parquet\"";
        /// Images that ranges are calibrated on; labels are not used.
        "calibration" calibration: PathBuf, words "the training images", example "\"train.parquet\"";
        /// Column of the images in a parquet file.
        "image-column" image_column: String, words "the only one that holds images, or the one named image or img", example "\"img\"";
        /// Column of the labels in a parquet file, integers from 0.
        "label-column" label_column: String, words "the one named label, labels, fine_label, class or target", example "\"label\"";
        /// Column of the masks in a parquet file, PNG of one byte a pixel: the task is then one class for each pixel.
        "mask-column" mask_column: String, words "the one named mask, annotation or segmentation, if there is one", example "\"mask\"";
        /// A label that does not count, neither in training nor in accuracy, such as void pixels.
        "ignored-label" ignored_label: i64, words "none", example "255";
        /// Names of all classes in the order of the network's outputs, as a list or as a text file with one on each line. Class folders get their
        /// numbers by it, in every data set; a run keeps it.
        "classes" classes: ClassNames, words "the class folders of the training images, else of the evaluation's, where they are as many as the network's classes", example "[\"cat\", \"dog\"]";
        /// What is done with the EXIF orientation of JPEG and PNG files: apply (images are turned upright, as viewers show them, with their mask
        /// and boxes) or ignore (as stored: for networks that were trained so).
        "exif" exif: Exif, "\"apply\"";
        /// What is done about samples that cannot be read: error (headers are looked at before the work begins) or skip (all samples are decoded
        /// once before the work begins, and bad ones are left out and named).
        "on-bad-sample" on_bad_sample: OnBadSample, "\"error\"";
        /// MiB that a packed file (.gz, .npz, parquet) may unpack to, 1 to 1048576; eight times its own size is always allowed.
        "unpack-limit" unpack_limit: u64, "512";
        /// What a pixel of 255 becomes before mean and std: 1 or 255.
        "range" range: u32, "1";
        /// Subtracted from each pixel: one number for all channels or one for each, on the scale of range.
        "mean" mean: PerChannel, "[0.0]";
        /// Each pixel is divided by it, after the mean: one number for all channels or one for each, above 0.
        "std" std: PerChannel, "[1.0]";
        /// Size in pixels that images are resized to: a length, or [height, width]; 1 to 16384 each.
        "resize" resize: ResizeTo, words "images are not resized", example "256";
        /// What resize means: shorter-side (it gets the length, the other one is in proportion), stretch (height and width are just so) or letterbox
        /// (the image fits into height and width, the rest is filled).
        "resize-mode" resize_mode: ResizeMode, words "shorter-side for a length, stretch for [height, width]", example "\"letterbox\"";
        /// Value of the pixels around a letterboxed image, 0 to 255; in masks they have the ignored label, else class 0.
        "letterbox-fill" letterbox_fill: u8, "114";
        /// What the pixels of a resized image are made of, in Pillow's words: nearest, box, bilinear, hamming, bicubic or lanczos.
        "interpolation" interpolation: Interpolation, "\"bilinear\"";
        /// Whether the interpolation takes in more pixels when an image shrinks, as Pillow does; OpenCV does not.
        "antialias" antialias: bool, "true";
        /// Order of three channels in the network's input, and in mean and std: rgb, or bgr as OpenCV reads files.
        "channel-order" channel_order: ChannelOrder, "\"rgb\"";
        /// Height and width in pixels cut from the centre: one number or [height, width], 1 to 16384 each.
        "crop" crop: Size, words "images are not cropped", example "224";
        /// Channels of the network's input, 1 or 3; images that differ are converted.
        "channels" channels: usize, words "as the network's input", example "3";
        /// Images that ranges are calibrated on, drawn by the seed and spread over the classes, 1 or more.
        "calibration-images" calibration_images: usize, "512";
        /// Training images of an epoch, drawn anew for each and spread over the classes, 1 or more.
        "train-images" train_images: usize, words "all", example "10000";
        /// Images that accuracy is measured on, spread over the classes, the same for every seed, 1 or more.
        "eval-images" eval_images: usize, words "all", example "1000";
        /// Background threads that decode and augment images, 1 to 1024.
        "loader-threads" loader_threads: usize, "2";
        /// Where the values of single inputs are, by the input's name.
        "input" input: Inputs<InputFile>, words "arrays of the inputs' names, where the network takes other things than one image", example "{}";
        /// Where the labels of single outputs are, by the output's name.
        "label" label: Inputs<LabelFile>, words "arrays of the outputs' names; of the first output also labels, label, targets, target or y", example "{}";
    }

    /// Where the values of one input are, NAME being its name in the network: an array of a file or images. Arrays are those of .npz and .npy
    /// files, columns of .csv files, and columns of numbers, lists, or lists of lists in parquet files, a row for each sample.
    "data.input.NAME" InputFile {
        /// Of what the input is made: array (numbers as they are) or image (decoded, resized and normalised).
        "kind" kind: InputKind, words "array", example "\"image\"";
        /// Name of the array or column; of a .csv file also of several columns side by side: names and patterns with commas between (age,income,sensor*).
        "column" column: String, words "the input's name; of images data.image-column", example "\"state\"";
        /// The file for training and, where nothing else is said, calibration.
        "train" train: PathBuf, words "data.train", example "\"state.npy\"";
        /// The file for evaluation.
        "eval" eval: PathBuf, words "data.eval", example "\"state_test.npy\"";
        /// The file for calibration.
        "calibration" calibration: PathBuf, words "train", example "\"state.npy\"";
        /// Whether the input, of one axis beside the batch, tells which positions are padding, by 0 or false. In calibration and training, which
        /// watch ranges, hidden positions of the other inputs hold what the sample's visible ones do, so that padding widens no range.
        "padding-mask" padding_mask: bool, words "false", example "true";
        /// Subtracted: of an array one number, or one for each index of a sample's first axis; of an image as data.mean.
        "mean" mean: PerChannel, words "0; of images data.mean", example "[0.5]";
        /// Divided by, after the mean: as many numbers, above 0.
        "std" std: PerChannel, words "1; of images data.std", example "[0.25]";
        /// Of images, as data.range.
        "range" range: u32, words "data.range", example "255";
        /// Of images, as data.resize.
        "resize" resize: ResizeTo, words "data.resize", example "256";
        /// Of images, as data.crop.
        "crop" crop: Size, words "data.crop", example "224";
        /// Of images, as data.channels.
        "channels" channels: usize, words "as the network's input", example "3";
    }

    /// Where the labels of one output are, NAME being its name in the network.
    "data.label.NAME" LabelFile {
        /// What they are: class (an integer from 0 for each sample), values (a number for each element of the output) or truths (0 or 1 for each).
        "kind" kind: LabelName, words "class for an integer a sample, truths for integers of 0 and 1 or bool, else values", example "\"values\"";
        /// Name of the array or column, or of several, as of an input.
        "column" column: String, words "the output's name; of the first output also labels, label, targets, target or y", example "\"steering\"";
        /// The file for training.
        "train" train: PathBuf, words "data.train", example "\"labels.npy\"";
        /// The file for evaluation.
        "eval" eval: PathBuf, words "data.eval", example "\"labels_test.npy\"";
    }

    /// What is done after calibration, without labels, so that the quantized network's outputs come nearer to the float network's; each step
    /// tells the output SQNR after it, on calibration images that no step has seen.
    "refine" RefineFile {
        /// The steps, in order: mean-squared-error-ranges and entropy-ranges (ranges of activations found anew), equalization (equal ranges of
        /// weights across layers; the float function stays), weight-clipping (once, to the range with the least squared error),
        /// bias-correction (by the mean error of each layer's sums), bias-calibration (the devkit's, by the means of layers' outputs), adaround
        /// (rounding of weights learned layer by layer; corrects biases too).
        "steps" steps: Vec<RefineStep>, words "none; where nothing is trained and a layer's weights share one power of two, with the target's own widths, equalization, weight-clipping, bias-correction and adaround", example "[]";
        /// Share of the calibration images that no step sees, above 0 to below 1; at least one image.
        "held-out" held_out: f64, "0.2";
        /// Passes of bias-calibration, 1 or more.
        "bias-epochs" bias_epochs: u32, "5";
        /// Rate of bias-calibration in the first pass, above 0 to 1; it is halved in each that follows.
        "bias-rate" bias_rate: f64, "0.05";
        /// Steps in which adaround learns the rounding of a layer, 1 or more.
        "rounding-iterations" rounding_iterations: u32, "500";
        /// Learning rate of adaround, above 0.
        "rounding-rate" rounding_rate: f64, "0.02";
        /// Weight of the term that drives adaround to a decision, above 0.
        "rounding-strength" rounding_strength: f64, "0.02";
    }

    /// Random changes of training images.
    "augmentation" AugmentationFile {
        /// Mirrors left and right, every second time.
        "flip" flip: bool, "false";
        /// Resizes by a factor drawn from this range, above 0 to 16, and cuts the size out at a random place; smaller images are padded. It
        /// takes the place of crop.
        "scale" scale: [f64; 2], words "off", example "[0.5, 2.0]";
        /// Value of padding pixels, 0 to 255. In masks they have the ignored label; without one, images with masks repeat their border.
        "padding" padding: u8, "0";
        /// Pads by so many pixels on each side and cuts the size out again at a random place, at most 65536; 0 is off.
        "padded-crop" padded_crop: usize, "0";
        /// Cuts out a random part, its share of the area from this range within (0, 1], and resizes it; takes the place of resize and crop.
        "resized-crop" resized_crop: [f64; 2], words "off", example "[0.35, 1.0]";
        /// Changes brightness, contrast and saturation, each by a factor from 1 − color to 1 + color; 0 to 1, 0 is off.
        "color" color: f64, "0.0";
    }

    /// How the network is trained.
    "train" TrainFile {
        /// The weights that training starts from: file (the model's) or he (random ones after He et al., by the seed; biases and statistics
        /// start anew too).
        "initialization" initialization: Initialization, "\"file\"";
        /// Passes over the training images, 1 or more.
        "epochs" epochs: u32, "5";
        /// Images of a step, 1 to 65536.
        "batch-size" batch_size: usize, "64";
        /// Images that are run at once, a divisor of batch-size: the gradients of a step are summed over parts of it, in the memory of one part.
        /// BatchNormalization normalises each part by its own statistics.
        "micro-batch" micro_batch: usize, words "the whole step", example "16";
        /// What is done with the images at the end of an epoch that do not fill a step: drop (they are left out; others in each epoch) or keep (a
        /// smaller step).
        "last-batch" last_batch: LastBatch, "\"drop\"";
        /// Whether each epoch has the images in an order of its own, drawn by the seed; false: in the order of the data.
        "shuffle" shuffle: bool, "true";
        /// What a gradient does to a weight: sgd, adam or adamw.
        "optimizer" optimizer: OptimizerName, "\"sgd\"";
        /// Learning rate after the warm-up, above 0. Fine-tuning wants a hundredth of what training from scratch wants.
        "learning-rate" learning_rate: f64, "0.001";
        /// Momentum of sgd, 0 to below 1.
        "momentum" momentum: f64, "0.9";
        /// Weight decay on all parameters, 0 or more.
        "weight-decay" weight_decay: f64, "0.0001";
        /// How the learning rate falls: cosine, step or constant.
        "schedule" schedule: ScheduleName, "\"cosine\"";
        /// Epochs after which the schedule step multiplies the rate by gamma; fractions are allowed.
        "milestones" milestones: Vec<f64>, "[]";
        /// Factor of the schedule step at each milestone, above 0 to 1.
        "gamma" gamma: f64, "0.1";
        /// Share of the learning rate that the schedule cosine ends with, 0 to 1.
        "final-rate-fraction" final_rate_fraction: f64, "0.0";
        /// Steps over which the learning rate rises from 0.
        "warmup-steps" warmup_steps: u64, "0";
        /// Largest global norm of the gradient, above 0; larger ones are scaled down to it.
        "gradient-clip" gradient_clip: f64, words "gradients are not clipped", example "1.0";
        /// What a step keeps of a running average of the parameters, above 0 and below 1; the average is then what is judged, kept and exported,
        /// with the ranges and statistics of the last step.
        "ema-decay" ema_decay: f64, words "parameters are not averaged", example "0.999";
        /// Epochs without a better network after which training ends early, 1 or more.
        "patience" patience: u32, words "training runs all its epochs", example "5";
        /// Share of each label that is spread over all classes, 0 to below 1.
        "label-smoothing" label_smoothing: f64, "0.0";
        /// Weight of each class in the cross entropy, above 0: one number for each class.
        "class-weights" class_weights: Vec<f64>, words "all 1", example "[1.0, 2.5]";
        /// What is minimised: the distance from the labels, as cross-entropy (of classes; of truths it is the binary-cross-entropy, of values the
        /// mean-squared-error) or l1 or huber (for values, all else as before); or that from the float network's outputs, as
        /// mean-squared-error (relative to each output's own mean square; but from labels where these are values), cosine (angle) or
        /// distillation (Kullback-Leibler divergence of probabilities), which need no labels.
        "loss" loss: LossName, "\"cross-entropy\"";
        /// Share of the distance from the float network's outputs in a loss that has one, above 0 to 1; the rest is cross-entropy.
        "distillation-weight" distillation_weight: f64, "1.0";
        /// Temperature of the loss distillation, above 0: a higher one compares more than the likeliest classes.
        "temperature" temperature: f64, "1.0";
        /// Distance from which on the loss huber grows linearly, above 0.
        "huber-delta" huber_delta: f64, "1.0";
        /// Widths of the first epochs, one for each: quantizers of fewer bits have so many then, and their own after the last. 2 to 8, or 16.
        "step-down" step_down: Vec<u8>, "[]";
        /// How strongly weights are pulled towards the middle of their code, 0 or more; 0 is off.
        "oscillation-damping" oscillation_damping: f64, "0.0";
        /// A weight whose code goes to and fro in a larger share of the steps is frozen where its code was on average, above 0 to 1.
        "oscillation-freezing" oscillation_freezing: f64, words "weights are not frozen", example "0.02";
        /// The share of oscillation-freezing at the first step, above 0 to 1; it falls from there by half a cosine.
        "oscillation-freezing-start" oscillation_freezing_start: f64, words "oscillation-freezing", example "0.04";
        /// Share of a step in the running frequency of oscillations, above 0 to 1.
        "oscillation-momentum" oscillation_momentum: f64, "0.01";
        /// Epoch, from 0, from which BatchNormalization is frozen; an epoch past the last means never.
        "freeze-batch-norm-epoch" freeze_batch_norm_epoch: u32, words "epochs/2 − 1, at least 0", example "4";
        /// Epoch, from 0, from which ranges of activations are frozen; an epoch past the last means never.
        "freeze-ranges-epoch" freeze_ranges_epoch: u32, words "epochs/2 + 1", example "6";
        /// Steps between two lines of the metrics log, 1 or more.
        "log-every" log_every: u64, "10";
        /// Steps between two checkpoints; 0 writes one only after each epoch.
        "checkpoint-every" checkpoint_every: u64, "500";
        /// Outputs whose distance from the float network's is another than that of the others.
        "output" output: Vec<OutputFile>, words "none", example "[]";
    }

    /// How one output is compared with its labels, or with the float network's where loss has a distance from it; repeat the table for each.
    "train.output" OutputFile {
        /// Name of the output.
        "name" name: String, words "none, it must be given", example "\"heatmap\"";
        /// With labels that are values mean-squared-error, l1 or huber; else mean-squared-error, cosine or distillation.
        "loss" loss: Distance, words "train.loss", example "\"mean-squared-error\"";
        /// Weight of the output in the sum, 0 or more; 0 leaves it out.
        "weight" weight: f64, words "1.0", example "1.0";
    }

    /// Which files are written.
    "export" ExportFile {
        /// Form of the exported model: qdq (QuantizeLinear and DequantizeLinear), clip (float with Clip at the ranges, for TIDL's import), c (a source
        /// file and a header in C99, called as the model's file) or tflite (a TensorFlow Lite file, for the targets tflite-micro and litert).
        "style" style: ExportStyle, "\"qdq\"";
        /// Which network of a training is exported: best (that of the best score after an epoch, or the one before training where none is better)
        /// or last.
        "checkpoint" checkpoint: Which, "\"best\"";
        /// Whether weights are written as the quantized values, in float.
        "quantized-weights" quantized_weights: bool, "false";
        /// Whether scales and zero points are also written as encodings in JSON.
        "encodings" encodings: bool, "false";
        /// Operator set of the exported model, 13 to 25; an error where its operators or types need a later one.
        "opset" opset: i64, words "the model's, or what its operators and types need", example "21";
        /// Whether weights of at most 4 bits are stored as INT4, two in a byte, instead of INT8 (style qdq; operator set 21).
        "int4" int4: bool, "false";
        /// Whether signed 8-bit codes of activations are written as UINT8 with a zero point 128 higher, so that all activations have one type
        /// (style qdq).
        "uint8" uint8: bool, "false";
        /// Whether exported models are opened and run in ONNX Runtime, where it is found, before the run is called good.
        "check" check: bool, "true";
    }
}

impl RecipeFile {
    /// The defaults that are fixed values.
    pub fn standard() -> Self {
        let mut text = String::new();
        for table in TABLES.iter().filter(|t| !t.is_list()) {
            if !table.name.is_empty() {
                text += &format!("[{}]\n", table.name);
            }
            for key in table.keys {
                if let Default::Value(value) = key.default {
                    text += &format!("{} = {value}\n", key.name);
                }
            }
        }
        toml::from_str(&text).expect("the table of defaults is a recipe, as a test shows")
    }

    /// The same recipe for another folder: relative paths are joined to `base`.
    pub(super) fn based_on(self, base: &Path) -> Self {
        self.map_paths(|path| base.join(path))
    }

    /// The same recipe as it is written in a folder (an absolute path): what lies in the folder by its path from there, all else by its absolute
    /// path.
    pub fn seen_from(self, folder: &Path) -> Self {
        self.absolute().map_paths(|path| path.strip_prefix(folder).map_or_else(|_| path.into(), Path::to_owned))
    }

    /// The same recipe for any folder.
    pub(super) fn absolute(self) -> Self {
        self.map_paths(|path| path::absolute(path).unwrap_or_else(|_| path.into()))
    }

    fn map_paths(mut self, map: impl Fn(&Path) -> PathBuf) -> Self {
        for path in [&mut self.model, &mut self.out].into_iter().flatten() {
            *path = map(path);
        }
        if let Some(ClassNames::File(file)) = &mut self.data.classes {
            *file = map(file);
        }
        let inputs = self.data.input.iter_mut().flat_map(|inputs| inputs.0.values_mut());
        let of_inputs = inputs.flat_map(|input| [&mut input.train, &mut input.eval, &mut input.calibration]);
        let labels = self.data.label.iter_mut().flat_map(|labels| labels.0.values_mut());
        let of_labels = labels.flat_map(|label| [&mut label.train, &mut label.eval]);
        let of_all = [&mut self.data.train, &mut self.data.eval, &mut self.data.calibration];
        for path in of_all.into_iter().chain(of_inputs).chain(of_labels).flatten() {
            *path = map_list(path, &map);
        }
        if let Some(target) = self.target.as_mut().filter(|t| is_target_file(t)) {
            *target = map(Path::new(target)).to_string_lossy().into_owned();
        }
        self
    }
}

/// Whether a target is a file rather than a name.
pub(super) fn is_target_file(target: &str) -> bool {
    target.ends_with(".toml")
}

/// Maps each path of a list with commas, unless a file has the commas in its name.
fn map_list(list: &Path, map: impl Fn(&Path) -> PathBuf) -> PathBuf {
    let whole = map(list);
    match list.to_str() {
        Some(text) if text.contains(',') && !whole.exists() => {
            let parts: Vec<String> = text.split(',').map(|part| map(Path::new(part.trim())).to_string_lossy().into_owned()).collect();
            parts.join(",").into()
        }
        _ => whole,
    }
}
