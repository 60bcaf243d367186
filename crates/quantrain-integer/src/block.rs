//! Convolutions and products with weights.

mod float;
mod narrow;
mod paired;
mod wide;

use std::sync::Arc;

use quantrain_graph::fold::accumulator_scale;
use quantrain_graph::{Graph, QuantGraph, TensorId, Unit};
use quantrain_kernels::convolution::ConvolutionShape;
use quantrain_lowering::convolution;
use rayon::prelude::*;

use crate::LowerError;
use crate::buffer::Buffer;
use crate::grid::{Grid, scale};
use crate::op::Kernel;
use crate::requantize::{Formula, Requantizer};

/// The integers that a block's sums are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulator {
    /// 32 bits hold every sum.
    I32,
    /// 64 bits: sums, or a step of the formula from sums to codes, may leave 32.
    I64,
}

/// How products of bytes become sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// Each is added as it is.
    #[default]
    Exact,
    /// They are added in pairs, each of which saturates at 16 bits, as ONNX Runtime's default session has it on x86-64 without VNNI.
    SaturatingPairs,
}

/// The arithmetic of a device, where it may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic {
    /// From sums to codes.
    pub formula: Formula,
    /// From products to sums.
    pub products: Products,
}

impl From<Formula> for Arithmetic {
    fn from(formula: Formula) -> Self {
        Arithmetic { formula, products: Products::Exact }
    }
}

/// What is known of a block's sums before any image.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockReport {
    /// Name of the block's node.
    pub node: String,
    /// The largest `Σ|w|·max|x| + |b|` of a channel, over centred codes: no sum is larger.
    pub bound: i64,
    /// The largest `|b|` of a channel, in codes.
    pub bias: i64,
    /// What sums are made in.
    pub accumulator: Accumulator,
}

/// A block, whatever the batch.
pub(crate) enum Block {
    Narrow(narrow::Narrow),
    Paired(paired::Paired),
    Wide(wide::Wide),
    Float(float::Float),
}

/// A block, and what is known of its sums where its weights are integers.
pub(crate) type WithReport = (Arc<Block>, Option<BlockReport>);

/// The integers of a block.
struct Codes {
    /// Centred, `[O, kh, kw, I]`.
    weights: Vec<i32>,
    bias: Vec<i32>,
    input: Grid,
}

/// Where a block reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub input: Option<Grid>,
    pub output: Option<Grid>,
    /// The fused activation, in real units.
    pub clip: (f32, f32),
}

/// Lowers unit `u`; `None` where it is no block.
pub(crate) fn lower(net: &QuantGraph, u: usize, grids: &[Option<Grid>], arithmetic: Arithmetic) -> Result<Option<WithReport>, LowerError> {
    let (graph, unit) = (net.graph(), net.units()[u]);
    let Some(shape) = convolution::shape(graph, &unit, 1)? else { return Ok(None) };
    let input = unit.inputs(graph).next().and_then(|t| grids[t.0]);
    let ends = Ends { input, output: grids[unit.output(graph).0], clip: unit.clip(graph) };
    let (Some(quantized), Some(input)) = (net.quantized_block(u)?, input) else {
        return Ok(Some((Arc::new(Block::Float(float::Float::new(net, u, shape, ends))), None)));
    };
    let node = graph.node(unit.core).name.clone();
    let weights: Vec<i32> = quantized.weight.codes.iter().map(|&w| w as i32).collect();
    let codes = Codes { weights: to_memory_order(&weights, weight_extents(net, &unit)), bias: quantized.bias, input };
    let bound = codes.bound(shape.out_channels);
    let bias = codes.bias.iter().map(|b| i64::from(b.unsigned_abs())).max().unwrap_or(0);
    let weight_scales = (0..shape.out_channels).map(|c| quantized.weight.scale(c));
    let output = match ends.output {
        Some(grid) => {
            let rounding = grid.quantizer.rounding();
            let requantizer = Requantizer::new(arithmetic.formula, &node, input.scale(), weight_scales, grid.scale(), rounding)?;
            let steps = (ends.clip.0 / grid.scale(), ends.clip.1 / grid.scale());
            Output::Codes { requantizer, grid, limits: grid.clipped_limits(steps) }
        }
        None => Output::Reals { factors: weight_scales.map(|w| accumulator_scale(input.scale(), w)).collect(), clip: ends.clip },
    };
    let is_narrow = input.kind == crate::buffer::Kind::Bytes && codes.weights.iter().all(|w| i8::try_from(*w).is_ok());
    let fits = output.fits_32_bits(bound);
    let is_signed = quantized.weight.quantizers.iter().all(|q| q.qmin() < 0 && q.zero_point() == 0);
    let is_paired = arithmetic.products == Products::SaturatingPairs && is_signed && paired::Paired::applies(&shape, &codes);
    let block = if is_narrow && fits && is_paired {
        Block::Paired(paired::Paired::new(shape, &codes, output))
    } else if is_narrow && fits {
        Block::Narrow(narrow::Narrow::new(shape, &codes, output))
    } else {
        Block::Wide(wide::Wide::new(shape, codes, output))
    };
    let accumulator = if matches!(block, Block::Narrow(_) | Block::Paired(_)) { Accumulator::I32 } else { Accumulator::I64 };
    Ok(Some((Arc::new(block), Some(BlockReport { node, bound, bias, accumulator }))))
}

