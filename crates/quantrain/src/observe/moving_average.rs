//! Extrema of windows of images, averaged.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::average::{Average, WINDOW, by_window};
use super::extrema::Seen;
use crate::ObserveError;

/// The extrema of the first 64 images, then `r ← r + rate·(window − r)` for each limit and each 64 images more (PyTorch's
/// `MovingAverageMinMaxObserver` with batches of 64). A window that is not full has its share of the rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovingAverage {
    rate: f32,
    seen: Seen,
    average: Average,
    /// Of the window under way.
    window: Option<Range>,
    filled: u64,
}

impl MovingAverage {
    /// An observer in which 64 images have a share of `rate`, above 0 to 1.
    pub fn new(rate: f32) -> Self {
        MovingAverage { rate, seen: Seen::default(), average: Average::default(), window: None, filled: 0 }
    }

    /// Takes up images of one window.
    fn take(&mut self, range: Option<Range>, images: u64) {
        let Some(range) = range else { return };
        let window = self.window.map_or(range, |w| w.union(range));
        (self.window, self.filled) = (Some(window), self.filled + images);
        if self.filled >= WINDOW {
            self.average = self.average.with(window, self.filled, self.rate);
            (self.window, self.filled) = (None, 0);
        }
    }
}

impl Observer for MovingAverage {
    fn observe(&mut self, x: &[f32], images: usize) {
        by_window(x, images, self.filled, |x, images| {
            let range = self.seen.observe(x);
            self.take(range, images);
        });
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        let average = self.window.map_or(self.average, |window| self.average.with(window, self.filled, self.rate));
        Ok(average.range.unwrap_or(seen))
    }

    fn needs_only_extrema(&self, images: usize) -> bool {
        images as u64 <= WINDOW.saturating_sub(self.filled)
    }

    fn observe_extrema(&mut self, extrema: Range, images: usize) {
        let range = self.seen.observe_range(extrema);
        self.take(range, images as u64);
    }

    fn start_from(&mut self, range: Range, images: u64) {
        self.average = Average { range: self.seen.observe_range(range), images };
    }

    super::state_is_self!(MovingAverage);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_averaged_and_the_first_one_counts_in_full() {
        let mut observer = MovingAverage::new(0.25);
        observer.observe(&[-1.0, 2.0], 64);
        assert_eq!(observer.range(), Ok(Range { min: -1.0, max: 2.0 }));
        observer.observe(&[], 3);
        observer.observe_extrema(Range { min: -5.0, max: 4.0 }, 64);
        assert_eq!(observer.range(), Ok(Range { min: -2.0, max: 2.5 }));
    }

    #[test]
    fn a_window_that_is_not_full_has_its_share_of_the_rate() {
        let mut observer = MovingAverage::new(0.5);
        observer.observe(&[0.0, 1.0], 64);
        observer.observe(&[0.0, 5.0], 16);
        assert_eq!(observer.range(), Ok(Range { min: 0.0, max: 1.0 + 0.125 * 4.0 }));
        observer.observe(&[0.0, 3.0], 48);
        assert_eq!(observer.range(), Ok(Range { min: 0.0, max: 3.0 }), "half of the way from 1 to the window's 5");
    }

    #[test]
    fn it_starts_from_what_calibration_knows() {
        let mut observer = MovingAverage::new(0.01);
        observer.start_from(Range { min: 0.0, max: 8.0 }, 512);
        observer.observe(&[0.0, 1.0], 1);
        let Range { max, .. } = observer.range().unwrap();
        assert!((max - (8.0 - 7.0 * 0.01 / 64.0)).abs() < 1e-5, "{max}");
    }
}
