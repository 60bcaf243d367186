//! Adam.

use super::Step;

/// `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`, `x ← x − rate · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)` at step t (Kingma and Ba 2015,
/// algorithm 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// β₁, 0 to below 1.
    pub beta1: f32,
    /// β₂, 0 to below 1.
    pub beta2: f32,
    /// ε, greater than 0.
    pub epsilon: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Adam {
    pub(super) fn update(&self, step: Step, value: &mut [f32], gradient: &[f32], mean: &mut [f32], variance: &mut [f32]) {
        // In f64 once a step: 1 − 0.999 loses half its digits in f32.
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(step.number as f64);
        let rate = (f64::from(step.rate) / correction(self.beta1)) as f32;
        let root = (1.0 / correction(self.beta2)).sqrt() as f32;
        let (rest1, rest2) = (1.0 - self.beta1, 1.0 - self.beta2);
        for (((x, &g), m), v) in value.iter_mut().zip(gradient).zip(mean).zip(variance) {
            let g = step.clip * g + step.decay * *x;
            *m = self.beta1 * *m + rest1 * g;
            *v = self.beta2 * *v + rest2 * g * g;
            *x -= rate * *m / (v.sqrt() * root + self.epsilon);
        }
    }
}