/// The kernel of a block for batches of `batch`.
pub(crate) fn kernel(block: &Arc<Block>, graph: &Graph, unit: &Unit, batch: usize) -> Result<Box<dyn Kernel>, LowerError> {
    let shape = convolution::shape(graph, unit, batch)?.expect("the unit is a block");
    Ok(Box::new(OfBatch { block: Arc::clone(block), shape }))
}

struct OfBatch {
    block: Arc<Block>,
    shape: ConvolutionShape,
}

impl Kernel for OfBatch {
    fn run(&self, x: &[crate::buffer::View], y: &mut Buffer) {
        match self.block.as_ref() {
            Block::Narrow(b) => b.run(&self.shape, x[0], y),
            Block::Paired(b) => b.run(&self.shape, x[0], y),
            Block::Wide(b) => b.run(&self.shape, x[0], y),
            Block::Float(b) => b.run(&self.shape, x[0], y),
        }
    }
}

impl Codes {
    /// The largest sum: [`BlockReport::bound`].
    fn bound(&self, channels: usize) -> i64 {
        let (lo, hi) = self.input.limits();
        let largest = i64::from(hi.max(-lo));
        let rows = self.weights.chunks_exact(self.weights.len() / channels);
        let sum = |row: &[i32]| row.iter().map(|w| i64::from(w.abs())).sum::<i64>();
        let bound = |(row, b): (&[i32], &i32)| sum(row).saturating_mul(largest).saturating_add(i64::from(b.unsigned_abs()));
        rows.zip(&self.bias).map(bound).max().unwrap_or(0)
    }
}

/// What sums become.
enum Output {
    Codes {
        requantizer: Requantizer,
        grid: Grid,
        limits: (i32, i32),
    },
    /// `clip(f32(sum)·s_x·s_w)`
    Reals {
        factors: Vec<f32>,
        clip: (f32, f32),
    },
}

impl Output {
    fn fits_32_bits(&self, bound: i64) -> bool {
        match self {
            Output::Codes { requantizer, .. } => requantizer.fits_32_bits(bound),
            Output::Reals { .. } => bound <= i64::from(i32::MAX),
        }
    }

    /// Writes what sums of rows of `channels` become.
    fn write<S: Copy + Into<i64> + Sync>(&self, channels: usize, sums: &[S], y: &mut Buffer) {
        /// Rows of a task.
        const ROWS: usize = 256;
        fn rows<S: Sync, T: Send>(channels: usize, sums: &[S], y: &mut [T], value: impl Fn(usize, &S) -> T + Sync) {
            (sums.par_chunks(ROWS * channels), y[..sums.len()].par_chunks_mut(ROWS * channels)).into_par_iter().for_each(|(sums, y)| {
                for (i, (sum, y)) in sums.iter().zip(y).enumerate() {
                    *y = value(i % channels, sum);
                }
            });
        }
        match (self, y) {
            (Output::Codes { requantizer, grid, limits: (lo, hi) }, y) => {
                let zero = i64::from(grid.zero());
                let stored = |c: usize, sum: &S| requantizer.centred(c, (*sum).into()).clamp((*lo).into(), (*hi).into()) + zero;
                match y {
                    Buffer::Bytes(y) => rows(channels, sums, y, |c, s| stored(c, s) as u8),
                    Buffer::Words(y) => rows(channels, sums, y, |c, s| stored(c, s) as u16),
                    Buffer::Reals(_) => unreachable!("a grid's codes are integers"),
                }
            }
            (Output::Reals { factors, clip }, Buffer::Reals(y)) => {
                rows(channels, sums, y, |c, s| ((*s).into() as f32 * factors[c]).clamp(clip.0, clip.1));
            }
            _ => unreachable!("a tensor without a grid holds reals"),
        }
    }
}

/// `[O, I, kh, kw]`; a product has one pixel.
fn weight_extents(net: &QuantGraph, unit: &Unit) -> [usize; 4] {
    let block = unit.block(net.graph()).expect("only blocks have weights");
    let extents = |t: TensorId| net.graph().tensor(t).shape.at(1);
    match extents(block.weight)[..] {
        [a, b, h, w] => [block.channels, a * b / block.channels, h, w],
        ref shape => [block.channels, shape.iter().product::<usize>() / block.channels, 1, 1],
    }
}

/// `[O, I, kh, kw]` as `[O, kh, kw, I]`.
fn to_memory_order<T: Copy>(weights: &[T], [outputs, inputs, height, width]: [usize; 4]) -> Vec<T> {
    let pixels = height * width;
    let at = |i: usize| {
        let (o, p, c) = (i / (pixels * inputs), i / inputs % pixels, i % inputs);
        weights[(o * inputs + c) * pixels + p]
    };
    (0..outputs * pixels * inputs).map(at).collect()
}

/// The activation's limits in steps of an output.
fn clip_steps(ends: &Ends) -> (f32, f32) {
    let step = scale(ends.output);
    (ends.clip.0 / step, ends.clip.1 / step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_go_last() {
        let weights: Vec<usize> = (0..2 * 3 * 2 * 2).collect();
        let moved = to_memory_order(&weights, [2, 3, 2, 2]);
        assert_eq!(moved[..6], [0, 4, 8, 1, 5, 9]);
        assert_eq!(moved[12..15], [12, 16, 20]);
    }
}
