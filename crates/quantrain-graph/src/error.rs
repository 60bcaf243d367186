//! Every failure of this crate, one documented variant each.

use thiserror::Error;

use crate::Shape;

/// A shape rule was broken; the caller adds node and file.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ShapeError {
    /// An axis attribute lies outside the tensor's rank.
    #[error("axis {axis} is outside shape {shape}")]
    AxisOutOfRange {
        /// The axis as given.
        axis: i64,
        /// The tensor's shape.
        shape: Shape,
    },
    /// A rule needs an extent that does not depend on the batch.
    #[error("axis {axis} of shape {shape} is missing or depends on the batch, a fixed extent is needed")]
    AxisNotFixed {
        /// The axis.
        axis: usize,
        /// The tensor's shape.
        shape: Shape,
    },
    /// A spatial operator met a tensor that is not `[N, C, H, W]`.
    #[error("shape {shape} found, [N, C, H, W] expected; only two-dimensional spatial operators are supported")]
    NotAnImage {
        /// The tensor's shape.
        shape: Shape,
    },
    /// Two operands do not broadcast.
    #[error("shapes {left} and {right} do not broadcast")]
    NoBroadcast {
        /// First operand.
        left: Shape,
        /// Second operand.
        right: Shape,
    },
    /// A window does not fit into its padded input.
    #[error("a window of {kernel} does not fit into {input} padded by {padding}")]
    WindowTooLarge {
        /// Extent of the window, dilation included.
        kernel: usize,
        /// Extent of the input.
        input: usize,
        /// Padding on both sides together.
        padding: usize,
    },
    /// A weight does not fit its input.
    #[error("weights {weights} do not fit input {input} in {groups} group(s)")]
    WeightMismatch {
        /// Shape of the weights.
        weights: Shape,
        /// Shape of the input.
        input: Shape,
        /// Number of groups.
        groups: usize,
    },
    /// An operand has another shape than the others ask for.
    #[error("an operand of shape {found} where {expected} is expected")]
    Operand {
        /// Its shape.
        found: Shape,
        /// The shape that fits.
        expected: Shape,
    },
    /// Inner extents of a matrix product differ.
    #[error("a product of {left} and {right}: the inner extents differ")]
    InnerMismatch {
        /// First operand.
        left: Shape,
        /// Second operand.
        right: Shape,
    },
    /// Inputs of a Concat differ outside its axis.
    #[error("inputs {left} and {right} of a Concat differ outside axis {axis}")]
    ConcatMismatch {
        /// First input.
        left: Shape,
        /// The input that differs.
        right: Shape,
        /// The axis joined.
        axis: usize,
    },
    /// A Reshape keeps another number of elements.
    #[error("shape {from} cannot be reshaped to {to}")]
    Reshape {
        /// The input.
        from: Shape,
        /// The requested extents as text.
        to: String,
    },
    /// An attribute has another count of entries than the operator needs.
    #[error("{what}: {found} entries found, {expected} expected")]
    Count {
        /// The attribute or input.
        what: &'static str,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// An attribute's value makes no sense.
    #[error("{what}: {value} is not allowed here")]
    Value {
        /// The attribute.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// A result would have no elements.
    #[error("the result {shape} is empty")]
    Empty {
        /// The result's shape.
        shape: Shape,
    },
}

/// A graph could not be built.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum GraphError {
    /// A node's inputs break its shape rule.
    #[error("node `{node}` ({op}): {source}")]
    Shape {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What is wrong.
        source: ShapeError,
    },
    /// A node has the wrong number of inputs.
    #[error("node `{node}` ({op}): {found} inputs found, {expected} expected")]
    InputCount {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// Inputs found.
        found: usize,
        /// Inputs expected, as text.
        expected: &'static str,
    },
    /// Parameters of a node must be constants.
    #[error("node `{node}` ({op}): input `{tensor}` must be a constant; fold or export the model again")]
    NotConstant {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// The input.
        tensor: String,
    },
    /// Two tensors have one name.
    #[error("tensor `{tensor}` is defined twice")]
    DefinedTwice {
        /// The name.
        tensor: String,
    },
    /// A tensor has more elements than any machine has memory for.
    #[error("tensor `{tensor}`: shape {shape} has more elements than any memory holds; is the file damaged?")]
    TooManyElements {
        /// The name.
        tensor: String,
        /// Its shape.
        shape: Shape,
    },
    /// A constant's data does not fill its shape.
    #[error("tensor `{tensor}`: {found} values found, {expected} expected by its shape")]
    ConstantLength {
        /// The name.
        tensor: String,
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
    },
    /// A constant holds NaN, or infinity where that is no mask.
    #[error("tensor `{tensor}`: value {index} is {value}; the weights are broken, export the model again")]
    NotFinite {
        /// The name.
        tensor: String,
        /// Position of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A graph without inputs or outputs.
    #[error("the graph has no {what}")]
    Missing {
        /// `inputs` or `outputs`.
        what: &'static str,
    },
}

/// A quantizer could not be made.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum QuantizerError {
    /// A scale is zero, negative or not finite.
    #[error("scale {scale} found, a positive finite number expected")]
    Scale {
        /// The scale.
        scale: f32,
    },
    /// A zero point outside its codes.
    #[error("zero point {zero_point} found, one in {qmin}..={qmax} expected")]
    ZeroPoint {
        /// The zero point.
        zero_point: i32,
        /// Lowest code.
        qmin: i32,
        /// Highest code.
        qmax: i32,
    },
    /// A range that is not finite or not ordered.
    #[error("range [{min}, {max}] found, finite ordered limits expected; are there NaN or infinite values in the network or its input?")]
    Range {
        /// Lower limit.
        min: f32,
        /// Upper limit.
        max: f32,
    },
    /// A width that no quantizer has.
    #[error("{bits} bits found, 2 to 8 or 16 expected")]
    Bits {
        /// The width.
        bits: u8,
    },
    /// A power-of-two scale with a zero point.
    #[error("a power-of-two scale needs a symmetric scheme")]
    AsymmetricPowerOfTwo,
    /// Unsigned symmetric codes cannot hold negative values.
    #[error("unsigned symmetric codes cannot hold values down to {min}; use signed codes or an asymmetric scheme")]
    UnsignedBelowZero {
        /// Lower limit of the range.
        min: f32,
    },
}

