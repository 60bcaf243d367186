//! Recurrent layers, one direction at a time: LSTM, GRU and the plain cell, forward and backward through time.
//!
//! All tensors of a direction are `[steps, samples, hidden]`; gates are in ONNX's order, a matrix each. What forward leaves behind is one
//! buffer, the *state*: of each gate the value before and after its function, what the cell carries, and the hidden values of all steps. The
//! backward puts the gradients of the gates in the place of their values, and the gradients of the parameters are products of those.
//!
//! A sample whose sequence is shorter keeps its hidden value in the steps beyond, and its outputs there are 0.

mod gru;
mod lstm;
mod plain;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::activation::{self, Activation};
use crate::matmul::matmul;

/// The formula of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Gates i, o, f, c: `C = f∘C' + i∘c`, `H = o∘h(C)`.
    Lstm,
    /// Gates z, r, h: `H = (1 − z)∘h + z∘H'`.
    Gru {
        /// The reset gate multiplies the product with the recurrent weights, else what goes into it.
        linear_before_reset: bool,
    },
    /// One gate: `H = f(W·x + R·H' + b)`.
    Plain,
}

impl Cell {
    /// Number of gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
            Cell::Plain => 1,
        }
    }

    /// Number of functions.
    pub fn functions(self) -> usize {
        match self {
            Cell::Lstm => 3,
            Cell::Gru { .. } => 2,
            Cell::Plain => 1,
        }
    }
}

/// One direction of a recurrent layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrence {
    /// The formula of a step.
    pub cell: Cell,
    /// ONNX's f, g and h, as many as the cell has.
    pub functions: Vec<Activation>,
    /// Runs from the last step to the first.
    pub reverse: bool,
    /// Steps of the longest sequence.
    pub steps: usize,
    /// Sequences.
    pub samples: usize,
    /// Values that a step reads.
    pub inputs: usize,
    /// Values that a step gives.
    pub hidden: usize,
    /// Steps of each sample, where they are fewer.
    pub lengths: Option<Vec<usize>>,
}

/// The parameters of a direction.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'p> {
    /// W: `[gates, hidden, inputs]`.
    pub input: &'p [f32],
    /// R: `[gates, hidden, hidden]`.
    pub recurrent: &'p [f32],
    /// B: `[2, gates, hidden]`, those beside W first.
    pub bias: Option<&'p [f32]>,
    /// P: `[3, hidden]` of the gates i, o, f.
    pub peepholes: Option<&'p [f32]>,
}

/// What goes on from one step to the next, `[samples, hidden]` each, where it is not 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carry<'c> {
    /// H.
    pub hidden: Option<&'c [f32]>,
    /// C of a LSTM.
    pub cell: Option<&'c [f32]>,
}

/// The gradient of H of every step: `[samples, hidden]` at `first + step·apart`.
#[derive(Clone, Copy, Debug)]
pub struct OfSteps<'d> {
    /// Where they lie.
    pub values: &'d [f32],
    /// Where that of step 0 begins.
    pub first: usize,
    /// From one step to the next.
    pub apart: usize,
}

/// The state, taken apart. A *slot* of hidden values and cells is `[samples, hidden]`: one more than steps, as the start has one too.
struct Parts<'s> {
    /// Of each gate, before its function.
    before: &'s mut [f32],
    /// Of each gate, its value; after the backward the gradient of what is before.
    gates: &'s mut [f32],
    /// LSTM: `h(C)`; GRU: `R·H' + b` of gate h, or `r∘H'`.
    carried: &'s mut [f32],
    hidden: &'s mut [f32],
    cells: &'s mut [f32],
    /// The gradients of H and C on their way back; at the end, of the start.
    back: [&'s mut [f32]; 2],
}

/// A step: the index, and the slots before and behind it.
#[derive(Clone, Copy)]
struct Step {
    at: usize,
    from: usize,
    to: usize,
}

impl Recurrence {
    /// Values that forward leaves behind.
    pub fn state_len(&self) -> usize {
        let sizes = self.sizes();
        sizes.iter().fold(0, |sum, n| n.saturating_add(sum))
    }

    fn sizes(&self) -> [usize; 7] {
        let slot = self.samples.saturating_mul(self.hidden);
        let (all, slots) = (slot.saturating_mul(self.steps), slot.saturating_mul(self.steps.saturating_add(1)));
        let gates = all.saturating_mul(self.cell.gates());
        let (carried, cells) = match self.cell {
            Cell::Lstm => (all, slots),
            Cell::Gru { .. } => (all, 0),
            Cell::Plain => (0, 0),
        };
        [gates, gates, carried, slots, cells, slot, if cells > 0 { slot } else { 0 }]
    }

