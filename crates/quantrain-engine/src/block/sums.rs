//! What an evaluation makes the sums of codes in, so that each is exact and rounded to f32 once.

use std::fmt;

use quantrain_graph::Requantize;
use quantrain_kernels::convolution::{self, ConvolutionShape, SumRounding};
use quantrain_kernels::fake_quantize::{CodeRange, Rounding};
use quantrain_kernels::integer::{Convolution, ConvolutionParameters};

use super::parameters::Simulated;
use crate::op::LARGEST_F32_SUM;

/// The numbers that sums of codes are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// Products are added up in f32; a bias that leads beyond 2^24 is added behind them, exactly.
    F32,
    /// 32-bit integers.
    I32,
    /// f64.
    F64,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sums::F32 => "f32",
            Sums::I32 => "i32",
            Sums::F64 => "f64",
        })
    }
}

impl Sums {
    /// Of a block: how far its products and its whole sums reach, and whether inputs and weights are bytes.
    pub fn of(products: f64, sums: f64, are_bytes: bool) -> Self {
        match (products <= LARGEST_F32_SUM, are_bytes && sums <= f64::from(i32::MAX)) {
            (true, _) => Sums::F32,
            (false, true) => Sums::I32,
            (false, false) => Sums::F64,
        }
    }
}

/// How far the sums of a block reach, over all channels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// `Σ|w_q|·max|x_q|`.
    pub products: f64,
    /// The same and `|b_q|`.
    pub sums: f64,
    /// Whether a f32 holds each bias that leads beyond 2^24.
    pub holds_biases: bool,
    /// Whether bytes hold inputs and weights.
    pub are_bytes: bool,
}

impl Reach {
    /// Of the codes of a step.
    pub fn of(codes: &Simulated) -> Self {
        let (low, high) = codes.input_limits;
        let largest = f64::from(high.max(-low));
        let mut reach = Reach { holds_biases: true, are_bytes: high - low <= f32::from(u8::MAX), ..Reach::default() };
        for (row, &bias) in codes.codes.chunks_exact((codes.codes.len() / codes.bias.len().max(1)).max(1)).zip(&codes.bias) {
            let products = row.iter().map(|w| f64::from(w.abs())).sum::<f64>() * largest;
            let sum = products + f64::from(bias).abs();
            reach.products = reach.products.max(products);
            reach.sums = reach.sums.max(sum);
            reach.holds_biases &= sum <= LARGEST_F32_SUM || f64::from(bias as f32) == f64::from(bias);
            reach.are_bytes &= row.iter().all(|w| (-128.0..=127.0).contains(w));
        }
        reach
    }
}

/// What the accumulators of a block hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Sums of products. The bias is to be added to each, which then rounds it as the sum itself is rounded.
    Products,
    /// Sums with their bias.
    Sums,
    /// The same, as bits of 32-bit integers.
    Bits,
}

/// Sums products of codes, of what an evaluation reads, for a formula from sums to codes; `None` where there are no codes.
pub(crate) fn sum(codes: &mut Simulated, shape: &ConvolutionShape, x: &[f32], formula: Option<Requantize>, y: &mut [f32]) -> Held {
    // Only integer formulas look at every bit of a sum.
    let rounding = if formula == Some(Requantize::Shift) { SumRounding::ToOdd } else { SumRounding::ToNearest };
    let wants_integers = formula == Some(Requantize::FixedPointDouble);
    let reach = codes.reach.unwrap_or_else(|| Reach::of(codes));
    codes.reach = Some(reach);
    match Sums::of(reach.products, reach.sums, reach.are_bytes) {
        Sums::F32 => {
            convolution::forward(shape, x, &codes.codes, y);
            let rounds_once = wants_integers || reach.sums <= LARGEST_F32_SUM || rounding == SumRounding::ToNearest && reach.holds_biases;
            if !rounds_once {
                convolution::add_bias(&codes.bias, rounding, y);
            }
            if rounds_once { Held::Products } else { Held::Sums }
        }
        Sums::I32 => {
            let (lo, hi) = codes.input_limits;
            let range = CodeRange { lo, hi, rounding: Rounding::HalfToEven };
            let packed = codes.packed.take().unwrap_or_else(|| packed(codes, shape, &range));
            convolution::sum_bytes(&packed, &range, shape.batch, x, y);
            codes.packed = Some(packed);
            if wants_integers {
                return Held::Bits;
            }
            convolution::round_sums(rounding, y);
            Held::Sums
        }
        Sums::F64 => {
            convolution::forward_wide(shape, x, &codes.codes, &codes.bias, rounding, y);
            Held::Sums
        }
    }
}

/// The weights of a block as the kernels for bytes want them.
fn packed(codes: &Simulated, shape: &ConvolutionShape, range: &CodeRange) -> Convolution {
    let weights: Vec<i8> = codes.codes.iter().map(|&w| w as i8).collect();
    let zero = -range.lo as u8;
    Convolution::new(&ConvolutionParameters { shape: *shape, weights: &weights, bias: &codes.bias, zero, requantize: None })
}
