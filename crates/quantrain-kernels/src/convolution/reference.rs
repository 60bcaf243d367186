//! The formula in plain loops.

use super::ConvolutionShape;

/// `y` from `x` and `w`.
pub fn forward(shape: &ConvolutionShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    y.fill(0.0);
    for_each_product(shape, |x_at, w_at, y_at| y[y_at] += x[x_at] * w[w_at]);
}

/// `dx` from `dy` and `w`.
pub fn input_gradient(shape: &ConvolutionShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    if !accumulate {
        dx.fill(0.0);
    }
    for_each_product(shape, |x_at, w_at, y_at| dx[x_at] += dy[y_at] * w[w_at]);
}

/// `dw` from `x` and `dy`.
pub fn weight_gradient(shape: &ConvolutionShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    dw.fill(0.0);
    for_each_product(shape, |x_at, w_at, y_at| dw[w_at] += x[x_at] * dy[y_at]);
}

/// Every product of the formula, as places in x, w and y.
fn for_each_product(shape: &ConvolutionShape, mut product: impl FnMut(usize, usize, usize)) {
    let s = shape;
    let (channels, outputs) = (s.in_channels / s.groups, s.out_channels / s.groups);
    for n in 0..s.batch {
        for oh in 0..s.out_height {
            for ow in 0..s.out_width {
                for o in 0..s.out_channels {
                    let y_at = ((n * s.out_height + oh) * s.out_width + ow) * s.out_channels + o;
                    for i in 0..s.kernel[0] {
                        for j in 0..s.kernel[1] {
                            let (Some(h), Some(w)) = (s.source(0, oh, i), s.source(1, ow, j)) else { continue };
                            let x_at = ((n * s.in_height + h) * s.in_width + w) * s.in_channels;
                            let w_at = ((o * s.kernel[0] + i) * s.kernel[1] + j) * channels;
                            for c in 0..channels {
                                product(x_at + o / outputs * channels + c, w_at + c, y_at);
                            }
                        }
                    }
                }
            }
        }
    }
}
