//! Counts of values in equal bins.

use serde::{Deserialize, Serialize};

/// Bins of a picture.
const BINS: usize = 64;

/// Share of the range that is shown beyond each of its ends.
const MARGIN: f64 = 0.25;

/// How often values fall into equal bins; those beyond the ends count in the first and the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Where the first bin begins.
    pub low: f32,
    /// Where the last bin ends.
    pub high: f32,
    /// Values in each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// An empty one around a range. Its ends are finite, as JSON wants them, where a mask of the lowest float made the range.
    pub fn around(min: f32, max: f32) -> Self {
        let (min, max) = (f64::from(finite(min)), f64::from(finite(max)));
        let margin = MARGIN * (max - min).max(f64::from(f32::MIN_POSITIVE));
        Histogram { low: finite((min - margin) as f32), high: finite((max + margin) as f32), counts: vec![0; BINS] }
    }

    /// Counts a value; NaN counts nowhere.
    pub fn add(&mut self, value: f32) {
        if value.is_nan() {
            return;
        }
        // Casting saturates: what lies beyond an end is in the bin there.
        let [value, low, high] = [value, self.low, self.high].map(f64::from);
        let bin = ((value - low) / (high - low) * BINS as f64) as usize;
        self.counts[bin.min(BINS - 1)] += 1;
    }
}

/// The nearest finite value.
pub(super) fn finite(value: f32) -> f32 {
    value.clamp(f32::MIN, f32::MAX)
}