/// A target's description is wrong.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum TargetError {
    /// No built-in target has this name.
    #[error("target `{name}` is not known; one of {known} or the path of a target file expected")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The text is not a target file.
    #[error("target `{name}`: {message}")]
    Syntax {
        /// Name of the target or its file.
        name: String,
        /// What the parser says.
        message: String,
    },
    /// An operator name in a rule is not known.
    #[error("target `{name}`: operator `{operator}` in `{rule}` is not known")]
    Operator {
        /// The target.
        name: String,
        /// The operator.
        operator: String,
        /// The list that names it.
        rule: &'static str,
    },
    /// Codes of weights that are not signed around 0 would have to be kept small in pairs.
    #[error("target `{name}`: `saturating_pairs` needs weights that are symmetric and signed; change them, or leave it out")]
    PairsOfUnsigned {
        /// The target.
        name: String,
    },
    /// A library of kernels has no formula for a family of operators.
    #[error(
        "target `{name}`: `kernels.{family}` cannot be `xnnpack`, whose formula is not known here; take `tflite`, or leave the key out"
    )]
    Kernel {
        /// The target.
        name: String,
        /// The key.
        family: &'static str,
    },
    /// The target does not allow a width.
    #[error("target `{name}`: {bits}-bit {what} are not supported, {} are", allowed.iter().map(u8::to_string).collect::<Vec<_>>().join(", "))]
    Bits {
        /// The target.
        name: String,
        /// `weights` or `activations`.
        what: &'static str,
        /// The width asked for.
        bits: u8,
        /// The widths that it has.
        allowed: Vec<u8>,
    },
}

/// A graph could not be prepared for a target.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum PlacementError {
    /// The target's description or the widths asked for are wrong.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A quantizer of this tensor could not be made.
    #[error("tensor `{tensor}`: {source}")]
    Quantizer {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: QuantizerError,
    },
    /// A bit width was pinned for a layer that does not exist.
    #[error("the pattern `{pattern}` matches no layer; `quantrain inspect` lists them")]
    PatternMatchesNothing {
        /// The pattern.
        pattern: String,
    },
    /// A quantizer that is taken over from a file is of a kind that the target does not have.
    #[error(
        "tensor `{tensor}` has {found} in the file, which {target} does not have; quantize the float network for it, or name another target"
    )]
    NotInTarget {
        /// The tensor.
        tensor: String,
        /// What the target lacks.
        found: &'static str,
        /// The target.
        target: String,
    },
    /// A bias does not fit 32 bits on the scale of its inputs and weights.
    #[error("node `{node}`: bias {bias} on scale {scale} does not fit 32 bits; widen the range of the weights")]
    BiasOverflow {
        /// The node.
        node: String,
        /// The bias.
        bias: f32,
        /// Input scale times weight scale.
        scale: f32,
    },
}
