//! The typed operators, a file for each family: attributes in ONNX's words, checked, and the one shape rule that every executor uses.
//!
//! [`Op`] is matched without `_ =>` wherever an operator needs work of its own, so the compiler lists what a new one still lacks.

mod activation;
mod convolution;
mod elementwise;
mod expand;
mod layout;
mod logic;
mod lookup;
mod matmul;
mod normalization;
mod pooling;
mod quantize;
mod recurrent;
mod reduction;
mod resize;
mod straight_through;

pub use activation::Activation;
pub use convolution::{ConvTranspose, Convolution};
pub use elementwise::Binary;
pub use expand::Expand;
pub use layout::{
    Concat, DepthOrder, DepthToSpace, Extent, Flatten, Gather, Pad, PadMode, Reshape, Slice, SpaceToDepth, Tile, Transpose, Walk,
};
pub use logic::{Relation, Where};
pub use lookup::Lookup;
pub use matmul::{Gemm, MatMul};
pub use normalization::{BatchNormalization, Epsilon, GroupNormalization, InstanceNormalization, LayerNormalization, RmsNormalization};
pub use pooling::{AveragePool, GlobalAveragePool, MaxPool, Window};
pub use quantize::FakeQuantize;
pub use recurrent::{Cell, Direction, Optional, Recurrent, Results};
pub use reduction::{ArgMax, Reduce, Reduction, Softmax};
pub use resize::{Coordinates, Interpolation, NearestMode, Resize, ResizeTo};
pub use straight_through::{Function, Propagate, StraightThrough};

use crate::{Shape, ShapeError};

/// An operator with its attributes. Inputs in ONNX's order; one output each.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Inputs x `[N, C, H, W]`, w `[O, C/groups, kh, kw]`, optional b `[O]`.
    Convolution(Convolution),
    /// Inputs x `[N, C, H, W]`, w `[C, O/groups, kh, kw]`, optional b `[O]`.
    ConvTranspose(ConvTranspose),
    /// Inputs a, b, optional c: `alpha·a'·b' + beta·c`.
    Gemm(Gemm),
    /// Matrix product over the last two axes.
    MatMul(MatMul),
    /// Inputs x, γ, β, μ, σ² (constants over axis 1), inference form.
    BatchNormalization(BatchNormalization),
    /// Inputs x, s, optional b (constants over the axes that are normalised).
    LayerNormalization(LayerNormalization),
    /// Inputs x, s (constants over the axes that are normalised).
    RmsNormalization(RmsNormalization),
    /// Inputs x, s, b (constants over axis 1).
    InstanceNormalization(InstanceNormalization),
    /// Inputs x, s, b (constants over axis 1).
    GroupNormalization(GroupNormalization),
    /// Inputs x, W, R, and those that are there of B, P, H and C: a recurrent layer.
    Recurrent(Recurrent),
    /// A function of each element.
    Activation(Activation),
    /// Two operands, NumPy-style broadcasting.
    Binary(Binary),
    /// Inputs condition, a, b: a where the condition is true, else b; all three broadcast.
    Where(Where),
    /// Joins its inputs along an axis.
    Concat(Concat),
    /// Largest value of each window.
    MaxPool(MaxPool),
    /// Mean of each window.
    AveragePool(AveragePool),
    /// Mean over all spatial axes, which stay as 1.
    GlobalAveragePool(GlobalAveragePool),
    /// A mean, sum or extreme over some axes.
    Reduce(Reduce),
    /// The index of the greatest value along an axis.
    ArgMax(ArgMax),
    /// Normalised exponentials along an axis, or their logarithms.
    Softmax(Softmax),
    /// Every step-th element between start and end, along some axes.
    Slice(Slice),
    /// Surrounds the input with values.
    Pad(Pad),
    /// Enlarges or shrinks the spatial axes.
    Resize(Resize),
    /// The same elements in another shape (Reshape, Squeeze, Unsqueeze).
    Reshape(Reshape),
    /// `[product before axis, product from axis]`.
    Flatten(Flatten),
    /// Reordered axes.
    Transpose(Transpose),
    /// Channels to blocks of pixels.
    DepthToSpace(DepthToSpace),
    /// Blocks of pixels to channels.
    SpaceToDepth(SpaceToDepth),
    /// Elements picked along an axis.
    Gather(Gather),
    /// Inputs x and indices: elements picked along an axis by what is computed, or fed.
    Lookup(Lookup),
    /// The input repeated (Tile, Expand).
    Tile(Tile),
    /// Inputs x, a constant or not, and optionally one that tells the batch: x repeated to a shape.
    Expand(Expand),
    /// The input itself (Identity, Dropout in inference).
    Identity,
    /// Fake-quantization with given numbers (a QuantizeLinear and DequantizeLinear pair, or a user's own).
    FakeQuantize(FakeQuantize),
    /// A user's function as value, the identity as derivative.
    StraightThrough(StraightThrough),
    /// Inputs value_from, gradient_from: value of the first, derivative as if it were the second.
    Propagate(Propagate),
}

