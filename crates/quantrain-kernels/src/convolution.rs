//! Convolution of two spatial axes: dense, grouped and depthwise; strided, dilated, padded.
//!
//! ```text
//! y[n,oh,ow,o] = Σ_{i,j,c} x[n, oh·s₀ + i·d₀ − p₀, ow·s₁ + j·d₁ − p₁, g·C + c] · w[o,i,j,c]
//! ```
//!
//! with `C = in_channels / groups`, `g` the group of `o`, and x zero outside the image. x and y are NHWC, w is OHWI:
//! `[out_channels][kernel_h][kernel_w][in_channels / groups]`. The transposed convolution is the same sum with the places of rows and columns
//! exchanged: `x[n, h, w]` goes to `y[n, h·s₀ + i·d₀ − p₀, w·s₁ + j·d₁ − p₁]`.

pub(crate) mod axis;
mod dense;
mod depthwise;
#[cfg(test)]
mod reference;
mod transposed;
mod weight_gradient;
mod wide;
mod window;

#[cfg(test)]
mod tests;

pub use wide::{SumRounding, add_bias, forward_bytes, forward_wide, round_sums, sum_bytes};

/// The geometry of a convolution, checked against all three tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Rows of the output.
    pub out_height: usize,
    /// Columns of the output.
    pub out_width: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Padding above and to the left; below and to the right it follows from the size of the output. A transposed convolution leaves out as
    /// much of its result.
    pub padding_begin: [usize; 2],
    /// Steps between the taps of the kernel.
    pub dilation: [usize; 2],
    /// Groups; both numbers of channels are multiples of it.
    pub groups: usize,
    /// Rows and columns go the other way round: strides are between the places that an input's rows are added to.
    pub transposed: bool,
}

impl ConvolutionShape {
    /// A product of `rows` rows of `inputs` values with a matrix, as a convolution of one pixel.
    pub fn product(rows: usize, inputs: usize, outputs: usize) -> Self {
        ConvolutionShape {
            batch: rows,
            in_height: 1,
            in_width: 1,
            in_channels: inputs,
            out_height: 1,
            out_width: 1,
            out_channels: outputs,
            kernel: [1, 1],
            stride: [1, 1],
            padding_begin: [0, 0],
            dilation: [1, 1],
            groups: 1,
            transposed: false,
        }
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_height * self.in_width * self.in_channels
    }

    /// Elements of the weights.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.kernel[0] * self.kernel[1] * (self.in_channels / self.groups)
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_height * self.out_width * self.out_channels
    }

    /// Multiplications of [`forward`], padding counted; each gradient takes as many.
    pub fn multiplications(&self) -> usize {
        let places = if self.transposed { self.in_height * self.in_width } else { self.out_height * self.out_width };
        self.batch * places * self.weight_len()
    }

    /// The row (axis 0) or column of the input that a tap of the kernel reads for a row or column of the output, where there is one.
    #[inline(always)]
    pub fn source(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        let (stride, padding, reach) = (self.stride[axis], self.padding_begin[axis], tap * self.dilation[axis]);
        let place = if self.transposed {
            (out + padding).checked_sub(reach).filter(|place| place.is_multiple_of(stride)).map(|place| place / stride)
        } else {
            (out * stride + reach).checked_sub(padding)
        };
        place.filter(|place| *place < [self.in_height, self.in_width][axis])
    }

    fn check(&self, x: usize, w: usize, y: usize) {
        assert!(
            self.groups > 0 && self.in_channels.is_multiple_of(self.groups) && self.out_channels.is_multiple_of(self.groups),
            "ConvolutionShape: groups divide the channels"
        );
        assert!(self.stride.iter().chain(&self.dilation).all(|step| *step > 0), "ConvolutionShape: steps are positive");
        assert_eq!(x, self.input_len(), "ConvolutionShape: elements of the input");
        assert_eq!(w, self.weight_len(), "ConvolutionShape: elements of the weights");
        assert_eq!(y, self.output_len(), "ConvolutionShape: elements of the output");
    }
}

/// `y` from `x` and `w`.
pub fn forward(shape: &ConvolutionShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    shape.check(x.len(), w.len(), y.len());
    if shape.transposed {
        transposed::forward(shape, x, w, y);
    } else if depthwise::applies(shape) {
        depthwise::forward(shape, x, w, y);
    } else {
        dense::forward(shape, x, w, y);
    }
}

/// `dx` from `dy` and `w`. Overwrites `dx`, or adds to it.
pub fn input_gradient(shape: &ConvolutionShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    shape.check(dx.len(), w.len(), dy.len());
    if shape.transposed {
        transposed::input_gradient(shape, dy, w, dx, accumulate);
    } else if depthwise::applies(shape) {
        depthwise::input_gradient(shape, dy, w, dx, accumulate);
    } else {
        dense::input_gradient(shape, dy, w, dx, accumulate);
    }
}

/// `dw` from `x` and `dy`; overwrites `dw`.
pub fn weight_gradient(shape: &ConvolutionShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    shape.check(x.len(), dw.len(), dy.len());
    if shape.transposed {
        transposed::weight_gradient(shape, x, dy, dw);
    } else if depthwise::applies(shape) {
        depthwise::weight_gradient(shape, x, dy, dw);
    } else {
        weight_gradient::weight_gradient(shape, x, dy, dw);
    }
}
