//! Tensors: the float path beside the simulated one.

use quantrain_engine::{Monitor, Want};
use quantrain_graph::{QuantGraph, Quantizer, QuantizerId};
use serde::{Deserialize, Serialize};

use super::Histogram;
use super::histogram::finite;

/// A quantized tensor, or several that share a quantizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorStatistics {
    /// The first tensor that has the quantizer.
    pub tensor: String,
    /// Width of the codes.
    pub bits: u8,
    /// Step between two codes.
    pub scale: f32,
    /// The code of zero.
    pub zero_point: i32,
    /// The values of the least and the greatest code.
    pub range: [f32; 2],
    /// Power of the float values over that of their distance from the simulated ones, in dB; `None` where they are equal, or all zero.
    pub sqnr: Option<f64>,
    /// Share of the float values below the range by more than half a step.
    pub below: f64,
    /// Share of the float values above the range by more than half a step.
    pub above: f64,
    /// Different codes that occurred in the simulation.
    pub codes_used: usize,
    /// Codes that there are.
    pub codes: usize,
    /// The float values.
    pub histogram: Histogram,
}

/// Values of a tensor that are looked at in one forward; of more, so many spread over all channels.
const MOST: usize = 1 << 18;

/// Numbers of channels are seldom multiples of it, so steps of its powers meet all of them.
const STRIDE: usize = 11;

/// The values that are looked at.
fn sampled(values: &[f32]) -> impl Iterator<Item = f32> {
    let mut stride = 1;
    while values.len() / stride > MOST {
        stride *= STRIDE;
    }
    values.iter().step_by(stride).copied()
}

/// Keeps the float values of a forward, by quantizer.
pub(super) struct Capture {
    values: Vec<Vec<f32>>,
}

impl Capture {
    pub fn new(quantizers: usize) -> Self {
        Capture { values: vec![Vec::new(); quantizers] }
    }
}

impl Monitor for Capture {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Values
    }

    fn extrema(&mut self, _: QuantizerId, _: f32, _: f32) {}

    fn values(&mut self, quantizer: QuantizerId, values: &[f32]) {
        self.values[quantizer.0].extend(sampled(values));
    }
}

/// Compares the values of a simulated forward with those of a float one.
pub(super) struct Comparison {
    seen: Vec<Seen>,
    expected: Capture,
}

struct Seen {
    quantizer: Quantizer,
    /// Float values of this forward that were compared already.
    compared: usize,
    count: u64,
    signal: f64,
    noise: f64,
    below: u64,
    above: u64,
    used: Vec<bool>,
    histogram: Histogram,
}

impl Comparison {
    pub fn new(quantizers: Vec<Quantizer>) -> Self {
        let seen = |quantizer: Quantizer| {
            let range = quantizer.range();
            Seen {
                quantizer,
                compared: 0,
                count: 0,
                signal: 0.0,
                noise: 0.0,
                below: 0,
                above: 0,
                used: vec![false; codes(&quantizer)],
                histogram: Histogram::around(range.min, range.max),
            }
        };
        Comparison { seen: quantizers.into_iter().map(seen).collect(), expected: Capture::new(0) }
    }

    /// What the next forward is compared with.
    pub fn expect(&mut self, expected: Capture) {
        self.expected = expected;
        self.seen.iter_mut().for_each(|seen| seen.compared = 0);
    }

    /// What was seen of each quantizer of `net`.
    pub fn statistics(self, net: &QuantGraph) -> Vec<TensorStatistics> {
        self.seen.into_iter().zip(net.quantizers()).map(|(seen, q)| seen.statistics(&q.tensor, q.scheme.bits)).collect()
    }
}

impl Monitor for Comparison {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Values
    }

    fn extrema(&mut self, _: QuantizerId, _: f32, _: f32) {}

    fn values(&mut self, quantizer: QuantizerId, simulated: &[f32]) {
        let seen = &mut self.seen[quantizer.0];
        let expected = self.expected.values[quantizer.0].get(seen.compared..).unwrap_or_default();
        for (simulated, &float) in sampled(simulated).zip(expected) {
            seen.add(simulated, float);
            seen.compared += 1;
        }
    }
}

impl Seen {
    fn add(&mut self, simulated: f32, float: f32) {
        let q = &self.quantizer;
        let (code, range, half) = (q.code(simulated), q.range(), q.scale() / 2.0);
        let distance = f64::from(q.value(code)) - f64::from(float);
        self.count += 1;
        self.signal += f64::from(float) * f64::from(float);
        self.noise += distance * distance;
        self.below += u64::from(float < range.min - half);
        self.above += u64::from(float > range.max + half);
        if let Some(used) = usize::try_from(code - q.qmin()).ok().and_then(|at| self.used.get_mut(at)) {
            *used = true;
        }
        self.histogram.add(float);
    }

    fn statistics(self, tensor: &str, bits: u8) -> TensorStatistics {
        let (range, share) = (self.quantizer.range(), |count: u64| count as f64 / self.count.max(1) as f64);
        TensorStatistics {
            tensor: tensor.to_owned(),
            bits,
            scale: self.quantizer.scale(),
            zero_point: self.quantizer.zero_point(),
            range: [range.min, range.max].map(finite),
            sqnr: decibels(self.signal, self.noise),
            below: share(self.below),
            above: share(self.above),
            codes_used: self.used.iter().filter(|used| **used).count(),
            codes: self.used.len(),
            histogram: self.histogram,
        }
    }
}

/// Number of codes that a quantizer has.
pub(super) fn codes(quantizer: &Quantizer) -> usize {
    usize::try_from(quantizer.qmax() - quantizer.qmin()).map_or(0, |codes| codes + 1)
}

/// `10·log10(signal / noise)`; `None` where that is no number.
pub(super) fn decibels(signal: f64, noise: f64) -> Option<f64> {
    Some(10.0 * (signal / noise).log10()).filter(|decibels| decibels.is_finite())
}
