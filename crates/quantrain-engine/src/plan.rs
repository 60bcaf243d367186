//! What is made ahead of time for a batch size: kernels, buffers by lifetime, and what the backward replays and skips.

use std::fmt;

use quantrain_graph::op::Binary;
use quantrain_graph::{Graph, NodeId, Op, QuantGraph, TensorId, Unit};
use quantrain_kernels::convolution::ConvolutionShape;
use quantrain_lowering::convolution;
use quantrain_lowering::memory::Budget;

use crate::block::GradientPath;
use crate::buffers::{BufferId, Layout, Slots};
use crate::op::{self, Kernel};
use crate::{EngineError, Mode, layout};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward only; buffers are reused as soon as nothing reads them.
    Inference,
    /// Forward only; every tensor is kept, so that [`crate::Network::values_of`] can show it.
    Inspection,
    /// Forward and backward along a gradient path.
    Training(GradientPath),
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Purpose::Inference => f.write_str("inference"),
            Purpose::Inspection => f.write_str("inspection"),
            Purpose::Training(GradientPath::Float) => f.write_str("training along the float path"),
            Purpose::Training(GradientPath::Quantized) => f.write_str("training along the quantized path"),
            Purpose::Training(GradientPath::QuantizedUnmasked) => f.write_str("training along the quantized path without masks"),
        }
    }
}

/// The order of work for one batch size.
pub struct Plan {
    pub(crate) batch: usize,
    pub(crate) purpose: Purpose,
    pub(crate) units: Vec<UnitPlan>,
    /// Of each tensor that is no constant: where its values are.
    pub(crate) values: Vec<Option<BufferId>>,
    /// Of each tensor that a gradient reaches: where it is.
    pub(crate) gradients: Vec<Option<BufferId>>,
    pub(crate) slots: Slots,
    allowed: usize,
    lines: Vec<Line>,
}

/// How one unit runs.
pub(crate) struct UnitPlan {
    pub work: Work,
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
    /// The unit's result before it is quantized, where that is kept apart.
    pub before_quantization: Option<BufferId>,
    /// What the kernel's forward leaves for its backward.
    pub state: Option<BufferId>,
    /// What flows back: `None` where no gradient reaches the unit or nothing before it wants one.
    pub backward: Option<BackwardPlan>,
}

/// The kinds of work.
pub(crate) enum Work {
    /// A convolution or a product with weights (as a 1x1 convolution over rows).
    Block {
        shape: ConvolutionShape,
        /// Accumulators of the value path.
        accumulator: BufferId,
        /// Accumulators of the float path, where the value path is another.
        float_accumulator: Option<BufferId>,
    },
    /// Two inputs of one shape added, clipped and quantized in one pass.
    Add,
    /// Anything else.
    Kernel(Box<dyn Kernel>),
}

/// What the backward of a unit writes.
pub(crate) struct BackwardPlan {
    /// The gradient of the accumulators, or of the result before quantization.
    pub delta: Option<BufferId>,
    /// For each input: `None` where it wants no gradient, else whether the gradient is added to what is there.
    pub inputs: Vec<Option<bool>>,
}

/// A line of the printed plan.
struct Line {
    name: String,
    op: String,
    shape: String,
    backward: String,
}

impl Plan {
    /// Plans `net` for batches of `batch` samples.
    ///
    /// # Errors
    /// A node's form that this engine cannot run, or buffers that take more memory than they may ([`quantrain_lowering::memory`]): a training
    /// may take more for larger batches, everything else not, as it can do with smaller ones.
    pub fn new(net: &QuantGraph, batch: usize, purpose: Purpose) -> Result<Self, EngineError> {
        Plan::make(net, batch, purpose, false)
    }

    /// As [`Plan::new`] for training, with gradients of the network's inputs too: see [`crate::Network::read_input_gradient`].
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with_input_gradients(net: &QuantGraph, batch: usize, gradient_path: GradientPath) -> Result<Self, EngineError> {
        Plan::make(net, batch, Purpose::Training(gradient_path), true)
    }

