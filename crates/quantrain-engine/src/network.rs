//! The walk through a plan, forward and backward.

mod limits;
mod outputs;
mod parameters;
mod ranges;
mod stepwise;
mod weights;

use quantrain_graph::{QuantGraph, Quantizer, Requantize, TensorId};
use quantrain_kernels::convolution::SumRounding;
use quantrain_kernels::elementwise::{self, AddPass, Sum};
use quantrain_kernels::fake_quantize;
use quantrain_kernels::range_sums::RangeSums;
use quantrain_lowering::elementwise::code_sum;

use smallvec::SmallVec;

use crate::block::{self, BatchNormMode, BlockParameters, GradientPath, Pass, Trained, code_range};
use crate::buffers::Memory;
use crate::op::{Codes, Kernel, Scaled};
use crate::plan::{Plan, UnitPlan, Work};
use crate::{EngineError, Monitor, Want};
pub use limits::WeightLimits;
use parameters::{block_parameters, own_parameters};
pub use stepwise::{BlockInput, BlockMut};
use weights::to_onnx_order;

/// How a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// With simulated integers, else in float.
    pub simulate: bool,
    /// A training step; `None` evaluates.
    pub training: Option<Training>,
}

/// What a training step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// Which path's derivative is taken.
    pub gradient_path: GradientPath,
    /// How BatchNormalization behaves.
    pub batch_norm: BatchNormMode,
}

impl Mode {
    /// The float network with its running statistics.
    pub const FLOAT: Mode = Mode { simulate: false, training: None };
    /// The integers of the target with running statistics.
    pub const SIMULATE: Mode = Mode { simulate: true, training: None };
}

/// A trained tensor as optimizers and checkpoints see it.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Name of the tensor in the graph.
    pub name: &'a str,
    /// Its value, in the engine's order.
    pub value: &'a mut [f32],
    /// Its gradient, in the same order.
    pub gradient: &'a [f32],
}

/// The buffers of a plan.
pub struct Workspace {
    pub(crate) memory: Memory,
    /// Of each tensor, the unit of what its buffer holds.
    scales: Vec<f32>,
}

impl Workspace {
    /// Allocates the buffers of `plan`.
    pub fn new(plan: &Plan) -> Self {
        Workspace { memory: Memory::new(&plan.slots), scales: vec![1.0; plan.values.len()] }
    }
}

/// A network with float master parameters.
pub struct Network {
    net: QuantGraph,
    blocks: Vec<Option<BlockParameters>>,
    /// Of each unit that is no block: the constants that are trained, and what they are now.
    own: Vec<Vec<(TensorId, Trained)>>,
    /// Of each activation quantizer, in a simulated step.
    quantizers: Vec<Option<Quantizer>>,
    /// Memory for values on their way to a monitor, kept from step to step.
    observed: Vec<f32>,
    /// Quantizers of fewer bits have so many for now.
    at_least: Option<u8>,
    /// Of each activation quantizer, where ranges are learned.
    range_sums: Vec<RangeSums>,
}

impl Network {
    /// Takes the parameters of `net`.
    pub fn new(net: QuantGraph) -> Self {
        let blocks = (0..net.units().len()).map(|u| block_parameters(&net, u)).collect();
        let own = (0..net.units().len()).map(|u| own_parameters(&net, u)).collect();
        Network {
            own,
            quantizers: vec![None; net.quantizers().len()],
            observed: Vec::new(),
            at_least: None,
            range_sums: Vec::new(),
            blocks,
            net,
        }
    }

    /// The network; its weights are those of the last [`Network::store`].
    pub fn quant_graph(&self) -> &QuantGraph {
        &self.net
    }

    /// The network, to change ranges.
    pub fn quant_graph_mut(&mut self) -> &mut QuantGraph {
        &mut self.net
    }

    /// Writes the trained parameters back into the graph.
    pub fn store(&mut self) {
        for (tensor, p) in self.own.iter().flatten() {
            self.net.graph_mut().set_constant(*tensor, p.value.clone()).expect("trained tensors keep their size");
        }
        for u in 0..self.blocks.len() {
            let Some(p) = &mut self.blocks[u] else { continue };
            p.update_factors();
            if self.net.weight_quantizer(u).is_some() {
                self.net.set_weight_limits(u, p.limits.as_ref().map(|l| l.values.clone()));
            }
            let weights = to_onnx_order(&self.net, u, &p.weight.value);
            let unit = self.net.units()[u];
            let block = unit.block(self.net.graph()).expect("parameters belong to blocks");
            let mut constants: Vec<(TensorId, Vec<f32>)> = Vec::new();
            constants.extend(block.bias.zip(p.bias.as_ref().map(|b| b.value.clone())));
            if let (Some(node), Some(norm)) = (unit.batch_norm, &p.norm) {
                let inputs = &self.net.graph().node(node).inputs;
                let values = [&norm.gamma.value, &norm.beta.value, &norm.mean, &norm.variance];
                constants.extend(inputs[1..].iter().copied().zip(values.into_iter().cloned()));
            }
            self.net.set_weights_of(u, weights);
            for (tensor, values) in constants {
                self.net.graph_mut().set_constant(tensor, values).expect("trained tensors keep their size");
            }
        }
    }

