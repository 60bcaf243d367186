//! A step of a GRU, and the way back.
//!
//! `z = f(W·x + R·H' + b)`, r alike, `h = g(W·x + R·(r∘H') + b)`, or `h = g(W·x + r∘(R·H' + b) + b)`; `H = (1 − z)∘h + z∘H'`.

use super::{Parameters, Parts, Recurrence, Step, add_rows, between};
use crate::activation;

const Z: usize = 0;
const R: usize = 1;
const H: usize = 2;

impl Recurrence {
    pub(super) fn gru(&self, p: &Parameters, parts: &mut Parts, step: Step, linear_before_reset: bool) {
        let Parts { before, gates, carried, hidden, .. } = parts;
        let [z, r, h] = [Z, R, H].map(|gate| self.of_gate(gate, step.at));
        let (last, hidden) = between(hidden, step, self.slot());
        for (gate, place) in [(Z, &z), (R, &r)] {
            self.add_recurrent(p, gate, last, &mut before[place.clone()]);
            activation::forward(self.functions[0], &before[place.clone()], &mut gates[place.clone()]);
        }
        let carried = &mut carried[self.of_step(step.at)];
        if linear_before_reset {
            carried.fill(0.0);
            self.add_recurrent(p, H, last, carried);
            if let Some(bias) = p.bias {
                add_rows(self.matrix(&bias[bias.len() / 2..], H, 1), carried);
            }
            before[h.clone()].iter_mut().zip(gates[r].iter().zip(&*carried)).for_each(|(b, (r, q))| *b += r * q);
        } else {
            carried.iter_mut().zip(gates[r].iter().zip(last)).for_each(|(c, (r, last))| *c = r * last);
            self.add_recurrent(p, H, carried, &mut before[h.clone()]);
        }
        activation::forward(self.functions[1], &before[h.clone()], &mut gates[h.clone()]);
        for (k, (hidden, last)) in hidden.iter_mut().zip(last).enumerate() {
            let z = gates[z.start + k];
            *hidden = (1.0 - z) * gates[h.start + k] + z * last;
        }
    }

    /// `dz = dH∘(H' − h)`, `dh = dH∘(1 − z)`, each through its gate's function; `dr = δh∘(R·H' + b)`, or `dr = (δh·R)∘H'`;
    /// `dH' = dH∘z + δz·R + δr·R + (δh∘r)·R`, or with `(δh·R)∘r` at the end.
    pub(super) fn gru_backward(&self, p: &Parameters, parts: &mut Parts, step: Step, working: &mut [f32], linear_before_reset: bool) {
        let slot = self.slot();
        let (of_z, rest) = working.split_at_mut(slot);
        let (d, through) = rest.split_at_mut(slot);
        let [z, r, h] = [Z, R, H].map(|gate| self.of_gate(gate, step.at));
        let (at, from) = (self.of_step(step.at), self.of_step(step.from));
        for (k, back) in parts.back[0].iter_mut().enumerate() {
            let (z, h, last) = (parts.gates[z.start + k], parts.gates[h.start + k], parts.hidden[from.start + k]);
            (of_z[k], d[k], *back) = (*back * (last - h), *back * (1.0 - z), *back * z);
        }
        self.to_delta(self.functions[1], H, step, d, parts);
        let (delta, r) = (&parts.gates[h], &parts.gates[r]);
        if linear_before_reset {
            for (k, carried) in parts.carried[at.clone()].iter_mut().enumerate() {
                (d[k], *carried) = (delta[k] * *carried, delta[k] * r[k]);
            }
            self.take_recurrent(p, H, &parts.carried[at], parts.back[0], true);
        } else {
            self.take_recurrent(p, H, delta, through, false);
            for (k, back) in parts.back[0].iter_mut().enumerate() {
                d[k] = through[k] * parts.hidden[from.start + k];
                *back += through[k] * r[k];
            }
        }
        for (gate, d) in [(Z, &*of_z), (R, &*d)] {
            self.to_delta(self.functions[0], gate, step, d, parts);
            self.take_recurrent(p, gate, &parts.gates[self.of_gate(gate, step.at)], parts.back[0], true);
        }
    }
}
