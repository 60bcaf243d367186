//! Operators without weights as a device computes them from integers alone: the plain form of each formula.
//!
//! | library | operators | source |
//! |---|---|---|
//! | TensorFlow Lite | Add, AveragePool, means | `reference/integer_ops/{add,pooling}.h`, `reference/reduce.h` |
//! | XNNPACK | Add | `src/qs8-vadd/scalar.c.in`, `src/microparams-init.c` |

use quantrain_graph::op::{Binary, Reduction};
use quantrain_graph::{KernelLibrary, Op};
use quantrain_kernels::pooling::PoolShape;
use quantrain_lowering::Unsupported;
use quantrain_lowering::elementwise::Broadcast;
use quantrain_lowering::pooling;
use quantrain_lowering::reduction::Falls;

use super::{Operator, Site};
use crate::FixedPoint;
use crate::buffer::{Buffer, Kind, View};
use crate::grid::{Grid, centred_integers};

/// An operator in integers.
pub struct OfIntegers {
    /// Which.
    pub formula: IntegerFormula,
    /// Codes of the inputs.
    pub inputs: Vec<Grid>,
    /// Codes of the output.
    pub output: Grid,
    /// Least and greatest centred code, the fused activation included.
    pub limits: (i32, i32),
    len: usize,
}

/// From centred codes to a centred code, not yet limited.
pub enum IntegerFormula {
    /// Two operands that broadcast.
    Sum(IntegerSum, Broadcast<2>),
    /// The sum of codes over their number, half away from zero, zero point and all.
    Average(PoolShape),
    /// The sum of all that falls to one element, times a factor.
    Mean(FixedPoint, Falls),
}

/// How two codes are added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IntegerSum {
    /// `((a << 20)·f_a + (b << 20)·f_b)·f`, each product rounded by [`FixedPoint::apply`] (TensorFlow Lite).
    Shifted {
        /// `s / (2·max s)` of the operands.
        operands: [FixedPoint; 2],
        /// `2·max s / (2^20·s_y)`.
        result: FixedPoint,
    },
    /// `(a·m_a + b·m_b + 2^(shift−1)) >> shift` (XNNPACK).
    Weighted {
        /// `rint(s/s_y · 2^shift)`.
        multipliers: [i32; 2],
        /// Such that the greater multiplier has 21 bits.
        shift: u32,
    },
}

impl IntegerSum {
    fn new(library: KernelLibrary, [a, b]: [f32; 2], y: f32) -> Option<Self> {
        Some(match library {
            KernelLibrary::Mlas => return None,
            KernelLibrary::Tflite => {
                let (a, b, y) = (f64::from(a), f64::from(b), f64::from(y));
                let twice = 2.0 * a.max(b);
                let operands = [a, b].map(|s| FixedPoint::new(s / twice));
                IntegerSum::Shifted { operands, result: FixedPoint::new(twice / (1_048_576.0 * y)) }
            }
            KernelLibrary::Xnnpack => {
                let greater = (a / y).max(b / y);
                // The power of two at or below the greater ratio, by division rather than by its bits.
                let mut exponent = 0;
                while f64::from(greater) >= 2f64.powi(exponent + 1) {
                    exponent += 1;
                }
                while f64::from(greater) < 2f64.powi(exponent) && exponent > -42 {
                    exponent -= 1;
                }
                let shift = (20 - exponent).clamp(1, 62);
                let multiplier = |s: f32| (f64::from(s / y) * 2f64.powi(shift)).round_ties_even() as i32;
                IntegerSum::Weighted { multipliers: [multiplier(a), multiplier(b)], shift: shift as u32 }
            }
        })
    }

    fn apply(&self, a: i32, b: i32) -> i64 {
        match self {
            IntegerSum::Shifted { operands, result } => {
                let scaled = |x: i32, factor: FixedPoint| factor.apply(x * (1 << 20));
                result.apply(scaled(a, operands[0]) + scaled(b, operands[1])).into()
            }
            IntegerSum::Weighted { multipliers, shift } => {
                let sum = i64::from(a) * i64::from(multipliers[0]) + i64::from(b) * i64::from(multipliers[1]);
                (sum + (1 << (shift - 1))) >> shift
            }
        }
    }
}

