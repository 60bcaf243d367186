//! Recurrent layers: a kernel for each direction, and where their results go.

use quantrain_graph::op::{Cell, Direction, Recurrent, Results};
use quantrain_kernels::recurrent::{self as kernels, Carry, OfSteps, Parameters, Recurrence};

use crate::activation::function;
use crate::{Site, Unsupported};

/// The directions of a layer, one after the other.
pub struct Layer {
    directions: Vec<Recurrence>,
    results: Results,
}

/// The inputs of a layer, in ONNX's order of axes and in real units.
#[derive(Clone, Copy, Default)]
pub struct Inputs<'x> {
    /// `[T, N, I]`
    pub x: &'x [f32],
    /// W, R, B and P.
    pub parameters: [Option<&'x [f32]>; 4],
    /// H and C at the start.
    pub start: [Option<&'x [f32]>; 2],
}

impl Layer {
    /// Of a node.
    ///
    /// # Errors
    /// Its input has other axes.
    pub fn new(op: &Recurrent, site: &Site) -> Result<Self, Unsupported> {
        let x = site.input(0);
        let [steps, samples, inputs] = x[..] else { return Err(site.unsupported("its input must be [steps, samples, values]")) };
        // Beyond the last step there is nothing more.
        let lengths = op.lengths.as_ref().map(|lengths| lengths.iter().map(|&n| n.min(steps)).collect::<Vec<_>>());
        let cell = match op.cell {
            Cell::Lstm => kernels::Cell::Lstm,
            Cell::Gru { linear_before_reset } => kernels::Cell::Gru { linear_before_reset },
            Cell::Plain => kernels::Cell::Plain,
        };
        let each = op.functions.chunks(op.cell.functions()).enumerate();
        let directions = each.map(|(d, functions)| Recurrence {
            cell,
            functions: functions.iter().map(function).collect(),
            reverse: op.direction == Direction::Reverse || d == 1,
            steps,
            samples,
            inputs,
            hidden: op.hidden,
            lengths: lengths.clone(),
        });
        Ok(Layer { directions: directions.collect(), results: op.results })
    }

    /// Values that forward leaves for backward.
    pub fn state_len(&self) -> usize {
        self.directions.iter().map(Recurrence::state_len).fold(0, usize::saturating_add)
    }

    /// Each direction with its number, its parameters and its part of the state.
    fn each<'s>(
        &'s self,
        inputs: &'s Inputs,
        state: &'s mut [f32],
    ) -> impl Iterator<Item = (usize, &'s Recurrence, Parameters<'s>, &'s mut [f32])> {
        let len = state.len() / self.directions.len().max(1);
        self.directions.iter().zip(state.chunks_exact_mut(len.max(1))).enumerate().map(|(d, (direction, state))| {
            let [input, recurrent, bias, peepholes] = inputs.parameters.map(|p| p.map(|p| self.part(p, d)));
            let parameters = Parameters { input: input.unwrap_or(&[]), recurrent: recurrent.unwrap_or(&[]), bias, peepholes };
            (d, direction, parameters, state)
        })
    }

    /// What belongs to a direction of a tensor whose first axis is that.
    fn part<'p>(&self, of: &'p [f32], direction: usize) -> &'p [f32] {
        let len = of.len() / self.directions.len();
        &of[direction * len..(direction + 1) * len]
    }

    /// Values of a state of all directions, `[D, N, H]`, which a step of the output has too.
    fn row(&self) -> usize {
        self.directions.iter().map(|d| d.samples * d.hidden).sum()
    }

    /// Where the states begin in the output: H, and C.
    fn states(&self) -> (Option<usize>, Option<usize>) {
        let steps = self.directions.first().map_or(0, |d| d.steps);
        let first = if self.results.sequence { steps * self.row() } else { 0 };
        let hidden = self.results.hidden.then_some(first);
        (hidden, self.results.cell.then_some(first + if self.results.hidden { self.row() } else { 0 }))
    }

    /// Writes the output in ONNX's order of axes, and leaves the state.
    pub fn forward(&self, inputs: &Inputs, state: &mut [f32], y: &mut [f32]) {
        let (row, (hidden, cell)) = (self.row(), self.states());
        for (d, direction, parameters, state) in self.each(inputs, state) {
            let [start_h, start_c] = inputs.start.map(|start| start.map(|s| self.part(s, d)));
            direction.forward(inputs.x, &parameters, Carry { hidden: start_h, cell: start_c }, state);
            let slot = direction.samples * direction.hidden;
            if self.results.sequence {
                direction.write_steps(state, |step, sample, h| {
                    y[step * row + d * slot + sample * direction.hidden..][..h.len()].copy_from_slice(h);
                });
            }
            let (last_h, last_c) = direction.last(state);
            for (first, values) in [(hidden, last_h), (cell, last_c)] {
                if let Some(first) = first {
                    y[first + d * slot..][..values.len()].copy_from_slice(values);
                }
            }
        }
    }

    /// Runs back through the steps: makes gradients of the state. Of the other inputs only the parameters are read.
    pub fn backward(&self, inputs: &Inputs, dy: &[f32], state: &mut [f32]) {
        let (row, (hidden, cell)) = (self.row(), self.states());
        for (d, direction, parameters, state) in self.each(inputs, state) {
            let slot = direction.samples * direction.hidden;
            let of_steps = self.results.sequence.then_some(OfSteps { values: dy, first: d * slot, apart: row });
            let [hidden, cell] = [hidden, cell].map(|first| first.map(|first| &dy[first + d * slot..][..slot]));
            direction.backward(&parameters, of_steps, Carry { hidden, cell }, state);
        }
    }

    /// The gradient of x, behind [`Layer::backward`]; overwrites, or adds.
    pub fn input_gradient(&self, inputs: &Inputs, state: &mut [f32], dx: &mut [f32], accumulate: bool) {
        for (d, direction, parameters, state) in self.each(inputs, state) {
            direction.input_gradient(&parameters, state, dx, accumulate || d > 0);
        }
    }

    /// The gradient of W, R, B or P, by their number from 0; overwrites it.
    pub fn parameter_gradient(&self, which: usize, inputs: &Inputs, state: &mut [f32], gradient: &mut [f32]) {
        let len = gradient.len() / self.directions.len().max(1);
        for ((_, direction, _, state), gradient) in self.each(inputs, state).zip(gradient.chunks_exact_mut(len.max(1))) {
            match which {
                0 => direction.weight_gradient(inputs.x, state, gradient),
                1 => direction.recurrent_gradient(state, gradient),
                2 => direction.bias_gradient(state, gradient),
                _ => direction.peephole_gradient(state, gradient),
            }
        }
    }

    /// The gradient of H, or of C, at the start; overwrites, or adds.
    pub fn start_gradient(&self, of_cell: bool, inputs: &Inputs, state: &mut [f32], gradient: &mut [f32], accumulate: bool) {
        let len = gradient.len() / self.directions.len().max(1);
        for ((_, direction, _, state), gradient) in self.each(inputs, state).zip(gradient.chunks_exact_mut(len.max(1))) {
            let (hidden, cell) = direction.start_gradient(state);
            let found = if of_cell { cell } else { hidden };
            gradient.iter_mut().zip(found).for_each(|(to, v)| *to = if accumulate { *to + v } else { *v });
        }
    }
}
