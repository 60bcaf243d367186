//! Fake-quantization with given numbers, as a QDQ file holds it.

use quantrain_lowering::quantize::FakeQuantizer;

use super::steps::{Scaled, Steps};

impl Steps for FakeQuantizer {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let values = y.iter_mut().zip(&x[0].values).enumerate();
        values.for_each(|(i, (y, v))| *y = self.of(i).fake_quantize(v * x[0].scale) / out_scale);
    }
}
