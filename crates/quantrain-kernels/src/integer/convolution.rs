//! Convolution of codes, prepared once for its weights: dense, grouped, depthwise and transposed; strided, dilated, padded.

use super::pairs::Path;
use super::requantize::{Codes, Finish, Keep, Multiply, Requantize, Shift};
use super::transposed::{self, Phase};
use super::window::Window;
use super::{dense, depthwise};
use crate::convolution::ConvolutionShape;
use crate::simd::simd;

/// What a convolution is made of.
#[derive(Clone, Debug)]
pub struct ConvolutionParameters<'a> {
    /// The geometry; its batch size does not matter.
    pub shape: ConvolutionShape,
    /// Centred codes `[out_channels][kernel_h][kernel_w][in_channels / groups]`.
    pub weights: &'a [i8],
    /// Where the sum of each output channel starts.
    pub bias: &'a [i32],
    /// The stored code of 0.0 of the input.
    pub zero: u8,
    /// From sums to codes; `None` where only [`Convolution::accumulate`] is called.
    pub requantize: Option<(&'a Requantize, Codes)>,
}

/// `y = requantize(bias + Σ (x − zero)·w)`, weights packed for this machine.
#[derive(Clone, Debug)]
pub struct Convolution {
    pub(super) shape: ConvolutionShape,
    pub(super) path: Path,
    pub(super) zero: u8,
    /// Packed as [`dense`] or [`depthwise`] wants them.
    pub(super) weights: Vec<i32>,
    pub(super) bias: Vec<i32>,
    requantize: Option<(Requantize, Codes)>,
    is_depthwise: bool,
    /// Of a transposed convolution, which has no packed weights of its own.
    phases: Vec<Phase>,
}

/// The most channels of a tile: parameters reach that far beyond the channels.
const WIDEST: usize = 32;

impl Convolution {
    /// Packs weights and parameters.
    ///
    /// # Panics
    /// Lengths do not fit the shape.
    pub fn new(parameters: &ConvolutionParameters) -> Self {
        let ConvolutionParameters { shape, weights, bias, zero, requantize } = parameters;
        let groups_divide = shape.groups > 0 && shape.in_channels % shape.groups == 0 && shape.out_channels % shape.groups == 0;
        assert!(groups_divide, "integer::Convolution: groups divide the channels");
        assert!(shape.stride.iter().chain(&shape.dilation).all(|step| *step > 0), "integer::Convolution: steps are positive");
        assert_eq!(weights.len(), shape.weight_len(), "integer::Convolution: elements of the weights");
        assert_eq!(bias.len(), shape.out_channels, "integer::Convolution: one bias a channel");
        let path = Path::of(simd());
        let is_depthwise = shape.groups > 1 && shape.groups == shape.in_channels && shape.groups == shape.out_channels;
        let phases = if shape.transposed { transposed::phases(parameters) } else { Vec::new() };
        let (weights, bias) = if shape.transposed {
            (Vec::new(), Vec::new())
        } else if is_depthwise {
            depthwise::pack(path, shape, weights, bias)
        } else {
            dense::pack(path, shape, weights, bias, *zero)
        };
        let requantize = requantize.map(|(formula, codes)| (extended(formula, shape.out_channels), codes));
        Self { shape: *shape, path, zero: *zero, weights, bias, requantize, is_depthwise, phases }
    }

    /// Stored codes `y` `[batch][out_height][out_width][out_channels]` from stored codes `x`.
    ///
    /// # Panics
    /// Lengths do not fit, or there is no formula from sums to codes.
    pub fn run(&self, batch: usize, x: &[u8], y: &mut [u8]) {
        match self.requantize.as_ref().expect("a convolution that gives codes has a formula") {
            (Requantize::Multiply(multiplier), codes) => self.finish(batch, x, Multiply::new(multiplier, *codes), y),
            (Requantize::Shift(shift), codes) => self.finish(batch, x, Shift::new(shift, *codes), y),
        }
    }

    /// The sums, before requantization.
    ///
    /// # Panics
    /// Lengths do not fit.
    pub fn accumulate(&self, batch: usize, x: &[u8], y: &mut [i32]) {
        self.finish(batch, x, Keep, y);
    }

    pub(super) fn finish<F: Finish>(&self, batch: usize, x: &[u8], finish: F, y: &mut [F::Out]) {
        let shape = ConvolutionShape { batch, ..self.shape };
        assert_eq!(x.len(), shape.input_len(), "integer::Convolution: elements of the input");
        assert_eq!(y.len(), shape.output_len(), "integer::Convolution: elements of the output");
        if y.is_empty() {
            return;
        }
        if shape.transposed {
            transposed::run(&self.phases, &shape, x, finish, y);
        } else if self.is_depthwise {
            let strip = 2 * self.path.lanes();
            let window = Window::new(&shape, self.zero, strip, strip, true);
            depthwise::run(self, &window, x, finish, y);
        } else {
            let window = Window::new(&shape, self.zero, self.path.channels_of_a_lane(), 2 * self.path.lanes(), false);
            dense::run(self, &window, x, finish, y);
        }
    }
}

/// The formula with parameters for what a tile reads beyond the channels.
fn extended(formula: &Requantize, channels: usize) -> Requantize {
    fn extend<T: Copy + Default>(values: &[T], channels: usize) -> Vec<T> {
        assert_eq!(values.len(), channels, "Requantize: one value a channel");
        let mut extended = values.to_vec();
        extended.resize(channels + WIDEST, T::default());
        extended
    }
    match formula {
        Requantize::Multiply(multiplier) => Requantize::Multiply(extend(multiplier, channels)),
        Requantize::Shift(shift) => {
            assert!(shift.iter().all(|n| (-31..=30).contains(n)), "Requantize: shifts from −31 to 30");
            Requantize::Shift(extend(shift, channels))
        }
    }
}
