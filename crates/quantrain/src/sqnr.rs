//! Signal-to-quantization-noise ratio: the power of float outputs beside that of their difference from quantized ones.

/// What equal outputs count, in dB: more than f32 can tell apart.
pub const EQUAL: f64 = 200.0;

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
        // Not `> 0`: NaN is no equality.
        (self.noise != 0.0).then(|| 10.0 * (self.signal.max(f64::MIN_POSITIVE) / self.noise).log10())
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

    /// That of all outputs together, see [`of_all`].
    pub fn decibels(&self) -> f64 {
        of_all(self.0.iter().map(Noise::decibels))
    }
}

/// The ratio of several outputs, in dB: that of their mean relative noise, `None` standing for equal outputs. Not the mean of decibels, in
/// which outputs that a change does not reach would hide what it does to another.
pub(crate) fn of_all(decibels: impl ExactSizeIterator<Item = Option<f64>>) -> f64 {
    let count = decibels.len().max(1);
    let noise = decibels.flatten().map(|d| 10f64.powf(-d / 10.0)).sum::<f64>() / count as f64;
    let all = -10.0 * noise.log10();
    // Not `min`: it would hide NaN.
    if all > EQUAL { EQUAL } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_every_output_counts() {
        let of = |outputs: &[[f32; 2]]| {
            let mut noise = OutputNoise::default();
            noise.add(&vec![vec![10.0, 0.0]; outputs.len()], &outputs.iter().map(|y| y.to_vec()).collect::<Vec<_>>());
            noise.decibels()
        };
        let (ruined, equal) = ([9.0, 0.0], [10.0, 0.0]);
        assert_eq!(of(&[equal]), EQUAL);
        assert!((of(&[ruined]) - 20.0).abs() < 1e-9);
        assert!((of(&[ruined, ruined]) - 20.0).abs() < 1e-9);
        assert!((of(&[equal, ruined, equal, equal]) - 26.02).abs() < 0.01, "a quarter of the noise");
        assert!(of(&[[f32::NAN, 0.0], equal]).is_nan());
    }
}
