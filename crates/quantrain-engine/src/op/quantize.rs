//! Fake-quantization with given numbers, as a QDQ file holds it.

use quantrain_graph::Quantizer;
use quantrain_graph::op::FakeQuantize;
use quantrain_lowering::Site;

use super::{Kernel, Replays, Scaled, write};
use crate::EngineError;

pub(super) struct PerTensor(Quantizer);

pub(super) fn build(op: &FakeQuantize, site: &Site) -> Result<PerTensor, EngineError> {
    match op.quantizers[..] {
        [quantizer] => Ok(PerTensor(quantizer)),
        _ => Err(site.unsupported("activations with a scale for each channel are not supported").into()),
    }
}

impl Kernel for PerTensor {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        write(y, false, |i| self.0.fake_quantize(x[0].values[i] * x[0].scale) / out_scale);
    }

    /// Straight through, where x rounds to a code without being clipped.
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let (low, high) = self.0.centred_limits();
        write(dx, accumulate, |i| {
            let t = x[0].values[i] * x[0].scale / self.0.scale();
            if low - 0.5 < t && t < high + 0.5 { dy[i] } else { 0.0 }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
