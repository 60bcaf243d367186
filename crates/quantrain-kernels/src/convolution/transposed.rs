//! The transposed convolution: its value is the input gradient of the convolution the other way, from y to x, and the other way round.
//!
//! Weights are OHWI as everywhere, of the transposed convolution's own outputs; the other convolution wants its outputs first, which are our
//! inputs. A copy of the weights is cheap beside their products.

use super::{ConvolutionShape, forward as convolve, input_gradient as spread, weight_gradient as correlate};
use crate::elementwise::add_assign;
use crate::permute::permute;
use crate::scratch::Scratch;

/// The convolution from y to x.
pub fn mirrored(shape: &ConvolutionShape) -> ConvolutionShape {
    ConvolutionShape {
        in_height: shape.out_height,
        in_width: shape.out_width,
        in_channels: shape.out_channels,
        out_height: shape.in_height,
        out_width: shape.in_width,
        out_channels: shape.in_channels,
        transposed: !shape.transposed,
        ..*shape
    }
}

/// Weights of `shape` as those of the convolution the other way: outputs and inputs of each group change places.
fn mirror_weights(shape: &ConvolutionShape, w: &[f32], to: &mut [f32]) {
    let [outputs, inputs] = [shape.out_channels, shape.in_channels].map(|channels| channels / shape.groups);
    permute(w, &[shape.groups, outputs, shape.kernel[0] * shape.kernel[1], inputs], &[0, 3, 2, 1], to);
}

/// Calls `f` with the convolution the other way and its weights.
fn with_mirrored<R>(shape: &ConvolutionShape, w: &[f32], f: impl FnOnce(&ConvolutionShape, &[f32]) -> R) -> R {
    let mut scratch = Scratch::take(w.len());
    let mirrored_weights = &mut scratch.as_mut_slice()[..w.len()];
    mirror_weights(shape, w, mirrored_weights);
    f(&mirrored(shape), mirrored_weights)
}

/// `y` from `x` and `w`.
pub fn forward(shape: &ConvolutionShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    with_mirrored(shape, w, |mirrored, w| spread(mirrored, x, w, y, false));
}

/// `dx` from `dy` and `w`.
pub fn input_gradient(shape: &ConvolutionShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    with_mirrored(shape, w, |mirrored, w| {
        if !accumulate {
            return convolve(mirrored, dy, w, dx);
        }
        let mut scratch = Scratch::take(dx.len());
        let added = &mut scratch.as_mut_slice()[..dx.len()];
        convolve(mirrored, dy, w, added);
        add_assign(added, dx);
    });
}

/// `dw` from `x` and `dy`.
pub fn weight_gradient(shape: &ConvolutionShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let mut scratch = Scratch::take(dw.len());
    let found = &mut scratch.as_mut_slice()[..dw.len()];
    let mirrored = mirrored(shape);
    correlate(&mirrored, dy, x, found);
    mirror_weights(&mirrored, found, dw);
}