    fn make(net: &QuantGraph, batch: usize, purpose: Purpose, wants_inputs: bool) -> Result<Self, EngineError> {
        let graph = net.graph();
        let units = net.units();
        let flow = Flow::trace(graph, units, purpose, wants_inputs);
        let backward_at = |u: usize| 2 * units.len() + 1 - u;
        let len = |t: TensorId| graph.tensor(t).shape.elements(batch);
        let counted = if matches!(purpose, Purpose::Training(_)) { batch } else { 1 };
        let memory = Budget::new(graph, batch, counted)?;
        let mut working = 0;
        let mut layout = Layout::default();
        let mut values = vec![None; graph.tensors().len()];
        for &input in graph.inputs() {
            values[input.0] = Some(layout.add(len(input), 0));
        }
        let mut plans = Vec::with_capacity(units.len());
        for (u, unit) in units.iter().enumerate() {
            let at = u + 1;
            let output = unit.output(graph);
            let inputs: Vec<TensorId> = unit.inputs(graph).collect();
            let y = layout.add(len(output), at);
            values[output.0] = Some(y);
            let trains = flow.backward[u];
            let back = backward_at(u);
            let (mut before_quantization, mut state) = (None, None);
            let mut replays_inputs = true;
            let work = match convolution::shape(graph, unit, batch)? {
                Some(shape) => {
                    let accumulator = layout.add(shape.output_len(), at);
                    // The float path also measures the statistics of BatchNorm, whether a gradient comes back or not.
                    let wants_float = trains || unit.batch_norm.is_some();
                    let has_both = purpose == Purpose::Training(GradientPath::Float) && net.weight_quantizer(u).is_some();
                    let two_paths = has_both && wants_float;
                    let float_accumulator = two_paths.then(|| layout.add(shape.output_len(), at));
                    if trains {
                        layout.keep(float_accumulator.unwrap_or(accumulator), back);
                    }
                    Work::Block { shape, accumulator, float_accumulator }
                }
                None if is_plain_add(graph, unit) => Work::Add,
                None => {
                    working = working.max(working_memory(&inputs, output, &len));
                    let kernel = op::build(graph, graph.node(unit.core), batch)?;
                    let replays = kernel.replays();
                    let quantizer = net.quantizer_of(output);
                    let carries = kernel.moves() && inputs.iter().all(|&t| net.quantizer_of(t) == quantizer);
                    if (quantizer.is_some() && !carries) || unit.activation.is_some() {
                        let buffer = layout.add(len(output), at);
                        before_quantization = Some(buffer);
                        if trains {
                            layout.keep(buffer, back);
                        }
                    }
                    if trains && replays.output {
                        layout.keep(before_quantization.unwrap_or(y), back);
                    }
                    replays_inputs = replays.inputs;
                    if kernel.state_len() > 0 {
                        let buffer = layout.add(kernel.state_len(), at);
                        state = Some(buffer);
                        if trains {
                            layout.keep(buffer, back);
                        }
                    }
                    Work::Kernel(kernel)
                }
            };
            for &input in &inputs {
                let buffer = values[input.0].expect("nodes come after what they read");
                layout.keep(buffer, if trains && replays_inputs { back } else { at });
            }
            plans.push(UnitPlan { work, inputs, output, before_quantization, state, backward: None });
        }
        let kept: Vec<TensorId> = match purpose {
            Purpose::Inspection => (0..values.len()).map(TensorId).collect(),
            Purpose::Inference | Purpose::Training(_) => graph.outputs().to_vec(),
        };
        for buffer in kept.into_iter().filter_map(|t| values[t.0]) {
            layout.keep(buffer, units.len() + 1);
        }
        let gradients = plan_backward(net, &flow, &mut plans, &mut layout, &len, &backward_at);
        for buffer in graph.inputs().iter().filter_map(|t| gradients[t.0]) {
            layout.keep(buffer, 2 * units.len() + 2);
        }
        let slots = layout.assign();
        let buffers = slots.total().saturating_add(working).saturating_mul(size_of::<f32>());
        memory.finish(&format!("{purpose} with batches of {batch}"), buffers)?;
        let lines = plans.iter().enumerate().map(|(u, plan)| line(net, u, plan, batch)).collect();
        Ok(Plan { batch, purpose, units: plans, values, gradients, slots, allowed: memory.allowed(), lines })
    }