impl Op {
    /// The operator's name, in ONNX's words where it has one.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Convolution(_) => "Conv",
            Op::ConvTranspose(_) => "ConvTranspose",
            Op::Gemm(_) => "Gemm",
            Op::MatMul(_) => "MatMul",
            Op::BatchNormalization(_) => "BatchNormalization",
            Op::LayerNormalization(_) => "LayerNormalization",
            Op::RmsNormalization(_) => "RMSNormalization",
            Op::InstanceNormalization(_) => "InstanceNormalization",
            Op::GroupNormalization(_) => "GroupNormalization",
            Op::Recurrent(op) => op.name(),
            Op::Activation(a) => a.name(),
            Op::Binary(b) => b.name(),
            Op::Where(_) => "Where",
            Op::Concat(_) => "Concat",
            Op::MaxPool(_) => "MaxPool",
            Op::AveragePool(_) => "AveragePool",
            Op::GlobalAveragePool(_) => "GlobalAveragePool",
            Op::Reduce(op) => op.name(),
            Op::ArgMax(_) => "ArgMax",
            Op::Softmax(op) => op.name(),
            Op::Slice(_) => "Slice",
            Op::Pad(_) => "Pad",
            Op::Resize(_) => "Resize",
            Op::Reshape(_) => "Reshape",
            Op::Flatten(_) => "Flatten",
            Op::Transpose(_) => "Transpose",
            Op::DepthToSpace(_) => "DepthToSpace",
            Op::SpaceToDepth(_) => "SpaceToDepth",
            Op::Gather(_) | Op::Lookup(_) => "Gather",
            Op::Tile(_) => "Tile",
            Op::Expand(_) => "Expand",
            Op::Identity => "Identity",
            Op::FakeQuantize(_) => "FakeQuantize",
            Op::StraightThrough(_) => "StraightThrough",
            Op::Propagate(_) => "Propagate",
        }
    }

    /// How many inputs the operator takes, as (fewest, most).
    pub fn input_count(&self) -> (usize, usize) {
        match self {
            Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::LayerNormalization(_) => (2, 3),
            Op::InstanceNormalization(_) | Op::GroupNormalization(_) | Op::Where(_) => (3, 3),
            Op::BatchNormalization(_) => (5, 5),
            Op::MatMul(_) | Op::Binary(_) | Op::RmsNormalization(_) | Op::Lookup(_) | Op::Propagate(_) => (2, 2),
            Op::Recurrent(op) => (op.places().count, op.places().count),
            Op::Expand(_) => (1, 2),
            Op::Concat(_) => (1, usize::MAX),
            Op::Activation(_)
            | Op::MaxPool(_)
            | Op::AveragePool(_)
            | Op::GlobalAveragePool(_)
            | Op::Reduce(_)
            | Op::ArgMax(_)
            | Op::Softmax(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Resize(_)
            | Op::Reshape(_)
            | Op::Flatten(_)
            | Op::Transpose(_)
            | Op::DepthToSpace(_)
            | Op::SpaceToDepth(_)
            | Op::Gather(_)
            | Op::Tile(_)
            | Op::Identity
            | Op::FakeQuantize(_)
            | Op::StraightThrough(_) => (1, 1),
        }
    }

    /// The shape of the output; `inputs` are as many as [`Op::input_count`] allows.
    ///
    /// # Errors
    /// The inputs break the operator's shape rule.
    pub fn output_shape(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let x = inputs[0];
        match self {
            Op::Convolution(op) => op.output_shape(x, inputs[1]),
            Op::ConvTranspose(op) => op.output_shape(x, inputs[1]),
            Op::Gemm(op) => op.output_shape(x, inputs[1]),
            Op::MatMul(op) => op.output_shape(x, inputs[1]),
            Op::BatchNormalization(op) => op.output_shape(x, inputs[1]),
            Op::LayerNormalization(op) => op.output_shape(x, &inputs[1..]),
            Op::RmsNormalization(op) => op.output_shape(x, &inputs[1..]),
            Op::InstanceNormalization(op) => op.output_shape(x, &inputs[1..]),
            Op::GroupNormalization(op) => op.output_shape(x, &inputs[1..]),
            Op::Recurrent(op) => op.output_shape(inputs),
            Op::Binary(op) => op.output_shape(x, inputs[1]),
            Op::Where(op) => op.output_shape(x, inputs[1], inputs[2]),
            Op::Concat(op) => op.output_shape(inputs),
            Op::MaxPool(op) => op.window.output_shape(x),
            Op::AveragePool(op) => op.window.output_shape(x),
            Op::GlobalAveragePool(op) => op.output_shape(x),
            Op::Reduce(op) => op.output_shape(x),
            Op::ArgMax(op) => op.output_shape(x),
            Op::Softmax(op) => op.normalized(x).map(|_| x.clone()),
            Op::Slice(op) => op.output_shape(x),
            Op::Pad(op) => op.output_shape(x),
            Op::Resize(op) => op.output_shape(x),
            Op::Reshape(op) => op.output_shape(x),
            Op::Flatten(op) => op.output_shape(x),
            Op::Transpose(op) => op.output_shape(x),
            Op::DepthToSpace(op) => op.output_shape(x),
            Op::SpaceToDepth(op) => op.output_shape(x),
            Op::Gather(op) => op.output_shape(x),
            Op::Lookup(op) => op.output_shape(x, inputs[1]),
            Op::Tile(op) => op.output_shape(x),
            Op::Expand(op) => op.output_shape(x, inputs.get(1).copied()),
            Op::Propagate(op) => op.output_shape(x, inputs[1]),
            Op::Activation(_) | Op::Identity | Op::FakeQuantize(_) | Op::StraightThrough(_) => Ok(x.clone()),
        }
    }

    /// Whether a constant among the inputs may be infinite: it masks or pads, or is what others are compared with.
    pub fn takes_infinity(&self) -> bool {
        let masks = |op: Binary| matches!(op, Binary::Add | Binary::Sub | Binary::Min | Binary::Max | Binary::Relation(_));
        crate::placement::moves(self) || matches!(self, Op::Where(_)) || matches!(self, Op::Binary(op) if masks(*op))
    }

    /// Whether the output follows input `position` smoothly, so that a gradient flows back to it.
    pub fn passes_gradient(&self, position: usize) -> bool {
        match self {
            Op::ArgMax(_) | Op::Binary(Binary::Relation(_)) => false,
            Op::Activation(f) => !f.is_step(),
            // The condition, and what only gives the value.
            Op::Where(_) | Op::Propagate(_) => position != 0,
            // The second only tells the batch, or which elements.
            Op::Expand(_) | Op::Lookup(_) => position == 0,
            _ => true,
        }
    }

    /// The positions of constants that training changes in a unit that is no block.
    pub fn trained_inputs(&self) -> std::ops::Range<usize> {
        match self {
            Op::LayerNormalization(_) | Op::InstanceNormalization(_) | Op::GroupNormalization(_) => 1..3,
            Op::RmsNormalization(_) | Op::Binary(Binary::PRelu) => 1..2,
            Op::Recurrent(op) => 1..1 + op.parameters(),
            Op::Lookup(_) => 0..1,
            _ => 0..0,
        }
    }

    /// The positions of inputs that are parameters and must be constants.
    pub fn parameter_inputs(&self) -> std::ops::Range<usize> {
        match self {
            Op::Convolution(_)
            | Op::ConvTranspose(_)
            | Op::LayerNormalization(_)
            | Op::InstanceNormalization(_)
            | Op::GroupNormalization(_) => 1..3,
            Op::RmsNormalization(_) => 1..2,
            Op::BatchNormalization(_) => 1..5,
            Op::Recurrent(op) => 1..1 + op.parameters(),
            Op::Gemm(_) => 2..3,
            _ => 0..0,
        }
    }
}
