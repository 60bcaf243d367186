//! Every failure of reading, one documented variant each.

use std::path::PathBuf;

use quantrain_graph::{GraphError, QuantizerError, Shape};
use thiserror::Error;

/// A file could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model, or only the beginning of one.
    #[error("{file}: no ONNX model: {reason}; is the file complete?")]
    NotOnnx {
        /// The file.
        file: PathBuf,
        /// What is missing or broken.
        reason: String,
    },
    /// The operator set is older or newer than those that are read.
    #[error("{file}: operator set {found} found, 7 to 25 expected; convert the model (onnx.version_converter) or export it again")]
    Opset {
        /// The file.
        file: PathBuf,
        /// The operator set found.
        found: i64,
    },
    /// An input is no tensor of floats, integers or truths with a known shape.
    #[error(
        "{file}: input `{input}`: {found} found, floats, integers of 8 to 64 bits or BOOL with a known shape expected; export the model again"
    )]
    InputType {
        /// The file.
        file: PathBuf,
        /// The input.
        input: String,
        /// What it is.
        found: String,
    },
    /// An extent of an input, other than the batch, is not a number.
    #[error(
        "{file}: input `{input}`: axis {axis} is {found}, a number from 1 to 2147483647 expected; give its shape (--input-shape, or input-shape in the recipe)"
    )]
    InputExtent {
        /// The file.
        file: PathBuf,
        /// The input.
        input: String,
        /// The axis.
        axis: usize,
        /// What the file says.
        found: String,
    },
    /// A shape was given for an input that the file does not have.
    #[error("{file}: a shape was given (`{given}`) for an input that is not there; the inputs are {inputs}")]
    InputUnknown {
        /// The file.
        file: PathBuf,
        /// The shape as given.
        given: String,
        /// The inputs that are there.
        inputs: String,
    },
    /// A shape was given that has another number of axes than the input.
    #[error("{file}: input `{input}`: shape {given} given, {found} axes expected")]
    InputRank {
        /// The file.
        file: PathBuf,
        /// The input.
        input: String,
        /// The shape given.
        given: String,
        /// The number of axes in the file.
        found: usize,
    },
    /// An operator that is not known.
    #[error(
        "{file}: node `{node}`: operator {operator} (operator set {opset}) is not supported{nearest}; docs/operators.md lists those that are; replace it in the model"
    )]
    UnknownOperator {
        /// The file.
        file: PathBuf,
        /// The node.
        node: String,
        /// Its operator, with its domain where that is not ONNX's own.
        operator: String,
        /// The file's operator set.
        opset: i64,
        /// An operator of nearly that name, as text.
        nearest: String,
    },
    /// An operator that is not known in this operator set.
    #[error("{file}: node `{node}`: operator {operator} is read in operator sets {first} to {last}, {opset} found; export the model again")]
    OperatorOpset {
        /// The file.
        file: PathBuf,
        /// The node.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// The file's operator set.
        opset: i64,
        /// First operator set that is read.
        first: i64,
        /// Last operator set that is read.
        last: i64,
    },
    /// A node cannot be read.
    #[error("{file}: node `{node}` ({operator}): {source}")]
    Node {
        /// The file.
        file: PathBuf,
        /// The node.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// What is wrong.
        source: Box<NodeError>,
    },
    /// Functions call each other without end, or as good as.
    #[error("{file}: node `{node}`: the functions that it calls are too many; inline them before (onnx.inliner)")]
    Functions {
        /// The file.
        file: PathBuf,
        /// The node.
        node: String,
    },
    /// An initializer is broken.
    #[error("{file}: initializer `{tensor}`: {source}")]
    Initializer {
        /// The file.
        file: PathBuf,
        /// The initializer.
        tensor: String,
        /// What is wrong.
        source: TensorError,
    },
    /// An output that no node computes, or that cannot be handed out.
    #[error("{file}: output `{output}`: {reason}")]
    Output {
        /// The file.
        file: PathBuf,
        /// The output.
        output: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The file can be read for a batch of 1 only.
    #[error("{source}; with a batch of 1 it can be read: give {shapes}")]
    FixedBatch {
        /// What to give.
        shapes: String,
        /// What fails with another batch.
        source: Box<ReadError>,
    },
    /// Names clash, or there is no input or output.
    #[error("{file}: {source}")]
    Graph {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Box<GraphError>,
    },
}

