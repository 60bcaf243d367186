//! Softmax and its logarithm over the last axis.

use crate::exponential::{exp, log};
use crate::parallel::{LANES, OneByOne, TASK, put};
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// `y[r,c] = exp(x[r,c] − max_r) / Σ_c exp(x[r,c] − max_r)`; `x` is `[rows][channels]`.
pub fn forward(channels: usize, x: &[f32], y: &mut [f32]) {
    assert!(channels > 0 && x.len() == y.len() && x.len().is_multiple_of(channels), "softmax::forward: whole rows, one result a value");
    let (simd, task) = (simd(), task(channels));
    (x.par_chunks(task), y.par_chunks_mut(task)).into_par_iter().one_by_one().for_each(|(x, y)| {
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            forward_row(simd, x, y);
        }
    });
}

simd_kernel! {
    fn forward_row(x: &[f32], y: &mut [f32]) {
        let mut greatest = f32::NEG_INFINITY;
        for x in x {
            greatest = if *x > greatest { *x } else { greatest };
        }
        for (x, y) in x.iter().zip(&mut *y) {
            *y = exp(*x - greatest);
        }
        let factor = 1.0 / sum(y, |y, _| y, y);
        for y in y {
            *y *= factor;
        }
    }
}

/// `y[r,c] = x[r,c] − max_r − ln Σ_c exp(x[r,c] − max_r)`; `x` is `[rows][channels]`.
pub fn log_forward(channels: usize, x: &[f32], y: &mut [f32]) {
    assert!(channels > 0 && x.len() == y.len() && x.len().is_multiple_of(channels), "softmax::log_forward: whole rows, one result a value");
    let (simd, task) = (simd(), task(channels));
    (x.par_chunks(task), y.par_chunks_mut(task)).into_par_iter().one_by_one().for_each(|(x, y)| {
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            log_forward_row(simd, x, y);
        }
    });
}

simd_kernel! {
    fn log_forward_row(x: &[f32], y: &mut [f32]) {
        let mut greatest = f32::NEG_INFINITY;
        for x in x {
            greatest = if *x > greatest { *x } else { greatest };
        }
        for (x, y) in x.iter().zip(&mut *y) {
            *y = exp(*x - greatest);
        }
        let total = log(sum(y, |y, _| y, y));
        for (x, y) in x.iter().zip(y) {
            *y = *x - greatest - total;
        }
    }
}

/// `dx = dy − exp(y)·Σ_c dy` with `y` the result of [`log_forward`]. Overwrites `dx`, or adds to it.
pub fn log_backward(channels: usize, y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    assert!(
        channels > 0 && y.len() == dy.len() && y.len() == dx.len() && y.len().is_multiple_of(channels),
        "softmax::log_backward: whole rows, one gradient a value"
    );
    let (simd, task) = (simd(), task(channels));
    (y.par_chunks(task), dy.par_chunks(task), dx.par_chunks_mut(task)).into_par_iter().one_by_one().for_each(|(y, dy, dx)| {
        let rows = y.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels));
        for ((y, dy), dx) in rows {
            log_backward_row(simd, y, dy, dx, accumulate);
        }
    });
}

simd_kernel! {
    fn log_backward_row(y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let total = sum(dy, |dy, _| dy, dy);
        for ((y, dy), dx) in y.iter().zip(dy).zip(dx) {
            put(dx, *dy - exp(*y) * total, accumulate);
        }
    }
}

/// `dx = y·(dy − Σ_c dy·y)` with `y` the result of [`forward`]. Overwrites `dx`, or adds to it.
pub fn backward(channels: usize, y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    assert!(
        channels > 0 && y.len() == dy.len() && y.len() == dx.len() && y.len().is_multiple_of(channels),
        "softmax::backward: whole rows, one gradient a value"
    );
    let (simd, task) = (simd(), task(channels));
    (y.par_chunks(task), dy.par_chunks(task), dx.par_chunks_mut(task)).into_par_iter().one_by_one().for_each(|(y, dy, dx)| {
        let rows = y.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels));
        for ((y, dy), dx) in rows {
            backward_row(simd, y, dy, dx, accumulate);
        }
    });
}

simd_kernel! {
    fn backward_row(y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let mean = sum(y, |y, dy| y * dy, dy);
        for ((y, dy), dx) in y.iter().zip(dy).zip(dx) {
            put(dx, *y * (*dy - mean), accumulate);
        }
    }
}

/// `Σ term(a, b)`, over [`LANES`] sums side by side.
#[inline(always)]
fn sum(a: &[f32], term: impl Fn(f32, f32) -> f32, b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for l in 0..LANES {
            sums[l] += term(a[l], b[l]);
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] += term(*a, *b);
    }
    sums.iter().sum()
}

fn task(channels: usize) -> usize {
    channels * (TASK / channels).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::on_every_path;
    use crate::test_data::floats;

    #[test]
    fn rows_agree_with_the_formula_in_f64() {
        for (rows, channels) in [(1, 1), (5, 10), (3, 1000), (7, 37)] {
            let x: Vec<f32> = floats(1, rows * channels).iter().map(|v| v * 10.0).collect();
            let dy = floats(2, rows * channels);
            on_every_path(|simd| {
                let (mut y, mut dx) = (vec![0.0; x.len()], vec![1.0; x.len()]);
                forward(channels, &x, &mut y);
                backward(channels, &y, &dy, &mut dx, true);
                let (mut log_y, mut log_dx) = (vec![0.0; x.len()], vec![1.0; x.len()]);
                log_forward(channels, &x, &mut log_y);
                log_backward(channels, &log_y, &dy, &mut log_dx, true);
                for r in 0..rows {
                    let row = r * channels..(r + 1) * channels;
                    let powers: Vec<f64> = x[row.clone()].iter().map(|v| f64::from(*v).exp()).collect();
                    let total: f64 = powers.iter().sum();
                    let share: Vec<f64> = powers.iter().map(|p| p / total).collect();
                    let given: f64 = dy[row.clone()].iter().map(|dy| f64::from(*dy)).sum();
                    let mean: f64 = share.iter().zip(&dy[row.clone()]).map(|(y, dy)| y * f64::from(*dy)).sum();
                    for (c, i) in row.enumerate() {
                        assert!((f64::from(y[i]) - share[c]).abs() < 1e-6, "{simd:?}");
                        let expected = 1.0 + share[c] * (f64::from(dy[i]) - mean);
                        assert!((f64::from(dx[i]) - expected).abs() < 5e-6, "{simd:?}");
                        // Results reach down to −80, a few roundings of which are these.
                        assert!((f64::from(log_y[i]) - share[c].ln()).abs() < 2e-5, "{simd:?}");
                        let expected = 1.0 + f64::from(dy[i]) - share[c] * given;
                        assert!((f64::from(log_dx[i]) - expected).abs() < 2e-5 * given.abs().max(1.0), "{simd:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn large_inputs_do_not_overflow() {
        let mut y = [0.0; 2];
        forward(2, &[1e30, 1e30], &mut y);
        assert_eq!(y, [0.5, 0.5]);
        log_forward(2, &[1e30, 1e30], &mut y);
        assert_eq!(y, [-std::f32::consts::LN_2; 2]);
    }
}
