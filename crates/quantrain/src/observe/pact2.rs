//! The devkit's running range, PACT2.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::extrema::Seen;
use super::histogram::tally;
use super::moving_average::average;
use crate::ObserveError;

/// Share of the values cut at each end of a batch.
const CUT: f64 = 1e-4;

/// Smallest share of a new batch.
const SMALLEST_RATE: f32 = 0.001;

/// Levels of a batch's histogram.
const LEVELS: usize = 256;

/// The limits of a batch, `min + k·(max − min)/255`, leave fewer than 0.01 % of its values at or beyond each of them, or are its extrema;
/// the running limits follow with a share of `max(1/n, 0.001)` for batch n. (pytorch-jacinto-ai-devkit, `extrema_fast` and
/// `PAct2.update_clips_act`; that the limit is rounded up to a power of two is the target's scheme.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pact2 {
    seen: Seen,
    batches: u64,
    running: Option<Range>,
}

impl Pact2 {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        Pact2::default()
    }
}

impl Observer for Pact2 {
    fn observe(&mut self, x: &[f32]) {
        if let Some(batch) = self.seen.observe(x) {
            self.batches += 1;
            let rate = (1.0 / self.batches as f32).max(SMALLEST_RATE);
            self.running = average(self.running, Some(cut(x, batch)), rate);
        }
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        Ok(self.running.unwrap_or(seen))
    }

    super::state_is_self!(Pact2);
}

/// The limits of one batch.
fn cut(x: &[f32], extrema: Range) -> Range {
    let (min, span) = (f64::from(extrema.min), f64::from(extrema.max) - f64::from(extrema.min));
    let scale = ((LEVELS - 1) as f64 / span) as f32;
    // A span so small that its inverse overflows is as good as a constant.
    if !(span > 0.0 && scale.is_finite()) {
        return extrema;
    }
    let mut counts = [0; LEVELS];
    // Halved, because max − min may overflow.
    let half = extrema.min * 0.5;
    tally(x, |x| (x * 0.5 - half) * (2.0 * scale) + 0.5, &mut counts);
    let few = CUT * x.len() as f64;
    // The last level up to which few values lie.
    let level = |counts: &mut dyn Iterator<Item = &u64>| {
        let sums = counts.scan(0, |sum, &count| {
            *sum += count;
            Some(*sum)
        });
        sums.take_while(|&sum| (sum as f64) < few).count().saturating_sub(1)
    };
    let (below, above) = (level(&mut counts.iter()), level(&mut counts.iter().rev()));
    let limit = |level: usize| if level == LEVELS - 1 { extrema.max } else { (min + span * level as f64 / (LEVELS - 1) as f64) as f32 };
    Range { min: limit(below), max: limit(LEVELS - 1 - above) }
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
        observer.observe(&x);
        let Range { min, max } = observer.range().unwrap();
        assert_eq!(min, 0.0);
        assert!((max - 1.01).abs() < 1e-5, "{max}");
    }

    #[test]
    fn nothing_is_cut_from_a_small_batch() {
        let mut observer = Pact2::new();
        observer.observe(&(0..9_999).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(observer.range(), Ok(Range { min: 0.0, max: 9_998.0 }));
    }

    #[test]
    fn batches_count_equally_until_the_thousandth() {
        let mut observer = Pact2::new();
        for n in 1..=1000 {
            observer.observe(&[0.0, n as f32]);
        }
        let Range { max, .. } = observer.range().unwrap();
        assert!((max - 500.5).abs() < 0.01, "{max}");
        (0..1000).for_each(|_| observer.observe(&[0.0, 0.0]));
        let left = observer.range().unwrap().max;
        assert!((left / max - 0.999f32.powi(1000)).abs() < 1e-3, "{left}");
    }
}
