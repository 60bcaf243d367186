//! One step forward, unit by unit.

use quantrain_graph::TensorId;
use quantrain_kernels::elementwise::{self, AddPass};
use quantrain_kernels::{extrema, fake_quantize};

use super::{Mode, Network, Workspace};
use crate::block::{self, code_range};
use crate::plan::{Plan, Work};
use crate::{EngineError, Monitor, Want};

impl Network {
    /// Runs forward. `inputs` are real values as they lie in memory (images NHWC); what `monitor` wants, it sees before quantization.
    ///
    /// # Errors
    /// A range is missing or does not fit its scheme, a bias does not fit 32 bits, an input has the wrong length, or the plan is for
    /// another kind of step.
    pub fn forward(
        &mut self,
        plan: &Plan,
        workspace: &mut Workspace,
        mode: Mode,
        inputs: &[&[f32]],
        monitor: &mut dyn Monitor,
    ) -> Result<(), EngineError> {
        plan.check(mode)?;
        self.prepare(mode)?;
        self.forward_prepared(plan, workspace, mode, inputs, monitor)
    }

    /// As [`Network::forward`], with the quantizers and codes that the last one made: for another part of a batch, where neither parameters
    /// nor ranges nor the mode have changed.
    ///
    /// # Errors
    /// An input has the wrong length, or the plan is for another kind of step.
    pub fn forward_prepared(
        &mut self,
        plan: &Plan,
        workspace: &mut Workspace,
        mode: Mode,
        inputs: &[&[f32]],
        monitor: &mut dyn Monitor,
    ) -> Result<(), EngineError> {
        plan.check(mode)?;
        // On a thread of the pool every parallel pass starts without waking one.
        rayon::scope(|_| {
            monitor.begin(plan.batch());
            self.feed(plan, workspace, inputs, monitor)?;
            for u in 0..plan.units.len() {
                self.forward_unit(u, plan, workspace, mode, monitor);
            }
            Ok(())
        })
    }

    /// Quantizers and codes of this step.
    pub(super) fn prepare(&mut self, mode: Mode) -> Result<(), EngineError> {
        for (slot, q) in self.quantizers.iter_mut().zip(self.net.quantizers()) {
            let not_calibrated = || EngineError::NotCalibrated { tensor: q.tensor.clone() };
            let bits = self.at_least.map_or(q.scheme.bits, |least| least.max(q.scheme.bits));
            *slot = if mode.simulate { Some(q.quantizer_of_width(bits)?.ok_or_else(not_calibrated)?) } else { None };
        }
        (0..self.blocks.len()).try_for_each(|u| self.prepare_codes(u))
    }

    /// Copies or quantizes the inputs into their buffers.
    pub(super) fn feed(
        &self,
        plan: &Plan,
        workspace: &mut Workspace,
        inputs: &[&[f32]],
        monitor: &mut dyn Monitor,
    ) -> Result<(), EngineError> {
        let graph = self.net.graph();
        if inputs.len() != graph.inputs().len() {
            return Err(EngineError::InputCount { found: inputs.len(), expected: graph.inputs().len() });
        }
        for (&tensor, x) in graph.inputs().iter().zip(inputs) {
            let mut buffer = workspace.memory.take(plan.values[tensor.0].expect("inputs have buffers"));
            if x.len() != buffer.len() {
                let (found, expected) = (x.len(), buffer.len());
                workspace.memory.put(buffer);
                return Err(EngineError::InputLength { tensor: graph.tensor(tensor).name.clone(), found, expected });
            }
            if let Some(error) = self.wrong_index(tensor, x) {
                workspace.memory.put(buffer);
                return Err(error);
            }
            self.quantize(tensor, 1.0, x, &mut buffer, monitor);
            workspace.scales[tensor.0] = self.scale(tensor);
            show_extent(tensor, &buffer, workspace.scales[tensor.0], monitor);
            workspace.memory.put(buffer);
        }
        Ok(())
    }

    /// The error for an index among what an input is fed with that picks no element.
    fn wrong_index(&self, tensor: TensorId, x: &[f32]) -> Option<EngineError> {
        let elements = *self.indexed.get(&tensor)?;
        let extent = elements as f32;
        let found = *x.iter().find(|index| !(-extent..extent).contains(*index))?;
        Some(EngineError::Index { tensor: self.net.graph().tensor(tensor).name.clone(), found, elements })
    }

