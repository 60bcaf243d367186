//! Runs a network both ways and counts.

use std::collections::HashMap;

use quantrain_engine::{Mode, Monitor, Network, Plan, Purpose, Want, Workspace};
use quantrain_graph::{Graph, GraphBuilder, QuantGraph, Quantizer, QuantizerId, Range, Settings, Target, TensorId};
use quantrain_integer::{CodeMonitor, IntegerProgram};

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub tensors: usize,
    pub codes: usize,
    pub differ: usize,
    /// Values of outputs that are not quantized, and those whose bits differ.
    pub reals: usize,
    pub reals_differ: usize,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.tensors += other.tensors;
        self.codes += other.codes;
        self.differ += other.differ;
        self.reals += other.reals;
        self.reals_differ += other.reals_differ;
    }
}

/// A network placed for a target, with every tensor that a unit writes handed out, so that the engine shows its codes.
pub fn prepare(graph: &Graph, target: &Target, settings: &Settings) -> QuantGraph {
    let placed = QuantGraph::prepare(graph.clone(), target.clone(), settings).unwrap();
    // With the activations that are one node now.
    let graph = placed.graph();
    let outputs: Vec<TensorId> = placed.units().iter().map(|u| u.output(graph)).filter(|t| !graph.outputs().contains(t)).collect();
    let mut b = GraphBuilder::new(&graph.name);
    let mut new = HashMap::new();
    for &input in graph.inputs() {
        let tensor = graph.tensor(input);
        new.insert(input, b.input_shaped(&tensor.name, tensor.shape.clone()).unwrap());
    }
    for (t, tensor) in graph.tensors().iter().enumerate() {
        if let Some(values) = &tensor.constant {
            new.insert(TensorId(t), b.constant(&tensor.name, &tensor.shape.at(1), values.clone()).unwrap());
        }
    }
    for node in graph.nodes() {
        let inputs: Vec<TensorId> = node.inputs.iter().map(|t| new[t]).collect();
        let output = b.node(&node.name, node.op.clone(), &inputs, &graph.tensor(node.output).name).unwrap();
        new.insert(node.output, output);
    }
    graph.outputs().iter().chain(&outputs).for_each(|t| b.output(new[t]));
    let net = QuantGraph::prepare(b.finish().unwrap(), target.clone(), settings).unwrap();
    assert_eq!(net.units(), placed.units(), "handing tensors out changes no unit");
    net
}

struct Extrema(Vec<Range>);

impl Monitor for Extrema {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Extrema
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        self.0[quantizer.0] = self.0[quantizer.0].union(Range::new(min, max));
    }

    fn values(&mut self, _: QuantizerId, _: &[f32]) {}
}

/// Sets ranges from one batch, `factor` of what was seen.
pub fn calibrate(net: QuantGraph, batch: usize, inputs: &[&[f32]], factor: f32) -> QuantGraph {
    let plan = Plan::new(&net, batch, Purpose::Inference).unwrap();
    let mut extrema = Extrema(vec![Range::new(0.0, 0.0); net.quantizers().len()]);
    let (mut workspace, mut network) = (Workspace::new(&plan), Network::new(net));
    network.forward(&plan, &mut workspace, Mode::FLOAT, inputs, &mut extrema).unwrap();
    let mut net = network.into_quant_graph();
    let quantizers = net.quantizers_mut().iter_mut();
    quantizers.zip(extrema.0).for_each(|(q, r)| q.range = Some(Range::new(factor * r.min, factor * r.max)));
    net
}

/// The outputs of the simulation, real values as they lie in memory.
pub fn simulate(net: &QuantGraph, batch: usize, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let plan = Plan::new(net, batch, Purpose::Inference).unwrap();
    let (mut workspace, mut network) = (Workspace::new(&plan), Network::new(net.clone()));
    network.forward(&plan, &mut workspace, Mode::SIMULATE, inputs, &mut ()).unwrap();
    (0..net.graph().outputs().len()).map(|i| network.output(&plan, &workspace, i)).collect()
}

pub fn quantizer(net: &QuantGraph, tensor: TensorId) -> Option<Quantizer> {
    net.quantizer_of(tensor).map(|q| net.quantizers()[q.0].quantizer().unwrap().unwrap())
}

/// Keeps every code.
#[derive(Default)]
pub struct Codes(pub HashMap<TensorId, Vec<i32>>);

impl CodeMonitor for Codes {
    fn codes(&mut self, tensor: TensorId, _: &Quantizer, codes: &[i32]) {
        assert!(self.0.insert(tensor, codes.to_vec()).is_none(), "a tensor is made once");
    }
}

/// Compares the integer program with the simulation at every input and every output of a calibrated network.
pub fn compare(name: &str, net: &QuantGraph, batch: usize, inputs: &[&[f32]]) -> Counts {
    let graph = net.graph();
    let program = IntegerProgram::lower(net).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut found = Codes::default();
    let reals = program.run(batch, inputs, &mut found).unwrap();
    assert_eq!(reals, program.run(batch, inputs, &mut ()).unwrap(), "{name}: a batch in parts gives what the whole gives");
    let expected = simulate(net, batch, inputs);
    let mut counts = Counts::default();
    let mut count = |tensor: TensorId, expected: Vec<i32>| {
        let found = &found.0[&tensor];
        assert_eq!(found.len(), expected.len(), "{name}: elements of a tensor");
        let differ = found.iter().zip(&expected).filter(|(f, e)| f != e).count();
        if differ > 0 {
            let first = found.iter().zip(&expected).position(|(f, e)| f != e).unwrap();
            let producer = graph.producer(tensor).map(|n| graph.node(n).op.name());
            println!(
                "{name}: `{}` ({producer:?}): {differ} of {} differ, first {} for {}",
                graph.tensor(tensor).name,
                found.len(),
                found[first],
                expected[first]
            );
        }
        counts.add(Counts { tensors: 1, codes: found.len(), differ, ..Counts::default() });
    };
    for (&tensor, x) in graph.inputs().iter().zip(inputs) {
        if let Some(q) = quantizer(net, tensor) {
            count(tensor, x.iter().map(|&v| q.code(v)).collect());
        }
    }
    let mut real_counts = Counts::default();
    for ((&tensor, simulated), real) in graph.outputs().iter().zip(&expected).zip(&reals) {
        if let Some(q) = quantizer(net, tensor) {
            let code = |v: &f32| (f64::from(*v) / f64::from(q.scale())).round() as i32 + q.zero_point();
            count(tensor, simulated.iter().map(code).collect());
        } else {
            let differ = simulated.iter().zip(real).filter(|(a, b)| a.to_bits() != b.to_bits() && **a != **b).count();
            if differ > 0 {
                println!("{name}: output `{}`: {differ} of {} real values differ", graph.tensor(tensor).name, real.len());
            }
            real_counts.add(Counts { reals: real.len(), reals_differ: differ, ..Counts::default() });
        }
    }
    counts.add(real_counts);
    counts
}
