//! A range that leaves out the rarest values.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::extrema::Seen;
use super::histogram::{Histogram, take_up};
use crate::ObserveError;

/// The range that keeps `percentile` percent of all values, half of the rest cut at each end (as ONNX Runtime's percentile calibrator
/// does); from a histogram of 2048 bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    percentile: f32,
    seen: Seen,
    histogram: Option<Histogram>,
}

impl Percentile {
    /// An observer that keeps `percentile` percent, above 50 to 100.
    pub fn new(percentile: f32) -> Self {
        Percentile { percentile, seen: Seen::default(), histogram: None }
    }

    /// The same values, of which other `percentile` percent are kept.
    pub fn keeping(self, percentile: f32) -> Self {
        Percentile { percentile, ..self }
    }
}

impl Observer for Percentile {
    fn observe(&mut self, x: &[f32], _: usize) {
        take_up(x, &mut self.seen, &mut self.histogram);
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        let Some(histogram) = &self.histogram else { return Ok(seen) };
        let (min, max) = histogram.cut((1.0 - f64::from(self.percentile) / 100.0) / 2.0);
        // The edges of a bin may lie outside what was seen: a constant is its own range.
        let inside = |limit: f64| (limit as f32).clamp(seen.min, seen.max);
        Ok(Range { min: inside(min), max: inside(max.max(min)) })
    }

    super::state_is_self!(Percentile);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// −50 to 50 in steps of 0.01, in disorder.
    fn ramp() -> Vec<f32> {
        (0..10_001u32).map(|i| (i * 7919 % 10_001) as f32 * 0.01 - 50.0).collect()
    }

    #[test]
    fn both_ends_lose_half_of_the_rest() {
        let mut observer = Percentile::new(90.0);
        ramp().chunks(100).for_each(|batch| observer.observe(batch, 1));
        let Range { min, max } = observer.range().unwrap();
        assert!((min + 45.0).abs() < 0.1 && (max - 45.0).abs() < 0.1, "{min} {max}");
    }

    #[test]
    fn what_was_seen_gives_the_range_of_any_percentile() {
        let (mut observer, mut other) = (Percentile::new(99.99), Percentile::new(90.0));
        [&mut observer, &mut other].into_iter().for_each(|o| o.observe(&ramp(), 1));
        assert_eq!(observer.clone().keeping(90.0).range(), other.range());
        assert_eq!(observer.keeping(100.0).range(), Ok(Range { min: -50.0, max: 50.0 }));
    }

    #[test]
    fn an_outlier_is_left_out_unless_all_are_wanted() {
        for (percentile, limit) in [(99.9, 51.0), (100.0, 200.0)] {
            let mut observer = Percentile::new(percentile);
            observer.observe(&ramp(), 64);
            observer.observe(&[200.0], 1);
            let Range { max, .. } = observer.range().unwrap();
            assert!(max <= limit && max > limit - 2.0, "{max}");
        }
    }
}
