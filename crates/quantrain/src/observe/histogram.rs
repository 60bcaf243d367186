//! Counts of values by size, in bins that widen with the values.

use rayon::prelude::*;

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::extrema::Seen;

const BINS: usize = 2048;

/// Narrowest bin: below it the whole histogram is smaller than any scale.
const SMALLEST_WIDTH: f64 = 1.0 / (1u128 << 100) as f64;

/// 2048 bins of one width, a power of two, so that dividing by it is exact. The first values choose the width; where later ones lie outside,
/// the width doubles and neighbouring bins merge: no count is ever lost or moved to another place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub(super) struct Histogram {
    /// Lower edge of the first bin, a multiple of the width that was chosen first.
    low: f64,
    width: f64,
    /// Always 2048 long.
    counts: Vec<u64>,
}

/// A histogram as read from a file.
#[derive(Deserialize)]
struct Stored {
    low: f64,
    width: f64,
    counts: Vec<u64>,
}

impl TryFrom<Stored> for Histogram {
    type Error = String;

    fn try_from(Stored { low, width, counts }: Stored) -> Result<Self, String> {
        if counts.len() != BINS || !(width >= SMALLEST_WIDTH && width.is_finite() && low.is_finite()) {
            return Err(format!("a histogram of {} bins of width {width} from {low} found, {BINS} bins expected", counts.len()));
        }
        Ok(Histogram { low, width, counts })
    }
}

/// A bin that is not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    /// Its middle; 0 in the bin that holds 0, where the mass of most tensors sits.
    pub value: f64,
    pub count: u64,
}

/// Takes up a batch in both; the first chooses the bins.
pub(super) fn take_up(x: &[f32], seen: &mut Seen, histogram: &mut Option<Histogram>) {
    if let Some(batch) = seen.observe(x) {
        histogram.get_or_insert_with(|| Histogram::around(batch)).add(x, batch);
    }
}

impl Histogram {
    /// An empty histogram around a range.
    pub fn around(range: Range) -> Self {
        let span = (f64::from(range.max) - f64::from(range.min)) / (BINS - 1) as f64;
        let mut width = SMALLEST_WIDTH;
        while width < span {
            width *= 2.0;
        }
        Histogram { low: (f64::from(range.min) / width).floor() * width, width, counts: vec![0; BINS] }
    }

    /// Counts finite values whose extrema are known.
    pub fn add(&mut self, x: &[f32], extrema: Range) {
        while f64::from(extrema.min) < self.low {
            self.low -= self.width * BINS as f64;
            self.merge_into_half(BINS / 2);
        }
        while f64::from(extrema.max) >= self.low + self.width * BINS as f64 {
            self.merge_into_half(0);
        }
        let (inverse, offset) = ((1.0 / self.width) as f32, (self.low / self.width) as f32);
        tally(x, |x| x * inverse - offset, &mut self.counts);
    }

    /// Doubles the width: pairs of bins become the bins of the half from `start`, the other half is empty.
    fn merge_into_half(&mut self, start: usize) {
        let mut merged = vec![0; BINS];
        for (bin, pair) in merged[start..].iter_mut().zip(self.counts.chunks_exact(2)) {
            *bin = pair[0] + pair[1];
        }
        self.counts = merged;
        self.width *= 2.0;
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// The bins that are not empty, from below.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(i, &count)| {
            let low = self.low + i as f64 * self.width;
            let value = if low <= 0.0 && 0.0 < low + self.width { 0.0 } else { low + self.width / 2.0 };
            Bin { value, count }
        })
    }

    /// The values below and above which a share of all values lies, taking the values of a bin as evenly spread.
    pub fn cut(&self, share: f64) -> (f64, f64) {
        let total: u64 = self.counts.iter().sum();
        let wanted = share * total as f64;
        // How many bins, with a fraction, hold `wanted` values.
        let bins = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut before = 0.0;
            for (i, &count) in counts.enumerate() {
                if count > 0 && before + count as f64 >= wanted {
                    return i as f64 + (wanted - before) / count as f64;
                }
                before += count as f64;
            }
            BINS as f64
        };
        let (below, above) = (bins(&mut self.counts.iter()), bins(&mut self.counts.iter().rev()));
        (self.low + below * self.width, self.low + (BINS as f64 - above) * self.width)
    }
}

/// Adds 1 to `counts[⌊position(x)⌋]` for each x; positions outside go to the nearest end. `counts` has at most 2048 entries.
pub(super) fn tally(x: &[f32], position: impl Fn(f32) -> f32 + Sync, counts: &mut [u64]) {
    let last = (counts.len() - 1) as f32;
    // Through i32, which vectorises; the remainder spares a check of bounds.
    let index = |x: f32| position(x).max(0.0).min(last) as i32;
    let add = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    let length = counts.len();
    // Sums of counts do not depend on the number of threads.
    let total = x.par_chunks(1 << 16).map(|piece| tally_piece(piece, index, length)).reduce_with(add);
    counts.iter_mut().zip(total.unwrap_or_default()).for_each(|(count, more)| *count += more);
}

/// The counts of one piece, of at most 2^32 values.
fn tally_piece(piece: &[f32], index: impl Fn(f32) -> i32, length: usize) -> Vec<u64> {
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
    (0..length).map(|i| tables.iter().map(|t| u64::from(t[i])).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(h: &mut Histogram, x: &[f32]) {
        h.add(x, Range { min: x.iter().copied().fold(f32::MAX, f32::min), max: x.iter().copied().fold(f32::MIN, f32::max) });
    }

    #[test]
    fn widening_keeps_every_count_at_its_place() {
        let mut h = Histogram::around(Range { min: 0.0, max: 1.0 });
        let batches = [vec![0.0, 0.25, 1.0], vec![-3.0; 5], vec![100.0; 7], vec![1e-20, 0.0], vec![-1e9]];
        for batch in &batches {
            add(&mut h, batch);
        }
        let all = batches.concat();
        assert_eq!(h.counts.iter().sum::<u64>(), all.len() as u64);
        for bin in 0..BINS {
            let low = h.low + bin as f64 * h.width;
            let inside = all.iter().filter(|&&x| f64::from(x) >= low && f64::from(x) < low + h.width).count();
            assert_eq!(h.counts[bin], inside as u64, "bin {bin}");
        }
    }

    #[test]
    fn values_fill_at_least_half_of_the_bins_range() {
        for (min, max) in [(0.0, 1.0), (-7.3, 1e4), (1000.0, 1000.001), (-3e38, 3e38), (0.0, 1e-12)] {
            let h = Histogram::around(Range { min, max });
            let bins = (f64::from(max) - f64::from(min)) / h.width;
            assert!((1022.0..=2048.0).contains(&bins), "{min} {max}: {bins}");
            assert!(h.low <= f64::from(min) && f64::from(max) < h.low + h.width * BINS as f64);
        }
    }

    #[test]
    fn the_largest_floats_find_their_bins() {
        let mut h = Histogram::around(Range { min: -1.0, max: 1.0 });
        add(&mut h, &[f32::MAX, f32::MIN, 0.0]);
        add(&mut h, &[f32::MIN]);
        let bins: Vec<Bin> = h.bins().collect();
        assert_eq!(bins.iter().map(|b| b.count).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(bins[1].value, 0.0);
    }

    #[test]
    fn a_cut_splits_bins_evenly() {
        let mut h = Histogram::around(Range { min: 0.0, max: 2047.0 });
        add(&mut h, &(0..2048).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(h.cut(0.25), (512.0, 1536.0));
        assert_eq!(h.cut(0.5 / 2048.0), (0.5, 2047.5));
    }
}
