//! Counts of values by size, in bins that widen with the values.

use rayon::prelude::*;

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::extrema::Seen;

const BINS: usize = 2048;

/// Narrowest bin: below it the whole histogram is smaller than any scale.
const SMALLEST_WIDTH: f64 = 1.0 / (1u128 << 100) as f64;

/// Bins between 0 and the value furthest from it: so few that f32 tells them apart.
const FURTHEST: f64 = (1 << 24) as f64;

/// 2048 bins of one width, a power of two, so that dividing by it is exact. Bin i of all is `i·width ≤ x < (i + 1)·width`; the width is the
/// smallest that holds all values, and where it doubles neighbours merge. So the counts depend on the values alone: not on their order, nor
/// on how they were cut into batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub(super) struct Histogram {
    /// Number of the first bin: that of the smallest value.
    first: i32,
    width: f64,
    /// Always 2048 long.
    counts: Vec<u64>,
}

/// A histogram as read from a file.
#[derive(Deserialize)]
struct Stored {
    first: i32,
    width: f64,
    counts: Vec<u64>,
}

impl TryFrom<Stored> for Histogram {
    type Error = String;

    fn try_from(Stored { first, width, counts }: Stored) -> Result<Self, String> {
        let in_reach = f64::from(first).abs() <= FURTHEST + 1.0;
        if counts.len() != BINS || !(width >= SMALLEST_WIDTH && width.is_finite() && in_reach) {
            return Err(format!("a histogram of {} bins of width {width} from bin {first} found, {BINS} bins expected", counts.len()));
        }
        Ok(Histogram { first, width, counts })
    }
}

/// A bin that is not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    /// Its middle; 0 in the bin that holds 0, where the mass of most tensors sits.
    pub value: f64,
    pub count: u64,
}

/// Takes up values in both.
pub(super) fn take_up(x: &[f32], seen: &mut Seen, histogram: &mut Option<Histogram>) {
    let Some(extrema) = seen.observe(x) else { return };
    match (histogram, seen.range) {
        (Some(histogram), Some(all)) => histogram.add(x, all),
        (histogram, _) => *histogram = Some(Histogram::of(x, extrema)),
    }
}

impl Histogram {
    /// Of finite values whose extrema are known.
    pub fn of(x: &[f32], extrema: Range) -> Self {
        let (width, first) = bins_for(extrema, SMALLEST_WIDTH);
        let mut histogram = Histogram { first, width, counts: vec![0; BINS] };
        histogram.tally(x);
        histogram
    }

    /// Counts finite values more; `extrema` are those of all values, here and before.
    pub fn add(&mut self, x: &[f32], extrema: Range) {
        let (width, first) = bins_for(extrema, self.width);
        if (width, first) != (self.width, self.first) {
            let merged = (width / self.width).log2() as u32;
            let mut counts = vec![0; BINS];
            for (bin, count) in (i64::from(self.first)..).zip(&self.counts).filter(|(_, count)| **count > 0) {
                // An arithmetic shift is the floor of the division.
                let at = ((bin >> merged.min(63)) - i64::from(first)).clamp(0, BINS as i64 - 1);
                counts[at as usize] += count;
            }
            *self = Histogram { first, width, counts };
        }
        self.tally(x);
    }

    fn tally(&mut self, x: &[f32]) {
        let (inverse, first) = ((1.0 / self.width) as f32, self.first);
        let number = |x: f32| {
            let position = x * inverse;
            let towards_zero = position as i32;
            towards_zero - i32::from(position < towards_zero as f32) - first
        };
        tally(x, number, &mut self.counts);
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        self.width
    }

    fn low(&self) -> f64 {
        f64::from(self.first) * self.width
    }

    /// The bins that are not empty, from below.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(i, &count)| {
            let low = self.low() + i as f64 * self.width;
            let value = if low <= 0.0 && 0.0 < low + self.width { 0.0 } else { low + self.width / 2.0 };
            Bin { value, count }
        })
    }

    /// The values below and above which a share of all values lies, taking the values of a bin as evenly spread.
    pub fn cut(&self, share: f64) -> (f64, f64) {
        self.cut_at_both_ends(share, |wanted, count| wanted / count)
    }

    /// The highest edge below which less than a share of all values lies, and the lowest edge above which less lies.
    pub fn inner_edges(&self, share: f64) -> (f64, f64) {
        self.cut_at_both_ends(share, |_, _| 0.0)
    }

    /// Where a share of all values is reached, from below and from above. `within` says how far into the bin that reaches it: of so many of its
    /// values that are wanted, and its count.
    fn cut_at_both_ends(&self, share: f64, within: impl Fn(f64, f64) -> f64) -> (f64, f64) {
        let total: u64 = self.counts.iter().sum();
        let wanted = share * total as f64;
        let bins = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut before = 0.0;
            for (i, &count) in counts.enumerate() {
                if count > 0 && before + count as f64 >= wanted {
                    return i as f64 + within(wanted - before, count as f64);
                }
                before += count as f64;
            }
            BINS as f64
        };
        let (below, above) = (bins(&mut self.counts.iter()), bins(&mut self.counts.iter().rev()));
        (self.low() + below * self.width, self.low() + (BINS as f64 - above) * self.width)
    }
}

