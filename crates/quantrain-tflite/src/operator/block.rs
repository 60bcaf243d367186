//! Convolutions and products with weights.

use quantrain_integer::instruction::{IntegerBlock, Output, Requantizer};
use quantrain_kernels::convolution::ConvolutionShape;

use super::window::{Extent, Fill, padded};
use super::{At, Refused, fused};
use crate::model::{Scales, Writer};
use crate::schema::{Fused, Operator};

pub(super) fn write(writer: &mut Writer, at: &At, block: &IntegerBlock) -> Result<(), Refused> {
    let Output::Codes { grid, limits, .. } = &block.output else {
        return Err("its result stays in float; let the target quantize it, outputs too".into());
    };
    let fused = fused(grid, *limits)?;
    if block.shape.transposed {
        return Err("transposed convolutions are not written yet".into());
    }
    if !block.is_narrow() {
        return Err("its sums may leave 32 bits, or its weights have more than 8; give them 8".into());
    }
    if matches!(at.op, quantrain_graph::Op::Convolution(_)) {
        convolution(writer, at, block, fused)
    } else {
        product(writer, at, block, fused)
    }
}

/// The scale of each output channel.
fn scales(writer: &Writer, at: &At, channels: usize) -> Result<Vec<f32>, Refused> {
    let quantized = writer.program.quant_graph().quantized_block(at.unit).map_err(crate::TfliteError::from)?;
    let quantized = quantized.ok_or_else(|| Refused::from("its weights stay in float; quantize them"))?;
    Ok((0..channels).map(|c| quantized.weight.scale(c)).collect())
}

/// Weights and biases as tensors; `axis` is that of the output channels.
fn constants(
    writer: &mut Writer,
    at: &At,
    block: &IntegerBlock,
    shape: &[usize],
    codes: Vec<i32>,
    axis: usize,
) -> Result<[i32; 2], Refused> {
    let (channels, name) = (block.shape.out_channels, &at.instruction.node);
    let scales = scales(writer, at, channels)?;
    let of_sums = scales.iter().map(|w| block.codes.input.scale() * w).collect();
    let weights = writer.bytes(&format!("{name}/weights"), shape, codes, Scales { values: scales, zero: 0, axis });
    let of_sums = Scales { values: of_sums, zero: 0, axis: 0 };
    Ok([weights, writer.integers(&format!("{name}/bias"), &[channels], &block.codes.bias, Some(of_sums))])
}

fn convolution(writer: &mut Writer, at: &At, block: &IntegerBlock, fused: Fused) -> Result<(), Refused> {
    let s @ &ConvolutionShape { in_channels, out_channels, kernel: [height, width], groups, .. } = &block.shape;
    let extent = Extent {
        input: [s.in_height, s.in_width],
        output: [s.out_height, s.out_width],
        kernel: s.kernel,
        stride: s.stride,
        dilation: s.dilation,
        before: s.padding_begin,
    };
    let (padding, x) = padded(writer, at, at.input()?, &extent, Fill::Zero)?;
    let window = extent.window(padding, fused);
    let (operator, [weights, bias]) = if groups == in_channels && groups > 1 {
        // [O, kh, kw, 1] as [1, kh, kw, O].
        let taps = height * width;
        let codes = (0..taps * out_channels).map(|i| block.codes.weights[i % out_channels * taps + i / out_channels]).collect();
        let constants = constants(writer, at, block, &[1, height, width, out_channels], codes, 3)?;
        (Operator::DepthwiseConv { window, multiplier: (out_channels / groups) as i32 }, constants)
    } else {
        let shape = [out_channels, height, width, in_channels / groups];
        (Operator::Conv { window }, constants(writer, at, block, &shape, block.codes.weights.clone(), 0)?)
    };
    let y = writer.tensor(at.instruction.output)?;
    writer.operator(&operator, vec![x, weights, bias], y);
    Ok(())
}

fn is_fixed_point(output: &Output) -> bool {
    matches!(output, Output::Codes { requantizer: Requantizer::FixedPoint(_), .. })
}

fn product(writer: &mut Writer, at: &At, block: &IntegerBlock, fused: Fused) -> Result<(), Refused> {
    let ConvolutionShape { in_channels, out_channels, .. } = block.shape;
    if out_channels == 1 && is_fixed_point(&block.output) {
        // With one scale, TensorFlow Lite multiplies those of input and weights in 32 bits first.
        return Err("a product with one output has its factor rounded otherwise; give it two outputs, or make it a convolution".into());
    }
    let x = writer.tensor(at.input()?)?;
    let rank = writer.shape(at.input()?).len();
    let [weights, bias] = constants(writer, at, block, &[out_channels, in_channels], block.codes.weights.clone(), 0)?;
    let y = writer.tensor(at.instruction.output)?;
    writer.operator(&Operator::FullyConnected { fused, keeps_axes: rank > 2 }, vec![x, weights, bias], y);
    Ok(())
}
