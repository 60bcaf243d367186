//! Panels: a matrix cut into strips of columns, each of them stored row after row.

use crate::simd::{Level, Simd};
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Portable, Vector};
use std::ops::Range;

/// How the columns of each group of a matrix are cut into panels.
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    lanes: usize,
    groups: usize,
    columns: usize,
}

/// A panel: at most two vectors of columns of one group.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub group: usize,
    /// Its first column within the group.
    pub column: usize,
    pub columns: usize,
    /// Columns as packed: a whole number of vectors.
    pub width: usize,
    /// Packed columns of all panels before.
    pub before: usize,
}

impl Panels {
    pub fn new(simd: Simd, groups: usize, columns: usize) -> Self {
        let lanes = match simd.level() {
            Level::Portable => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::LANES,
        };
        Self { lanes, groups, columns }
    }

    fn of_group(&self) -> usize {
        self.columns.div_ceil(2 * self.lanes)
    }

    pub fn count(&self) -> usize {
        self.groups * self.of_group()
    }

    /// Packed columns of all panels: what a packed row takes.
    pub fn width(&self) -> usize {
        self.groups * self.columns.next_multiple_of(self.lanes)
    }

    pub fn get(&self, index: usize) -> Panel {
        let (group, column) = (index / self.of_group(), index % self.of_group() * 2 * self.lanes);
        let columns = (self.columns - column).min(2 * self.lanes);
        Panel {
            group,
            column,
            columns,
            width: columns.next_multiple_of(self.lanes),
            before: group * self.columns.next_multiple_of(self.lanes) + column,
        }
    }

    /// The panels of one of several tasks.
    pub fn share(&self, share: usize, shares: usize) -> Range<usize> {
        share * self.count() / shares..(share + 1) * self.count() / shares
    }
}

/// Packs `columns` columns of a matrix stored by columns, `from[column · step + k]` for `k < depth`, into
/// `to[k][width]`. Columns that do not exist are zero.
pub(crate) fn from_columns(from: &[f32], step: usize, depth: usize, columns: usize, width: usize, to: &mut [f32]) {
    /// Rows copied at a time, so that the lines written stay in cache until they are full.
    const BAND: usize = 16;
    for (band, to) in to[..depth * width].chunks_mut(BAND * width).enumerate() {
        for column in 0..width {
            let places = to[column..].iter_mut().step_by(width);
            if column < columns {
                let from = &from[column * step + band * BAND..];
                places.zip(from).for_each(|(to, from)| *to = *from);
            } else {
                places.for_each(|to| *to = 0.0);
            }
        }
    }
}

/// Packs `columns` columns of a matrix stored by rows, `from[k · step + column]` for `k < depth`, into `to[k][width]`.
/// Columns that do not exist are zero.
pub(crate) fn from_rows(from: &[f32], step: usize, depth: usize, columns: usize, width: usize, to: &mut [f32]) {
    for (k, to) in to.chunks_exact_mut(width).enumerate().take(depth) {
        to[..columns].copy_from_slice(&from[k * step..][..columns]);
        to[columns..].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_storages_give_the_same_panel() {
        let (depth, columns, width) = (37, 5, 8);
        let by_rows: Vec<f32> = (0..depth * columns).map(|i| i as f32).collect();
        let by_columns: Vec<f32> = (0..depth * columns).map(|i| by_rows[i % depth * columns + i / depth]).collect();
        let (mut a, mut b) = (vec![-1.0; depth * width], vec![-1.0; depth * width]);
        from_rows(&by_rows, columns, depth, columns, width, &mut a);
        from_columns(&by_columns, depth, depth, columns, width, &mut b);
        assert_eq!(a, b);
        assert_eq!(a[width..2 * width], [5.0, 6.0, 7.0, 8.0, 9.0, 0.0, 0.0, 0.0]);
    }
}
