//! The ways a network runs, and one step of training on each.

use quantrain_engine::{EngineError, Mode, Monitor, Network, Plan, Purpose, Training, Want, Workspace};
use quantrain_graph::{Graph, LayerSettings, QuantGraph, QuantizerId, Range, Settings, Target};

/// What runs a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Executor {
    /// The float network.
    Float,
    /// The integers of a target.
    Simulated(&'static str),
}

/// Every executor of this crate.
pub const EXECUTORS: [Executor; 3] = [Executor::Float, Executor::Simulated("onnxruntime"), Executor::Simulated("tidl-pow2")];

impl Executor {
    pub fn simulates(self) -> bool {
        self != Executor::Float
    }

    /// The network for this executor; nodes named `source…` stay in float.
    pub fn prepare(self, graph: Graph) -> QuantGraph {
        match self {
            Executor::Float => QuantGraph::float(graph),
            Executor::Simulated(target) => {
                let pinned = |n: &quantrain_graph::Node| n.name.starts_with("source");
                let source = LayerSettings { pattern: "source*".into(), float: true, ..LayerSettings::default() };
                let layers = if graph.nodes().iter().any(pinned) { vec![source] } else { Vec::new() };
                let settings = Settings { layers, ..Settings::default() };
                QuantGraph::prepare(graph, Target::named(target).unwrap(), &settings).unwrap()
            }
        }
    }
}

/// A network with its plan and its buffers.
pub struct Bench {
    pub net: Network,
    pub plan: Plan,
    pub workspace: Workspace,
    pub mode: Mode,
}

impl Bench {
    pub fn new(net: QuantGraph, batch: usize, simulate: bool, training: Training) -> Result<Self, EngineError> {
        let plan = Plan::new(&net, batch, Purpose::Training(training.gradient_path))?;
        let mode = Mode { simulate, training: Some(training) };
        Ok(Bench { workspace: Workspace::new(&plan), plan, net: Network::new(net), mode })
    }

    pub fn forward(&mut self, inputs: &[&[f32]]) -> Result<(), EngineError> {
        self.net.forward(&self.plan, &mut self.workspace, self.mode, inputs, &mut ())
    }

    pub fn backward(&mut self, gradients: &[&[f32]]) {
        self.net.backward(&self.plan, &mut self.workspace, self.mode, gradients);
    }

    /// Output `i` in ONNX's order.
    pub fn output(&self, i: usize) -> Vec<f32> {
        self.net.output_in_onnx_order(&self.plan, &self.workspace, i)
    }

    /// The gradient of a parameter, in the engine's order.
    pub fn gradient(&mut self, name: &str) -> Vec<f32> {
        let parameters = self.net.parameters();
        parameters.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("there is a parameter {name}")).gradient.to_vec()
    }
}

/// The extrema of every quantizer's tensors.
pub struct Extrema(pub Vec<Range>);

impl Monitor for Extrema {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Extrema
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        let seen = &mut self.0[quantizer.0];
        *seen = seen.union(Range::new(min, max));
    }

    fn values(&mut self, _: QuantizerId, _: &[f32]) {
        unreachable!("only extrema are wanted");
    }
}

/// Gives every quantizer the range that its tensors have in a float run.
pub fn calibrate(net: QuantGraph, batch: usize, inputs: &[&[f32]]) -> QuantGraph {
    let plan = Plan::new(&net, batch, Purpose::Inference).unwrap();
    let mut seen = Extrema(vec![Range::new(0.0, 0.0); net.quantizers().len()]);
    let mut net = Network::new(net);
    net.forward(&plan, &mut Workspace::new(&plan), Mode::FLOAT, inputs, &mut seen).unwrap();
    let mut net = net.into_quant_graph();
    net.quantizers_mut().iter_mut().zip(seen.0).for_each(|(q, range)| q.range = Some(range));
    net
}
