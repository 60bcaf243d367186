//! Counts differences.

use quantrain_engine::{EngineError, Mode, Network, Plan, Workspace};
use quantrain_graph::{ElementType, QuantGraph, Quantizer, TensorId};
use quantrain_integer::CodeMonitor;

use super::cause::{Cause, CauseCount, Predictions};
use super::{OutputComparison, TensorComparison};
use crate::onnxruntime::OnnxRuntimeError;

/// What is counted of each quantized tensor, in the order they are made.
pub(super) struct Tensors {
    counts: Vec<TensorComparison>,
    /// Of each tensor of the graph, where it is counted.
    at: Vec<usize>,
    /// Of each tensor of the graph, how many units have run once it is there.
    units: Vec<usize>,
}

impl Tensors {
    pub fn new(net: &QuantGraph) -> Self {
        let graph = net.graph();
        let quantized = |t: &TensorId| net.quantizer_of(*t).is_some();
        let made = net.units().iter().enumerate().map(|(u, unit)| (unit.output(graph), graph.node(unit.core).op.name(), u + 1));
        let all = graph.inputs().iter().map(|&t| (t, "input", 0)).chain(made).filter(|(t, ..)| quantized(t));
        let (mut counts, mut at) = (Vec::new(), vec![usize::MAX; graph.tensors().len()]);
        let mut units = vec![0; graph.tensors().len()];
        for (tensor, operator, made) in all {
            at[tensor.0] = counts.len();
            units[tensor.0] = made;
            let tensor = graph.tensor(tensor).name.clone();
            counts.push(TensorComparison { tensor, operator, codes: 0, differ: 0, largest: 0 });
        }
        Tensors { counts, at, units }
    }

    /// Begins a simulated run of `x` that goes on as far as the integer program does, whose monitor it is.
    pub fn beside<'t>(
        &'t mut self,
        network: &'t mut Network,
        (plan, workspace): &'t mut (Plan, Workspace),
        x: &[&[f32]],
    ) -> Result<Lockstep<'t>, EngineError> {
        network.forward_begin(plan, workspace, Mode::SIMULATE, x, &mut ())?;
        Ok(Lockstep { tensors: self, network, plan, workspace, next: 0, failed: None })
    }

    /// The counts, those that differ most first.
    pub fn finish(mut self) -> Vec<TensorComparison> {
        self.counts.sort_by_key(|t| std::cmp::Reverse((t.largest, t.differ)));
        self.counts
    }
}

/// The simulation, a unit at a time beside the integer program: neither keeps a tensor longer than something reads it.
pub(super) struct Lockstep<'t> {
    tensors: &'t mut Tensors,
    network: &'t mut Network,
    plan: &'t Plan,
    workspace: &'t mut Workspace,
    /// The unit that runs next.
    next: usize,
    failed: Option<EngineError>,
}

impl Lockstep<'_> {
    /// Runs what is left; gives the first output as it lies in memory.
    pub fn finish(mut self) -> Result<Vec<f32>, EngineError> {
        self.run_units(self.network.quant_graph().units().len());
        self.failed.map_or_else(|| Ok(self.network.output(self.plan, self.workspace, 0)), Err)
    }

    fn run_units(&mut self, end: usize) {
        while self.next < end && self.failed.is_none() {
            self.failed = self.network.forward_next(self.next, self.plan, self.workspace, Mode::SIMULATE, &mut ()).err();
            self.next += 1;
        }
    }
}

impl CodeMonitor for Lockstep<'_> {
    fn codes(&mut self, tensor: TensorId, quantizer: &Quantizer, codes: &[i32]) {
        self.run_units(self.tensors.units[tensor.0]);
        let Some((centred, _)) = self.network.values_of(self.plan, self.workspace, tensor).filter(|_| self.failed.is_none()) else {
            return;
        };
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
    /// The types that the file has for them.
    kinds: Vec<Option<ElementType>>,
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
            causes: Vec::new(),
        };
        let kinds = graph.outputs().iter().map(|t| graph.element_types.get(t).copied()).collect();
        Outputs { counts: graph.outputs().iter().zip(&quantizers).map(count).collect(), quantizers, kinds }
    }

    /// Takes up the outputs of a batch, real values as they lie in memory; gives how many of them differ.
    pub fn compare(&mut self, expected: &[Vec<f32>], found: &[Vec<f32>]) -> Result<usize, OnnxRuntimeError> {
        let before: usize = self.counts.iter().map(|c| c.differ).sum();
        for (i, count) in self.counts.iter_mut().enumerate() {
            let values = found.get(i).map_or(&[][..], Vec::as_slice);
            if values.len() != expected[i].len() {
                let (output, found, expected) = (count.output.clone(), values.len(), expected[i].len());
                return Err(OnnxRuntimeError::Output { output, found, expected });
            }
            count.values += values.len();
            for (&a, &b) in expected[i].iter().zip(values) {
                let a = as_handed_out(self.kinds[i], a);
                let difference = (number(&self.quantizers[i], a) - number(&self.quantizers[i], b)).abs();
                count.differ += usize::from(difference != 0.0);
                count.largest = count.largest.max(difference);
            }
        }
        Ok(self.counts.iter().map(|c| c.differ).sum::<usize>() - before)
    }

    /// Counts what explains the codes of quantized outputs that differ.
    pub fn explain(&mut self, expected: &[Vec<f32>], found: &[Vec<f32>], predictions: &Predictions) {
        for (i, count) in self.counts.iter_mut().enumerate().filter(|(_, count)| count.quantized) {
            let code = |values: &[Vec<f32>], at: usize| number(&self.quantizers[i], values[i][at]);
            for at in 0..found[i].len() {
                let theirs = code(found, at);
                if theirs != code(expected, at) {
                    let cause = predictions.cause(|prediction| code(prediction, at) == theirs).unwrap_or(Cause::Unknown);
                    CauseCount::add(&mut count.causes, cause);
                }
            }
        }
    }

    pub fn finish(self) -> Vec<OutputComparison> {
        self.counts
    }
}

/// A value in the type that a file has for its output.
fn as_handed_out(kind: Option<ElementType>, value: f32) -> f32 {
    match kind {
        Some(ElementType::Float16) => half::f16::from_f32(value).to_f32(),
        Some(ElementType::BFloat16) => half::bf16::from_f32(value).to_f32(),
        _ => value,
    }
}

/// The number that is compared. Of codes there are real values: dividing gives the code back, but for rounding.
fn number(quantizer: &Option<Quantizer>, value: f32) -> f64 {
    quantizer.map_or(value.into(), |q| (f64::from(value) / f64::from(q.scale())).round())
}
