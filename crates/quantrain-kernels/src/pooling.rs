//! Pooling over two spatial axes, NHWC.

use crate::parallel::{LANES, OneByOne, put};
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;
use std::ops::Range;

#[cfg(test)]
mod tests;

/// The geometry of a pooling window, checked against both tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Channels of input and output.
    pub channels: usize,
    /// Rows of the output; `ceil_mode` shows here.
    pub out_height: usize,
    /// Columns of the output.
    pub out_width: usize,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub padding_begin: [usize; 2],
    /// Padding below and to the right: counted by an average that counts padding, up to which a window may reach.
    pub padding_end: [usize; 2],
    /// Steps between the places of a window.
    pub dilation: [usize; 2],
    /// Whether padding counts in an average (ONNX's `count_include_pad`).
    pub count_padding: bool,
}

impl PoolShape {
    fn in_image(&self) -> usize {
        self.in_height * self.in_width * self.channels
    }

    fn out_image(&self) -> usize {
        self.out_height * self.out_width * self.channels
    }

    fn check(&self, x: usize, y: usize) {
        assert_eq!(x, self.batch * self.in_image(), "PoolShape: elements of the input");
        assert_eq!(y, self.batch * self.out_image(), "PoolShape: elements of the output");
    }

    /// The places of window `(oh, ow)` that lie on the image, as offsets of their first channel, row by row.
    #[inline(always)]
    fn places(&self, oh: usize, ow: usize) -> impl Iterator<Item = usize> + use<'_> {
        let rows = self.inside(0, oh, self.in_height);
        rows.flat_map(move |kh| {
            let row = oh * self.stride[0] + kh * self.dilation[0] - self.padding_begin[0];
            self.inside(1, ow, self.in_width).map(move |kw| {
                let column = ow * self.stride[1] + kw * self.dilation[1] - self.padding_begin[1];
                (row * self.in_width + column) * self.channels
            })
        })
    }

    /// The indices along one axis of a window whose places lie inside `0..length`.
    #[inline(always)]
    fn inside(&self, axis: usize, out: usize, length: usize) -> Range<usize> {
        let (start, step) = (out * self.stride[axis], self.dilation[axis]);
        let first = self.padding_begin[axis].saturating_sub(start).div_ceil(step);
        let end = (length + self.padding_begin[axis]).saturating_sub(start).div_ceil(step);
        first..end.min(self.kernel[axis]).max(first)
    }

    /// What the sum of window `(oh, ow)` is divided by; at least 1.
    pub fn count(&self, oh: usize, ow: usize) -> usize {
        let along = |axis: usize, out: usize, length: usize| {
            if self.count_padding {
                // A window of `ceil_mode` may reach past the padding, where nothing counts.
                let reach = length + self.padding_begin[axis] + self.padding_end[axis];
                let places = reach.saturating_sub(out * self.stride[axis]).div_ceil(self.dilation[axis]);
                places.min(self.kernel[axis])
            } else {
                self.inside(axis, out, length).len()
            }
        };
        (along(0, oh, self.in_height) * along(1, ow, self.in_width)).max(1)
    }
}

/// `y = max` over the window, padding left out; NaN never wins. A window without a place on the image gives −∞.
pub fn max_forward(shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    shape.check(x.len(), y.len());
    let simd = simd();
    for_each_row(shape, x, y, |oh, x, y| max_row(simd, shape, oh, x, y));
}

simd_kernel! {
    fn max_row(shape: &PoolShape, oh: usize, x: &[f32], y: &mut [f32]) {
        for (ow, y) in y.chunks_exact_mut(shape.channels).enumerate() {
            y.fill(f32::NEG_INFINITY);
            for place in shape.places(oh, ow) {
                for (x, y) in x[place..].iter().zip(&mut *y) {
                    *y = if *x > *y { *x } else { *y };
                }
            }
        }
    }
}