/// A node could not be read; [`ReadError::Node`] adds file, node and operator.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum NodeError {
    /// An attribute that the reader does not know: ignoring it would change results.
    #[error("attribute `{attribute}` is not supported here")]
    AttributeUnread {
        /// The attribute.
        attribute: String,
    },
    /// An attribute has another type than the operator's definition says.
    #[error("attribute `{attribute}`: {expected} expected, another type found")]
    AttributeType {
        /// The attribute.
        attribute: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A needed attribute is not there.
    #[error("attribute `{attribute}` is missing")]
    AttributeMissing {
        /// The attribute.
        attribute: &'static str,
    },
    /// An attribute or constant input has a value that is not supported.
    #[error("`{what}` is {found}, {expected} expected")]
    Value {
        /// The attribute or input.
        what: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        expected: String,
    },
    /// A needed input is not there.
    #[error("input {position} is missing")]
    InputMissing {
        /// Its position.
        position: usize,
    },
    /// More inputs than the operator has.
    #[error("input {position} (`{tensor}`) is not supported here")]
    InputUnread {
        /// Its position.
        position: usize,
        /// Its name.
        tensor: String,
    },
    /// The node has no output.
    #[error("it has no output")]
    OutputMissing,
    /// An input that nothing before the node defines.
    #[error(
        "input `{tensor}` is computed by no node that comes before it; nodes on a cycle and second outputs (masks, indices) are not supported"
    )]
    NotDefined {
        /// The input.
        tensor: String,
    },
    /// An input must be a constant.
    #[error("input `{tensor}` must be a constant; simplify the model (onnxsim) or export it with fixed sizes")]
    NotConstant {
        /// The input.
        tensor: String,
    },
    /// A float operator met integers.
    #[error("input `{tensor}` holds integers, FLOAT expected")]
    NotFloat {
        /// The input.
        tensor: String,
    },
    /// An integer input was expected.
    #[error("input `{tensor}` holds floats, integers expected")]
    NotInteger {
        /// The input.
        tensor: String,
    },
    /// Which graph of an If runs follows from the network's input.
    #[error("its condition `{tensor}` is computed from the network's input; export the model without the branch that is not taken")]
    BranchOnInput {
        /// The condition.
        tensor: String,
    },
    /// The operator folds constants only.
    #[error("input `{tensor}` is computed from the network's input; the operator is supported on constants and shapes only")]
    ConstantsOnly {
        /// The input.
        tensor: String,
    },
    /// All inputs are constants and the operator is not folded.
    #[error("all its inputs are constants, and this form of it cannot be computed while reading; fold it before (onnxsim)")]
    NotFolded,
    /// Integer arithmetic on the batch size that is not a multiple of it.
    #[error(
        "an extent would be {expression}, a number or a multiple of the batch size N expected; export the model with a fixed batch size"
    )]
    BatchArithmetic {
        /// The expression.
        expression: String,
    },
    /// Integer arithmetic left 64 bits or divided by zero.
    #[error("{left} {operator} {right} has no 64-bit result")]
    Overflow {
        /// First operand.
        left: i64,
        /// `+`, `-`, `·`, `/`, `%` or `^`.
        operator: char,
        /// Second operand.
        right: i64,
    },
    /// A result has more elements than any network needs.
    #[error("the result {shape} is too large")]
    TooLarge {
        /// Its shape.
        shape: String,
    },
    /// A result has no elements.
    #[error("the result {shape} has no elements")]
    Empty {
        /// Its shape.
        shape: String,
    },
    /// Large constants are read again and again, as damaged files do.
    #[error("tensor `{tensor}` is read too often for its size; fold the model before (onnxsim)")]
    ReadTooOften {
        /// The tensor.
        tensor: String,
    },
    /// Codes of a type that no quantizer has, such as floats of 8 bits.
    #[error("codes of {found} found, INT4, UINT4, INT8, UINT8, INT16 or UINT16 expected; quantize to integers, or give the float network")]
    CodeType {
        /// The type.
        found: String,
    },
    /// A quantizer that integers cannot stand for.
    #[error("{reason}")]
    NoQuantizer {
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Codes meet other scales or zero points than those that made them.
    #[error("scale and zero point differ from those of the QuantizeLinear before it; only matching pairs are supported")]
    PairMismatch,
    /// A tensor's data are broken.
    #[error("tensor `{tensor}`: {source}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: TensorError,
    },
    /// A scale or zero point is wrong.
    #[error(transparent)]
    Quantizer(#[from] QuantizerError),
    /// An operator on images met another number of axes.
    #[error("shape {shape} found, [N, C, L] or [N, C, H, W] expected; {} spatial axes are not supported, one or two are", shape.rank().saturating_sub(2))]
    SpatialAxes {
        /// The shape.
        shape: Shape,
    },
    /// A rule of the graph is broken: shapes, constants, names.
    #[error("{}", inside(.0))]
    Graph(#[from] GraphError),
}

/// Values with commas between them.
pub(crate) fn listed<T: std::fmt::Display>(values: &[T]) -> String {
    match values {
        [] => "none".into(),
        values => values.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// What is wrong, without the node that [`ReadError::Node`] names.
fn inside(error: &GraphError) -> String {
    match error {
        GraphError::Shape { source, .. } => source.to_string(),
        GraphError::InputCount { found, expected, .. } => format!("{found} inputs found, {expected} expected"),
        GraphError::NotConstant { tensor, .. } => format!("input `{tensor}` must be a constant, and is computed from the network's input"),
        other => other.to_string(),
    }
}

/// The data of a tensor could not be read.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum TensorError {
    /// An extent is negative or absurd.
    #[error("extents {} found, each from 0 to 2147483647 expected", listed(dims))]
    Extents {
        /// The extents.
        dims: Vec<i64>,
    },
    /// The data do not fill the shape.
    #[error("{found} {unit} found, {expected} expected by its extents; is the file complete?")]
    Length {
        /// Bytes or values found.
        found: usize,
        /// `bytes` or `values`.
        unit: &'static str,
        /// Expected by the shape.
        expected: usize,
    },
    /// The element type is not supported.
    #[error("elements of {found} found, {expected} expected")]
    Type {
        /// The type found.
        found: String,
        /// What is read.
        expected: &'static str,
    },
    /// A value does not fit its type.
    #[error("value {value} does not fit its type")]
    Value {
        /// The value.
        value: i64,
    },
    /// There are more axes than any network needs.
    #[error("{found} axes found, at most 16 expected")]
    Rank {
        /// The axes found.
        found: usize,
    },
    /// The data lie in another file, and that cannot be read.
    #[error(
        "its data lie in another file, `{location}`: {problem}; put it beside the model, or save the model as one file (onnx.save_model(..., save_as_external_data=False))"
    )]
    External {
        /// The other file.
        location: String,
        /// What is wrong.
        problem: String,
    },
}

/// The text of an input's shape cannot be understood.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("`{found}` found, a shape like Nx3x224x224 expected, the input's name and = before it where there are several; N is the batch")]
pub struct InputShapeError {
    /// The text.
    pub found: String,
}
