//! Every failure of this crate, one documented variant each.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::observe::ObserverKind;
pub use crate::recipe::{CheckError, Location, RecipeError};

/// A loss could not be computed.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LossError {
    /// A label is not the number of a class.
    #[error(
        "label {label} found at position {position} of the batch, one in 0..{classes} expected; does the data set belong to this network?"
    )]
    Label {
        /// The label.
        label: i64,
        /// Its row in the batch.
        position: usize,
        /// Number of classes of the network.
        classes: usize,
    },
    /// A slice is empty or not made of whole rows.
    #[error("{what}: {values} values found, whole rows of {width} expected")]
    Rows {
        /// The slice.
        what: &'static str,
        /// Its length.
        values: usize,
        /// Length of a row.
        width: usize,
    },
    /// Two slices that belong together have different lengths.
    #[error("{what}: {found} found, {expected} expected")]
    Length {
        /// The slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length expected.
        expected: usize,
    },
    /// The loss is NaN or infinite.
    #[error("the loss is {loss}; lower the learning rate, clip the gradient, or look for broken inputs")]
    NotFinite {
        /// The loss.
        loss: f32,
    },
}

/// An optimizer could not make a step or take up a state.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OptimizerError {
    /// A gradient holds NaN or infinity.
    #[error("the gradient of `{parameter}` is not finite; lower the learning rate, clip the gradient, or look for broken inputs")]
    NotFinite {
        /// The parameter.
        parameter: String,
    },
    /// Gradient or moments of a parameter have another length than its values.
    #[error(
        "parameter `{parameter}`: {found} gradients or moments found, {expected} expected; does the checkpoint belong to this network?"
    )]
    Length {
        /// The parameter.
        parameter: String,
        /// The length found.
        found: usize,
        /// Number of its values.
        expected: usize,
    },
    /// More or fewer parameters than in the steps before or in the checkpoint.
    #[error("{found} parameters found, {expected} expected; does the checkpoint belong to this network?")]
    ParameterCount {
        /// Parameters found.
        found: usize,
        /// Parameters expected.
        expected: usize,
    },
    /// A parameter is not the one that was at its place before.
    #[error("parameter `{found}` found, `{expected}` expected; does the checkpoint belong to this network?")]
    ParameterName {
        /// The parameter found.
        found: String,
        /// The parameter expected.
        expected: String,
    },
    /// A stored tensor is not a moment of this optimizer.
    #[error(
        "stored tensor `{tensor}` found, the moment `{moment}` of a parameter expected; was the checkpoint written with another optimizer?"
    )]
    StateTensor {
        /// The tensor, or the parameter that lacks the moment.
        tensor: String,
        /// The moment expected.
        moment: &'static str,
    },
}

/// An observer has no range to give, or does not take up a state.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ObserveError {
    /// Not one value was observed.
    #[error("no value was observed, at least one batch is needed")]
    Nothing,
    /// A value was NaN.
    #[error("NaN found among the values; look for broken weights or inputs")]
    Nan,
    /// A value was infinite.
    #[error("an infinite value found; look for broken weights or inputs")]
    Infinite,
    /// A stored state is another observer's.
    #[error("the state of a {found} observer found, of a {expected} observer expected; was the checkpoint written with another recipe?")]
    State {
        /// Whose state it is.
        found: ObserverKind,
        /// The observer that was to take it up.
        expected: ObserverKind,
    },
    /// No observer has this name.
    #[error("observer `{name}` is not known; one of {} expected", ObserverKind::NAMES.join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
}