    /// Shows `x` (in units of `unit`) to the monitor and writes its codes, or its values where the tensor has no quantizer now.
    pub(super) fn quantize(&self, tensor: TensorId, unit: f32, x: &[f32], y: &mut [f32], monitor: &mut dyn Monitor) {
        let limits = match self.quantizer(tensor) {
            Some(q) => fake_quantize::codes(&code_range(&q), q.scale() / unit, x, y),
            None => {
                y.copy_from_slice(x);
                (f32::INFINITY, f32::NEG_INFINITY)
            }
        };
        let Some(id) = self.net.quantizer_of(tensor) else { return };
        match monitor.want(id) {
            Want::Nothing => {}
            Want::Extrema => {
                let (min, max) = if limits.0 <= limits.1 { limits } else { extrema(x) };
                monitor.extrema(id, min * unit, max * unit);
            }
            Want::Values if unit == 1.0 => monitor.values(id, x),
            Want::Values => monitor.values(id, &x.iter().map(|v| v * unit).collect::<Vec<_>>()),
        }
    }

    pub(super) fn forward_unit(&mut self, u: usize, plan: &Plan, workspace: &mut Workspace, mode: Mode, monitor: &mut dyn Monitor) {
        let unit = &plan.units[u];
        let id = self.net.quantizer_of(unit.output);
        let want = id.map_or(Want::Nothing, |id| monitor.want(id));
        let mut y = workspace.memory.take(plan.values[unit.output.0].expect("outputs have buffers"));
        workspace.scales[unit.output.0] = self.scale(unit.output);
        match &unit.work {
            Work::Block { shape, accumulator, float_accumulator } => {
                let pass = self.pass(u, unit, *shape, mode);
                // What is kept for the backward are the gradient path's accumulators; a float step has no others.
                let (accumulator, float) = match float_accumulator {
                    Some(float) if !mode.simulate => (float, None),
                    float => (accumulator, float.as_ref()),
                };
                let mut accumulator = workspace.memory.take(*accumulator);
                let mut float = float.map(|b| workspace.memory.take(*b));
                // What is not quantized is what a monitor wants to see.
                let shows_result = want == Want::Values && pass.output.is_none();
                let mut unquantized = (want == Want::Values && !shows_result).then(|| self.take_observed(y.len()));
                let x = self.values(plan, workspace, unit.inputs[0]);
                let p = self.blocks[u].as_mut().expect("a block has parameters");
                let (min, max) = block::forward(p, &pass, x, &mut accumulator, float.as_deref_mut(), unquantized.as_deref_mut(), &mut y);
                if let Some(id) = id {
                    match (want, &unquantized) {
                        (Want::Values, Some(values)) => monitor.values(id, values),
                        (Want::Values, None) => monitor.values(id, &y),
                        (Want::Extrema, _) => monitor.extrema(id, min, max),
                        _ => {}
                    }
                }
                unquantized.into_iter().for_each(|values| self.observed = values);
                workspace.memory.put(accumulator);
                float.into_iter().for_each(|f| workspace.memory.put(f));
            }
            Work::Add => {
                let (pass, _) = self.add_pass(u, unit, mode);
                let (a, b) = (self.values(plan, workspace, unit.inputs[0]), self.values(plan, workspace, unit.inputs[1]));
                let (min, max) = elementwise::add(&pass, a, b, &mut y);
                let s_y = self.scale(unit.output);
                match (id, want) {
                    (Some(id), Want::Extrema) => monitor.extrema(id, min * s_y, max * s_y),
                    (Some(id), Want::Values) if pass.quantize.is_none() => monitor.values(id, &y),
                    (Some(id), Want::Values) => {
                        let mut real = self.take_observed(y.len());
                        elementwise::add(&AddPass { quantize: None, ..pass }, a, b, &mut real);
                        block::scale(&mut real, s_y);
                        monitor.values(id, &real);
                        self.observed = real;
                    }
                    _ => {}
                }
            }
            Work::Kernel(kernel) => {
                match unit.before_quantization {
                    // Nothing to quantize: codes are carried, or the values are float.
                    None => self.run_kernel(u, unit, kernel.as_ref(), plan, workspace, &mut y),
                    Some(buffer) => {
                        let mut before = workspace.memory.take(buffer);
                        let unit_scale = self.scale(unit.output);
                        self.run_kernel(u, unit, kernel.as_ref(), plan, workspace, &mut before);
                        if self.net.units()[u].activation.is_some() {
                            let (low, high) = self.clip_steps(u, unit);
                            // Not `max` and `min`: they would hide NaN.
                            before.iter_mut().filter(|v| **v < low).for_each(|v| *v = low);
                            before.iter_mut().filter(|v| **v > high).for_each(|v| *v = high);
                        }
                        self.quantize(unit.output, unit_scale, &before, &mut y, monitor);
                        workspace.memory.put(before);
                    }
                }
            }
        }
        show_extent(unit.output, &y, workspace.scales[unit.output.0], monitor);
        workspace.memory.put(y);
    }
}

fn show_extent(tensor: TensorId, values: &[f32], unit: f32, monitor: &mut dyn Monitor) {
    if monitor.wants_extent(tensor) {
        let (min, max) = extrema(values);
        monitor.extent(tensor, min * unit, max * unit);
    }
    if monitor.wants_all(tensor) {
        monitor.all(tensor, values, unit);
    }
}
