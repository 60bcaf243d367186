//! Fake-quantization with given numbers, as a QDQ file holds it.

use quantrain_graph::Quantizer;
use quantrain_graph::op::FakeQuantize;
use quantrain_lowering::{Site, Unsupported};

use super::steps::{Scaled, Steps};

pub(super) struct PerTensor(Quantizer);

pub(super) fn build(op: &FakeQuantize, site: &Site) -> Result<PerTensor, Unsupported> {
    match op.quantizers[..] {
        [quantizer] => Ok(PerTensor(quantizer)),
        _ => Err(site.unsupported("activations with a scale for each channel are not supported")),
    }
}

impl Steps for PerTensor {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        y.iter_mut().zip(&x[0].values).for_each(|(y, v)| *y = self.0.fake_quantize(v * x[0].scale) / out_scale);
    }
}
