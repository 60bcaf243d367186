//! What a band of rows adds to the gradient of the weights of a depthwise convolution.

use crate::convolution::axis::Axis;
use crate::simd::{Level, Simd};
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Portable, Vector};
use std::ops::Range;

/// The factors.
pub(super) struct Taps<'a> {
    pub channels: usize,
    /// The axes, forward.
    pub rows: Axis,
    pub columns: Axis,
    /// One image of the input.
    pub x: &'a [f32],
    /// One image of the gradient of the output.
    pub dy: &'a [f32],
    /// The rows of the output to sum over.
    pub band: Range<usize>,
}

/// `sum[i][j][c] += Σ x·dy` over the band.
pub(super) fn taps(simd: Simd, work: &Taps, sum: &mut [f32]) {
    assert_eq!(sum.len(), work.rows.kernel * work.columns.kernel * work.channels, "depthwise::taps: a whole kernel");
    // SAFETY: a `Simd` proves its instructions; the kernel is whole, and taps are clipped to the image.
    unsafe {
        match simd.level() {
            Level::Portable => strips::<Portable>(work, sum.as_mut_ptr()),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(work, sum.as_mut_ptr()),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(work, sum.as_mut_ptr()),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(work: &Taps, sum: *mut f32) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { strips::<Avx2>(work, sum) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512(work: &Taps, sum: *mut f32) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { strips::<Avx512>(work, sum) }
}

/// # Safety
/// The instructions of `V`; a whole kernel at `sum`.
#[inline(always)]
unsafe fn strips<V: Vector>(work: &Taps, sum: *mut f32) {
    let mut c = 0;
    while c < work.channels {
        let lanes = work.channels - c;
        // SAFETY: passed on.
        c += unsafe {
            if lanes >= 2 * V::LANES {
                strip::<V, 2, true>(work, c, 2 * V::LANES, sum)
            } else if lanes >= V::LANES {
                strip::<V, 1, true>(work, c, V::LANES, sum)
            } else {
                strip::<V, 1, false>(work, c, lanes, sum)
            }
        };
    }
}

/// `N` vectors of channels, for every tap. Returns `lanes`.
///
/// # Safety
/// As [`strips`].
#[inline(always)]
unsafe fn strip<V: Vector, const N: usize, const WHOLE: bool>(work: &Taps, c: usize, lanes: usize, sum: *mut f32) -> usize {
    for i in 0..work.rows.kernel {
        // SAFETY: passed on.
        unsafe {
            match work.columns.kernel {
                3 => line::<V, 3, N, WHOLE>(work, i, 0, c, lanes, sum),
                5 => line::<V, 5, N, WHOLE>(work, i, 0, c, lanes, sum),
                kernel => (0..kernel).for_each(|j| line::<V, 1, N, WHOLE>(work, i, j, c, lanes, sum)),
            }
        }
    }
    lanes
}

/// `K` neighbouring taps of row `i` of the kernel, from column `first` on.
///
/// # Safety
/// As [`strips`].
#[inline(always)]
unsafe fn line<V: Vector, const K: usize, const N: usize, const WHOLE: bool>(
    work: &Taps,
    i: usize,
    first: usize,
    c: usize,
    lanes: usize,
    sum: *mut f32,
) {
    let Taps { channels, rows, columns, .. } = *work;
    let row_taps = rows.progression(0);
    let mut taps = columns.progression(0);
    taps.distance += first as isize * taps.distance_step;
    taps.count = K;
    let (outputs, step) = (columns.target, columns.step());
    let whole = taps.whole(outputs, step, columns.source);
    // SAFETY: a tap is used only where it reads the image; channels lie within it, by the caller's promise.
    unsafe {
        let sum = sum.add((i * columns.kernel + first) * channels + c);
        let mut sums = [[V::splat(0.0); N]; K];
        for (k, sums) in sums.iter_mut().enumerate() {
            for (v, value) in sums.iter_mut().enumerate() {
                *value = get::<V, WHOLE>(sum.add(k * channels + v * V::LANES), lanes);
            }
        }
        for h in work.band.clone() {
            let from = (h * rows.step()) as isize + row_taps.distance + i as isize * row_taps.distance_step;
            if !(0..rows.source as isize).contains(&from) {
                continue;
            }
            let x = work.x.as_ptr().add(from as usize * columns.source * channels + c);
            let x = x.wrapping_offset(taps.distance * channels as isize);
            let dy = work.dy.as_ptr().add(h * outputs * channels + c);
            for w in (0..whole.start).chain(whole.end..outputs) {
                for (k, sums) in sums.iter_mut().enumerate() {
                    let from = (w * step) as isize + taps.distance + k as isize * taps.distance_step;
                    if (0..columns.source as isize).contains(&from) {
                        let x = x.wrapping_offset(((w * step) as isize + k as isize * taps.distance_step) * channels as isize);
                        add::<V, N, WHOLE>(sums, x, dy.add(w * channels), lanes);
                    }
                }
            }
            let tap = taps.distance_step * channels as isize;
            let mut x = x.wrapping_add(whole.start * step * channels);
            let mut dy = dy.wrapping_add(whole.start * channels);
            for _ in whole.clone() {
                for (k, sums) in sums.iter_mut().enumerate() {
                    add::<V, N, WHOLE>(sums, x.offset(k as isize * tap), dy, lanes);
                }
                x = x.wrapping_add(step * channels);
                dy = dy.wrapping_add(channels);
            }
        }
        for (k, sums) in sums.into_iter().enumerate() {
            for (v, value) in sums.into_iter().enumerate() {
                let to = sum.add(k * channels + v * V::LANES);
                if WHOLE { value.store(to) } else { value.store_partial(to, lanes) }
            }
        }
    }
}

/// `sums += x·dy`, for `N` vectors.
///
/// # Safety
/// The instructions of `V`; `lanes` elements at `x` and `dy`.
#[inline(always)]
unsafe fn add<V: Vector, const N: usize, const WHOLE: bool>(sums: &mut [V; N], x: *const f32, dy: *const f32, lanes: usize) {
    for (v, sum) in sums.iter_mut().enumerate() {
        // SAFETY: passed on.
        unsafe {
            let x = get::<V, WHOLE>(x.add(v * V::LANES), lanes);
            *sum = x.multiply_add(get::<V, WHOLE>(dy.add(v * V::LANES), lanes), *sum);
        }
    }
}

/// # Safety
/// The instructions of `V`; `lanes` elements at `from`, all of a vector if `WHOLE`.
#[inline(always)]
unsafe fn get<V: Vector, const WHOLE: bool>(from: *const f32, lanes: usize) -> V {
    // SAFETY: passed on.
    unsafe { if WHOLE { V::load(from) } else { V::load_partial(from, lanes) } }
}