    /// Refuses a training step whose gradients this plan has no buffers for.
    pub(crate) fn check(&self, mode: Mode) -> Result<(), EngineError> {
        let fits = match (self.purpose, mode.training) {
            (_, None) => true,
            (Purpose::Inference | Purpose::Inspection, Some(_)) => false,
            // A float step has one path.
            (Purpose::Training(path), Some(training)) => path == training.gradient_path || !mode.simulate,
        };
        if fits { Ok(()) } else { Err(EngineError::OtherPlan { planned: self.purpose, mode }) }
    }

    /// Number of samples of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.slots.total() * size_of::<f32>()
    }

    /// Bytes that buffers may take.
    pub fn allowed(&self) -> usize {
        self.allowed
    }
}

/// Values that a kernel copies at most while it runs: its inputs in real units or another order of axes, and its output three times over.
fn working_memory(inputs: &[TensorId], output: TensorId, len: &dyn Fn(TensorId) -> usize) -> usize {
    inputs.iter().map(|&t| len(t)).fold(len(output).saturating_mul(3), usize::saturating_add)
}

/// Gradient buffers, who writes first, and what each backward step needs. Returns the gradient buffer of each tensor.
fn plan_backward(
    net: &QuantGraph,
    flow: &Flow,
    plans: &mut [UnitPlan],
    layout: &mut Layout,
    len: &dyn Fn(TensorId) -> usize,
    backward_at: &dyn Fn(usize) -> usize,
) -> Vec<Option<BufferId>> {
    let graph = net.graph();
    let mut gradients = vec![None; graph.tensors().len()];
    let mut written = vec![false; graph.tensors().len()];
    for &output in graph.outputs().iter().filter(|t| flow.receives[t.0]) {
        gradients[output.0].get_or_insert_with(|| layout.add(len(output), net.units().len() + 1));
        written[output.0] = true;
    }
    for u in (0..plans.len()).rev().filter(|&u| flow.backward[u]) {
        let (at, plan) = (backward_at(u), &mut plans[u]);
        let dy = gradients[plan.output.0].expect("a unit that runs backward receives a gradient");
        layout.keep(dy, at);
        let delta = match &plan.work {
            Work::Block { shape, .. } => Some(layout.add(shape.output_len(), at)),
            Work::Add => None,
            Work::Kernel(_) => plan.before_quantization.map(|_| layout.add(len(plan.output), at)),
        };
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        for (input, passes) in plan.inputs.iter().zip(passing(graph, &net.units()[u])) {
            if !(passes && flow.wanted[input.0]) {
                inputs.push(None);
                continue;
            }
            let buffer = *gradients[input.0].get_or_insert_with(|| layout.add(len(*input), at));
            layout.keep(buffer, at);
            inputs.push(Some(std::mem::replace(&mut written[input.0], true)));
        }
        plan.backward = Some(BackwardPlan { delta, inputs });
    }
    gradients
}

/// Which tensors and units gradients pass.
struct Flow {
    /// Parameters lie before this tensor, or it is an input whose gradient is wanted: its gradient is worth having.
    wanted: Vec<bool>,
    /// A gradient arrives at this tensor.
    receives: Vec<bool>,
    /// The unit runs backward.
    backward: Vec<bool>,
}

impl Flow {
    fn trace(graph: &Graph, units: &[Unit], purpose: Purpose, wants_inputs: bool) -> Self {
        let mut flow = Flow {
            wanted: vec![false; graph.tensors().len()],
            receives: vec![false; graph.tensors().len()],
            backward: vec![false; units.len()],
        };
        if !matches!(purpose, Purpose::Training(_)) {
            return flow;
        }
        graph.inputs().iter().for_each(|t| flow.wanted[t.0] = wants_inputs);
        for unit in units {
            let trains = unit.block(graph).is_some() || !graph.node(unit.core).op.trained_inputs().is_empty();
            flow.wanted[unit.output(graph).0] = trains || smooth_inputs(graph, unit).any(|t| flow.wanted[t.0]);
        }
        graph.outputs().iter().for_each(|t| flow.receives[t.0] = flow.wanted[t.0]);
        for (u, unit) in units.iter().enumerate().rev() {
            let output = unit.output(graph).0;
            flow.backward[u] = flow.receives[output] && flow.wanted[output];
            if flow.backward[u] {
                smooth_inputs(graph, unit).for_each(|t| flow.receives[t.0] = true);
            }
        }
        flow
    }
}

