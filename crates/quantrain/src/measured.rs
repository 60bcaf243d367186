//! The observer `measured`: of a few percentiles, the one whose ranges cost the outputs least.
//!
//! How much of a tail is noise and how much is signal, its values alone do not tell: docs/foreign-files.md has networks that lose 2 dB where
//! 0.01 % is cut, and others that lose 1 dB where nothing is. The outputs tell.

use quantrain_engine::{Mode, Network};
use quantrain_graph::Range;

use crate::RunError;
use crate::execution::Executor;
use crate::images::fixed_batch;
use crate::ranges::Ranges;
use crate::sqnr::OutputNoise;

/// Percent of the values that ranges may keep; the first is what most networks want.
const PERCENTILES: [f32; 3] = [99.999, 99.99, 100.0];

/// Output SQNR in dB by which another must be better than the first: with few images less is chance.
const MARGIN: f64 = 0.5;

/// Images that are run with each.
const IMAGES: usize = 32;

/// The first samples of a calibration.
#[derive(Default)]
pub(crate) struct Kept {
    batches: Vec<KeptBatch>,
    counted: usize,
}

/// Samples, whose values are there for each input as they lie in memory.
struct KeptBatch {
    size: usize,
    /// How many of them count: what is chosen does not depend on the batches.
    counted: usize,
    inputs: Vec<Vec<f32>>,
}

impl Kept {
    /// Takes up samples, until there are enough.
    pub fn take_up(&mut self, network: &Network, size: usize, inputs: &[&[f32]]) {
        let counted = size.min(IMAGES - self.counted);
        if counted == 0 {
            return;
        }
        let fixed = fixed_batch(network.quant_graph().graph()).is_some();
        let kept = if fixed { size } else { counted };
        let inputs = inputs.iter().map(|values| values[..values.len() / size * kept].to_vec()).collect();
        self.batches.push(KeptBatch { size: kept, counted, inputs });
        self.counted += counted;
    }
}

impl KeptBatch {
    fn inputs(&self) -> Vec<&[f32]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }

    /// Of the values of an output, those of the samples that count.
    fn counted_of(&self, values: &[f32]) -> usize {
        values.len() / self.size * self.counted
    }
}

/// Ranges that may be taken, and what the outputs are with them.
struct Candidate {
    percentile: f32,
    ranges: Vec<Option<Range>>,
    noise: OutputNoise,
}

/// Sets the ranges of `network` to the best of those that `ranges` has seen, by the output SQNR on the samples kept; gives the percent of the
/// values that they keep.
///
/// # Errors
/// The network cannot be run, or a range is not finite.
pub(crate) fn choose(network: &mut Network, kept: &Kept, ranges: &mut Ranges) -> Result<f32, RunError> {
    let mut candidates = Vec::new();
    for percentile in PERCENTILES {
        ranges.keep_percent(percentile)?;
        ranges.apply(network)?;
        let net = network.quant_graph();
        let ranges = net.quantizers().iter().map(|q| q.range).collect();
        candidates.push(Candidate { percentile, ranges, noise: OutputNoise::of(net.graph()) });
    }
    if candidates.windows(2).any(|pair| pair[0].ranges != pair[1].ranges) {
        measure(network, kept, &mut candidates)?;
    }
    let measured: Vec<(f32, f64)> = candidates.iter().map(|c| (c.percentile, c.noise.decibels())).collect();
    let percentile = best(&measured);
    ranges.keep_percent(percentile)?;
    ranges.apply(network)?;
    Ok(percentile)
}

/// The first percentile, or the one of most decibels where that is clearly more; NaN is never more.
fn best(measured: &[(f32, f64)]) -> f32 {
    let [(usual, decibels), others @ ..] = measured else { return PERCENTILES[0] };
    let clearly = others.iter().filter(|(_, other)| *other > decibels + MARGIN || decibels.is_nan() && !other.is_nan());
    clearly.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(*usual, |(percentile, _)| *percentile)
}

/// Compares the outputs with those of the float network.
fn measure(network: &mut Network, kept: &Kept, candidates: &mut [Candidate]) -> Result<(), RunError> {
    let mut expected = Vec::with_capacity(kept.batches.len());
    let mut float = Executor::new(network, Mode::FLOAT);
    for batch in &kept.batches {
        let mut outputs = Vec::new();
        float.outputs(batch.size, &batch.inputs(), &mut outputs)?;
        outputs.iter_mut().for_each(|values| values.truncate(batch.counted_of(values)));
        expected.push(outputs);
    }
    let mut found = Vec::new();
    for candidate in candidates {
        let quantizers = network.quant_graph_mut().quantizers_mut().iter_mut();
        quantizers.zip(&candidate.ranges).for_each(|(q, range)| q.range = *range);
        let mut quantized = Executor::new(network, Mode::SIMULATE);
        for (batch, expected) in kept.batches.iter().zip(&expected) {
            quantized.outputs(batch.size, &batch.inputs(), &mut found)?;
            candidate.noise.add(batch.counted, expected, found.iter().map(|values| &values[..batch.counted_of(values)]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_percentile_gives_way_only_to_what_is_clearly_better() {
        let of = |decibels: [f64; 3]| best(&[(99.999, decibels[0]), (99.99, decibels[1]), (100.0, decibels[2])]);
        assert_eq!(of([30.0, 30.4, 29.0]), 99.999);
        assert_eq!(of([30.0, 30.6, 29.0]), 99.99);
        assert_eq!(of([30.0, 31.1, 33.0]), 100.0);
        assert_eq!(of([30.0, f64::NAN, 30.0]), 99.999);
        assert_eq!(of([f64::NAN, f64::NAN, 3.0]), 100.0);
        assert_eq!(of([f64::NAN; 3]), 99.999);
    }
}