/// A run cannot go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The engine cannot plan or run the network.
    #[error(transparent)]
    Engine(#[from] quantrain_engine::EngineError),
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] quantrain_data::DataError),
    /// The loss cannot be computed.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The optimizer cannot make its step.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// A call does not fit a session.
    #[error(transparent)]
    Session(#[from] crate::SessionError),
    /// A file of the run cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// A refinement wants images to work on and others to measure on.
    #[error("refinement: {found} calibration images found, 2 or more expected; set data.calibration-images higher")]
    TooFewImages {
        /// Images found.
        found: usize,
    },
    /// A tensor's range is not known.
    #[error("tensor `{tensor}`: {source}")]
    Range {
        /// The tensor.
        tensor: String,
        /// What its observer says.
        source: ObserveError,
    },
    /// The model cannot be read.
    #[error(transparent)]
    Read(#[from] quantrain_onnx::ReadError),
    /// The model is quantized, and the recipe asks for other quantizers than its own.
    #[error(
        "{model}: the file is quantized already and its own quantizers are taken over, so {keys} cannot be met; leave that out, or give the float network"
    )]
    QuantizedAlready {
        /// The model.
        model: PathBuf,
        /// The keys of the recipe.
        keys: String,
    },
    /// The model is quantized, and is to be trained as a float network.
    #[error(
        "{model}: the file is quantized; leave --float (quantization.enabled = false) out to train on from its quantizers, or give the float network"
    )]
    FloatTrainingOfQuantized {
        /// The model.
        model: PathBuf,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] quantrain_onnx::WriteError),
    /// The network has no C form.
    #[error(transparent)]
    C(#[from] quantrain_c::CError),
    /// The network has no form in TensorFlow Lite.
    #[error(transparent)]
    Tflite(#[from] quantrain_tflite::TfliteError),
    /// Quantizers cannot be placed as the recipe says.
    #[error(transparent)]
    Placement(#[from] quantrain_graph::PlacementError),
    /// A graph cannot be changed as training wants it.
    #[error(transparent)]
    Graph(#[from] quantrain_graph::GraphError),
    /// The recipe names no images for what was asked.
    #[error("no images for {what}: set `{key}` in the recipe or give --data")]
    NoData {
        /// What the images are for.
        what: &'static str,
        /// The recipe's key.
        key: &'static str,
    },
    /// What the data say does not make a recipe.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Class folders that do not tell which classes of the network they are.
    #[error(
        "{}: {found} class folders, `{first}` and others, for a network of {classes} classes; list all classes in `data.classes`, in the \
         order of the network's outputs", data.display()
    )]
    ClassFolders {
        /// The folder.
        data: PathBuf,
        /// Class folders found.
        found: usize,
        /// The first of them.
        first: String,
        /// Classes of the network.
        classes: usize,
    },
    /// The network has no integer program.
    #[error(transparent)]
    Lower(#[from] quantrain_integer::LowerError),
    /// The integer program does not run.
    #[error(transparent)]
    Integer(#[from] quantrain_integer::RunError),
    /// ONNX Runtime cannot be used.
    #[error(transparent)]
    OnnxRuntime(#[from] crate::onnxruntime::OnnxRuntimeError),
    /// ONNX Runtime does not run what was exported as it is meant.
    #[error("the exported model: {source}; --unchecked (`export.check = false`) exports without this check")]
    ExportCheck {
        /// What it says.
        source: crate::onnxruntime::OnnxRuntimeError,
    },
    /// A float network was to be verified.
    #[error("the network has no QuantizeLinear and DequantizeLinear pairs, a quantized network expected; `quantrain quantize` makes one")]
    NothingToVerify,
    /// Not one image was read.
    #[error("no image was read; is the data set empty, or a limit 0?")]
    NoImages,
    /// Images have another size than the network wants.
    #[error(
        "images of {} (height, width, channels) found, {} expected by input `{input}`; set resize, crop or channels",
        extents(found),
        extents(expected)
    )]
    ImageSize {
        /// The network's input.
        input: String,
        /// What the data set gives.
        found: [usize; 3],
        /// What the network wants.
        expected: [usize; 3],
    },
    /// The network's file fixes the number of images in a batch.
    #[error(
        "input `{input}` takes batches of {fixed}, {images} images found; free the batch (--input-shape {free}), or take that batch size"
    )]
    FixedBatch {
        /// The input.
        input: String,
        /// The file's batch.
        fixed: usize,
        /// The input's shape with a free batch, as flags have it.
        free: String,
        /// Images of the batch.
        images: usize,
    },
    /// The network has a form that image data cannot feed.
    #[error("the network has {found}; one input of [N, channels, height, width] or [N, height, width, channels] is needed")]
    NotAnImageNetwork {
        /// What it has.
        found: String,
    },
    /// A recipe names an input that the network does not have.
    #[error("data.input: no input `{name}` in the network; its inputs are {}", inputs.join(", "))]
    NoInput {
        /// As named.
        name: String,
        /// The inputs.
        inputs: Vec<String>,
    },
    /// The first axis of an input is not the batch, so that no row of data is a sample of it.
    #[error("the network has an input {found}; the first axis must be the batch, and all others numbers; give its shape (--input-shape)")]
    NoBatchAxis {
        /// The input.
        found: String,
    },
    /// Random changes of images are asked for where there are none.
    #[error("augmentation.{key} is for a network of one image only, and this one is fed with arrays; leave it out")]
    NothingToAugment {
        /// The key.
        key: &'static str,
    },
    /// A label is not the number of a class.
    #[error("label {label} found, one in 0..{classes} expected; does the data set belong to this network?")]
    Label {
        /// The label.
        label: i64,
        /// Number of classes of the network.
        classes: usize,
    },
    /// A mask does not lie pixel on pixel over the output that it judges.
    #[error(
        "output `{output}` of shape {} (channels last) found, a class for each pixel of masks of {} (height, width) expected",
        extents(shape),
        extents(mask)
    )]
    MaskSize {
        /// The output.
        output: String,
        /// Its shape in memory.
        shape: Vec<usize>,
        /// Height and width of the masks.
        mask: [usize; 2],
    },
    /// Two networks that are compared have different outputs.
    #[error("outputs of {} values found, of {} expected; are both files of one network?", listed(found), listed(expected))]
    OtherOutputs {
        /// Lengths of the outputs.
        found: Vec<usize>,
        /// Those of the other network.
        expected: Vec<usize>,
    },
    /// The loss, a gradient or a value in the network is no longer finite.
    #[error("training diverged at step {step}: {}{source}", rate.map_or_else(String::new, |rate| format!("lower train.learning-rate ({rate:e}); ")))]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// The recipe's learning rate, where it may be to blame.
        rate: Option<f32>,
        /// What was not finite.
        source: Box<RunError>,
    },
    /// An output of the float network, which teaches, is not finite.
    #[error(
        "output `{output}` of the float network is not finite for a training image: leave it out (a [[train.output]] of weight 0), or look for broken inputs"
    )]
    TeacherNotFinite {
        /// The output.
        output: String,
    },
    /// All images of a calibration are the same value.
    #[error(
        "every value of input `{input}` is the same in all {images} calibration images; are they black, or range, mean and std wrong? Give \
         images such as the network will see"
    )]
    ConstantInput {
        /// The input.
        input: String,
        /// Number of images.
        images: usize,
    },
    /// The recipe names an output that the network does not have.
    #[error("train.output.name: `{name}` found, one of {} expected", outputs.join(", "))]
    NoOutput {
        /// As named.
        name: String,
        /// The outputs there are.
        outputs: Vec<String>,
    },
    /// A metric of the user's does not take what it was given.
    #[error("metric: {message}")]
    Metric {
        /// What it says.
        message: String,
    },
    /// The loss needs labels that the data set lacks.
    #[error("the data set has no labels for this network; use `loss = \"distillation\"`, which needs none, or name the label column")]
    NoLabels,
    /// The user asked to stop.
    #[error("stopped by the user during {stage}")]
    Stopped {
        /// What was going on.
        stage: &'static str,
    },
    /// A stored state is of another network.
    #[error("the {what} stored are of another network or recipe; start anew or give the recipe of that run")]
    OtherNetwork {
        /// What was stored.
        what: &'static str,
    },
}