/// Of each input that is no constant, whether a gradient flows to it.
fn passing<'g>(graph: &'g Graph, unit: &Unit) -> impl Iterator<Item = bool> + use<'g> {
    let node = graph.node(unit.core);
    let inputs = node.inputs.iter().enumerate().filter(|(_, t)| graph.constant(**t).is_none());
    inputs.map(|(position, _)| node.op.passes_gradient(position))
}

/// The inputs that gradients flow to.
fn smooth_inputs<'g>(graph: &'g Graph, unit: &Unit) -> impl Iterator<Item = TensorId> + use<'g> {
    unit.inputs(graph).zip(passing(graph, unit)).filter(|(_, passes)| *passes).map(|(input, _)| input)
}

/// An Add of two activations of one shape.
fn is_plain_add(graph: &Graph, unit: &Unit) -> bool {
    let node = graph.node(unit.core);
    let shapes: Vec<_> = unit.inputs(graph).map(|t| &graph.tensor(t).shape).collect();
    matches!(node.op, Op::Binary(Binary::Add)) && shapes.len() == 2 && shapes[0] == shapes[1]
}

fn line(net: &QuantGraph, u: usize, plan: &UnitPlan, batch: usize) -> Line {
    let graph = net.graph();
    let unit = &net.units()[u];
    let name = |t: TensorId| shortened(&graph.tensor(t).name);
    let ops: Vec<&str> = unit.nodes().map(|n: NodeId| graph.node(n).op.name()).collect();
    let backward = match &plan.backward {
        None => "skipped".to_owned(),
        Some(backward) => {
            let kept = match &plan.work {
                Work::Block { float_accumulator: Some(_), .. } => "x̂, float accumulator, w (skips ŵ and its product)",
                Work::Block { .. } if net.weight_quantizer(u).is_some() => "x̂, accumulator, ŵ",
                Work::Block { .. } => "x, accumulator, w",
                Work::Add => "both inputs",
                Work::Kernel(k) => match (k.replays().inputs, k.replays().output || plan.before_quantization.is_some()) {
                    (true, true) => "inputs, result before quantization",
                    (true, false) => "inputs",
                    (false, true) => "result before quantization",
                    (false, false) => "nothing",
                },
            };
            let to: Vec<String> = plan.inputs.iter().zip(&backward.inputs).filter(|(_, b)| b.is_some()).map(|(t, _)| name(*t)).collect();
            let to = if to.is_empty() { "no input".into() } else { to.join(", ") };
            format!("replays {kept}; gradient to {to}")
        }
    };
    let shape = layout::physical_shape(&graph.tensor(plan.output).shape, batch);
    Line { name: shortened(&graph.node(unit.core).name), op: shortened(&ops.join("+")), shape: shortened(&format!("{shape:?}")), backward }
}

/// Letters of the longest name that is shown whole; a file may hold names of a million, and a width has 16 bits.
const LONGEST: usize = 200;

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |field: fn(&Line) -> &String| self.lines.iter().map(|l| field(l).chars().count()).max().unwrap_or(0);
        let (name, op, shape) = (width(|l| &l.name), width(|l| &l.op), width(|l| &l.shape));
        writeln!(f, "batch {}, {} units, {:.1} MB of buffers", self.batch, self.units.len(), self.bytes() as f64 / 1e6)?;
        for (u, l) in self.lines.iter().enumerate() {
            write!(f, "{u:>4}  {:name$}  {:op$}  {:shape$}", l.name, l.op, l.shape)?;
            if matches!(self.purpose, Purpose::Training(_)) { writeln!(f, "  {}", l.backward)? } else { writeln!(f)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
