//! A step of a LSTM, and the way back.
//!
//! `i = f(W·x + R·H' + P∘C' + b)`, f alike, `c = g(…)` without P, `C = f∘C' + i∘c`, `o = f(… + P∘C + b)`, `H = o∘h(C)`.

use super::{Parameters, Parts, Recurrence, Step, between};
use crate::activation;

const I: usize = 0;
pub(super) const O: usize = 1;
const F: usize = 2;
const C: usize = 3;

impl Recurrence {
    pub(super) fn lstm(&self, p: &Parameters, parts: &mut Parts, step: Step) {
        let Parts { before, gates, carried, hidden, cells, .. } = parts;
        let [i, o, f, c] = [I, O, F, C].map(|gate| self.of_gate(gate, step.at));
        let (last_cell, cell) = between(cells, step, self.slot());
        let (last_hidden, hidden) = between(hidden, step, self.slot());
        let mut places = (&mut **before, &mut **gates);
        self.gate(p, I, step, last_hidden, Some(last_cell), &mut places);
        self.gate(p, F, step, last_hidden, Some(last_cell), &mut places);
        self.gate(p, C, step, last_hidden, None, &mut places);
        let gates = &places.1;
        for (k, (cell, last)) in cell.iter_mut().zip(last_cell).enumerate() {
            *cell = gates[f.start + k] * last + gates[i.start + k] * gates[c.start + k];
        }
        self.gate(p, O, step, last_hidden, Some(cell), &mut places);
        let carried = &mut carried[self.of_step(step.at)];
        activation::forward(self.functions[2], cell, carried);
        hidden.iter_mut().zip(places.1[o].iter().zip(carried)).for_each(|(h, (o, c))| *h = o * *c);
    }

    /// The value of a gate, from what is before its function, and that of all gates: `(before, gates)`.
    fn gate(&self, p: &Parameters, gate: usize, step: Step, hidden: &[f32], cell: Option<&[f32]>, places: &mut (&mut [f32], &mut [f32])) {
        let place = self.of_gate(gate, step.at);
        let before = &mut places.0[place.clone()];
        self.add_recurrent(p, gate, hidden, before);
        if let Some((peepholes, cell)) = p.peepholes.zip(cell) {
            add_products(self.matrix(peepholes, gate, 1), cell, before);
        }
        activation::forward(self.functions[usize::from(gate == C)], before, &mut places.1[place]);
    }

    /// `do = dH∘h(C)`, `dC += dH∘o∘h'(C)`, `di = dC∘c`, `dc = dC∘i`, `df = dC∘C'`, `dC' = dC∘f`, each through its gate's function; with
    /// peepholes `dC += δo∘P` and `dC' += δi∘P + δf∘P`; `dH' = Σ δ·R`.
    pub(super) fn lstm_backward(&self, p: &Parameters, parts: &mut Parts, step: Step, working: &mut [f32]) {
        let slot = self.slot();
        let (d, rest) = working.split_at_mut(slot);
        let (of_c, of_f) = rest.split_at_mut(slot);
        let [i, o, f, c] = [I, O, F, C].map(|gate| self.of_gate(gate, step.at));
        let at = self.of_step(step.at);
        let [gate, candidate, squash] = [0, 1, 2].map(|k| self.functions[k]);

        products(parts.back[0], &parts.gates[o], d);
        activation::backward(squash, &parts.cells[self.of_step(step.to)], d, parts.back[1], true);
        products(parts.back[0], &parts.carried[at], d);
        self.to_delta(gate, O, step, d, parts);
        self.add_peephole(p, O, step, parts);

        let back = &mut *parts.back[1];
        products(back, &parts.gates[c], d);
        products(back, &parts.gates[i], of_c);
        products(back, &parts.cells[self.of_step(step.from)], of_f);
        back.iter_mut().zip(&parts.gates[f]).for_each(|(d, f)| *d *= f);
        for (function, gate, d) in [(gate, I, &*d), (candidate, C, of_c), (gate, F, of_f)] {
            self.to_delta(function, gate, step, d, parts);
        }
        self.add_peephole(p, I, step, parts);
        self.add_peephole(p, F, step, parts);
        for gate in [I, O, F, C] {
            self.take_recurrent(p, gate, &parts.gates[self.of_gate(gate, step.at)], parts.back[0], gate > 0);
        }
    }

    /// `dC += δ∘P`
    fn add_peephole(&self, p: &Parameters, gate: usize, step: Step, parts: &mut Parts) {
        if let Some(peepholes) = p.peepholes {
            add_products(self.matrix(peepholes, gate, 1), &parts.gates[self.of_gate(gate, step.at)], parts.back[1]);
        }
    }
}

/// `y = a∘b`
fn products(a: &[f32], b: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = a * b);
}

/// Adds the product of a row with every row.
fn add_products(row: &[f32], rows: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(rows.iter().zip(row.iter().cycle())).for_each(|(to, (v, w))| *to += v * w);
}
