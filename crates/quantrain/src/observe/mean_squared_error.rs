//! The range whose quantizer changes the values least.

use quantrain_graph::{Quantizer, Range, Scheme};
use serde::{Deserialize, Serialize};

use super::Observer;
use super::candidates::{candidates, least};
use super::extrema::Seen;
use super::histogram::{Bin, Histogram, take_up};
use crate::ObserveError;

/// The range that minimises `E[(x − x̂)²]` for a scheme, over a histogram of 2048 bins: clipping weighed against the step size, which matters
/// at 4 bits. Symmetric schemes try limits in steps of a percent of max|x| (powers of two for their scales); asymmetric ones move the upper
/// limit, then the lower, twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSquaredError {
    scheme: Scheme,
    seen: Seen,
    histogram: Option<Histogram>,
}

impl MeanSquaredError {
    /// An observer for tensors of a scheme.
    pub fn new(scheme: Scheme) -> Self {
        MeanSquaredError { scheme, seen: Seen::default(), histogram: None }
    }

    /// Expected squared error of a range, times the number of values; infinite where the scheme does not allow the range.
    fn error(&self, bins: &[Bin], width: f64, range: Range) -> f64 {
        let Ok(quantizer) = Quantizer::from_range(&self.scheme, range) else { return f64::INFINITY };
        let (low, high) = (f64::from(quantizer.range().min), f64::from(quantizer.range().max));
        let step = f64::from(quantizer.scale());
        let bin_error = |bin: &Bin| {
            let x = bin.value;
            let distance = if x < low || x > high {
                x - x.clamp(low, high)
            } else if step < 2.0 * width {
                // Steps finer than the histogram: the error is even over a step.
                return step * step / 12.0;
            } else {
                x - f64::from(quantizer.fake_quantize(x as f32))
            };
            distance * distance
        };
        bins.iter().map(|b| b.count as f64 * bin_error(b)).sum()
    }
}

impl Observer for MeanSquaredError {
    fn observe(&mut self, x: &[f32], _: usize) {
        take_up(x, &mut self.seen, &mut self.histogram);
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        let Some(histogram) = &self.histogram else { return Ok(seen) };
        let bins: Vec<Bin> = histogram.bins().collect();
        let best = |ranges: &mut dyn Iterator<Item = Range>| {
            least(ranges, |r| self.error(&bins, histogram.width(), r)).map_or(seen, |(_, range)| range)
        };
        if self.scheme.symmetric {
            let limits = candidates(&self.scheme, seen.max.max(-seen.min).max(0.0));
            return Ok(best(&mut limits.into_iter().map(|l| Range { min: seen.min.clamp(-l, l), max: seen.max.clamp(-l, l) })));
        }
        let (uppers, lowers) = (candidates(&self.scheme, seen.max.max(0.0)), candidates(&self.scheme, seen.min.min(0.0)));
        let mut range = seen;
        for _ in 0..2 {
            range = best(&mut uppers.iter().map(|&max| Range { min: range.min.min(max), max }));
            range = best(&mut lowers.iter().map(|&min| Range { min, max: range.max.max(min) }));
        }
        Ok(Range { min: range.min.clamp(seen.min, seen.max), max: range.max.clamp(seen.min, seen.max) })
    }

    super::state_is_self!(MeanSquaredError);
}

#[cfg(test)]
mod tests;
