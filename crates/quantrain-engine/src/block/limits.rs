//! Limits of weights that are learned instead of taken from the weights.

/// The largest magnitudes that the folded weights of a block are quantized for: one, or one for each channel.
///
/// Weights are learned as masters w and quantized as `w̃ = w·f`. When BatchNorm's factors f change, limits go with them, as the extent of w̃
/// would: what is learned is the share of it that is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limits {
    pub values: Vec<f32>,
    /// What a unit of a master is in w̃ where the values hold, `|f|` or the root mean square of all; empty before the first factors.
    units: Vec<f32>,
    /// `∂L/∂s` of each step size, by the last backward.
    step_gradients: Vec<f64>,
}

impl Limits {
    /// In the units of the next factors.
    pub fn new(values: Vec<f32>) -> Self {
        Limits { step_gradients: vec![0.0; values.len()], values, units: Vec::new() }
    }

    /// Goes with the factors of a step.
    pub fn follow(&mut self, factors: &[f32]) {
        let known = !self.units.is_empty();
        self.units.resize(self.values.len(), 1.0);
        let shared = self.values.len() == 1;
        for (g, (value, before)) in self.values.iter_mut().zip(&mut self.units).enumerate() {
            let now = unit(if shared { factors } else { &factors[g..=g] });
            // Where nothing changed, not a bit does.
            if known && now != *before {
                *value *= now / *before;
            }
            *before = now;
        }
    }

    /// Takes up the gradients of the channels' steps.
    pub fn set_gradients(&mut self, of_channels: &[f64]) {
        match &mut self.step_gradients[..] {
            [all] => *all = of_channels.iter().sum(),
            each => each.copy_from_slice(of_channels),
        }
    }

    /// The derivative by each step size.
    pub fn step_gradients(&mut self) -> &mut [f64] {
        &mut self.step_gradients
    }

    /// Values, units and gradients.
    pub fn parts(&mut self) -> (&mut [f32], &[f32], &[f64]) {
        (&mut self.values, &self.units, &self.step_gradients)
    }
}

/// The root mean square of factors; 1 where they are 0.
fn unit(factors: &[f32]) -> f32 {
    let mean = factors.iter().map(|f| f * f).sum::<f32>() / factors.len() as f32;
    if mean > 0.0 && mean.is_finite() { mean.sqrt() } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_with_the_factors_and_stay_where_those_do() {
        let mut limits = Limits::new(vec![0.3, 0.7]);
        limits.follow(&[0.1, -0.2]);
        assert_eq!(limits.values, [0.3, 0.7], "they are in the units of the first factors");
        limits.follow(&[0.1, 0.4]);
        assert_eq!(limits.values, [0.3, 1.4]);
        // A channel that is switched off for a step comes back.
        limits.follow(&[0.0, 0.4]);
        limits.follow(&[0.1, 0.4]);
        assert!((limits.values[0] - 0.3).abs() < 1e-6);
        let mut one = Limits::new(vec![1.0]);
        one.follow(&[3.0, 4.0]);
        one.follow(&[6.0, 8.0]);
        assert!((one.values[0] - 2.0).abs() < 1e-6);
    }
}
