//! Gradient descent with momentum.

use super::Step;

/// `v ← μ·v + g`, `x ← x − rate·v`; with Nesterov's momentum `x ← x − rate·(g + μ·v)` (Sutskever et al. 2013, in PyTorch's form: the rate is
/// not part of v). `g` is the clipped gradient plus decay · x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// μ, 0 to below 1.
    pub momentum: f32,
    /// Nesterov's form.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { momentum: 0.9, nesterov: false }
    }
}

impl Sgd {
    pub(super) fn update(&self, step: Step, value: &mut [f32], gradient: &[f32], momentum: &mut [f32]) {
        // x ← x − rate·(a·g + b·v)
        let (a, b) = if self.nesterov { (1.0, self.momentum) } else { (0.0, 1.0) };
        for ((x, &g), v) in value.iter_mut().zip(gradient).zip(momentum) {
            let g = step.clip * g + step.decay * *x;
            *v = self.momentum * *v + g;
            *x -= step.rate * (a * g + b * *v);
        }
    }
}
