//! Weights beside their codes.

use quantrain_graph::{PlacementError, QuantGraph, Range, fold};
use serde::{Deserialize, Serialize};

use super::Histogram;
use super::activations::{codes, decibels};

/// Channels whose ranges are told; of more, so many evenly spread.
const CHANNELS: usize = 256;

/// The quantized weights of a layer, BatchNormalization folded in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightStatistics {
    /// Width of the codes.
    pub bits: u8,
    /// Number of weights.
    pub count: usize,
    /// Scales: 1, or one for each output channel.
    pub scales: usize,
    /// The largest step between two codes.
    pub scale: f32,
    /// Power of the weights over that of their distance from their quantized values, in dB; `None` where they are equal, or all zero.
    pub sqnr: Option<f64>,
    /// Share of the weights beyond the last code by more than half a step.
    pub clipped: f64,
    /// Different codes that occur.
    pub codes_used: usize,
    /// Codes that there are.
    pub codes: usize,
    /// The weights in float.
    pub histogram: Histogram,
    /// The least and greatest weight of output channels.
    pub channels: Vec<[f32; 2]>,
}

impl WeightStatistics {
    /// Of a unit; `None` where it has no quantized weights.
    ///
    /// # Errors
    /// A weight is not finite.
    pub(super) fn of(net: &QuantGraph, unit: usize) -> Result<Option<Self>, PlacementError> {
        let (Some(weights), Some(folded)) = (net.weight_quantizer(unit), net.folded(unit)) else { return Ok(None) };
        let node = || format!("weights of {}", net.graph().node(net.units()[unit].core).name);
        let stored = net.codes_of(unit).map(|codes| codes.weight.clone());
        let quantized = stored.map_or_else(|| fold::quantize_weights(&weights, &folded, net.weight_limits(unit)), Ok);
        let quantized = quantized.map_err(|source| PlacementError::Quantizer { tensor: node(), source })?;
        let row = folded.weight.len() / folded.bias.len().max(1);
        let extent = Range::of(&folded.weight);
        let mut histogram = Histogram::around(extent.min, extent.max);
        let (mut signal, mut noise, mut clipped) = (0.0, 0.0, 0usize);
        let mut used = vec![false; quantized.quantizers.first().map_or(0, codes)];
        for (i, (&weight, &code)) in folded.weight.iter().zip(&quantized.codes).enumerate() {
            let channel = if quantized.quantizers.len() == 1 { 0 } else { i / row.max(1) };
            let q = &quantized.quantizers[channel];
            let distance = f64::from(code) * f64::from(q.scale()) - f64::from(weight);
            signal += f64::from(weight) * f64::from(weight);
            noise += distance * distance;
            clipped += usize::from(distance.abs() > 0.501 * f64::from(q.scale()));
            let at = code as i32 + q.zero_point() - q.qmin();
            if let Some(used) = usize::try_from(at).ok().and_then(|at| used.get_mut(at)) {
                *used = true;
            }
            histogram.add(weight);
        }
        let every = folded.bias.len().div_ceil(CHANNELS).max(1);
        let extent_of = |row: &[f32]| row.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &w| [low.min(w), high.max(w)]);
        Ok(Some(WeightStatistics {
            bits: weights.scheme.bits,
            count: folded.weight.len(),
            scales: quantized.quantizers.len(),
            scale: quantized.quantizers.iter().map(quantrain_graph::Quantizer::scale).fold(0.0, f32::max),
            sqnr: decibels(signal, noise),
            clipped: clipped as f64 / folded.weight.len().max(1) as f64,
            codes_used: used.iter().filter(|used| **used).count(),
            codes: used.len(),
            histogram,
            channels: folded.weight.chunks(row.max(1)).step_by(every).map(extent_of).collect(),
        }))
    }
}
