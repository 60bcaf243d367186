//! Recurrent layers: a pass through all steps, and one back.

use quantrain_graph::op::Recurrent;
use quantrain_lowering::Site;
use quantrain_lowering::recurrent::{Inputs, Layer};

use super::{Kernel, Replays, Scaled, with_real};
use crate::EngineError;
use crate::layout::InOnnxOrder;

pub(super) struct Steps {
    layer: Layer,
    output: InOnnxOrder,
    /// H and C at the start: a constant, an input, or 0.
    start: [Start; 2],
    /// Of W, R, B and P, which are there.
    parameters: [bool; 4],
    /// Inputs that are no parameters: x, and what is computed of the start.
    computed: usize,
}

enum Start {
    Zero,
    Constant(Vec<f32>),
    Input(usize),
}

pub(super) fn build(op: &Recurrent, site: &Site) -> Result<Steps, EngineError> {
    if site.constant(0).is_some() {
        return Err(site.unsupported("its input must be computed; fold it").into());
    }
    let mut computed = 1;
    let mut start = |place: Option<usize>| match place.map(|at| site.constant(at)) {
        None => Start::Zero,
        Some(Some(values)) => Start::Constant(values.to_vec()),
        Some(None) => {
            computed += 1;
            Start::Input(computed - 1)
        }
    };
    let places = op.places();
    let start = [start(places.hidden), start(places.cell)];
    Ok(Steps {
        layer: Layer::new(op, site)?,
        output: InOnnxOrder::new(&site.output()),
        start,
        parameters: [true, true, op.optional.bias, op.optional.peepholes],
        computed,
    })
}

impl Steps {
    /// Calls `f` with all inputs in real units; only the first and the start may be codes.
    fn inputs<R>(&self, x: &[Scaled], f: impl FnOnce(&Inputs) -> R) -> R {
        let mut own = x[self.computed..].iter().map(|p| p.values);
        let parameters = self.parameters.map(|is_there| is_there.then(|| own.next()).flatten());
        let input = |k: usize| match &self.start[k] {
            Start::Zero => Scaled { values: &[], scale: 1.0 },
            Start::Constant(values) => Scaled { values, scale: 1.0 },
            Start::Input(at) => x[*at],
        };
        with_real(x[0], |x| {
            with_real(input(0), |hidden| {
                with_real(input(1), |cell| {
                    let start = [hidden, cell].map(|s| Some(s).filter(|s| !s.is_empty()));
                    f(&Inputs { x, parameters, start })
                })
            })
        })
    }
}

impl Kernel for Steps {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let mut state = vec![0.0; self.layer.state_len()];
        self.forward_keeping(x, out_scale, y, &mut state);
    }

    fn state_len(&self) -> usize {
        self.layer.state_len()
    }

    fn forward_keeping(&self, x: &[Scaled], out_scale: f32, y: &mut [f32], state: &mut [f32]) {
        self.inputs(x, |inputs| self.output.write(y, false, |y, _| self.layer.forward(inputs, state, y)));
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// Through all steps from the last to the first: the gradients of the gates, of which [`Kernel::backward_from`] makes all others.
    fn begin_backward(&self, x: &[Scaled], dy: &[f32], state: &mut [f32]) {
        self.inputs(x, |inputs| self.output.read(dy, |dy| self.layer.backward(inputs, dy, state)));
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, _: &[f32], _: &mut [f32], _: bool) {
        unreachable!("a kernel with a state runs backward from it")
    }

    fn backward_from(&self, which: usize, x: &[Scaled], state: &mut [f32], dx: &mut [f32], accumulate: bool) {
        self.inputs(x, |inputs| {
            if which == 0 {
                self.layer.input_gradient(inputs, state, dx, accumulate);
            } else if which < self.computed {
                let of_cell = matches!(self.start[1], Start::Input(at) if at == which);
                self.layer.start_gradient(of_cell, inputs, state, dx, accumulate);
            } else {
                let there = (0..self.parameters.len()).filter(|&p| self.parameters[p]).nth(which - self.computed);
                self.layer.parameter_gradient(there.expect("one gradient for each parameter"), inputs, state, dx);
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
