//! The convolutions of the networks that matter.

use quantrain_kernels::convolution::ConvolutionShape;
use std::fmt;

/// Batch, side of the input, channels in and out, side of the kernel, stride; depthwise where channels out are 0.
#[derive(Clone, Copy)]
pub struct Case(usize, usize, usize, usize, usize, usize);

pub const CASES: &[Case] = &[
    // ResNet-20 on 32x32
    Case(64, 32, 3, 16, 3, 1),
    Case(64, 32, 16, 16, 3, 1),
    Case(64, 32, 16, 32, 3, 2),
    Case(64, 16, 32, 32, 3, 1),
    Case(64, 16, 32, 64, 3, 2),
    Case(64, 8, 64, 64, 3, 1),
    Case(64, 32, 16, 32, 1, 2),
    // MobileNetV2 on 96x96
    Case(16, 96, 3, 32, 3, 2),
    Case(16, 48, 32, 16, 1, 1),
    Case(16, 48, 16, 96, 1, 1),
    Case(16, 24, 144, 24, 1, 1),
    Case(16, 12, 32, 192, 1, 1),
    Case(16, 6, 384, 64, 1, 1),
    Case(16, 6, 96, 576, 1, 1),
    Case(16, 3, 960, 160, 1, 1),
    Case(16, 3, 320, 1280, 1, 1),
    Case(16, 48, 32, 0, 3, 1),
    Case(16, 48, 96, 0, 3, 2),
    Case(16, 24, 144, 0, 3, 1),
    Case(16, 12, 192, 0, 3, 1),
    Case(16, 6, 576, 0, 3, 1),
    Case(16, 3, 960, 0, 3, 1),
    // EfficientNet and MobileNetV2 on 224x224
    Case(4, 112, 32, 0, 3, 1),
    Case(4, 28, 240, 0, 5, 1),
    Case(4, 56, 144, 0, 5, 2),
    Case(4, 28, 40, 240, 1, 1),
    Case(4, 56, 64, 64, 3, 1),
];

impl Case {
    /// With padding that keeps the side.
    pub fn shape(&self) -> ConvolutionShape {
        let Case(batch, side, in_channels, out_channels, kernel, stride) = *self;
        let depthwise = out_channels == 0;
        let out = side.div_ceil(stride);
        ConvolutionShape {
            batch,
            in_height: side,
            in_width: side,
            in_channels,
            out_height: out,
            out_width: out,
            out_channels: if depthwise { in_channels } else { out_channels },
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding_begin: [kernel / 2; 2],
            dilation: [1, 1],
            groups: if depthwise { in_channels } else { 1 },
            transposed: false,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Case(batch, side, input, output, kernel, stride) = self;
        match output {
            0 => write!(f, "b{batch} {side}x{side} {input} depthwise {kernel}x{kernel}/{stride}"),
            _ => write!(f, "b{batch} {side}x{side} {input}>{output} {kernel}x{kernel}/{stride}"),
        }
    }
}

/// Operands of a case.
pub struct Data {
    pub shape: ConvolutionShape,
    pub x: Vec<f32>,
    pub w: Vec<f32>,
    pub y: Vec<f32>,
}

impl Data {
    pub fn new(case: &Case) -> Self {
        let shape = case.shape();
        let codes = |count: usize| (0..count).map(|i| (i * 37 % 255) as f32 - 127.0).collect();
        Self { shape, x: codes(shape.input_len()), w: codes(shape.weight_len()), y: codes(shape.output_len()) }
    }

    /// Multiplications and additions of one pass.
    pub fn flops(&self) -> usize {
        2 * self.shape.multiplications()
    }
}
