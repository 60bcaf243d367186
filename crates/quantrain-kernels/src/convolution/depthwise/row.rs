//! One row of the result of a depthwise convolution or of the gradient of its input.

use super::Steps;
use crate::convolution::axis::Axis;
use crate::simd::{Level, Simd};
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Portable, Vector};

/// What a row is computed from.
pub(super) struct Row<'a> {
    pub channels: usize,
    /// The taps of the rows that lie on the image.
    pub rows: Steps,
    /// The columns.
    pub columns: Axis,
    /// One image.
    pub source: &'a [f32],
    /// `[kernel_h][kernel_w][channels]`.
    pub weights: &'a [f32],
    /// Add to the row instead of overwriting it.
    pub accumulate: bool,
}

/// Places that share their weights, and where taps are neighbours also what they read.
const TILE: usize = 4;

/// Computes the whole row.
pub(super) fn row(simd: Simd, work: &Row, target: &mut [f32]) {
    assert_eq!(target.len(), work.columns.target * work.channels, "depthwise::row: a whole row");
    // SAFETY: a `Simd` proves its instructions; the row is whole, and taps are clipped to the image.
    unsafe {
        match simd.level() {
            Level::Portable => phases::<Portable>(work, target.as_mut_ptr()),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(work, target.as_mut_ptr()),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(work, target.as_mut_ptr()),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(work: &Row, target: *mut f32) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { phases::<Avx2>(work, target) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512(work: &Row, target: *mut f32) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { phases::<Avx512>(work, target) }
}

/// # Safety
/// The instructions of `V`; a whole row at `target`.
#[inline(always)]
unsafe fn phases<V: Vector>(work: &Row, target: *mut f32) {
    let (columns, channels) = (work.columns, work.channels);
    for phase in 0..columns.phases() {
        let taps = columns.progression(phase);
        let positions = columns.positions(phase);
        let whole = taps.whole(positions, columns.step(), columns.source);
        // SAFETY: positions of a phase lie on the row.
        let at = |j: usize| unsafe { target.add((j * columns.phases() + phase) * channels) };
        let step = columns.phases() * channels;
        let mut j = 0;
        while j < positions {
            let here = Steps::new(taps, j * columns.step(), channels, channels);
            // SAFETY: all taps of whole positions, and the clipped ones of others, lie on the image.
            unsafe {
                if whole.start <= j && j + TILE <= whole.end && taps.distance_step.max(1) == 1 {
                    let done = match (taps.count, columns.step()) {
                        (1, 1) => strips::<V, 1, 1>(work, here, at(j), step),
                        (2, 1) => strips::<V, 2, 1>(work, here, at(j), step),
                        (3, 1) => strips::<V, 3, 1>(work, here, at(j), step),
                        (5, 1) => strips::<V, 5, 1>(work, here, at(j), step),
                        (3, 2) => strips::<V, 3, 2>(work, here, at(j), step),
                        (5, 2) => strips::<V, 5, 2>(work, here, at(j), step),
                        _ => false,
                    };
                    if done {
                        j += TILE;
                        continue;
                    }
                }
                let inside = taps.inside(j * columns.step(), columns.source);
                single::<V>(work, Steps::new(inside, j * columns.step(), channels, channels), at(j));
            }
            j += 1;
        }
    }
}

/// [`TILE`] places with `K` neighbouring taps each, `S` columns of the source apart. Always true.
///
/// # Safety
/// As [`phases`]; every tap lies on the image.
#[inline(always)]
unsafe fn strips<V: Vector, const K: usize, const S: usize>(work: &Row, columns: Steps, target: *mut f32, step: usize) -> bool {
    let mut c = 0;
    while c < work.channels {
        let lanes = (work.channels - c).min(V::LANES);
        // SAFETY: passed on.
        unsafe {
            if lanes == V::LANES {
                tile::<V, K, S, true>(work, columns, c, lanes, target.add(c), step);
            } else {
                tile::<V, K, S, false>(work, columns, c, lanes, target.add(c), step);
            }
        }
        c += lanes;
    }
    true
}

/// One vector of channels of [`strips`]. `WHOLE`: it has all its lanes.
///
/// # Safety
/// As [`strips`].
#[inline(always)]
unsafe fn tile<V: Vector, const K: usize, const S: usize, const WHOLE: bool>(
    work: &Row,
    columns: Steps,
    c: usize,
    lanes: usize,
    target: *mut f32,
    step: usize,
) {
    // SAFETY: taps lie on the image and channels within it, by the caller's promise.
    unsafe {
        let mut sums = [V::splat(0.0); TILE];
        let mut from = work.source.as_ptr().wrapping_offset(work.rows.source + columns.source).wrapping_add(c);
        let mut weight = work.weights.as_ptr().wrapping_offset(work.rows.weight + columns.weight).wrapping_add(c);
        for _ in 0..work.rows.count {
            let mut weights = [V::splat(0.0); K];
            for (k, value) in weights.iter_mut().enumerate() {
                *value = get::<V, WHOLE>(weight.offset(k as isize * columns.weight_step), lanes);
            }
            for column in 0..(TILE - 1) * S + K {
                let x = get::<V, WHOLE>(from.add(column * work.channels), lanes);
                for (t, sum) in sums.iter_mut().enumerate() {
                    if t * S <= column && column < t * S + K {
                        *sum = x.multiply_add(weights[column - t * S], *sum);
                    }
                }
            }
            from = from.wrapping_offset(work.rows.source_step);
            weight = weight.wrapping_offset(work.rows.weight_step);
        }
        for (t, sum) in sums.into_iter().enumerate() {
            let to = target.add(t * step);
            let sum = if work.accumulate { sum.add(get::<V, WHOLE>(to, lanes)) } else { sum };
            if WHOLE { sum.store(to) } else { sum.store_partial(to, lanes) }
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

/// One place, with any taps: at the edges, and wherever [`strips`] has no kernel of the size.
///
/// # Safety
/// As [`strips`].
#[inline(always)]
unsafe fn single<V: Vector>(work: &Row, columns: Steps, target: *mut f32) {
    let mut c = 0;
    while c < work.channels {
        let lanes = work.channels - c;
        // SAFETY: passed on.
        c += unsafe {
            if lanes >= 4 * V::LANES {
                single_strip::<V, 4, true>(work, columns, c, 4 * V::LANES, target.add(c))
            } else if lanes >= V::LANES {
                single_strip::<V, 1, true>(work, columns, c, V::LANES, target.add(c))
            } else {
                single_strip::<V, 1, false>(work, columns, c, lanes, target.add(c))
            }
        };
    }
}

/// `N` vectors of channels of [`single`]. Returns `lanes`.
///
/// # Safety
/// As [`strips`].
#[inline(always)]
unsafe fn single_strip<V: Vector, const N: usize, const WHOLE: bool>(
    work: &Row,
    columns: Steps,
    c: usize,
    lanes: usize,
    target: *mut f32,
) -> usize {
    // SAFETY: taps lie on the image and channels within it, by the caller's promise.
    unsafe {
        let mut sums = [V::splat(0.0); N];
        for i in 0..work.rows.count as isize {
            for k in 0..columns.count as isize {
                let from = work.rows.source + i * work.rows.source_step + columns.source + k * columns.source_step;
                let weight = work.rows.weight + i * work.rows.weight_step + columns.weight + k * columns.weight_step;
                let from = work.source.as_ptr().offset(from).add(c);
                let weight = work.weights.as_ptr().offset(weight).add(c);
                for (v, sum) in sums.iter_mut().enumerate() {
                    let x = get::<V, WHOLE>(from.add(v * V::LANES), lanes);
                    *sum = x.multiply_add(get::<V, WHOLE>(weight.add(v * V::LANES), lanes), *sum);
                }
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            let to = target.add(v * V::LANES);
            let sum = if work.accumulate { sum.add(get::<V, WHOLE>(to, lanes)) } else { sum };
            if WHOLE { sum.store(to) } else { sum.store_partial(to, lanes) }
        }
    }
    lanes
}
