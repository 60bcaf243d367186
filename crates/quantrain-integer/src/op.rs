//! Operators without weights, a file for each family.
//!
//! Codes that only move are moved as they are; functions of one code are a table; the rest is the runtime's float formula over centred
//! codes, in the very order of the simulation, rounded once at the end. [`build`] is the only registration.

mod activation;
mod elementwise;
mod layout;
mod matmul;
mod moving;
mod normalization;
mod pooling;
mod quantize;
mod reduction;
mod resize;
mod steps;
mod straight_through;

use quantrain_graph::{Graph, Node, Op};

use crate::buffer::{Buffer, View};
use crate::grid::{Grid, scale};
use crate::{LowerError, lower};
use moving::{Mover, moved};
use steps::in_steps;

/// A unit of one batch size. `y` may be longer than the output.
pub(crate) trait Kernel: Send + Sync {
    fn run(&self, x: &[View], y: &mut Buffer);
}

/// A node where it stands.
pub(crate) struct Site<'g> {
    pub graph: &'g Graph,
    pub node: &'g Node,
    pub batch: usize,
    /// Of the inputs that are no constants.
    pub inputs: Vec<Option<Grid>>,
    pub output: Option<Grid>,
    /// All inputs have the output's quantizer, or none has any.
    pub carries: bool,
    /// The fused activation, in real units.
    pub clip: (f32, f32),
}

impl Site<'_> {
    /// The extents of input `i` in ONNX's order.
    fn input(&self, i: usize) -> Vec<usize> {
        self.graph.tensor(self.node.inputs[i]).shape.at(self.batch)
    }

    /// The extents of the output in ONNX's order.
    fn output(&self) -> Vec<usize> {
        self.graph.tensor(self.node.output).shape.at(self.batch)
    }

    fn output_len(&self) -> usize {
        self.output().iter().product()
    }

    /// The activation's limits in steps of the output.
    fn clip_steps(&self) -> (f32, f32) {
        let step = scale(self.output);
        (self.clip.0 / step, self.clip.1 / step)
    }

    fn unsupported(&self, problem: &'static str) -> LowerError {
        lower::unsupported(self.node, &self.node.op, problem)
    }
}

/// The kernel of a node.
pub(crate) fn build(site: &Site) -> Result<Box<dyn Kernel>, LowerError> {
    let (graph, node) = (site.graph, site.node);
    let reads_constants = matches!(
        node.op,
        Op::Binary(_)
            | Op::BatchNormalization(_)
            | Op::LayerNormalization(_)
            | Op::InstanceNormalization(_)
            | Op::MatMul(_)
            | Op::Convolution(_)
            | Op::ConvTranspose(_)
            | Op::Gemm(_)
    );
    if !reads_constants && node.inputs.iter().any(|&t| graph.constant(t).is_some()) {
        return Err(site.unsupported("constants among its inputs are not supported; fold them, or pass them in as network inputs"));
    }
    Ok(match &node.op {
        Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_) => {
            return Err(site.unsupported("its weights must be constants, alpha and beta 1, and a not transposed"));
        }
        Op::MatMul(op) => matmul::build(op, site),
        Op::BatchNormalization(op) => in_steps(site, normalization::build(op, site)?),
        Op::LayerNormalization(op) => in_steps(site, normalization::layer(op, site)?),
        Op::InstanceNormalization(op) => in_steps(site, normalization::instance(op, site)?),
        Op::Activation(op) => activation::build(op, site),
        Op::Binary(op) => elementwise::build(*op, site)?,
        Op::Concat(op) => moved(site, Mover::Join(layout::concat(op, site))),
        Op::Slice(op) => moved(site, Mover::Gather(layout::slice(op, site)?)),
        Op::Pad(op) => moved(site, Mover::Gather(layout::pad(op, site)?)),
        Op::Reshape(_) | Op::Flatten(_) => moved(site, Mover::Reorder(layout::reshape(site))),
        Op::Transpose(op) => moved(site, Mover::Reorder(layout::transpose(op, site))),
        Op::DepthToSpace(op) => moved(site, Mover::Reorder(layout::depth_to_space(op, site))),
        Op::SpaceToDepth(op) => moved(site, Mover::Reorder(layout::space_to_depth(op, site))),
        Op::Gather(op) => moved(site, Mover::Gather(layout::gather(op, site))),
        Op::Tile(op) => moved(site, Mover::Gather(layout::tile(op, site))),
        Op::Identity => moved(site, Mover::Identity),
        Op::MaxPool(op) => moved(site, Mover::Largest(pooling::max(op, site))),
        Op::AveragePool(op) => in_steps(site, pooling::average(op, site)),
        Op::GlobalAveragePool(_) => reduction::global_average(site),
        Op::Reduce(op) => reduction::reduce(op, site)?,
        Op::ArgMax(op) => in_steps(site, reduction::arg_max(op, site)?),
        Op::Softmax(op) => in_steps(site, reduction::softmax(op, site)?),
        Op::Resize(op) => resize::build(op, site),
        Op::FakeQuantize(op) => in_steps(site, quantize::build(op, site)?),
        Op::StraightThrough(op) => in_steps(site, straight_through::function(op, site)),
        Op::Propagate(_) => in_steps(site, straight_through::Propagate),
    })
}

/// `[N, C, H, W]` as `[N, H, W, C]`; other ranks as they are.
fn to_physical(logical: &[usize]) -> Vec<usize> {
    match *logical {
        [n, c, h, w] => vec![n, h, w, c],
        _ => logical.to_vec(),
    }
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

/// Where an ONNX axis lies in memory.
fn physical_axis(rank: usize, axis: usize) -> usize {
    if rank == 4 { [0, 3, 1, 2][axis] } else { axis }
}

/// An axis that the graph has checked, from the front.
fn axis_from_front(axis: i64, rank: usize) -> usize {
    if axis < 0 { (axis + rank as i64) as usize } else { axis as usize }
}
