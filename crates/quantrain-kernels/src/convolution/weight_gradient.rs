//! The gradient of the weights of dense and grouped convolutions, as sums of outer products: see [`crate::product`].

use super::ConvolutionShape;
use super::axis::Axis;
use super::window::{Window, flattened};
use crate::parallel::{OneByOne, Shared, TASK, worker};
use crate::product::{Outer, outer};
use crate::scratch::{Scratch, aligned, as_integers};
use crate::simd::{Simd, simd, simd_kernel};
use rayon::prelude::*;

/// Tasks of a call. Their number is fixed because the sum is split between them.
const TASKS: usize = 16;
/// Places of a part of the sum that outweigh what it costs to join the parts.
const PLACES: usize = 512;
/// Output channels of a task, at least: each task reads all of its x.
const CHANNELS: usize = 16;
/// Factors that stay in the L1 cache while all tiles of the weights use them.
const FACTORS: usize = 6 * 1024;

/// How the work is split between tasks: into parts of the sum, whose results must be joined, and shares of the output
/// channels.
fn split(places: usize, outputs: usize) -> (usize, usize) {
    let splits = (places / PLACES).clamp(1, TASKS);
    let shares = (TASKS / splits).min(outputs / CHANNELS).max(1);
    (splits.max(TASKS / 2 / shares), shares)
}

/// `dw` from `x` and `dy`.
pub(super) fn weight_gradient(shape: &ConvolutionShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let shape = &flattened(shape);
    let window = Window::new(shape.batch, Axis::forward(shape), shape.in_channels);
    let (inputs, outputs) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let taps = shape.kernel[0] * shape.kernel[1];
    let (splits, shares) = split(shape.batch * shape.out_height * shape.out_width, outputs);
    let splits = splits.min(window.tasks()).max(1);

    let most_places = window.images * window.positions * shape.out_width;
    let tables_len = aligned(most_places + 2 * taps);
    let copy_len = aligned(window.copy_len());
    let copies_len = copy_len * rayon::current_num_threads();
    let mut scratch = Scratch::take(tables_len + copies_len + (splits - 1) * dw.len());
    let (tables, rest) = scratch.as_mut_slice().split_at_mut(tables_len);
    let (copies, partial) = rest.split_at_mut(copies_len);
    let partial = &mut partial[..(splits - 1) * dw.len()];
    let (runs, places) = as_integers(tables).split_at_mut(2 * taps);
    let runs = runs.as_chunks_mut().0;
    window.fill_runs([0, 0], inputs, runs);
    for (index, place) in places[..most_places].iter_mut().enumerate() {
        let (row, column) = (index / shape.out_width, index % shape.out_width);
        *place = window.place(row / window.positions, row % window.positions, column) as u32;
    }
    let (runs, places) = (&*runs, &*places);

    let block_len = (FACTORS / (shape.in_channels + shape.out_channels)).clamp(48, 256);
    let simd = simd();
    let length = dw.len();
    let (copies, first, others) = (Shared::new(copies), Shared::new(dw), Shared::new(partial));
    (0..splits * shares).into_par_iter().one_by_one().for_each(|task| {
        let (split, share) = (task / shares, task % shares);
        let channels = share * outputs / shares..(share + 1) * outputs / shares;
        let parts = split * window.tasks() / splits..(split + 1) * window.tasks() / splits;
        // The first split sums in dw itself.
        let (sums, start) = if split == 0 { (&first, 0) } else { (&others, (split - 1) * length) };
        // SAFETY: a thread runs one task at a time, and each has its own copy.
        let copy = unsafe { copies.range(worker() * copy_len, copy_len) };
        for group in 0..shape.groups {
            let row = group * outputs + channels.start;
            // SAFETY: every split has its own sums, every share its own rows of them.
            let own = unsafe { sums.range(start + row * taps * inputs, channels.len() * taps * inputs) };
            own.fill(0.0);
        }
        for part in parts.map(|part| window.part(part)) {
            let x = window.read(part, x, copy);
            let dy = &dy[(part.image * shape.out_height + part.position) * shape.out_width * shape.out_channels..];
            let count = part.images * part.positions * shape.out_width;
            for (block, places) in places[..count].chunks(block_len).enumerate() {
                for group in 0..shape.groups {
                    let row = group * outputs + channels.start;
                    let mut column = 0;
                    for [offset, length] in runs.iter().map(|run| run.map(|value| value as usize)) {
                        let product = Outer {
                            places,
                            left: dy[block * block_len * shape.out_channels + row..].as_ptr(),
                            left_step: shape.out_channels,
                            rows: channels.len(),
                            right: x[group * inputs + offset..].as_ptr(),
                            columns: length,
                            target: sums.from(start + row * taps * inputs + column),
                            target_step: taps * inputs,
                        };
                        // SAFETY: places and runs lie in the part of x, which holds every tap of its positions, and
                        // dy has a pixel for each place; the rows of the target are this task's own.
                        unsafe { outer(simd, &product) }
                        column += length;
                    }
                }
            }
        }
    });
    join(simd, partial, dw);
}

/// `sum += Σ partial`, in order.
pub(super) fn join(simd: Simd, partial: &[f32], sum: &mut [f32]) {
    let length = sum.len();
    sum.par_chunks_mut(TASK).enumerate().for_each(|(chunk, sum)| {
        for partial in partial.chunks_exact(length) {
            add(simd, &partial[chunk * TASK..][..sum.len()], sum);
        }
    });
}

simd_kernel! {
    fn add(partial: &[f32], sum: &mut [f32]) {
        for (partial, sum) in partial.iter().zip(sum) {
            *sum += *partial;
        }
    }
}
