//! Formulas over floats: codes in as centred numbers, the result in steps of the output, rounded and stored at the end.

use quantrain_graph::Quantizer;

use super::{Kernel, Site};
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred, scale};

/// Centred codes, or plain values, and their unit.
pub(super) struct Scaled {
    pub values: Vec<f32>,
    pub scale: f32,
}

impl Scaled {
    /// The real values.
    pub fn real(&self) -> Vec<f32> {
        self.values.iter().map(|v| v * self.scale).collect()
    }
}

/// From one unit to another, by way of real values.
pub(super) fn change_unit(values: &mut [f32], from: f32, to: f32) {
    if from != to {
        values.iter_mut().for_each(|v| *v = *v * from / to);
    }
}

/// Writes `f(x) / out_scale`, in the order of the simulation.
pub(super) trait Steps: Send + Sync {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]);

    /// Writes centred codes from codes; `false` where the target computes what [`Steps::forward`] does: the function of real values.
    fn forward_codes(&self, _x: &[Scaled], _codes: &Bytes, _y: &mut [f32]) -> bool {
        false
    }
}

/// The quantizers of a unit that ONNX Runtime has an integer kernel for: bytes of one sign, and no activation left behind it.
pub(super) struct Bytes {
    pub inputs: Vec<Quantizer>,
    pub output: Quantizer,
}

impl Bytes {
    pub fn of(site: &Site) -> Option<Self> {
        let inputs: Vec<Quantizer> = site.inputs.iter().map(|grid| Some((*grid)?.quantizer)).collect::<Option<_>>()?;
        let output = site.output?.quantizer;
        let fits = output.fills_byte() && output.reaches(site.clip) && inputs.iter().all(|x| x.shares_byte(&output));
        fits.then_some(Bytes { inputs, output })
    }
}

struct InSteps<S> {
    formula: S,
    bytes: Option<Bytes>,
    inputs: Vec<Option<Grid>>,
    output: Option<Grid>,
    clip: (f32, f32),
    len: usize,
}

/// A formula as a kernel.
pub(super) fn in_steps(site: &Site, formula: impl Steps + 'static) -> Box<dyn Kernel> {
    let (clip, len) = (site.clip_steps(), site.output_len());
    Box::new(InSteps { formula, bytes: Bytes::of(site), inputs: site.inputs.clone(), output: site.output, clip, len })
}

impl<S: Steps> Kernel for InSteps<S> {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let x: Vec<Scaled> =
            x.iter().zip(&self.inputs).map(|(&x, &grid)| Scaled { values: centred(grid, x), scale: scale(grid) }).collect();
        let mut steps = vec![0.0; self.len];
        if !self.bytes.as_ref().is_some_and(|bytes| self.formula.forward_codes(&x, bytes, &mut steps)) {
            self.formula.forward(&x, scale(self.output), &mut steps);
        }
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
