//! Blocks of codes of at most 8 bits, with sums of 32: the fast ones.

use quantrain_graph::Rounding;
use quantrain_kernels::convolution::ConvolutionShape;
use quantrain_kernels::integer::{self, Convolution, ConvolutionParameters, Requantize};

use super::{Codes, Output};
use crate::buffer::{Buffer, Kind, View};
use crate::requantize::Requantizer;

pub(crate) struct Narrow {
    convolution: Convolution,
    /// What sums become, where the kernel does not do that on its way.
    output: Option<Output>,
    channels: usize,
}

impl Narrow {
    pub(super) fn new(shape: ConvolutionShape, codes: &Codes, output: Output) -> Self {
        let weights: Vec<i8> = codes.weights.iter().map(|&w| i8::try_from(w).expect("the caller asked")).collect();
        let formula = on_the_way(&output);
        let parameters = ConvolutionParameters {
            shape,
            weights: &weights,
            bias: &codes.bias,
            zero: u8::try_from(codes.input.zero()).expect("a byte holds the zero point of bytes"),
            requantize: formula.as_ref().map(|(formula, codes)| (formula, *codes)),
        };
        let convolution = Convolution::new(&parameters);
        Narrow { convolution, output: formula.is_none().then_some(output), channels: shape.out_channels }
    }

    pub(super) fn run(&self, shape: &ConvolutionShape, x: View, y: &mut Buffer) {
        let View::Bytes(x) = x else { unreachable!("a narrow block reads bytes") };
        match (&self.output, y) {
            (None, Buffer::Bytes(y)) => self.convolution.run(shape.batch, x, &mut y[..shape.output_len()]),
            (None, _) => unreachable!("the kernel writes bytes"),
            (Some(output), y) => {
                let mut sums = vec![0i32; shape.output_len()];
                self.convolution.accumulate(shape.batch, x, &mut sums);
                output.write(self.channels, &sums, y);
            }
        }
    }
}

/// The formula as the kernel applies it to the sums in its registers, where it can.
fn on_the_way(output: &Output) -> Option<(Requantize, integer::Codes)> {
    let Output::Codes { requantizer, grid, limits: (lo, hi) } = output else { return None };
    let formula = match requantizer {
        Requantizer::Multiply { factors, rounding: Rounding::HalfToEven } => Requantize::Multiply(factors.clone()),
        Requantizer::Shift(shifts) => Requantize::Shift(shifts.clone()),
        Requantizer::Multiply { .. } | Requantizer::FixedPoint(_) => return None,
    };
    (grid.kind == Kind::Bytes).then_some((formula, integer::Codes { lo: *lo, hi: *hi, zero: grid.zero() }))
}
