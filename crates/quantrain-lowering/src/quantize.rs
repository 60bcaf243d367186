//! Fake-quantization as an operator: one quantizer, or one for each channel.

use quantrain_graph::Quantizer;
use quantrain_graph::op::FakeQuantize;

use crate::Site;
use crate::memory_order::channel_stride;

/// The quantizers of a tensor where its elements lie in memory.
pub struct FakeQuantizer {
    quantizers: Vec<Quantizer>,
    /// Elements between one channel and the next.
    stride: usize,
}

impl FakeQuantizer {
    /// Of an operator where it stands.
    pub fn new(op: &FakeQuantize, site: &Site) -> Self {
        let stride = if op.quantizers.len() == 1 { 1 } else { channel_stride(&site.input(0)) };
        FakeQuantizer { quantizers: op.quantizers.clone(), stride }
    }

    /// The quantizer of element `i`.
    pub fn of(&self, i: usize) -> &Quantizer {
        &self.quantizers[i / self.stride % self.quantizers.len()]
    }
}