/// The gradient of [`max_forward`]: each `dy` goes to the greatest value of its window, the first of several equal ones.
/// Overwrites `dx`, or adds to it.
pub fn max_backward(shape: &PoolShape, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    shape.check(x.len(), dy.len());
    assert_eq!(x.len(), dx.len(), "pooling::max_backward: one gradient a value");
    let simd = simd();
    for_each_image(shape, x, dy, dx, accumulate, |x, dy, dx| max_backward_image(simd, shape, x, dy, dx));
}

simd_kernel! {
    fn max_backward_image(shape: &PoolShape, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        for (i, dy) in dy.chunks_exact(shape.channels).enumerate() {
            let (oh, ow) = (i / shape.out_width, i % shape.out_width);
            let (lanes, rest) = dy.as_chunks::<LANES>();
            for (j, dy) in lanes.iter().enumerate() {
                give_to_greatest(shape, oh, ow, j * LANES, x, dy, dx);
            }
            for (j, dy) in rest.iter().enumerate() {
                give_to_greatest(shape, oh, ow, lanes.len() * LANES + j, x, &[*dy], dx);
            }
        }
    }
}

/// The gradient of window `(oh, ow)` for the `N` channels from `c` on.
#[inline(always)]
fn give_to_greatest<const N: usize>(shape: &PoolShape, oh: usize, ow: usize, c: usize, x: &[f32], dy: &[f32; N], dx: &mut [f32]) {
    let mut greatest = [f32::NEG_INFINITY; N];
    let mut winner = [u32::MAX; N];
    for (tap, place) in shape.places(oh, ow).enumerate() {
        let x = &x[place + c..][..N];
        for l in 0..N {
            let wins = x[l] > greatest[l];
            greatest[l] = if wins { x[l] } else { greatest[l] };
            winner[l] = if wins { tap as u32 } else { winner[l] };
        }
    }
    for (tap, place) in shape.places(oh, ow).enumerate() {
        let dx = &mut dx[place + c..][..N];
        for l in 0..N {
            dx[l] += if winner[l] == tap as u32 { dy[l] } else { 0.0 };
        }
    }
}

/// `y = Σ / count` over the window, where `count` leaves padding out unless [`PoolShape::count_padding`]. Places are
/// summed row by row, so integer-valued inputs give the exact integer sum, then one division.
pub fn average_forward(shape: &PoolShape, x: &[f32], y: &mut [f32]) {
    shape.check(x.len(), y.len());
    let simd = simd();
    for_each_row(shape, x, y, |oh, x, y| average_row(simd, shape, oh, x, y));
}

simd_kernel! {
    fn average_row(shape: &PoolShape, oh: usize, x: &[f32], y: &mut [f32]) {
        for (ow, y) in y.chunks_exact_mut(shape.channels).enumerate() {
            y.fill(0.0);
            for place in shape.places(oh, ow) {
                for (x, y) in x[place..].iter().zip(&mut *y) {
                    *y += *x;
                }
            }
            let count = shape.count(oh, ow) as f32;
            for y in y {
                *y /= count;
            }
        }
    }
}

/// The gradient of [`average_forward`]: each `dy / count` goes to every place of its window. Overwrites `dx`, or adds to it.
pub fn average_backward(shape: &PoolShape, dy: &[f32], dx: &mut [f32], accumulate: bool) {
    shape.check(dx.len(), dy.len());
    let simd = simd();
    for_each_image(shape, &[], dy, dx, accumulate, |_, dy, dx| average_backward_image(simd, shape, dy, dx));
}

simd_kernel! {
    fn average_backward_image(shape: &PoolShape, dy: &[f32], dx: &mut [f32]) {
        for (i, dy) in dy.chunks_exact(shape.channels).enumerate() {
            let (oh, ow) = (i / shape.out_width, i % shape.out_width);
            let count = shape.count(oh, ow) as f32;
            for place in shape.places(oh, ow) {
                for (dy, dx) in dy.iter().zip(&mut dx[place..]) {
                    *dx += *dy / count;
                }
            }
        }
    }
}

