//! Extrema of batches, averaged.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::extrema::Seen;
use crate::ObserveError;

/// The extrema of the first batch, then `r ← r + rate·(batch − r)` for each limit (PyTorch's `MovingAverageMinMaxObserver`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovingAverage {
    rate: f32,
    seen: Seen,
    average: Option<Range>,
}

impl MovingAverage {
    /// An observer in which a batch has a share of `rate`, above 0 to 1.
    pub fn new(rate: f32) -> Self {
        MovingAverage { rate, seen: Seen::default(), average: None }
    }
}

impl Observer for MovingAverage {
    fn observe(&mut self, x: &[f32]) {
        let batch = self.seen.observe(x);
        self.average = average(self.average, batch, self.rate);
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        Ok(self.average.unwrap_or(seen))
    }

    fn observes_extrema_only(&self) -> bool {
        true
    }

    fn observe_extrema(&mut self, min: f32, max: f32) {
        let batch = self.seen.observe_range(Range { min, max });
        self.average = average(self.average, batch, self.rate);
    }

    super::state_is_self!(MovingAverage);
}

/// The running range after a batch; its limits never leave what was seen.
pub(super) fn average(running: Option<Range>, batch: Option<Range>, rate: f32) -> Option<Range> {
    let (Some(r), Some(b)) = (running, batch) else { return batch.or(running) };
    // Limits near ±f32::MAX have no difference in f32.
    let toward = |r: f32, b: f32| (f64::from(r) + f64::from(rate) * (f64::from(b) - f64::from(r))) as f32;
    Some(Range { min: toward(r.min, b.min), max: toward(r.max, b.max) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_averaged_and_the_first_one_counts_in_full() {
        let mut observer = MovingAverage::new(0.25);
        observer.observe(&[-1.0, 2.0]);
        assert_eq!(observer.range(), Ok(Range { min: -1.0, max: 2.0 }));
        observer.observe(&[]);
        observer.observe_extrema(-5.0, 4.0);
        assert_eq!(observer.range(), Ok(Range { min: -2.0, max: 2.5 }));
    }
}
