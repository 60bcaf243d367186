//! Fake-quantization with given numbers, as a QDQ file holds it.

use quantrain_lowering::quantize::FakeQuantizer;

use super::{Kernel, Replays, Scaled, write};

impl Kernel for FakeQuantizer {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        write(y, false, |i| self.of(i).fake_quantize(x[0].values[i] * x[0].scale) / out_scale);
    }

    /// Straight through, where x rounds to a code without being clipped.
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        write(dx, accumulate, |i| {
            let quantizer = self.of(i);
            let (low, high) = quantizer.centred_limits();
            let t = x[0].values[i] * x[0].scale / quantizer.scale();
            if low - 0.5 < t && t < high + 0.5 { dy[i] } else { 0.0 }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
