//! The devkit's running range, PACT2.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::average::{Average, WINDOW, by_window};
use super::extrema::Seen;
use super::histogram::Histogram;
use crate::ObserveError;

/// Share of the values cut at each end of a window.
const CUT: f64 = 1e-4;

/// Smallest share of a new window.
const SMALLEST_RATE: f32 = 0.001;

/// Levels that the limits of a window are among.
const LEVELS: f64 = 256.0;

/// The limits of 64 images, `min + k·(max − min)/255`, leave fewer than 0.01 % of their values at or beyond each of them, or are their
/// extrema; the running limits follow with a share of `max(1/n, 0.001)` for the n-th 64 images. (pytorch-jacinto-ai-devkit, `extrema_fast`
/// and `PAct2.update_clips_act`, with batches of 64; that the limit is rounded up to a power of two is the target's scheme.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pact2 {
    seen: Seen,
    average: Average,
    /// The images since the last window.
    window: Option<Window>,
}

/// The values of a window under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Window {
    extrema: Range,
    histogram: Histogram,
    images: u64,
}

impl Pact2 {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        Pact2::default()
    }

    /// Takes up images of one window.
    fn take(&mut self, x: &[f32], images: u64) {
        let Some(extrema) = self.seen.observe(x) else { return };
        let window = match self.window.take() {
            None => Window { extrema, histogram: Histogram::of(x, extrema), images },
            Some(Window { extrema: before, mut histogram, images: filled }) => {
                let extrema = before.union(extrema);
                histogram.add(x, extrema);
                Window { extrema, histogram, images: filled + images }
            }
        };
        match window.images >= WINDOW {
            true => self.average = self.average_with(&window),
            false => self.window = Some(window),
        }
    }

    fn average_with(&self, window: &Window) -> Average {
        let rate = WINDOW as f32 / (self.average.images + window.images) as f32;
        self.average.with(cut(&window.histogram, window.extrema), window.images, rate.max(SMALLEST_RATE))
    }
}

impl Observer for Pact2 {
    fn observe(&mut self, x: &[f32], images: usize) {
        let filled = self.window.as_ref().map_or(0, |w| w.images);
        by_window(x, images, filled, |x, images| self.take(x, images));
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        let average = self.window.as_ref().map_or(self.average, |window| self.average_with(window));
        Ok(average.range.unwrap_or(seen))
    }

    fn start_from(&mut self, range: Range, images: u64) {
        self.average = Average { range: self.seen.observe_range(range), images };
    }

    super::state_is_self!(Pact2);
}

/// The limits of a window.
fn cut(histogram: &Histogram, extrema: Range) -> Range {
    let (min, max) = (f64::from(extrema.min), f64::from(extrema.max));
    let step = (max - min) / (LEVELS - 1.0);
    // A span so small that its inverse overflows is as good as a constant.
    if !(step > 0.0 && ((1.0 / step) as f32).is_finite()) {
        return extrema;
    }
    let (low, high) = histogram.inner_edges(CUT);
    // The last level below the first that many values reach.
    let level = |distance: f64| ((distance / step + 0.5).floor() - 1.0).max(0.0);
    let (below, above) = (level(low - min), LEVELS - 1.0 - level(max - high));
    let limit = |level: f64| if level == LEVELS - 1.0 { extrema.max } else { (min + step * level) as f32 };
    Range { min: limit(below), max: limit(above) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_values_at_the_ends_are_cut_to_a_level() {
        // 100,000 values in 0..=1 at level 0 to 100 of 255, and 5 outliers at 2.55: fewer than 0.01 %.
        let mut x: Vec<f32> = (0..100_000).map(|i| (i % 101) as f32 * 0.01).collect();
        x.extend([2.55; 5]);
        let mut observer = Pact2::new();
        observer.observe(&x, 64);
        let Range { min, max } = observer.range().unwrap();
        assert_eq!(min, 0.0);
        assert!((max - 1.01).abs() < 1e-5, "{max}");
    }

    #[test]
    fn nothing_is_cut_from_a_small_window() {
        let mut observer = Pact2::new();
        observer.observe(&(0..9_999).map(|i| i as f32).collect::<Vec<_>>(), 64);
        assert_eq!(observer.range(), Ok(Range { min: 0.0, max: 9_998.0 }));
    }

    #[test]
    fn windows_count_equally_until_the_thousandth() {
        let mut observer = Pact2::new();
        for n in 1..=1000 {
            observer.observe(&[0.0, n as f32], 64);
        }
        let Range { max, .. } = observer.range().unwrap();
        assert!((max - 500.5).abs() < 0.01, "{max}");
        (0..1000).for_each(|_| observer.observe(&[0.0, 0.0], 64));
        let left = observer.range().unwrap().max;
        assert!((left / max - 0.999f32.powi(1000)).abs() < 1e-3, "{left}");
    }

    #[test]
    fn it_starts_from_what_calibration_knows() {
        let mut observer = Pact2::new();
        observer.start_from(Range { min: 0.0, max: 9.0 }, 512);
        observer.observe(&[0.0, 0.0], 64);
        assert_eq!(observer.range(), Ok(Range { min: 0.0, max: 8.0 }), "64 images beside 512 have a ninth");
    }
}
