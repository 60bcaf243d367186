//! Gathered rows times a packed panel.

use super::{Place, Run};
use crate::simd::{Level, Simd};
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Portable, Vector};

/// `target[place + j] (+)= Σ_k row(place)[k] · panel[k][j]` for every place and every column `j`.
pub(crate) struct Gathered<'a> {
    /// Where rows start and results go.
    pub places: &'a [Place],
    /// The parts of a row, from its place on.
    pub runs: &'a [Run],
    /// What rows are read from.
    pub source: *const f32,
    /// `[Σ run lengths][width]`, as [`super::Panels`] cuts it.
    pub panel: *const f32,
    /// What results are written to.
    pub target: *mut f32,
    /// Columns of the panel that exist: at most two vectors.
    pub columns: usize,
    /// Add to the target instead of overwriting it.
    pub accumulate: bool,
}

/// Computes a panel's share of the result.
///
/// # Safety
/// For every place and run, the source is readable; for every place, `columns` elements of the target are writable and
/// nobody else uses them; the panel is as long as the runs together.
pub(crate) unsafe fn gather(simd: Simd, product: &Gathered) {
    // SAFETY: a `Simd` proves its instructions; the rest is the caller's promise.
    unsafe {
        match simd.level() {
            Level::Portable => rows::<Portable, { Portable::ROWS }>(product),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(product),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(product),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(product: &Gathered) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { rows::<Avx2, { Avx2::ROWS }>(product) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512(product: &Gathered) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { rows::<Avx512, { Avx512::ROWS }>(product) }
}

/// Tiles of `R` places by one or two vectors.
///
/// # Safety
/// As [`gather`], with the instructions of `V`.
#[inline(always)]
unsafe fn rows<V: Vector, const R: usize>(product: &Gathered) {
    let narrow = product.columns <= V::LANES;
    for places in product.places.chunks(R) {
        // SAFETY: passed on.
        unsafe {
            if narrow {
                tile::<V, R, 1>(product, places);
            } else {
                tile::<V, R, 2>(product, places);
            }
        }
    }
}

/// One register tile: at most `R` places; missing ones repeat the last and are not stored.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const N: usize>(product: &Gathered, places: &[Place]) {
    // SAFETY: reads stay within the rows and the panel by the caller's promise, writes within `columns`.
    unsafe {
        let mut starts = [product.source; R];
        for (i, start) in starts.iter_mut().enumerate() {
            *start = start.add(places[i.min(places.len() - 1)][0] as usize);
        }
        let mut sums = [[V::splat(0.0); N]; R];
        let mut panel = product.panel;
        for run in product.runs {
            let mut row = starts;
            for row in &mut row {
                *row = row.add(run[0] as usize);
            }
            for k in 0..run[1] as usize {
                let mut b = [V::splat(0.0); N];
                for (j, b) in b.iter_mut().enumerate() {
                    *b = V::load(panel.add(j * V::LANES));
                }
                panel = panel.add(N * V::LANES);
                for i in 0..R {
                    let a = V::splat(*row[i].add(k));
                    for j in 0..N {
                        sums[i][j] = a.multiply_add(b[j], sums[i][j]);
                    }
                }
            }
        }
        for (place, sums) in places.iter().zip(sums) {
            let to = product.target.add(place[1] as usize);
            for (j, sum) in sums.into_iter().enumerate() {
                let to = to.add(j * V::LANES);
                let count = product.columns.saturating_sub(j * V::LANES);
                if count >= V::LANES {
                    let sum = if product.accumulate { sum.add(V::load(to)) } else { sum };
                    sum.store(to);
                } else {
                    let sum = if product.accumulate { sum.add(V::load_partial(to, count)) } else { sum };
                    sum.store_partial(to, count);
                }
            }
        }
    }
}