/// The smallest width, at least `least`, whose 2048 bins hold a range, and the number of the first of them.
fn bins_for(range: Range, least: f64) -> (f64, i32) {
    let mut width = least;
    loop {
        let number = |x: f32| (f64::from(x) / width).floor();
        let (first, last) = (number(range.min), number(range.max));
        if last - first < BINS as f64 && first.abs().max(last.abs()) <= FURTHEST {
            return (width, first as i32);
        }
        width *= 2.0;
    }
}
/// Adds 1 to `counts[number(x)]` for each x; numbers outside go to the nearest end.
fn tally(x: &[f32], number: impl Fn(f32) -> i32 + Sync, counts: &mut [u64]) {
    // Of i32, which vectorises; the remainder spares a check of bounds.
    let index = |x: f32| number(x).clamp(0, BINS as i32 - 1);
    let add = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    // Sums of counts do not depend on the number of threads.
    let total = x.par_chunks(1 << 16).map(|piece| tally_piece(piece, index)).reduce_with(add);
    counts.iter_mut().zip(total.unwrap_or_default()).for_each(|(count, more)| *count += more);
}

/// The counts of one piece, of at most 2^32 values.
fn tally_piece(piece: &[f32], index: impl Fn(f32) -> i32) -> Vec<u64> {
    const LANES: usize = 16;
    const TABLES: usize = 4;
    // Equal neighbours (zeros after a ReLU) would wait for each other in one table.
    let mut tables = [[0u32; BINS]; TABLES];
    let chunks = piece.chunks_exact(LANES);
    for &x in chunks.remainder() {
        tables[0][index(x) as usize % BINS] += 1;
    }
    for chunk in chunks {
        let mut at = [0i32; LANES];
        for i in 0..LANES {
            at[i] = index(chunk[i]);
        }
        for i in 0..LANES {
            tables[i % TABLES][at[i] as usize % BINS] += 1;
        }
    }
    (0..BINS).map(|i| tables.iter().map(|t| u64::from(t[i])).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of batches, one after the other.
    fn of(batches: &[&[f32]]) -> Histogram {
        let (mut seen, mut histogram) = (Seen::default(), None);
        batches.iter().for_each(|batch| take_up(batch, &mut seen, &mut histogram));
        histogram.unwrap()
    }

    #[test]
    fn widening_keeps_every_count_at_its_place() {
        let batches: [&[f32]; 5] = [&[0.0, 0.25, 1.0], &[-3.0; 5], &[100.0; 7], &[1e-20, -1e-20, 0.0], &[-1e9]];
        for n in 1..=batches.len() {
            let (h, all) = (of(&batches[..n]), batches[..n].concat());
            assert_eq!(h.counts.iter().sum::<u64>(), all.len() as u64);
            for bin in 0..BINS {
                let low = h.low() + bin as f64 * h.width;
                let inside = all.iter().filter(|&&x| f64::from(x) >= low && f64::from(x) < low + h.width).count();
                assert_eq!(h.counts[bin], inside as u64, "bin {bin}");
            }
        }
    }

    #[test]
    fn counts_are_those_of_the_values_in_any_order_and_any_batches() {
        let values: Vec<f32> = (0..5000u32).map(|i| (i.wrapping_mul(2654435761) as f32 / 1e9 - 2.0).powi(5) * 0.37).collect();
        let whole = of(&[&values]);
        assert_eq!(of(&values.chunks(1).collect::<Vec<_>>()), whole);
        assert_eq!(of(&values.chunks(7).rev().collect::<Vec<_>>()), whole);
    }

    #[test]
    fn values_fill_at_least_half_of_the_bins_range() {
        for (min, max) in [(0.0, 1.0), (-7.3, 1e4), (-3e38, 3e38), (0.0, 1e-12)] {
            let h = of(&[&[min, max]]);
            let bins = (f64::from(max) - f64::from(min)) / h.width;
            assert!((1022.0..=2048.0).contains(&bins), "{min} {max}: {bins}");
            assert!(h.low() <= f64::from(min) && f64::from(max) < h.low() + h.width * BINS as f64);
        }
    }

    #[test]
    fn neighbours_far_from_zero_are_told_apart() {
        let h = of(&[&[1_000.0, 1_000.000_06, 1_000.0]]);
        assert_eq!(h.bins().map(|b| b.count).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn the_largest_floats_find_their_bins() {
        let h = of(&[&[f32::MAX, f32::MIN, 0.0], &[f32::MIN]]);
        let bins: Vec<Bin> = h.bins().collect();
        assert_eq!(bins.iter().map(|b| b.count).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(bins[1].value, 0.0);
    }

    #[test]
    fn a_cut_splits_bins_evenly() {
        let h = of(&[&(0..2048).map(|i| i as f32).collect::<Vec<_>>()]);
        assert_eq!(h.cut(0.25), (512.0, 1536.0));
        assert_eq!(h.cut(0.5 / 2048.0), (0.5, 2047.5));
    }
}
