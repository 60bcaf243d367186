//! Matrix products, row-major: Gemm, MatMul and their gradients.

use crate::parallel::{OneByOne, Shared, TASK};
use crate::permute::permute;
use crate::product::{Gathered, Outer, Panels, gather, outer, pack};
use crate::scratch::{Scratch, aligned, as_integers};
use crate::simd::simd;
use rayon::prelude::*;

mod batched;
#[cfg(test)]
mod tests;

pub use batched::Batched;

/// Rows of a task.
const ROWS: usize = 96;
/// Fewer tasks than this leave threads idle: then panels are split between tasks too.
const TASKS: usize = 16;
/// Terms whose factors stay in cache while a task's tiles use them.
const TERMS: usize = 256;

/// `y = A·B`, or `y += A·B`, with `A` of `m×k`, `B` of `k×n` and `y` of `m×n`; a transposed matrix is stored as `k×m`,
/// or `n×k`. Each sum runs over `k` in order.
pub fn matmul(m: usize, n: usize, k: usize, a: &[f32], a_transposed: bool, b: &[f32], b_transposed: bool, y: &mut [f32], accumulate: bool) {
    assert!(a.len() == m * k && b.len() == k * n && y.len() == m * n, "matmul: elements of the matrices");
    if y.is_empty() {
        return;
    }
    match (a_transposed, b_transposed) {
        (false, _) => rows_times(m, n, k, a, b, b_transposed, y, accumulate),
        (true, false) => columns_times(m, n, k, a, b, y, accumulate),
        (true, true) => {
            let mut scratch = Scratch::take(b.len());
            let rows_of_b = &mut scratch.as_mut_slice()[..b.len()];
            permute(b, &[n, k], &[1, 0], rows_of_b);
            columns_times(m, n, k, a, rows_of_b, y, accumulate);
        }
    }
}

/// `A` by rows: each is gathered, a single run.
fn rows_times(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], b_transposed: bool, y: &mut [f32], accumulate: bool) {
    let simd = simd();
    let panels = Panels::new(simd, 1, n);
    let packed_len = aligned(k * panels.width());
    let mut scratch = Scratch::take(packed_len + 2 * ROWS);
    let (packed, table) = scratch.as_mut_slice().split_at_mut(packed_len);
    let places = &mut as_integers(table).as_chunks_mut().0[..ROWS.min(m)];
    for (i, place) in places.iter_mut().enumerate() {
        *place = [i * k, i * n].map(|offset| u32::try_from(offset).expect("the rows of a task hold less than 2^32 elements"));
    }
    let places = &*places;

    let shared = Shared::new(packed);
    (0..panels.count()).into_par_iter().with_min_len((TASK / (k * panels.get(0).width).max(1)).max(1)).for_each(|index| {
        let panel = panels.get(index);
        // SAFETY: every panel has its own part.
        let to = unsafe { shared.range(panel.before * k, k * panel.width) };
        if b_transposed {
            pack::from_columns(&b[panel.column * k..], k, k, panel.columns, panel.width, to);
        } else if k > 0 {
            pack::from_rows(&b[panel.column..], n, k, panel.columns, panel.width, to);
        }
    });

    let packed = &*packed;
    let tasks = m.div_ceil(ROWS);
    let shares = TASKS.div_ceil(tasks).min(panels.count());
    let y = Shared::new(y);
    (0..tasks * shares).into_par_iter().one_by_one().for_each(|task| {
        let first = task / shares * ROWS;
        for panel in panels.share(task % shares, shares).map(|index| panels.get(index)) {
            let product = Gathered {
                places: &places[..ROWS.min(m - first)],
                runs: &[[0, k as u32]],
                source: a[first * k..].as_ptr(),
                panel: packed[panel.before * k..].as_ptr(),
                target: y.from(first * n + panel.column),
                columns: panel.columns,
                accumulate,
            };
            // SAFETY: a holds `k` elements for each row of the task, and every task has its own rows and panels.
            unsafe { gather(simd, &product) }
        }
    });
}

/// `A` by columns, `B` by rows: a sum of outer products.
fn columns_times(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], y: &mut [f32], accumulate: bool) {
    let simd = simd();
    let mut scratch = Scratch::take(TERMS);
    let places = &mut as_integers(scratch.as_mut_slice())[..TERMS.min(k)];
    for (l, place) in places.iter_mut().enumerate() {
        *place = u32::try_from(l * n).expect("the terms of a block hold less than 2^32 elements");
    }
    let places = &*places;
    let rows = m.div_ceil(TASKS).min(ROWS);
    y.par_chunks_mut(rows * n).enumerate().for_each(|(task, y)| {
        if !accumulate {
            y.fill(0.0);
        }
        for first in (0..k).step_by(TERMS) {
            let product = Outer {
                places: &places[..TERMS.min(k - first)],
                left: a[first * m + task * rows..].as_ptr(),
                left_step: m,
                rows: y.len() / n,
                right: b[first * n..].as_ptr(),
                columns: n,
                target: y.as_mut_ptr(),
                target_step: n,
            };
            // SAFETY: a has a row of `m` and b one of `n` for every term; the rows of y are the task's own.
            unsafe { outer(simd, &product) }
        }
    });
}