    /// Writes the parameters back and hands the network over.
    pub fn into_quant_graph(mut self) -> QuantGraph {
        self.store();
        self.net
    }

    /// Gives quantizers of fewer bits so many from the next forward on, `None` each its own again: a training may come down to few bits in
    /// steps. What is stored and exported has the quantizers' own widths.
    pub fn widen(&mut self, at_least: Option<u8>) {
        self.at_least = at_least;
    }

    /// The activation quantizers of the last forward; `None` in a float one.
    pub fn quantizers_in_use(&self) -> &[Option<Quantizer>] {
        &self.quantizers
    }

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
        // On a thread of the pool every parallel pass starts without waking one.
        rayon::scope(|_| {
            self.prepare(mode)?;
            self.feed(plan, workspace, inputs, monitor)?;
            for u in 0..plan.units.len() {
                self.forward_unit(u, plan, workspace, mode, monitor);
            }
            Ok(())
        })
    }

    /// Runs backward from the gradients of the outputs (as they lie in memory), after a forward with the same mode. Parameter gradients
    /// are overwritten.
    pub fn backward(&mut self, plan: &Plan, workspace: &mut Workspace, mode: Mode, gradients: &[&[f32]]) {
        let outputs = self.net.graph().outputs();
        for (i, (tensor, gradient)) in outputs.iter().zip(gradients).enumerate() {
            if let Some(buffer) = plan.gradients[tensor.0] {
                let mut dy = workspace.memory.take(buffer);
                // One tensor may be handed out twice.
                if outputs[..i].contains(tensor) {
                    elementwise::add_assign(gradient, &mut dy)
                } else {
                    dy.copy_from_slice(gradient)
                }
                workspace.memory.put(dy);
            }
        }
        self.range_sums.fill(RangeSums::default());
        rayon::scope(|_| {
            for u in (0..plan.units.len()).rev() {
                self.backward_unit(u, plan, workspace, mode);
            }
        });
    }

    /// Quantizers and codes of this step.
    fn prepare(&mut self, mode: Mode) -> Result<(), EngineError> {
        for (slot, q) in self.quantizers.iter_mut().zip(self.net.quantizers()) {
            let not_calibrated = || EngineError::NotCalibrated { tensor: q.tensor.clone() };
            let bits = self.at_least.map_or(q.scheme.bits, |least| least.max(q.scheme.bits));
            *slot = if mode.simulate { Some(q.quantizer_of_width(bits)?.ok_or_else(not_calibrated)?) } else { None };
        }
        (0..self.blocks.len()).try_for_each(|u| self.prepare_block(u))
    }

    /// The codes of a block, where it is one, with the quantizers of this step.
    fn prepare_block(&mut self, u: usize) -> Result<(), EngineError> {
        let Some(p) = &mut self.blocks[u] else { return Ok(()) };
        let input = self.net.units()[u].inputs(self.net.graph()).next();
        let quantizer = input.and_then(|t| self.net.quantizer_of(t)).and_then(|q| self.quantizers[q.0]);
        Ok(p.prepare(quantizer, self.at_least)?)
    }

    /// Copies or quantizes the inputs into their buffers.
    fn feed(&self, plan: &Plan, workspace: &mut Workspace, inputs: &[&[f32]], monitor: &mut dyn Monitor) -> Result<(), EngineError> {
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
            self.quantize(tensor, 1.0, x, &mut buffer, monitor);
            workspace.scales[tensor.0] = self.scale(tensor);
            workspace.memory.put(buffer);
        }
        Ok(())
    }

    /// Shows `x` (in units of `unit`) to the monitor and writes its codes, or its values where the tensor has no quantizer now.
    fn quantize(&self, tensor: TensorId, unit: f32, x: &[f32], y: &mut [f32], monitor: &mut dyn Monitor) {
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

    fn take_observed(&mut self, len: usize) -> Vec<f32> {
        let mut values = std::mem::take(&mut self.observed);
        values.resize(len, 0.0);
        values
    }

    fn quantizer(&self, tensor: TensorId) -> Option<Quantizer> {
        self.net.quantizer_of(tensor).and_then(|q| self.quantizers[q.0])
    }

    fn scale(&self, tensor: TensorId) -> f32 {
        self.quantizer(tensor).map_or(1.0, |q| q.scale())
    }

    fn values<'w>(&self, plan: &Plan, workspace: &'w Workspace, tensor: TensorId) -> &'w [f32] {
        workspace.memory.get(plan.values[tensor.0].expect("a tensor that is no constant has a buffer"))
    }

    fn pass(&self, u: usize, unit: &UnitPlan, shape: quantrain_kernels::convolution::ConvolutionShape, mode: Mode) -> Pass {
        Pass {
            shape,
            input_scale: self.scale(unit.inputs[0]),
            output: self.quantizer(unit.output),
            clip: self.net.units()[u].clip(self.net.graph()),
            wide_rounding: match (self.net.target().requantize(), self.quantizer(unit.output)) {
                // Only the shift looks at every bit of a sum.
                (Requantize::Shift, Some(_)) => SumRounding::ToOdd,
                _ => SumRounding::ToNearest,
            },
            training: mode.training.map(|t| (t.gradient_path, t.batch_norm)),
        }
    }

    fn add_pass(&self, u: usize, unit: &UnitPlan) -> (AddPass, (f32, f32)) {
        let output = self.quantizer(unit.output);
        let clip = self.clip_steps(u, unit);
        let codes = self.codes(u, unit);
        let sum = match codes.as_ref().and_then(|codes| Some((&codes.inputs, codes.of_bytes()?))) {
            Some((inputs, to)) => Sum::Codes(code_sum([&inputs[0], &inputs[1]], &to)),
            None => Sum::Reals { operands: [0, 1].map(|i| self.scale(unit.inputs[i])), result: self.scale(unit.output) },
        };
        (AddPass { sum, clip, quantize: output.as_ref().map(code_range) }, self.mask(u, unit))
    }

    /// The quantizers of a unit whose inputs all have one in this step.
    fn codes(&self, u: usize, unit: &UnitPlan) -> Option<Codes> {
        let inputs = unit.inputs.iter().map(|&t| self.quantizer(t)).collect::<Option<_>>()?;
        let (output, clip) = (self.quantizer(unit.output), self.net.units()[u].clip(self.net.graph()));
        Some(Codes { inputs, output, clips: output.is_some_and(|q| !q.reaches(clip)) })
    }

    /// What `unit` gives of what lies in the workspace, in steps of the output.
    fn run_kernel(&self, u: usize, unit: &UnitPlan, kernel: &dyn Kernel, plan: &Plan, workspace: &Workspace, y: &mut [f32]) {
        let x = self.scaled(plan, workspace, u, unit);
        if !self.codes(u, unit).is_some_and(|codes| kernel.forward_codes(&x, &codes, y)) {
            kernel.forward(&x, self.scale(unit.output), y);
        }
    }

    /// The fused activation's limits, in steps of the output.
    fn clip_steps(&self, u: usize, unit: &UnitPlan) -> (f32, f32) {
        let (low, high) = self.net.units()[u].clip(self.net.graph());
        let s_y = self.scale(unit.output);
        (low / s_y, high / s_y)
    }

    /// Where gradients pass, in steps of the output.
    fn mask(&self, u: usize, unit: &UnitPlan) -> (f32, f32) {
        block::mask(self.clip_steps(u, unit), self.quantizer(unit.output).as_ref())
    }

    fn forward_unit(&mut self, u: usize, plan: &Plan, workspace: &mut Workspace, mode: Mode, monitor: &mut dyn Monitor) {
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
                let mut unquantized = (want == Want::Values).then(|| self.take_observed(y.len()));
                let x = self.values(plan, workspace, unit.inputs[0]);
                let p = self.blocks[u].as_mut().expect("a block has parameters");
                let (min, max) = block::forward(p, &pass, x, &mut accumulator, float.as_deref_mut(), unquantized.as_deref_mut(), &mut y);
                if let Some(id) = id {
                    match (want, &unquantized) {
                        (Want::Values, Some(values)) => monitor.values(id, values),
                        (Want::Extrema, _) => monitor.extrema(id, min, max),
                        _ => {}
                    }
                }
                unquantized.into_iter().for_each(|values| self.observed = values);
                workspace.memory.put(accumulator);
                float.into_iter().for_each(|f| workspace.memory.put(f));
            }
            Work::Add => {
                let (pass, _) = self.add_pass(u, unit);
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
        workspace.memory.put(y);
    }

    /// What the kernel of a unit reads: its inputs, and behind them its own parameters.
    fn scaled<'w>(&'w self, plan: &Plan, workspace: &'w Workspace, u: usize, unit: &UnitPlan) -> Inputs<'w> {
        let inputs = unit.inputs.iter().map(|&t| Scaled { values: self.values(plan, workspace, t), scale: workspace.scales[t.0] });
        inputs.chain(self.own[u].iter().map(|(_, p)| Scaled { values: &p.value, scale: 1.0 })).collect()
    }

    fn backward_unit(&mut self, u: usize, plan: &Plan, workspace: &mut Workspace, mode: Mode) {
        let unit = &plan.units[u];
        let Some(backward) = &unit.backward else { return };
        let dy = workspace.memory.take(plan.gradients[unit.output.0].expect("a unit that runs backward receives a gradient"));
        self.add_range_sums(u, plan, workspace, mode, &dy);
        let target = |i: usize| backward.inputs[i].and_then(|accumulate| Some((plan.gradients[unit.inputs[i].0]?, accumulate)));
        match &unit.work {
            Work::Block { shape, accumulator, float_accumulator } => {
                let pass = self.pass(u, unit, *shape, mode);
                let mut delta = workspace.memory.take(backward.delta.expect("a block has a delta"));
                let mut dx = target(0).map(|(buffer, accumulate)| (workspace.memory.take(buffer), accumulate));
                let x = Scaled { values: self.values(plan, workspace, unit.inputs[0]), scale: pass.input_scale };
                let p = self.blocks[u].as_mut().expect("a block has parameters");
                let accumulator = workspace.memory.get(float_accumulator.unwrap_or(*accumulator));
                block::backward(p, &pass, x, accumulator, &dy, &mut delta, dx.as_mut().map(|(d, a)| (&mut **d, *a)));
                workspace.memory.put(delta);
                dx.into_iter().for_each(|(d, _)| workspace.memory.put(d));
            }
            Work::Add => {
                let (pass, mask) = self.add_pass(u, unit);
                let (a, b) = (unit.inputs[0], unit.inputs[1]);
                // x + x hands the gradient to one buffer twice.
                let rounds: &[[bool; 2]] = if a == b { &[[true, false], [false, true]] } else { &[[true, true]] };
                for wanted in rounds {
                    let take =
                        |w: &mut Workspace, i: usize| target(i).filter(|_| wanted[i]).map(|(buffer, add)| (w.memory.take(buffer), add));
                    let (mut da, mut db) = (take(workspace, 0), take(workspace, 1));
                    let (a, b) = (self.values(plan, workspace, a), self.values(plan, workspace, b));
                    let da_ref = da.as_mut().map(|(d, add)| (&mut **d, *add));
                    let db_ref = db.as_mut().map(|(d, add)| (&mut **d, *add));
                    elementwise::add_backward(&pass, mask, a, b, &dy, da_ref, db_ref);
                    [da, db].into_iter().flatten().for_each(|(d, _)| workspace.memory.put(d));
                }
            }
            Work::Kernel(kernel) => {
                let s_y = self.scale(unit.output);
                let delta = unit.before_quantization.zip(backward.delta).map(|(before, delta)| {
                    let mut delta = workspace.memory.take(delta);
                    let mask = self.mask(u, unit);
                    fake_quantize::backward(1.0, mask, workspace.memory.get(before), &dy, &mut delta, false);
                    delta
                });
                for i in 0..unit.inputs.len() {
                    let Some((buffer, accumulate)) = target(i) else { continue };
                    let mut dx = workspace.memory.take(buffer);
                    // Only what is replayed is still there.
                    let replays = kernel.replays();
                    let x = if replays.inputs { self.scaled(plan, workspace, u, unit) } else { Inputs::new() };
                    let result = unit.before_quantization.or(plan.values[unit.output.0]).filter(|_| replays.output);
                    let y = Scaled { values: result.map_or(&[], |buffer| workspace.memory.get(buffer)), scale: s_y };
                    kernel.backward(i, &x, y, delta.as_deref().unwrap_or(&dy), &mut dx, accumulate);
                    drop(x);
                    workspace.memory.put(dx);
                }
                for i in 0..self.own[u].len() {
                    let mut gradient = std::mem::take(&mut self.own[u][i].1.gradient);
                    let (x, y) = (self.scaled(plan, workspace, u, unit), Scaled { values: &[], scale: s_y });
                    kernel.backward(unit.inputs.len() + i, &x, y, delta.as_deref().unwrap_or(&dy), &mut gradient, false);
                    drop(x);
                    self.own[u][i].1.gradient = gradient;
                }
                delta.into_iter().for_each(|d| workspace.memory.put(d));
            }
        }
        workspace.memory.put(dy);
    }
}

/// What a kernel reads; only a join of more than eight tensors allocates.
type Inputs<'w> = SmallVec<[Scaled<'w>; 8]>;

fn extrema(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &v| (min.min(v), max.max(v)))
}
