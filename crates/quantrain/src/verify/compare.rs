//! Counts differences.

use quantrain_engine::{Network, Plan, Workspace};
use quantrain_graph::{QuantGraph, Quantizer, TensorId};
use quantrain_integer::CodeMonitor;

use super::{OutputComparison, TensorComparison};
use crate::onnxruntime::OnnxRuntimeError;

/// What is counted of each quantized tensor, in the order they are made.
pub(super) struct Tensors {
    counts: Vec<TensorComparison>,
    /// Of each tensor of the graph, where it is counted.
    at: Vec<usize>,
}

impl Tensors {
    pub fn new(net: &QuantGraph) -> Self {
        let graph = net.graph();
        let quantized = |t: &TensorId| net.quantizer_of(*t).is_some();
        let outputs = net.units().iter().map(|u| (u.output(graph), graph.node(u.core).op.name()));
        let all = graph.inputs().iter().map(|&t| (t, "input")).chain(outputs).filter(|(t, _)| quantized(t));
        let (mut counts, mut at) = (Vec::new(), vec![usize::MAX; graph.tensors().len()]);
        for (tensor, operator) in all {
            at[tensor.0] = counts.len();
            let tensor = graph.tensor(tensor).name.clone();
            counts.push(TensorComparison { tensor, operator, codes: 0, differ: 0, largest: 0 });
        }
        Tensors { counts, at }
    }

    /// Compares with what is in `workspace` after a simulated run.
    pub fn monitor<'t>(&'t mut self, network: &'t Network, plan: &'t Plan, workspace: &'t Workspace) -> impl CodeMonitor + 't {
        Monitor { tensors: self, network, plan, workspace }
    }

    /// The counts, those that differ most first.
    pub fn finish(mut self) -> Vec<TensorComparison> {
        self.counts.sort_by_key(|t| std::cmp::Reverse((t.largest, t.differ)));
        self.counts
    }
}

struct Monitor<'t> {
    tensors: &'t mut Tensors,
    network: &'t Network,
    plan: &'t Plan,
    workspace: &'t Workspace,
}

impl CodeMonitor for Monitor<'_> {
    fn codes(&mut self, tensor: TensorId, quantizer: &Quantizer, codes: &[i32]) {
        let (centred, _) = self.network.values_of(self.plan, self.workspace, tensor).expect("an inspected plan keeps quantized tensors");
        let zero = quantizer.zero_point();
        let count = &mut self.tensors.counts[self.tensors.at[tensor.0]];
        count.codes += codes.len();
        for (&code, &centred) in codes.iter().zip(centred) {
            let difference = code.abs_diff(centred as i32 + zero);
            count.differ += usize::from(difference > 0);
            count.largest = count.largest.max(difference);
        }
    }
}

/// What is counted of each output.
pub(super) struct Outputs {
    counts: Vec<OutputComparison>,
    quantizers: Vec<Option<Quantizer>>,
}

impl Outputs {
    pub fn new(net: &QuantGraph) -> Self {
        let graph = net.graph();
        let quantizer = |&t: &TensorId| net.quantizer_of(t).and_then(|q| net.quantizers()[q.0].fixed);
        let quantizers: Vec<_> = graph.outputs().iter().map(quantizer).collect();
        let count = |(t, q): (&TensorId, &Option<Quantizer>)| OutputComparison {
            output: graph.tensor(*t).name.clone(),
            quantized: q.is_some(),
            values: 0,
            differ: 0,
            largest: 0.0,
        };
        Outputs { counts: graph.outputs().iter().zip(&quantizers).map(count).collect(), quantizers }
    }

    /// Takes up the outputs of a batch, real values as they lie in memory; gives how many of them differ.
    pub fn compare(&mut self, expected: &[Vec<f32>], found: &[Vec<f32>]) -> Result<usize, OnnxRuntimeError> {
        let before: usize = self.counts.iter().map(|c| c.differ).sum();
        for (i, (count, quantizer)) in self.counts.iter_mut().zip(&self.quantizers).enumerate() {
            let values = found.get(i).map_or(&[][..], Vec::as_slice);
            if values.len() != expected[i].len() {
                let (output, found, expected) = (count.output.clone(), values.len(), expected[i].len());
                return Err(OnnxRuntimeError::Output { output, found, expected });
            }
            // Real values of codes: dividing gives the code back, but for rounding.
            let number = |v: f32| quantizer.map_or(v.into(), |q| (f64::from(v) / f64::from(q.scale())).round());
            count.values += values.len();
            for (&a, &b) in expected[i].iter().zip(values) {
                let difference = (number(a) - number(b)).abs();
                count.differ += usize::from(difference != 0.0);
                count.largest = count.largest.max(difference);
            }
        }
        Ok(self.counts.iter().map(|c| c.differ).sum::<usize>() - before)
    }

    pub fn finish(self) -> Vec<OutputComparison> {
        self.counts
    }
}