    fn parts<'s>(&self, mut state: &'s mut [f32]) -> Parts<'s> {
        let [before, gates, carried, hidden, cells, back_h, back_c] = self.sizes().map(|len| {
            let (part, rest) = std::mem::take(&mut state).split_at_mut(len);
            state = rest;
            part
        });
        Parts { before, gates, carried, hidden, cells, back: [back_h, back_c] }
    }

    /// Values of a step: `samples · hidden`.
    fn slot(&self) -> usize {
        self.samples * self.hidden
    }

    /// Where gate `gate` is at step `at`.
    fn of_gate(&self, gate: usize, at: usize) -> Range<usize> {
        let first = (gate * self.steps + at) * self.slot();
        first..first + self.slot()
    }

    /// Where step, or slot, `at` is.
    fn of_step(&self, at: usize) -> Range<usize> {
        at * self.slot()..(at + 1) * self.slot()
    }

    /// The parameters of gate `gate` among matrices of `columns`.
    fn matrix<'p>(&self, of: &'p [f32], gate: usize, columns: usize) -> &'p [f32] {
        let size = self.hidden * columns;
        &of[gate * size..(gate + 1) * size]
    }

    fn step(&self, turn: usize) -> Step {
        let at = if self.reverse { self.steps - 1 - turn } else { turn };
        if self.reverse { Step { at, from: at + 1, to: at } } else { Step { at, from: at, to: at + 1 } }
    }

    /// Whether sample `sample` is still in its sequence at step `at`.
    fn runs(&self, sample: usize, at: usize) -> bool {
        self.lengths.as_ref().is_none_or(|lengths| at < lengths[sample])
    }

    /// The slots that steps read, all of them.
    fn read_slots<'s>(&self, slots: &'s [f32]) -> &'s [f32] {
        let first = if self.reverse { self.slot() } else { 0 };
        &slots[first..first + self.steps * self.slot()]
    }

    fn check(&self, x: &[f32], p: &Parameters, state: &[f32]) {
        let gates = self.cell.gates() * self.hidden;
        assert_eq!(self.functions.len(), self.cell.functions(), "Recurrence: the functions of its cell");
        assert_eq!(x.len(), self.steps * self.samples * self.inputs, "Recurrence: inputs");
        assert!(p.input.len() == gates * self.inputs && p.recurrent.len() == gates * self.hidden, "Recurrence: weights");
        assert!(p.bias.is_none_or(|b| b.len() == 2 * gates), "Recurrence: biases");
        assert!(p.peepholes.is_none_or(|p| p.len() == 3 * self.hidden), "Recurrence: peepholes");
        assert!(self.lengths.as_ref().is_none_or(|n| n.len() == self.samples), "Recurrence: a length for each sample");
        assert_eq!(state.len(), self.state_len(), "Recurrence: state");
    }

    /// Runs all steps of `x` `[steps, samples, inputs]` from a start.
    pub fn forward(&self, x: &[f32], p: &Parameters, start: Carry, state: &mut [f32]) {
        self.check(x, p, state);
        let mut parts = self.parts(state);
        for gate in 0..self.cell.gates() {
            let before = &mut parts.before[self.of_gate(gate, 0).start..self.of_gate(gate + 1, 0).start];
            let weights = self.matrix(p.input, gate, self.inputs);
            matmul(self.steps * self.samples, self.hidden, self.inputs, x, false, weights, true, before, false);
            let Some(bias) = p.bias else { continue };
            let (beside_w, beside_r) = bias.split_at(bias.len() / 2);
            add_rows(self.matrix(beside_w, gate, 1), before);
            // The last gate's product with R may be multiplied by r first, its bias with it.
            if !(self.cell == Cell::Gru { linear_before_reset: true } && gate == 2) {
                add_rows(self.matrix(beside_r, gate, 1), before);
            }
        }
        let first = self.of_step(if self.reverse { self.steps } else { 0 });
        fill(&mut parts.hidden[first.clone()], start.hidden);
        if !parts.cells.is_empty() {
            fill(&mut parts.cells[first], start.cell);
        }
        for step in (0..self.steps).map(|turn| self.step(turn)) {
            match self.cell {
                Cell::Lstm => self.lstm(p, &mut parts, step),
                Cell::Gru { linear_before_reset } => self.gru(p, &mut parts, step, linear_before_reset),
                Cell::Plain => self.plain(p, &mut parts, step),
            }
            self.hold(&mut parts, step);
        }
    }

    /// Samples whose sequence is over keep what they had.
    fn hold(&self, parts: &mut Parts, step: Step) {
        for sample in (0..self.samples).filter(|&sample| !self.runs(sample, step.at)) {
            let row = |slot: usize| (slot * self.samples + sample) * self.hidden;
            for slots in [&mut *parts.hidden, &mut *parts.cells].into_iter().filter(|slots| !slots.is_empty()) {
                slots.copy_within(row(step.from)..row(step.from) + self.hidden, row(step.to));
            }
        }
    }

    /// Adds the product of `H'` with the recurrent weights of a gate to what is before its function.
    fn add_recurrent(&self, p: &Parameters, gate: usize, from: &[f32], before: &mut [f32]) {
        matmul(self.samples, self.hidden, self.hidden, from, false, self.matrix(p.recurrent, gate, self.hidden), true, before, true);
    }

    /// The way back of that: `dH' (+)= δ·R`.
    fn take_recurrent(&self, p: &Parameters, gate: usize, delta: &[f32], to: &mut [f32], accumulate: bool) {
        matmul(self.samples, self.hidden, self.hidden, delta, false, self.matrix(p.recurrent, gate, self.hidden), false, to, accumulate);
    }

    /// Writes H of every step, 0 where a sequence is over: `y(step, sample)` says where.
    pub fn write_steps(&self, state: &mut [f32], mut y: impl FnMut(usize, usize, &[f32])) {
        let hidden = &*self.parts(state).hidden;
        let zeros = vec![0.0; if self.lengths.is_some() { self.hidden } else { 0 }];
        for step in (0..self.steps).map(|turn| self.step(turn)) {
            for sample in 0..self.samples {
                let first = (step.to * self.samples + sample) * self.hidden;
                let values = if self.runs(sample, step.at) { &hidden[first..first + self.hidden] } else { &zeros };
                y(step.at, sample, values);
            }
        }
    }

    /// H and C behind the last step.
    pub fn last<'s>(&self, state: &'s mut [f32]) -> (&'s [f32], &'s [f32]) {
        let last = self.of_step(if self.reverse { 0 } else { self.steps });
        let Parts { hidden, cells, .. } = self.parts(state);
        (&hidden[last.clone()], if cells.is_empty() { cells } else { &cells[last] })
    }

    /// Runs back through the steps: puts the gradients of the gates, before their functions, in the place of the gates' values, and finds those of
    /// the start. `dy` is the gradient of H of each step, `end` that of H and C behind the last.
    pub fn backward(&self, p: &Parameters, dy: Option<OfSteps>, end: Carry, state: &mut [f32]) {
        let mut parts = self.parts(state);
        fill(parts.back[0], end.hidden);
        if !parts.cells.is_empty() {
            fill(parts.back[1], end.cell);
        }
        // Rows of two steps: kept ones, and gradients on their way.
        let slot = self.slot();
        let mut scratch = crate::Scratch::take(5 * slot);
        let (kept, working) = scratch.as_mut_slice()[..5 * slot].split_at_mut(2 * slot);
        for step in (0..self.steps).rev().map(|turn| self.step(turn)) {
            if self.lengths.is_some() {
                kept.chunks_exact_mut(slot).zip(&parts.back).filter(|(_, back)| !back.is_empty()).for_each(|(k, b)| k.copy_from_slice(b));
            }
            if let Some(dy) = dy {
                let first = dy.first + step.at * dy.apart;
                parts.back[0].iter_mut().zip(&dy.values[first..first + slot]).for_each(|(d, g)| *d += g);
            }
            match self.cell {
                Cell::Lstm => self.lstm_backward(p, &mut parts, step, working),
                Cell::Gru { linear_before_reset } => self.gru_backward(p, &mut parts, step, working, linear_before_reset),
                Cell::Plain => self.plain_backward(p, &mut parts, step, working),
            }
            for sample in (0..self.samples).filter(|&sample| !self.runs(sample, step.at)) {
                let row = sample * self.hidden..(sample + 1) * self.hidden;
                for (back, kept) in parts.back.iter_mut().zip(kept.chunks_exact(slot)).filter(|(back, _)| !back.is_empty()) {
                    back[row.clone()].copy_from_slice(&kept[row.clone()]);
                }
            }
        }
    }

    /// Gradients of samples whose sequence is over are 0.
    fn mask(&self, step: Step, deltas: &mut [f32]) {
        for sample in (0..self.samples).filter(|&sample| !self.runs(sample, step.at)) {
            deltas[sample * self.hidden..(sample + 1) * self.hidden].fill(0.0);
        }
    }

    /// `slope(before)·d` in the place of a gate's value.
    fn to_delta(&self, function: Activation, gate: usize, step: Step, d: &[f32], parts: &mut Parts) {
        let place = self.of_gate(gate, step.at);
        activation::backward(function, &parts.before[place.clone()], d, &mut parts.gates[place.clone()], false);
        self.mask(step, &mut parts.gates[place]);
    }

    /// The gradients of a gate at all steps.
    fn deltas<'s>(&self, gates: &'s [f32], gate: usize) -> &'s [f32] {
        &gates[self.of_gate(gate, 0).start..self.of_gate(gate + 1, 0).start]
    }

    /// `dx = Σ δ·W` over the gates, behind [`Recurrence::backward`]; overwrites `dx`, or adds to it.
    pub fn input_gradient(&self, p: &Parameters, state: &mut [f32], dx: &mut [f32], accumulate: bool) {
        let gates = &*self.parts(state).gates;
        for gate in 0..self.cell.gates() {
            let (delta, weights) = (self.deltas(gates, gate), self.matrix(p.input, gate, self.inputs));
            let accumulate = accumulate || gate > 0;
            matmul(self.steps * self.samples, self.inputs, self.hidden, delta, false, weights, false, dx, accumulate);
        }
    }

    /// `dW = δᵀ·x`; overwrites `dw`.
    pub fn weight_gradient(&self, x: &[f32], state: &mut [f32], dw: &mut [f32]) {
        let gates = &*self.parts(state).gates;
        for (gate, dw) in dw.chunks_exact_mut(self.hidden * self.inputs).enumerate() {
            matmul(self.hidden, self.inputs, self.steps * self.samples, self.deltas(gates, gate), true, x, false, dw, false);
        }
    }

    /// `dR = δᵀ·H'`, of a GRU's last gate by what it multiplies; overwrites `dr`.
    pub fn recurrent_gradient(&self, state: &mut [f32], dr: &mut [f32]) {
        let parts = self.parts(state);
        let from = self.read_slots(parts.hidden);
        for (gate, dr) in dr.chunks_exact_mut(self.hidden * self.hidden).enumerate() {
            let delta = self.deltas(parts.gates, gate);
            let (delta, from) = match (self.cell, gate) {
                (Cell::Gru { linear_before_reset: true }, 2) => (&*parts.carried, from),
                (Cell::Gru { linear_before_reset: false }, 2) => (delta, &*parts.carried),
                _ => (delta, from),
            };
            matmul(self.hidden, self.hidden, self.steps * self.samples, delta, true, from, false, dr, false);
        }
    }

    /// `db = Σ δ`, steps and samples in order; overwrites `db`.
    pub fn bias_gradient(&self, state: &mut [f32], db: &mut [f32]) {
        let parts = self.parts(state);
        let (beside_w, beside_r) = db.split_at_mut(db.len() / 2);
        for (beside, db) in [beside_w, beside_r].into_iter().enumerate() {
            for (gate, db) in db.chunks_exact_mut(self.hidden).enumerate() {
                let carried = beside == 1 && gate == 2 && self.cell == Cell::Gru { linear_before_reset: true };
                sum_rows(if carried { parts.carried } else { self.deltas(parts.gates, gate) }, db);
            }
        }
    }

    /// `dP = Σ δ∘C'`, of gate o `Σ δ∘C`; overwrites `dp`.
    pub fn peephole_gradient(&self, state: &mut [f32], dp: &mut [f32]) {
        let parts = self.parts(state);
        let behind = if self.reverse { 0 } else { self.slot() };
        for (gate, dp) in dp.chunks_exact_mut(self.hidden).enumerate() {
            let cells = if gate == lstm::O { &parts.cells[behind..] } else { self.read_slots(parts.cells) };
            dp.fill(0.0);
            for (i, (delta, cell)) in self.deltas(parts.gates, gate).iter().zip(cells).enumerate() {
                dp[i % self.hidden] += delta * cell;
            }
        }
    }

    /// The gradients of H and C at the start, behind [`Recurrence::backward`].
    pub fn start_gradient<'s>(&self, state: &'s mut [f32]) -> (&'s [f32], &'s [f32]) {
        let [hidden, cell] = self.parts(state).back;
        (hidden, cell)
    }
}

/// A slot that is read and one that is written.
fn between(slots: &mut [f32], step: Step, slot: usize) -> (&[f32], &mut [f32]) {
    let (low, high) = slots.split_at_mut(step.from.max(step.to) * slot);
    if step.from < step.to { (&low[step.from * slot..], &mut high[..slot]) } else { (&high[..slot], &mut low[step.to * slot..]) }
}

fn fill(to: &mut [f32], values: Option<&[f32]>) {
    match values {
        Some(values) => to.copy_from_slice(values),
        None => to.fill(0.0),
    }
}

/// Adds a row to every row.
fn add_rows(row: &[f32], rows: &mut [f32]) {
    for to in rows.chunks_exact_mut(row.len()) {
        to.iter_mut().zip(row).for_each(|(to, v)| *to += v);
    }
}

fn sum_rows(rows: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
    }
}
