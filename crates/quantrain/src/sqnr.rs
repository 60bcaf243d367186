//! Signal-to-quantization-noise ratio: the power of float outputs beside that of their difference from quantized ones.

/// What equal outputs count in a mean of decibels: more than f32 can tell apart.
const EQUAL: f64 = 200.0;

/// `10·log₁₀(Σt² / Σ(t − y)²)` of an output y and the float network's t, over all values taken up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    /// Takes up float values and the quantized ones.
    pub fn add(&mut self, float: &[f32], quantized: &[f32]) {
        for (&t, &y) in float.iter().zip(quantized) {
            let (t, y) = (f64::from(t), f64::from(y));
            self.signal += t * t;
            self.noise += (t - y) * (t - y);
        }
    }

    /// The ratio in dB; `None` where there is no difference.
    pub fn decibels(&self) -> Option<f64> {
        (self.noise > 0.0).then(|| 10.0 * (self.signal.max(f64::MIN_POSITIVE) / self.noise).log10())
    }
}

/// The ratios of all outputs of a network.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputNoise(Vec<Noise>);

impl OutputNoise {
    /// Takes up a batch of float outputs and of quantized ones.
    pub fn add(&mut self, float: &[Vec<f32>], quantized: &[Vec<f32>]) {
        self.0.resize_with(float.len(), Noise::default);
        self.0.iter_mut().zip(float).zip(quantized).for_each(|((noise, t), y)| noise.add(t, y));
    }

    /// The mean over the outputs, in dB.
    pub fn mean(&self) -> f64 {
        mean(self.0.iter().map(Noise::decibels))
    }
}

/// The mean of ratios in dB, `None` standing for equal outputs.
pub(crate) fn mean(decibels: impl ExactSizeIterator<Item = Option<f64>>) -> f64 {
    let count = decibels.len().max(1);
    decibels.map(|d| d.unwrap_or(EQUAL)).sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_counts() {
        let mut noise = OutputNoise::default();
        noise.add(&[vec![10.0, 0.0], vec![10.0]], &[vec![9.0, 0.0], vec![10.0]]);
        assert_eq!(noise.mean(), f64::midpoint(20.0, EQUAL));
        noise.add(&[vec![0.0], vec![0.0]], &[vec![0.0], vec![1.0]]);
        assert_eq!(noise.mean(), 20.0);
    }
}