/// A file could not be read or written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FileError {
    /// No space is left.
    #[error("{path}: the disk is full; make room and resume the run")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The system does not permit it.
    #[error("{path}: {message}; choose a folder that may be written")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// Anything else.
    #[error("{path}: {message}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
}

impl FileError {
    /// What the system said about a path.
    pub fn new(path: &Path, source: io::Error) -> Self {
        let (path, message) = (path.to_owned(), source.to_string());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileError::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FileError::Refused { path, message },
            _ => FileError::Other { path, message },
        }
    }
}

/// A checkpoint could not be written or read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The file could not be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was to be written has no form.
    #[error("{path}: the checkpoint cannot be written: {message}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The file is truncated or not a checkpoint.
    #[error("{path}: not a whole checkpoint: {message}; resume from another one or start anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A tensor holds NaN or an infinity: the training has diverged.
    #[error("{path}: tensor `{tensor}` holds NaN or an infinity: the training has diverged; lower train.learning-rate")]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// Another version of this program wrote it.
    #[error("{path}: checkpoint version {found} found, {expected} expected; resume with the version of quantrain that wrote it")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version this program reads.
        expected: u32,
    },
    /// It belongs to another network.
    #[error("{path}: the checkpoint of another network found; give the network it was trained from")]
    OtherNetwork {
        /// The file.
        path: PathBuf,
    },
    /// A training would go on with other images than it began with.
    #[error("{path}: `{key}` is not what the training began with: {change}; bring the data back or start anew")]
    OtherData {
        /// The file.
        path: PathBuf,
        /// The recipe's key of the data.
        key: String,
        /// What is other.
        change: String,
    },
    /// It was written with another recipe.
    #[error("{path}: the checkpoint of another recipe found; give the recipe of that run or start anew")]
    OtherRecipe {
        /// The file.
        path: PathBuf,
    },
}

/// A folder cannot be a run's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RunDirectoryError {
    /// A file has its name.
    #[error("{path}: a file found, a folder expected; choose another `out`")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It holds files that no run wrote.
    #[error("{path}: `{entry}` found, an empty folder or one of a run expected; choose another `out`")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        entry: String,
    },
    /// Another process writes a run there.
    #[error("{path}: in use by process {process}; wait for it, or choose another `out`")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its number.
        process: String,
    },
    /// No run was there.
    #[error("{path}: no run found; give the folder that a run was written to")]
    NotARun {
        /// The path.
        path: PathBuf,
    },
    /// A file in it could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Extents as people write them, 28x28x1.
fn extents(extents: &[usize]) -> String {
    extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// Numbers with commas between them.
pub(crate) fn listed<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
