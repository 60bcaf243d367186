//! Sums that a device makes of pairs of products, and the range that weights need so that no pair saturates.
//!
//! x86-64 without VNNI multiplies an unsigned byte of the input with a signed byte of the weights, adds two such products in 16 bits and
//! saturates (`vpmaddubsw`); everything behind that is exact. A pair cannot leave 16 bits where the codes of its two weights above zero sum up to
//! at most `⌊(2^15 − 1) / x⌋`, `x` the input's largest byte (128 of 255), and those below zero likewise. Two weights of one sign that are rounded
//! to the nearest code by themselves never sum up to more than the whole number that their quotients sum up to, so a scale that keeps the
//! quotients' sum below that number is enough. Which products are neighbours was measured: `tests-python/pair_order.py`.

use serde::Deserialize;

use crate::graph::Graph;
use crate::{Op, Quantizer, Range, ScaleKind, Scheme, Target, Unit};

/// A kernel of a device, as far as sums differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProductKernel {
    /// A convolution whose groups have several inputs or outputs.
    DenseConvolution,
    /// A convolution whose groups have one input and one output.
    DepthwiseConvolution,
    /// A transposed convolution.
    TransposedConvolution,
    /// Gemm and MatMul with constant weights.
    Product,
}

/// The order in which the products of an output channel are added in pairs: (0, 1), (2, 3), …, tap by tap, of each tap input by input. A row of
/// weights lies as `[inputs of a group, taps]`, the taps being kernel height times width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// Elements of the kernel.
    pub taps: usize,
}

impl Pairs {
    /// Of rows that lie in the order of the products, `[taps, inputs of a group]`.
    pub const IN_ORDER: Pairs = Pairs { taps: 1 };

    /// Of a block, where the target's kernel for it adds products so.
    pub(crate) fn of(graph: &Graph, unit: &Unit, target: &Target) -> Option<Pairs> {
        let block = unit.block(graph)?;
        let shape = graph.tensor(block.weight).shape.at(1);
        let taps = shape.get(2..).unwrap_or_default().iter().product();
        let kernel = match graph.node(unit.core).op {
            Op::Convolution(op) if op.groups == block.channels && shape.get(1) == Some(&1) => ProductKernel::DepthwiseConvolution,
            Op::Convolution(_) => ProductKernel::DenseConvolution,
            Op::ConvTranspose(_) => ProductKernel::TransposedConvolution,
            _ => ProductKernel::Product,
        };
        target.adds_in_pairs(kernel).then_some(Pairs { taps })
    }

    /// The largest sum of a pair in a row of weights: of what is above zero in it, or of what is below.
    pub fn largest_sum(self, row: &[f32]) -> f32 {
        let inputs = row.len() / self.taps.max(1);
        let weight = |product: usize| row[product % inputs * self.taps + product / inputs];
        let sum = |first: usize| {
            let (a, b) = (weight(first), if first + 1 < row.len() { weight(first + 1) } else { 0.0 });
            (a.max(0.0) + b.max(0.0)).max(-(a.min(0.0) + b.min(0.0)))
        };
        (0..inputs * self.taps).step_by(2).map(sum).fold(0.0, f32::max)
    }
}

/// What the weights of one scale reach over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// The least and the greatest.
    pub range: Range,
    /// [`Pairs::largest_sum`]; 0 where products are added one by one.
    pub pair: f32,
}

/// What a scale is larger than it must be, for the roundings in it and in quotients: four, of 2^−24 each.
const ROOM: f64 = 1.0 + 1.0 / (1 << 20) as f64;

impl Extent {
    /// The weights of both.
    pub fn union(self, other: Extent) -> Extent {
        Extent { range: self.range.union(other.range), pair: self.pair.max(other.pair) }
    }

    /// With the range `[−limit, limit]` instead. Weights that are not finite make no range, whatever the limit.
    pub fn limited(self, limit: Option<f32>) -> Extent {
        match limit {
            Some(limit) if self.range.min.is_finite() && self.range.max.is_finite() => Extent { range: Range::new(-limit, limit), ..self },
            _ => self,
        }
    }

    /// The range to make a symmetric quantizer of, where codes of neighbours may sum up to `largest_sum` ([`largest_sum_of_codes`]): the weights'
    /// own, or a wider one.
    pub fn range(self, scheme: &Scheme, largest_sum: Option<i32>) -> Range {
        let Some(largest_sum) = largest_sum else { return self.range };
        // The code that a range's limit has, before it is rounded.
        let at_limit = match scheme.scale {
            ScaleKind::Free => lowest_code(scheme) - 1,
            ScaleKind::PowerOfTwo => lowest_code(scheme),
        };
        let limit = (f64::from(self.pair) * f64::from(at_limit) / f64::from(largest_sum) * ROOM) as f32;
        Range { min: lower(self.range.min, -limit), max: -lower(-self.range.max, -limit) }
    }
}

/// The most that the codes of two weights of one sign may sum up to, if a device adds their products in pairs, so that no pair saturates; `None`
/// where every sum of two codes is below it, or bytes do not hold them.
pub fn largest_sum_of_codes(scheme: &Scheme, largest_input: Option<i32>) -> Option<i32> {
    let (input, 1..=8) = (largest_input?, scheme.bits) else { return None };
    let largest_sum = i32::from(i16::MAX) / input.max(1);
    (2 * lowest_code(scheme) > largest_sum).then_some(largest_sum)
}

/// The magnitude of the lowest signed code.
fn lowest_code(scheme: &Scheme) -> i32 {
    1 << (scheme.bits - 1)
}

/// The lower one; NaN where the first is.
fn lower(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

/// The largest byte that stands for a code of an input, signed ones being raised by 128; `None` where bytes do not hold its codes.
pub fn largest_byte(input: &Quantizer) -> Option<i32> {
    let raised = if input.qmin() < 0 { 128 } else { 0 };
    (input.qmax() - input.qmin() <= 255).then_some(input.qmax() + raised)
}

#[cfg(test)]
mod tests;
