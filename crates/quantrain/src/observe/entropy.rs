//! The range whose quantized values are distributed most like the values themselves.

use quantrain_graph::{Quantizer, Range, Scheme};
use serde::{Deserialize, Serialize};

use super::Observer;
use super::candidates::{candidates, least};
use super::extrema::Seen;
use super::histogram::{Bin, Histogram, take_up};
use crate::ObserveError;

/// Probability that stands for 0 in the quantized distribution, so that a value it has lost costs much, but not everything.
const SMALLEST_PROBABILITY: f64 = 1e-9;

/// The range with the least Kullback-Leibler divergence `Σ P·ln(P/Q)`, as TensorRT's calibrator has it (Migacz 2017, "8-bit Inference with
/// TensorRT"): P are the values with those outside moved to the ends, Q the values inside, spread evenly over the bins of 2048 that share a
/// code. Both limits shrink together, by the same share of their extrema. The bin of 0 and the outermost one, where activations pile up that
/// a ReLU or a clip has cut, share a code with no other: these values are exact in any range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entropy {
    scheme: Scheme,
    seen: Seen,
    histogram: Option<Histogram>,
}

impl Entropy {
    /// An observer for tensors of a scheme.
    pub fn new(scheme: Scheme) -> Self {
        Entropy { scheme, seen: Seen::default(), histogram: None }
    }

    /// The divergence of a range; infinite where the scheme does not allow it, or where it spans fewer bins than codes, which tells nothing.
    fn divergence(&self, bins: &[Bin], width: f64, range: Range) -> f64 {
        let Ok(quantizer) = Quantizer::from_range(&self.scheme, range) else { return f64::INFINITY };
        let (low, high) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
        let first = bins.partition_point(|b| b.value < low);
        let end = bins.partition_point(|b| b.value <= high);
        if first >= end || (high - low) / width < f64::from(quantizer.qmax() - quantizer.qmin()) {
            return f64::INFINITY;
        }
        let count = |bins: &[Bin]| bins.iter().map(|b| b.count as f64).sum::<f64>();
        let inside = &bins[first..end];
        let (below, above, kept) = (count(&bins[..first]), count(&bins[end..]), count(inside));
        let total = below + kept + above;
        let mut divergence = 0.0;
        let code = |b: &Bin| quantizer.centred_code(b.value as f32);
        let piled = |b: &Bin| b.value == 0.0 || Some(b) == bins.last();
        let mut at = 0;
        for group in inside.chunk_by(|a, b| code(a) == code(b) && !piled(a) && !piled(b)) {
            let q = count(group) / group.len() as f64 / kept;
            for b in group {
                let outside = if at == 0 { below } else { 0.0 } + if at + 1 == inside.len() { above } else { 0.0 };
                let p = (b.count as f64 + outside) / total;
                divergence += p * (p / q.max(SMALLEST_PROBABILITY)).ln();
                at += 1;
            }
        }
        divergence
    }
}

impl Observer for Entropy {
    fn observe(&mut self, x: &[f32], _: usize) {
        take_up(x, &mut self.seen, &mut self.histogram);
    }

    fn range(&self) -> Result<Range, ObserveError> {
        let seen = self.seen.range()?;
        let Some(histogram) = &self.histogram else { return Ok(seen) };
        // A constant is its own range.
        if seen.min == seen.max {
            return Ok(seen);
        }
        let bins: Vec<Bin> = histogram.bins().collect();
        let extremum = seen.max.max(-seen.min).max(0.0);
        let shrunk = |limit: f32| {
            let share = limit / extremum;
            match self.scheme.symmetric {
                true => Range { min: seen.min.clamp(-limit, limit), max: seen.max.clamp(-limit, limit) },
                false => Range { min: seen.min * share, max: seen.max * share },
            }
        };
        let ranges = candidates(&self.scheme, extremum).into_iter().map(shrunk);
        let best = least(ranges, |r| self.divergence(&bins, histogram.width(), r)).filter(|(d, _)| d.is_finite());
        Ok(best.map_or(seen, |(_, range)| range))
    }

    super::state_is_self!(Entropy);
}

#[cfg(test)]
mod tests {
    use quantrain_graph::Target;

    use super::*;

    /// Values as dense as a normal distribution, from its quantiles by the logistic approximation.
    fn bell(n: usize) -> Vec<f32> {
        (1..n).map(|i| i as f32 / n as f32).map(|p| (p / (1.0 - p)).ln() / 1.702).collect()
    }

    #[test]
    fn even_values_keep_their_whole_range() {
        let mut observer = Entropy::new(Target::onnxruntime().activations());
        observer.observe(&(0..=65_536).map(|i| i as f32 / 65_536.0).collect::<Vec<_>>(), 64);
        let range = observer.range().unwrap();
        assert!(range.max > 0.98 && range.min == 0.0, "{range:?}");
    }

    #[test]
    fn a_lone_outlier_is_left_out() {
        for target in [Target::onnxruntime(), Target::tidl_pow2()] {
            let mut observer = Entropy::new(target.activations().with_bits(4));
            observer.observe(&bell(100_000), 64);
            observer.observe(&[100.0], 1);
            let range = observer.range().unwrap();
            assert!(range.max < 50.0 && range.max > 1.0, "{}: {range:?}", target.name());
        }
    }

    #[test]
    fn fewer_codes_cover_less() {
        let limit = |bits| {
            let mut observer = Entropy::new(Target::tidl_pow2().weights().with_bits(bits));
            observer.observe(&bell(100_000), 64);
            observer.range().unwrap().max
        };
        assert!(limit(2) <= limit(8));
    }
}
