//! Operators without weights, a file for each family.
//!
//! What the target has an integer kernel for is computed by that (`device`). Codes that only move are moved as they are; functions of one code are a table; the rest is the runtime's float formula over centred
//! codes, in the very order of the simulation, rounded once at the end. [`build`] is the only registration. What it gives is data: the
//! program runs it, and others print it.

mod activation;
mod device;
mod elementwise;
mod expand;
mod layout;
mod logic;
mod lookup;
mod matmul;
mod moving;
mod normalization;
mod operands;
mod pooling;
mod quantize;
mod recurrent;
mod reduction;
mod resize;
mod steps;
mod straight_through;

use quantrain_graph::{Op, OperatorKernels};
use quantrain_lowering::layout as lowered;
use quantrain_lowering::normalization::{Affine, rows};
use quantrain_lowering::quantize::FakeQuantizer;

use crate::LowerError;
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, scale};
pub use activation::Table;
pub use device::{IntegerFormula, IntegerSum, OfIntegers};
pub use elementwise::SameShape;
pub use layout::{Gather, Join, Reorder};
pub use matmul::OfCodes;
pub use moving::{Moved, Mover};
pub use normalization::OfSamples;
pub use pooling::{Average, Windows};
pub use reduction::{Extreme, Sum};
pub use resize::{Linear, Nearest};
pub use steps::{FloatFormula, InSteps};

use moving::moved;
use steps::in_steps;

/// A unit without weights, for one batch size.
pub enum Operator {
    /// Elements of inputs of one quantizer, moved as they are.
    Move(Moved),
    /// A function of one byte.
    Table(Table),
    /// The sum of two tensors of bytes of one shape.
    Add(SameShape),
    /// A mean or a sum over axes.
    Sum(Sum),
    /// The product of two tensors of codes.
    MatMul(OfCodes),
    /// A formula over floats, rounded once at the end.
    Steps(InSteps),
    /// A formula over integers that the target names.
    Integers(OfIntegers),
}

impl Operator {
    /// Writes the output of inputs; `y` may be longer than it.
    pub(crate) fn run(&self, x: &[View], y: &mut Buffer) {
        match self {
            Operator::Move(op) => op.run(x, y),
            Operator::Table(op) => op.run(x, y),
            Operator::Add(op) => op.run(x, y),
            Operator::Sum(op) => op.run(x, y),
            Operator::MatMul(op) => op.run(x, y),
            Operator::Steps(op) => op.run(x, y),
            Operator::Integers(op) => op.run(x, y),
        }
    }
}

/// A node where it stands, with what its integers mean.
pub(crate) struct Site<'g> {
    pub at: quantrain_lowering::Site<'g>,
    /// Of the inputs that are no constants.
    pub inputs: Vec<Option<Grid>>,
    pub output: Option<Grid>,
    /// All inputs have the output's quantizer, or none has any.
    pub carries: bool,
    /// The fused activation, in real units.
    pub clip: (f32, f32),
    /// Whose arithmetic the target names.
    pub kernels: OperatorKernels,
}

impl Site<'_> {
    fn output_len(&self) -> usize {
        self.at.output().iter().product()
    }

    /// The activation's limits in steps of the output.
    fn clip_steps(&self) -> (f32, f32) {
        let step = scale(self.output);
        (self.clip.0 / step, self.clip.1 / step)
    }
}

/// What a node is in integers.
pub(crate) fn build(site: &Site) -> Result<Operator, LowerError> {
    let at = &site.at;
    if let Some(operator) = device::build(site)? {
        return Ok(operator);
    }
    Ok(match &at.node.op {
        Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_) => return Err(at.no_block().into()),
        Op::MatMul(op) => matmul::build(op, site),
        Op::BatchNormalization(op) => in_steps(site, FloatFormula::Affine(Affine::new(op, at)?)),
        op @ (Op::LayerNormalization(_) | Op::RmsNormalization(_) | Op::InstanceNormalization(_) | Op::GroupNormalization(_)) => {
            in_steps(site, FloatFormula::OfSamples(OfSamples::new(rows(op, at)?, at)?))
        }
        Op::Recurrent(op) => in_steps(site, FloatFormula::Recurrent(recurrent::build(op, site)?)),
        Op::Activation(op) => activation::build(op, site),
        Op::Binary(op) => elementwise::build(*op, site),
        Op::Where(_) => in_steps(site, FloatFormula::Choose(logic::choose(site))),
        Op::Concat(op) => moved(site, Mover::Join(layout::Join::new(lowered::concat(op, at)))),
        Op::Slice(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::slice(op, at)?))),
        Op::Pad(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::pad(op, at)?))),
        Op::Reshape(_) | Op::Flatten(_) => moved(site, Mover::Reorder(layout::Reorder(lowered::reshape(at)))),
        Op::Transpose(op) => moved(site, Mover::Reorder(layout::Reorder(lowered::transpose(op, at)))),
        Op::DepthToSpace(op) => moved(site, Mover::Reorder(layout::Reorder(lowered::depth_to_space(op, at)))),
        Op::SpaceToDepth(op) => moved(site, Mover::Reorder(layout::Reorder(lowered::space_to_depth(op, at)))),
        Op::Gather(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::gather(op, at)))),
        Op::Lookup(op) => in_steps(site, FloatFormula::Lookup(lookup::build(op, site))),
        Op::Tile(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::tile(op, at)))),
        Op::Expand(_) => in_steps(site, FloatFormula::Expand(expand::build(site))),
        Op::Identity => moved(site, Mover::Identity),
        Op::MaxPool(op) => moved(site, Mover::Largest(pooling::max(op, at))),
        Op::AveragePool(op) => in_steps(site, FloatFormula::Average(pooling::average(op, at))),
        Op::GlobalAveragePool(_) => reduction::global_average(site),
        Op::Reduce(op) => reduction::reduce(op, site)?,
        Op::ArgMax(op) => in_steps(site, FloatFormula::Index(reduction::arg_max(op, at)?)),
        Op::Softmax(op) => in_steps(site, FloatFormula::Softmax(reduction::softmax(op, at)?)),
        Op::Resize(op) => resize::build(op, site),
        Op::FakeQuantize(op) => in_steps(site, FloatFormula::FakeQuantize(FakeQuantizer::new(op, at))),
        Op::StraightThrough(op) => in_steps(site, FloatFormula::StraightThrough(straight_through::function(op, at))),
        Op::Propagate(_) => in_steps(site, FloatFormula::Propagate(straight_through::Propagate)),
    })
}

/// Values as they lie in memory, in ONNX's order; `logical` is the shape there.
fn in_onnx_order<T: Copy>(values: Vec<T>, logical: &[usize]) -> Vec<T> {
    let [_, c, h, w] = *logical else { return values };
    let from = |i: usize| (i / (c * h * w) * h * w + i % (h * w)) * c + i / (h * w) % c;
    (0..values.len()).map(|i| values[from(i)]).collect()
}

/// Values in ONNX's order, as they lie in memory.
fn in_memory_order<T: Copy>(values: Vec<T>, logical: &[usize]) -> Vec<T> {
    let [_, c, h, w] = *logical else { return values };
    let from = |i: usize| (i / (c * h * w) * c + i % c) * h * w + i / c % (h * w);
    (0..values.len()).map(|i| values[from(i)]).collect()
}
