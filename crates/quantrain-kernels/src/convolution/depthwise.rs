//! Depthwise convolution: every channel has its own kernel, so vectors run along the channels and nothing is packed.
//!
//! Inside a call the weights lie tap by tap, `[kernel_h][kernel_w][channels]`.

mod row;
mod taps;

use super::ConvolutionShape;
use super::axis::{Axis, Progression};
use super::weight_gradient::join;
use crate::parallel::{OneByOne, Shared};
use crate::scratch::{Scratch, aligned};
use crate::simd::simd;
use rayon::prelude::*;
use row::{Row, row};
use taps::{Taps, taps};

/// Elements that a task of the first two kernels writes, where there are as many.
const ELEMENTS: usize = 32 * 1024;
/// Tasks of a weight gradient. The number is fixed because the sum is split between them.
const TASKS: usize = 16;
/// Places whose factors stay in the L1 cache while all taps use them.
const PLACES: usize = 192;

/// Whether each channel is a group of its own, with one output.
pub(super) fn applies(shape: &ConvolutionShape) -> bool {
    shape.groups == shape.in_channels && shape.groups == shape.out_channels
}

/// `y` from `x` and `w`.
pub(super) fn forward(shape: &ConvolutionShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    run(shape, Axis::forward(shape), x, w, y, false);
}

/// `dx` from `dy` and `w`.
pub(super) fn input_gradient(shape: &ConvolutionShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    run(shape, Axis::backward(shape), dy, w, dx, accumulate);
}

/// The taps of an axis in elements: those of the source `unit` apart, those of the weights `weight_unit`.
#[derive(Clone, Copy)]
struct Steps {
    count: usize,
    source: isize,
    source_step: isize,
    weight: isize,
    weight_step: isize,
}

impl Steps {
    /// The taps that read the source of an axis from `position`.
    fn new(taps: Progression, position: usize, unit: usize, weight_unit: usize) -> Self {
        let (unit, weight_unit) = (unit as isize, weight_unit as isize);
        Self {
            count: taps.count,
            source: (position as isize + taps.distance) * unit,
            source_step: taps.distance_step * unit,
            weight: taps.index * weight_unit,
            weight_step: taps.index_step * weight_unit,
        }
    }
}

fn run(shape: &ConvolutionShape, [rows, columns]: [Axis; 2], source: &[f32], w: &[f32], target: &mut [f32], accumulate: bool) {
    if target.is_empty() {
        return;
    }
    let channels = shape.in_channels;
    let mut scratch = Scratch::take(w.len());
    let weights = &mut scratch.as_mut_slice()[..w.len()];
    transpose(w, channels, weights);
    let weights = &*weights;

    let (source_row, target_row) = (columns.source * channels, columns.target * channels);
    let band = (ELEMENTS / target_row).clamp(1, rows.target);
    let bands = rows.target.div_ceil(band);
    let simd = simd();
    let target = Shared::new(target);
    (0..shape.batch * bands).into_par_iter().one_by_one().for_each(|task| {
        let (n, first) = (task / bands, task % bands * band);
        let source = &source[n * rows.source * source_row..][..rows.source * source_row];
        for h in first..(first + band).min(rows.target) {
            let position = h / rows.phases() * rows.step();
            let taps = rows.progression(h % rows.phases()).inside(position, rows.source);
            // SAFETY: every task has its own rows of the target.
            let target = unsafe { target.range((n * rows.target + h) * target_row, target_row) };
            let rows = Steps::new(taps, position, source_row, columns.kernel * channels);
            row(simd, &Row { channels, rows, columns, source, weights, accumulate }, target);
        }
    });
}

/// `dw` from `x` and `dy`.
pub(super) fn weight_gradient(shape: &ConvolutionShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let channels = shape.in_channels;
    let [rows, columns] = Axis::forward(shape);
    // A unit is a band of rows of one image.
    let band = (PLACES / shape.out_width.max(1)).clamp(1, shape.out_height.max(1));
    let bands = shape.out_height.div_ceil(band);
    let units = shape.batch * bands;
    let splits = TASKS.min(units).max(1);
    let length = dw.len();
    let mut scratch = Scratch::take(aligned(length) + (splits - 1) * length);
    let (sum, others) = scratch.as_mut_slice().split_at_mut(aligned(length));
    let (sum, others) = (&mut sum[..length], &mut others[..(splits - 1) * length]);
    let (x_image, dy_row) = (shape.in_height * shape.in_width * channels, shape.out_width * channels);
    let simd = simd();
    let work = |split: usize, sum: &mut [f32]| {
        sum.fill(0.0);
        for unit in split * units / splits..(split + 1) * units / splits {
            let (n, first) = (unit / bands, unit % bands * band);
            let band = Taps {
                channels,
                rows,
                columns,
                x: &x[n * x_image..][..x_image],
                dy: &dy[n * shape.out_height * dy_row..][..shape.out_height * dy_row],
                band: first..(first + band).min(shape.out_height),
            };
            taps(simd, &band, sum);
        }
    };
    if length > 0 {
        rayon::join(|| work(0, sum), || others.par_chunks_mut(length).enumerate().for_each(|(i, sum)| work(i + 1, sum)));
        join(simd, others, sum);
        transpose(sum, shape.kernel[0] * shape.kernel[1], dw);
    }
}

/// `to[j][i] = from[i][j]`, with `rows` rows in `from`.
fn transpose(from: &[f32], rows: usize, to: &mut [f32]) {
    for (i, row) in from.chunks_exact(from.len() / rows).enumerate() {
        for (value, to) in row.iter().zip(to[i..].iter_mut().step_by(rows)) {
            *to = *value;
        }
    }
}