/// `y[n,c] = (Σ_p x[n,p,c]) · factor`, pixels in order, by sums of 64 that are added up: the rounding errors of one long sum would reach 1e-4
/// of a mean over a large image. Integer-valued inputs give the exact integer sum, then one product.
pub fn global_average_forward(batch: usize, pixels: usize, channels: usize, x: &[f32], factor: f32, y: &mut [f32]) {
    assert_eq!(x.len(), batch * pixels * channels, "pooling::global_average_forward: elements of the input");
    assert_eq!(y.len(), batch * channels, "pooling::global_average_forward: elements of the output");
    if x.is_empty() {
        return y.fill(0.0);
    }
    let simd = simd();
    (x.par_chunks(pixels * channels), y.par_chunks_mut(channels))
        .into_par_iter()
        .one_by_one()
        .for_each(|(x, y)| global_average_image(simd, x, factor, y));
}

simd_kernel! {
    fn global_average_image(x: &[f32], factor: f32, y: &mut [f32]) {
        const PIXELS: usize = 64;
        let channels = y.len();
        y.fill(0.0);
        for block in x.chunks(PIXELS * channels) {
            for (strip, y) in y.chunks_mut(LANES).enumerate() {
                let mut sums = [0.0f32; LANES];
                for pixel in block.chunks_exact(channels) {
                    let x = &pixel[strip * LANES..strip * LANES + y.len()];
                    match x.first_chunk::<LANES>() {
                        Some(x) => {
                            for i in 0..LANES {
                                sums[i] += x[i];
                            }
                        }
                        None => {
                            for (sum, x) in sums.iter_mut().zip(x) {
                                *sum += *x;
                            }
                        }
                    }
                }
                for (y, sum) in y.iter_mut().zip(sums) {
                    *y += sum;
                }
            }
        }
        for y in y {
            *y *= factor;
        }
    }
}

/// The gradient of [`global_average_forward`]: `dx[n,p,c] = dy[n,c] · factor`. Overwrites `dx`, or adds to it.
pub fn global_average_backward(batch: usize, pixels: usize, channels: usize, dy: &[f32], factor: f32, dx: &mut [f32], accumulate: bool) {
    assert_eq!(dx.len(), batch * pixels * channels, "pooling::global_average_backward: elements of the input");
    assert_eq!(dy.len(), batch * channels, "pooling::global_average_backward: elements of the output");
    if dx.is_empty() {
        return;
    }
    let simd = simd();
    (dy.par_chunks(channels), dx.par_chunks_mut(pixels * channels))
        .into_par_iter()
        .one_by_one()
        .for_each(|(dy, dx)| spread_image(simd, dy, factor, dx, accumulate));
}

simd_kernel! {
    fn spread_image(dy: &[f32], factor: f32, dx: &mut [f32], accumulate: bool) {
        for dx in dx.chunks_exact_mut(dy.len()) {
            for (dy, dx) in dy.iter().zip(dx) {
                put(dx, *dy * factor, accumulate);
            }
        }
    }
}

/// Calls `work(oh, image of x, row of y)` for every row of the output.
fn for_each_row(shape: &PoolShape, x: &[f32], y: &mut [f32], work: impl Fn(usize, &[f32], &mut [f32]) + Sync) {
    if y.is_empty() {
        return;
    }
    y.par_chunks_mut(shape.out_width * shape.channels).enumerate().for_each(|(i, y)| {
        let (n, oh) = (i / shape.out_height, i % shape.out_height);
        work(oh, &x[n * shape.in_image()..][..shape.in_image()], y);
    });
}

/// Calls `add(x, dy, dx)`, which adds to `dx`, for every image; windows overlap, so an image is not split. An empty `x`
/// stays empty.
fn for_each_image(
    shape: &PoolShape,
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    accumulate: bool,
    add: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
) {
    if dx.is_empty() {
        return;
    }
    dx.par_chunks_mut(shape.in_image()).enumerate().for_each(|(n, dx)| {
        if !accumulate {
            dx.fill(0.0);
        }
        let x = if x.is_empty() { x } else { &x[n * shape.in_image()..][..shape.in_image()] };
        add(x, &dy[n * shape.out_image()..][..shape.out_image()], dx);
    });
}
