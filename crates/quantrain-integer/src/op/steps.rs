//! Formulas over floats: codes in as centred numbers, the result in steps of the output, rounded and stored at the end.

use super::{Kernel, Site};
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred, scale};

/// Centred codes, or plain values, and their unit.
pub(super) struct Scaled {
    pub values: Vec<f32>,
    pub scale: f32,
}

/// Writes `f(x) / out_scale`, in the order of the simulation.
pub(super) trait Steps: Send + Sync {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]);
}

struct InSteps<S> {
    formula: S,
    inputs: Vec<Option<Grid>>,
    output: Option<Grid>,
    clip: (f32, f32),
    len: usize,
}

/// A formula as a kernel.
pub(super) fn in_steps(site: &Site, formula: impl Steps + 'static) -> Box<dyn Kernel> {
    Box::new(InSteps { formula, inputs: site.inputs.clone(), output: site.output, clip: site.clip_steps(), len: site.output_len() })
}

impl<S: Steps> Kernel for InSteps<S> {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let x: Vec<Scaled> =
            x.iter().zip(&self.inputs).map(|(&x, &grid)| Scaled { values: centred(grid, x), scale: scale(grid) }).collect();
        let mut steps = vec![0.0; self.len];
        self.formula.forward(&x, scale(self.output), &mut steps);
        put(self.output, self.clip, &mut steps, y);
    }
}

/// Clips results in steps of the output and stores them.
pub(super) fn put(output: Option<Grid>, (low, high): (f32, f32), steps: &mut [f32], y: &mut Buffer) {
    // Not `max` and `min`: they would hide NaN.
    steps.iter_mut().filter(|v| **v < low).for_each(|v| *v = low);
    steps.iter_mut().filter(|v| **v > high).for_each(|v| *v = high);
    match (output, y) {
        (None, Buffer::Reals(y)) => y[..steps.len()].copy_from_slice(steps),
        (None, _) => unreachable!("a tensor without a grid holds reals"),
        (Some(grid), y) => grid.store(1.0, steps, y),
    }
}