/// The operator of a node whose target names an integer kernel for it; `None` where it names none, or tensors are no bytes.
pub(super) fn build(site: &Site) -> Result<Option<Operator>, Unsupported> {
    let (at, kernels) = (&site.at, site.kernels);
    let Some(inputs) = site.inputs.iter().copied().collect::<Option<Vec<Grid>>>() else { return Ok(None) };
    let Some(output) = site.output else { return Ok(None) };
    if inputs.iter().chain([&output]).any(|g| g.kind != Kind::Bytes || !g.quantizer.shares_byte(&output.quantizer)) {
        return Ok(None);
    }
    let mean = |falls: Falls| {
        let factor = FixedPoint::new(f64::from(inputs[0].scale()) / f64::from(output.scale())).over(falls.count());
        IntegerFormula::Mean(factor, falls)
    };
    let formula = match &at.node.op {
        Op::Binary(Binary::Add) if inputs.len() == 2 => {
            IntegerSum::new(kernels.add, [inputs[0].scale(), inputs[1].scale()], output.scale())
                .map(|sum| IntegerFormula::Sum(sum, Broadcast::new(at)))
        }
        Op::AveragePool(op) if kernels.average_pool == KernelLibrary::Tflite => {
            Some(IntegerFormula::Average(pooling::shape(&op.window, op.count_include_pad, at)))
        }
        Op::GlobalAveragePool(_) if kernels.mean == KernelLibrary::Tflite => Some(mean(Falls::new(at, &[false, false, true, true], true))),
        Op::Reduce(op) if op.function == Reduction::Mean && kernels.mean == KernelLibrary::Tflite => Some(mean(Falls::of_reduce(op, at)?)),
        _ => None,
    };
    let limits = output.clipped_limits(site.clip_steps());
    Ok(formula.map(|formula| Operator::Integers(OfIntegers { formula, inputs, output, limits, len: site.output_len() })))
}

impl OfIntegers {
    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        let Buffer::Bytes(y) = y else { unreachable!("results are bytes") };
        let y = &mut y[..self.len];
        let x: Vec<Vec<i32>> = x.iter().zip(&self.inputs).map(|(x, grid)| centred_integers(grid, *x)).collect();
        let stored = |code: i64| (code.clamp(self.limits.0.into(), self.limits.1.into()) + i64::from(self.output.zero())) as u8;
        match &self.formula {
            IntegerFormula::Sum(sum, places) => places.walk(|i, [a, b]| y[i] = stored(sum.apply(x[0][a], x[1][b]))),
            IntegerFormula::Average(shape) => {
                let zero = self.output.quantizer.zero_point();
                average(shape, zero, &x[0], |i, mean| y[i] = stored((mean - zero).into()));
            }
            IntegerFormula::Mean(factor, falls) => {
                let mut sums = vec![0i32; y.len()];
                falls.walk(|i, o| sums[o] = sums[o].saturating_add(x[0][i]));
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = stored(factor.apply(sum).into()));
            }
        }
    }
}

/// Calls `f(output index, mean)` with the mean of the codes of each window, the zero point on top of the centred ones.
fn average(s: &PoolShape, zero: i32, x: &[i32], mut f: impl FnMut(usize, i32)) {
    let inside = |axis: usize, out: usize, length: usize| {
        let (start, before) = (out * s.stride[axis], s.padding_begin[axis]);
        (0..s.kernel[axis]).filter_map(move |k| (start + k * s.dilation[axis]).checked_sub(before)).filter(move |&i| i < length)
    };
    for pixel in 0..s.batch * s.out_height * s.out_width {
        let (n, oh, ow) = (pixel / (s.out_height * s.out_width), pixel / s.out_width % s.out_height, pixel % s.out_width);
        let count = s.count(oh, ow) as i32;
        for c in 0..s.channels {
            let mut sum = zero * count;
            for row in inside(0, oh, s.in_height) {
                sum += inside(1, ow, s.in_width)
                    .map(|column| x[((n * s.in_height + row) * s.in_width + column) * s.channels + c])
                    .sum::<i32>();
            }
            f(pixel * s.channels + c, if sum > 0 { (sum + count / 2) / count } else { (sum - count / 2) / count });
        }
    }
}
