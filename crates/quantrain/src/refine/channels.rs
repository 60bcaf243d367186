//! Means and maxima of each channel of the tensors that have quantizers.

use quantrain_engine::{Monitor, Network, Want};
use quantrain_graph::QuantizerId;

/// What was seen of one tensor's channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    sums: Vec<f64>,
    rows: f64,
    /// The largest value of each channel.
    pub largest: Vec<f32>,
}

impl Seen {
    /// The mean of a channel.
    pub fn mean(&self, channel: usize) -> f64 {
        self.sums[channel] / self.rows.max(1.0)
    }
}

/// Watches every quantizer's tensor, channel by channel. Values are NHWC, so the channel is what changes fastest.
pub(super) struct ChannelMonitor {
    seen: Vec<Seen>,
}

impl ChannelMonitor {
    pub fn new(network: &Network) -> Self {
        let net = network.quant_graph();
        let mut seen = vec![Seen::default(); net.quantizers().len()];
        for unit in net.units() {
            let output = unit.output(net.graph());
            // One that several tensors share is watched only where they have as many channels.
            let Some((q, block)) = net.quantizer_of(output).zip(unit.block(net.graph())) else { continue };
            if seen[q.0].sums.is_empty() {
                seen[q.0] = Seen { sums: vec![0.0; block.channels], rows: 0.0, largest: vec![f32::NEG_INFINITY; block.channels] };
            }
        }
        ChannelMonitor { seen }
    }

    /// What was seen of a quantizer's tensor; `None` where no block writes it.
    pub fn of(&self, quantizer: QuantizerId) -> Option<&Seen> {
        self.seen.get(quantizer.0).filter(|s| s.rows > 0.0)
    }
}

impl Monitor for ChannelMonitor {
    fn want(&self, quantizer: QuantizerId) -> Want {
        if self.seen[quantizer.0].sums.is_empty() { Want::Nothing } else { Want::Values }
    }

    fn extrema(&mut self, _: QuantizerId, _: f32, _: f32) {}

    fn values(&mut self, quantizer: QuantizerId, values: &[f32]) {
        let seen = &mut self.seen[quantizer.0];
        let channels = seen.sums.len();
        for row in values.chunks_exact(channels) {
            seen.rows += 1.0;
            for ((sum, largest), &v) in seen.sums.iter_mut().zip(&mut seen.largest).zip(row) {
                *sum += f64::from(v);
                *largest = largest.max(v);
            }
        }
    }
}
