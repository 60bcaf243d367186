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
    /// The largest `Σ|w|·max|x|` of a channel.
    pub products: i64,
    /// The largest `|b|` of a channel, in codes.
    pub bias: i64,
    /// Whether bytes hold inputs and weights.
    pub are_bytes: bool,
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

/// A block in integers, for one sample.
pub struct IntegerBlock {
    /// The convolution that it is; a product has one pixel, or one for each row.
    pub shape: ConvolutionShape,
    /// The integers that it reads and holds.
    pub codes: Codes,
    /// What sums become.
    pub output: Output,
    /// No sum of products of centred codes is larger.
    pub products: i64,
    /// No sum of products and bias is larger.
    pub bound: i64,
    has_signed_weights: bool,
}

/// The integers of a block.
pub struct Codes {
    /// Centred, `[O, kh, kw, I]`.
    pub weights: Vec<i32>,
    /// Of each output channel, on the scale of the sums.
    pub bias: Vec<i32>,
    /// Codes of the input.
    pub input: Grid,
}

/// What a unit with weights is.
pub(crate) enum OfUnit {
    Integers(IntegerBlock),
    Float(ConvolutionShape, Ends),
}

/// Where a block reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub input: Option<Grid>,
    pub output: Option<Grid>,
    /// The fused activation, in real units.
    pub clip: (f32, f32),
}

/// The data of unit `u`; `None` where it is no block.
pub(crate) fn data(net: &QuantGraph, u: usize, grids: &[Option<Grid>], formula: Formula) -> Result<Option<OfUnit>, LowerError> {
    let (graph, unit) = (net.graph(), net.units()[u]);
    let Some(shape) = convolution::shape(graph, &unit, 1)? else { return Ok(None) };
    let input = unit.inputs(graph).next().and_then(|t| grids[t.0]);
    let ends = Ends { input, output: grids[unit.output(graph).0], clip: unit.clip(graph) };
    let (Some(quantized), Some(input)) = (net.quantized_block(u)?, input) else {
        return Ok(Some(OfUnit::Float(shape, ends)));
    };
    let weights: Vec<i32> = quantized.weight.codes.iter().map(|&w| w as i32).collect();
    let codes = Codes { weights: to_memory_order(&weights, weight_extents(net, &unit)), bias: quantized.bias, input };
    let (products, bound) = codes.bounds(shape.out_channels);
    let weight_scales = (0..shape.out_channels).map(|c| quantized.weight.scale(c));
    let output = match ends.output {
        Some(grid) => {
            let rounding = grid.quantizer.rounding();
            let node = &graph.node(unit.core).name;
            let requantizer = Requantizer::new(formula, node, input.scale(), weight_scales, grid.scale(), rounding)?;
            let steps = (ends.clip.0 / grid.scale(), ends.clip.1 / grid.scale());
            Output::Codes { requantizer, grid, limits: grid.clipped_limits(steps) }
        }
        None => Output::Reals { factors: weight_scales.map(|w| accumulator_scale(input.scale(), w)).collect(), clip: ends.clip },
    };
    let has_signed_weights = quantized.weight.quantizers.iter().all(|q| q.qmin() < 0 && q.zero_point() == 0);
    Ok(Some(OfUnit::Integers(IntegerBlock { shape, codes, output, products, bound, has_signed_weights })))
}

/// Lowers unit `u`; `None` where it is no block.
pub(crate) fn lower(net: &QuantGraph, u: usize, grids: &[Option<Grid>], arithmetic: Arithmetic) -> Result<Option<WithReport>, LowerError> {
    let block = match data(net, u, grids, arithmetic.formula)? {
        None => return Ok(None),
        Some(OfUnit::Float(shape, ends)) => {
            return Ok(Some((Arc::new(Block::Float(float::Float::new(net, u, shape, ends))), None)));
        }
        Some(OfUnit::Integers(block)) => block,
    };
    let node = net.graph().node(net.units()[u].core).name.clone();
    let bias = block.codes.bias.iter().map(|b| i64::from(b.unsigned_abs())).max().unwrap_or(0);
    let (is_narrow, are_bytes, products, bound) = (block.is_narrow(), block.are_bytes(), block.products, block.bound);
    let IntegerBlock { shape, codes, output, has_signed_weights, .. } = block;
    let is_paired = arithmetic.products == Products::SaturatingPairs && has_signed_weights && paired::Paired::applies(&shape, &codes);
    let block = if is_narrow && is_paired {
        Block::Paired(paired::Paired::new(shape, &codes, output))
    } else if is_narrow {
        Block::Narrow(narrow::Narrow::new(shape, &codes, output))
    } else {
        Block::Wide(wide::Wide::new(shape, codes, output))
    };
    let accumulator = if matches!(block, Block::Narrow(_) | Block::Paired(_)) { Accumulator::I32 } else { Accumulator::I64 };
    Ok(Some((Arc::new(block), Some(BlockReport { node, bound, products, bias, are_bytes, accumulator }))))
}

/// A block for batches of one size.
pub(crate) struct OfBatch {
    block: Arc<Block>,
    shape: ConvolutionShape,
}

impl OfBatch {
    pub fn new(block: &Arc<Block>, graph: &Graph, unit: &Unit, batch: usize) -> Result<Self, LowerError> {
        let shape = convolution::shape(graph, unit, batch)?.expect("the unit is a block");
        Ok(OfBatch { block: Arc::clone(block), shape })
    }

    pub fn run(&self, x: &[crate::buffer::View], y: &mut Buffer) {
        match self.block.as_ref() {
            Block::Narrow(b) => b.run(&self.shape, x[0], y),
            Block::Paired(b) => b.run(&self.shape, x[0], y),
            Block::Wide(b) => b.run(&self.shape, x[0], y),
            Block::Float(b) => b.run(&self.shape, x[0], y),
        }
    }
}

impl IntegerBlock {
    /// Whether codes and weights are bytes, and 32 bits hold sums and every step of the formula.
    pub fn is_narrow(&self) -> bool {
        self.are_bytes() && self.output.fits_32_bits(self.bound)
    }

    /// Whether bytes hold inputs and weights.
    fn are_bytes(&self) -> bool {
        self.codes.input.kind == crate::buffer::Kind::Bytes && self.codes.weights.iter().all(|w| i8::try_from(*w).is_ok())
    }
}

impl Codes {
    /// The largest sum of products, and the largest sum: [`BlockReport::products`], [`BlockReport::bound`].
    fn bounds(&self, channels: usize) -> (i64, i64) {
        let (lo, hi) = self.input.limits();
        let largest = i64::from(hi.max(-lo));
        let rows = self.weights.chunks_exact(self.weights.len() / channels);
        let of = |row: &[i32]| row.iter().map(|w| i64::from(w.abs())).sum::<i64>().saturating_mul(largest);
        rows.zip(&self.bias).fold((0, 0), |(products, sums), (row, bias)| {
            let sum = of(row);
            (products.max(sum), sums.max(sum.saturating_add(bias.unsigned_abs().into())))
        })
    }
}

/// What sums become.
pub enum Output {
    /// `clamp(formula(sum), limits) + zero`
    Codes {
        /// The formula, and its factors.
        requantizer: Requantizer,
        /// Codes of the output.
        grid: Grid,
        /// Least and greatest centred code, the fused activation included.
        limits: (i32, i32),
    },
    /// `clip(f32(sum)·s_x·s_w)`
    Reals {
        /// `s_x·s_w` of each channel.
        factors: Vec<f32>,
        /// The fused activation.
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
