//! Sums of outer products over places.

use crate::simd::{Level, Simd};
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Portable, Vector};

/// `target[i][j] += Σ_p left[p·left_step + i] · right[places[p] + j]` for `rows` and `columns`.
pub(crate) struct Outer<'a> {
    /// Where the right factors lie.
    pub places: &'a [u32],
    /// The left factors, `rows` of them at every place.
    pub left: *const f32,
    /// Elements between the left factors of two places.
    pub left_step: usize,
    /// Rows of the target.
    pub rows: usize,
    /// The right factors, `columns` of them at every place.
    pub right: *const f32,
    /// Columns of the target.
    pub columns: usize,
    /// The sums.
    pub target: *mut f32,
    /// Elements between two rows of the target.
    pub target_step: usize,
}

/// Adds the products of all places.
///
/// # Safety
/// For every place the factors are readable; the target is writable and nobody else uses it.
pub(crate) unsafe fn outer(simd: Simd, product: &Outer) {
    // SAFETY: a `Simd` proves its instructions; the rest is the caller's promise.
    unsafe {
        match simd.level() {
            Level::Portable => tiles::<Portable, { Portable::ROWS }, { Portable::ROWS }>(product),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(product),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(product),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(product: &Outer) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { tiles::<Avx2, { Avx2::ROWS }, 4>(product) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512(product: &Outer) {
    // SAFETY: the features are enabled here; the rest is the caller's promise.
    unsafe { tiles::<Avx512, { Avx512::ROWS }, 8>(product) }
}

/// Tiles of `R` or `S` rows, whichever waste less, by one or two vectors.
///
/// # Safety
/// As [`outer`], with the instructions of `V`.
#[inline(always)]
unsafe fn tiles<V: Vector, const R: usize, const S: usize>(product: &Outer) {
    let waste = |tile: usize| product.rows.next_multiple_of(tile) - product.rows;
    let tall = waste(R) <= waste(S);
    let mut column = 0;
    while column < product.columns {
        let columns = (product.columns - column).min(2 * V::LANES);
        // SAFETY: passed on.
        unsafe {
            match (tall, columns > V::LANES) {
                (true, true) => strip::<V, R, 2>(product, column, columns),
                (true, false) => strip::<V, R, 1>(product, column, columns),
                (false, true) => strip::<V, S, 2>(product, column, columns),
                (false, false) => strip::<V, S, 1>(product, column, columns),
            }
        }
        column += columns;
    }
}

/// All rows of the target, for at most `N` vectors of its columns.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn strip<V: Vector, const R: usize, const N: usize>(product: &Outer, column: usize, columns: usize) {
    let mut row = 0;
    while row < product.rows {
        let rows = (product.rows - row).min(R);
        // SAFETY: passed on.
        unsafe {
            if rows == R && columns == N * V::LANES {
                tile::<V, R, N, true>(product, row, R, column, N * V::LANES);
            } else {
                tile::<V, R, N, false>(product, row, rows, column, columns);
            }
        }
        row += rows;
    }
}

/// One register tile. `WHOLE`: all its rows and lanes exist; else missing rows repeat the last one and are not stored.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const N: usize, const WHOLE: bool>(
    product: &Outer,
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
) {
    // SAFETY: reads and writes stay within `rows` and `columns`, which exist by the caller's promise.
    unsafe {
        let mut left = product.left.add(row);
        let right = product.right.add(column);
        let mut sums = [[V::splat(0.0); N]; R];
        for place in product.places {
            let at = right.add(*place as usize);
            let mut b = [V::splat(0.0); N];
            for (j, b) in b.iter_mut().enumerate() {
                *b = if WHOLE { V::load(at.add(j * V::LANES)) } else { V::load_partial(at.add(j * V::LANES), columns - j * V::LANES) };
            }
            for i in 0..R {
                let a = V::splat(*left.add(if WHOLE { i } else { i.min(rows - 1) }));
                for j in 0..N {
                    sums[i][j] = a.multiply_add(b[j], sums[i][j]);
                }
            }
            left = left.add(product.left_step);
        }
        for (i, sums) in sums.into_iter().enumerate().take(rows) {
            let to = product.target.add((row + i) * product.target_step + column);
            for (j, sum) in sums.into_iter().enumerate() {
                let to = to.add(j * V::LANES);
                if WHOLE {
                    sum.add(V::load(to)).store(to);
                } else {
                    let count = columns - j * V::LANES;
                    sum.add(V::load_partial(to, count)).store_partial(to, count);
                }
            }
        }
    }
}
