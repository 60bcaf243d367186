//! Operators without weights, a file for each family.
//!
//! Codes that only move are moved as they are; functions of one code are a table; the rest is the runtime's float formula over centred
//! codes, in the very order of the simulation, rounded once at the end. [`build`] is the only registration.

mod activation;
mod elementwise;
mod expand;
mod layout;
mod logic;
mod matmul;
mod moving;
mod normalization;
mod operands;
mod pooling;
mod quantize;
mod reduction;
mod resize;
mod steps;
mod straight_through;

use quantrain_graph::Op;
use quantrain_lowering::layout as lowered;
use quantrain_lowering::normalization::{Affine, rows};
use quantrain_lowering::quantize::FakeQuantizer;

use crate::LowerError;
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, scale};
use moving::{Mover, moved};
use normalization::OfSamples;
use steps::in_steps;

/// A unit of one batch size. `y` may be longer than the output.
pub(crate) trait Kernel: Send + Sync {
    fn run(&self, x: &[View], y: &mut Buffer);
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

/// The kernel of a node.
pub(crate) fn build(site: &Site) -> Result<Box<dyn Kernel>, LowerError> {
    let at = &site.at;
    Ok(match &at.node.op {
        Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_) => return Err(at.no_block().into()),
        Op::MatMul(op) => matmul::build(op, site),
        Op::BatchNormalization(op) => in_steps(site, Affine::new(op, at)?),
        op @ (Op::LayerNormalization(_) | Op::RmsNormalization(_) | Op::InstanceNormalization(_) | Op::GroupNormalization(_)) => {
            in_steps(site, OfSamples::new(rows(op, at)?, at)?)
        }
        Op::Activation(op) => activation::build(op, site),
        Op::Binary(op) => elementwise::build(*op, site),
        Op::Where(_) => in_steps(site, logic::choose(site)),
        Op::Concat(op) => moved(site, Mover::Join(layout::Join::new(lowered::concat(op, at)))),
        Op::Slice(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::slice(op, at)?))),
        Op::Pad(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::pad(op, at)?))),
        Op::Reshape(_) | Op::Flatten(_) => moved(site, Mover::Reorder(layout::Reorder(lowered::reshape(at)))),
        Op::Transpose(op) => moved(site, Mover::Reorder(layout::Reorder(lowered::transpose(op, at)))),
        Op::DepthToSpace(op) => moved(site, Mover::Reorder(layout::Reorder(lowered::depth_to_space(op, at)))),
        Op::SpaceToDepth(op) => moved(site, Mover::Reorder(layout::Reorder(lowered::space_to_depth(op, at)))),
        Op::Gather(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::gather(op, at)))),
        Op::Tile(op) => moved(site, Mover::Gather(layout::Gather::new(&lowered::tile(op, at)))),
        Op::Expand(_) => in_steps(site, expand::build(site)),
        Op::Identity => moved(site, Mover::Identity),
        Op::MaxPool(op) => moved(site, Mover::Largest(pooling::max(op, at))),
        Op::AveragePool(op) => in_steps(site, pooling::average(op, at)),
        Op::GlobalAveragePool(_) => reduction::global_average(site),
        Op::Reduce(op) => reduction::reduce(op, site)?,
        Op::ArgMax(op) => in_steps(site, reduction::arg_max(op, at)?),
        Op::Softmax(op) => in_steps(site, reduction::softmax(op, at)?),
        Op::Resize(op) => resize::build(op, site),
        Op::FakeQuantize(op) => in_steps(site, FakeQuantizer::new(op, at)),
        Op::StraightThrough(op) => in_steps(site, straight_through::function(op, at)),
        Op::Propagate(_) => in_steps(site, straight_through::Propagate),
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
