//! A step of the plain cell, and the way back.

use super::{Parameters, Parts, Recurrence, Step, between};
use crate::activation;

impl Recurrence {
    pub(super) fn plain(&self, p: &Parameters, parts: &mut Parts, step: Step) {
        let place = self.of_gate(0, step.at);
        let (last, hidden) = between(parts.hidden, step, self.slot());
        let before = &mut parts.before[place.clone()];
        self.add_recurrent(p, 0, last, before);
        activation::forward(self.functions[0], before, hidden);
        parts.gates[place].copy_from_slice(hidden);
    }

    /// `δ = f'·dH`, `dH' = δ·R`
    pub(super) fn plain_backward(&self, p: &Parameters, parts: &mut Parts, step: Step, working: &mut [f32]) {
        let d = &mut working[..self.slot()];
        d.copy_from_slice(parts.back[0]);
        self.to_delta(self.functions[0], 0, step, d, parts);
        self.take_recurrent(p, 0, &parts.gates[self.of_gate(0, step.at)], parts.back[0], false);
    }
}
