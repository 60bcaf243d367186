//! The walk through a plan: what a network keeps, and what both ways of a step ask of it.

mod backward;
mod forward;
mod gradient_sums;
mod inputs;
mod layouts;
mod limits;
mod outputs;
mod parameters;
mod ranges;
mod stepwise;
mod weights;

use std::collections::BTreeMap;
use std::fmt;

use quantrain_graph::{QuantGraph, Quantizer, Separation, TensorId};
use quantrain_kernels::convolution::ConvolutionShape;
use quantrain_kernels::elementwise::{AddPass, Sum};
use quantrain_kernels::range_sums::RangeSums;
use smallvec::SmallVec;

use crate::EngineError;
use crate::block::{self, BatchNormMode, BlockParameters, GradientPath, Pass, Trained, code_range};
use crate::buffers::Memory;
use crate::op::{Codes, Kernel, Scaled, addition};
use crate::plan::{Plan, UnitPlan};
pub use gradient_sums::GradientSums;
pub use layouts::ParameterLayout;
pub use limits::WeightLimits;
use parameters::{block_parameters, own_parameters};
pub use stepwise::{BlockInput, BlockMut, Weight};
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

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.training.map(|t| t.gradient_path) {
            None => "an evaluation",
            Some(GradientPath::Float) => "a training along the float path",
            Some(GradientPath::Quantized) => "a training along the quantized path",
            Some(GradientPath::QuantizedUnmasked) => "a training along the quantized path without masks",
        };
        write!(f, "{what} in {}", if self.simulate { "simulated integers" } else { "float" })
    }
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

    /// Takes the values of another workspace of the same plan.
    ///
    /// # Panics
    /// The plans have other buffers.
    pub fn copy_from(&mut self, other: &Workspace) {
        self.memory.copy_from(&other.memory);
        self.scales.copy_from_slice(&other.scales);
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
    /// Of each input that is an index as it is fed, how many elements there are.
    indexed: BTreeMap<TensorId, usize>,
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
            indexed: net.graph().indexed_extents(),
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

    /// Places the quantizers anew, see [`QuantGraph::place_by`]; plans made before do not fit any more.
    ///
    /// # Errors
    /// As [`QuantGraph::prepare`].
    pub fn place_by(&mut self, separations: Vec<Separation>) -> Result<(), EngineError> {
        self.net.place_by(separations)?;
        for (u, block) in self.blocks.iter_mut().enumerate() {
            block.iter_mut().for_each(|p| p.quantizer = self.net.weight_quantizer(u));
        }
        self.quantizers = vec![None; self.net.quantizers().len()];
        self.range_sums.clear();
        Ok(())
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

    fn pass(&self, u: usize, unit: &UnitPlan, shape: ConvolutionShape, mode: Mode) -> Pass {
        Pass {
            shape,
            input_scale: self.scale(unit.inputs[0]),
            output: self.quantizer(unit.output),
            clip: self.net.units()[u].clip(self.net.graph()),
            formula: self.net.target().requantize(),
            training: mode.training.map(|t| (t.gradient_path, t.batch_norm)),
        }
    }

    fn add_pass(&self, u: usize, unit: &UnitPlan, mode: Mode) -> (AddPass, (f32, f32)) {
        let output = self.quantizer(unit.output);
        let clip = self.clip_steps(u, unit);
        let codes = self.codes(u, unit);
        let reals = || Sum::Reals { operands: [0, 1].map(|i| self.scale(unit.inputs[i])), result: self.scale(unit.output) };
        let sum = codes.as_ref().and_then(addition).unwrap_or_else(reals);
        (AddPass { sum, clip, quantize: output.as_ref().map(code_range) }, self.mask(u, unit, mode))
    }

    /// The quantizers of a unit whose inputs all have one in this step.
    fn codes(&self, u: usize, unit: &UnitPlan) -> Option<Codes> {
        let inputs = unit.inputs.iter().map(|&t| self.quantizer(t)).collect::<Option<_>>()?;
        let (output, clip) = (self.quantizer(unit.output), self.net.units()[u].clip(self.net.graph()));
        Some(Codes { inputs, output, clips: output.is_some_and(|q| !q.reaches(clip)), kernels: self.net.target().kernels() })
    }

    /// What `unit` gives of what lies in the workspace, in steps of the output.
    fn run_kernel(&self, u: usize, unit: &UnitPlan, kernel: &dyn Kernel, plan: &Plan, workspace: &mut Workspace, y: &mut [f32]) {
        if let Some(buffer) = unit.state {
            let mut state = workspace.memory.take(buffer);
            kernel.forward_keeping(&self.scaled(plan, workspace, u, unit), self.scale(unit.output), y, &mut state);
            workspace.memory.put(state);
            return;
        }
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
    fn mask(&self, u: usize, unit: &UnitPlan, mode: Mode) -> (f32, f32) {
        block::mask(self.clip_steps(u, unit), self.quantizer(unit.output).as_ref(), mode.training.map(|t| t.gradient_path))
    }

    /// What the kernel of a unit reads: its inputs, and behind them its own parameters.
    fn scaled<'w>(&'w self, plan: &Plan, workspace: &'w Workspace, u: usize, unit: &UnitPlan) -> Inputs<'w> {
        let inputs = unit.inputs.iter().map(|&t| Scaled { values: self.values(plan, workspace, t), scale: workspace.scales[t.0] });
        inputs.chain(self.own[u].iter().map(|(_, p)| Scaled { values: &p.value, scale: 1.0 })).collect()
    }
}

/// What a kernel reads; only a join of more than eight tensors allocates.
type Inputs<'w> = SmallVec<[Scaled<'w>; 8]>;
