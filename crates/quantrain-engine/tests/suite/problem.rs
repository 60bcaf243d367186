//! A problem: part of a network, and its function in plain f64.
//!
//! The inputs of a problem are parameters. A product of the identity with weights gives each, so that the gradient of an input is the
//! gradient of a weight, seen from outside; a Clip without limits quantizes it where the executor does.

mod activation;
mod convolution;
mod elementwise;
mod expand;
mod layout;
mod logic;
mod matmul;
mod network;
mod normalization;
mod pooling;
mod quantize;
mod recurrent;
mod reduction;
mod resize;
mod straight_through;

use quantrain_engine::{BatchNormMode, GradientPath, Training};
use quantrain_graph::op::{Activation, Extent, Gemm, Reshape};
use quantrain_graph::{Dim, GraphBuilder, Op, QuantGraph, Quantizer, QuantizerId, Range, TensorId};

use crate::executor::{Bench, EXECUTORS, Executor, calibrate};
use crate::random::Random;
use crate::tally::Tally;
use crate::tensor::Tensor;

type Build = Box<dyn Fn(&mut GraphBuilder, &[TensorId]) -> Vec<TensorId>>;
type Function = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

/// Part of a network and what it computes.
pub struct Problem {
    name: String,
    /// Shapes of the inputs, the batch first.
    inputs: Vec<Vec<usize>>,
    build: Build,
    /// Outputs of inputs.
    value: Function,
    /// The function whose derivative the backward takes, where it is another.
    surrogate: Option<Function>,
    /// Inputs lie between these.
    limits: (f32, f32),
    /// Why only the float executor runs it.
    float_only: Option<&'static str>,
}

impl Problem {
    /// One operator of one output.
    fn operator(name: &str, inputs: &[&[usize]], op: Op, value: impl Fn(&[Tensor]) -> Tensor + 'static) -> Self {
        Problem::parts(name, inputs, move |b, x| vec![b.node("op", op.clone(), x, "y").unwrap()], move |x| vec![value(x)])
    }

    /// Several nodes.
    fn parts(
        name: &str,
        inputs: &[&[usize]],
        build: impl Fn(&mut GraphBuilder, &[TensorId]) -> Vec<TensorId> + 'static,
        value: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static,
    ) -> Self {
        Problem {
            name: name.into(),
            inputs: inputs.iter().map(|s| s.to_vec()).collect(),
            build: Box::new(build),
            value: Box::new(value),
            surrogate: None,
            limits: (-2.0, 2.0),
            float_only: None,
        }
    }

    fn surrogate(mut self, surrogate: impl Fn(&[Tensor]) -> Tensor + 'static) -> Self {
        self.surrogate = Some(Box::new(move |x| vec![surrogate(x)]));
        self
    }

    fn limits(mut self, low: f32, high: f32) -> Self {
        self.limits = (low, high);
        self
    }

    fn float_only(mut self, reason: &'static str) -> Self {
        self.float_only = Some(reason);
        self
    }
}

/// Runs every problem on every executor that it allows.
pub fn check(problems: Vec<Problem>) {
    let (mut values, mut gradients) = (0, Tally::default());
    for (p, problem) in problems.iter().enumerate() {
        for executor in EXECUTORS {
            if executor.simulates()
                && let Some(reason) = problem.float_only
            {
                println!("left out: {} on {executor:?}: {reason}", problem.name);
                continue;
            }
            let trial = Trial::run(problem, executor, p as u64);
            values += trial.check_values();
            let tally = trial.check_gradients();
            assert!(tally.compared > tally.dropped, "{}: {tally:?}", trial.name);
            gradients.add(tally);
        }
    }
    assert!(values > 0 && gradients.compared > 0);
    println!("{} problems: {values} values, gradients {gradients:?}", problems.len());
}

/// One run of a problem on one executor.
struct Trial<'p> {
    problem: &'p Problem,
    name: String,
    /// Inputs as the problem sees them, rounded to their grids.
    inputs: Vec<Tensor>,
    outputs: Vec<Vec<f32>>,
    /// Of each output that is quantized.
    quantizers: Vec<Option<Quantizer>>,
    /// The gradient of each output, in ONNX's order: what the engine was given.
    given: Vec<Tensor>,
    /// The gradient of each input, in ONNX's order.
    gradients: Vec<Vec<f32>>,
}

impl<'p> Trial<'p> {
    fn run(problem: &'p Problem, executor: Executor, seed: u64) -> Self {
        let name = format!("{} on {executor:?}", problem.name);
        let mut random = Random::new(seed);
        let (low, high) = problem.limits;
        let raw: Vec<Vec<f32>> = problem.inputs.iter().map(|s| random.values(s.iter().product(), low, high)).collect();
        let batch = problem.inputs[0][0];
        let graph = {
            let mut b = GraphBuilder::new(&problem.name);
            let x: Vec<TensorId> = problem.inputs.iter().zip(&raw).enumerate().map(|(i, (s, v))| source(&mut b, i, s, v)).collect();
            let outputs = (problem.build)(&mut b, &x);
            outputs.into_iter().for_each(|y| b.output(y));
            b.finish().unwrap()
        };
        let identity: Vec<f32> = (0..batch * batch).map(|i| f32::from(u8::from(i / batch == i % batch))).collect();
        let feeds = vec![identity.as_slice(); problem.inputs.len()];
        let mut net = calibrate(executor.prepare(graph), batch, &feeds);
        adjust_ranges(&mut net);
        let quantizer = |name: &str| {
            let id = net.quantizer_of(net.graph().find(name).unwrap())?;
            net.quantizers()[id.0].quantizer().unwrap().filter(|_| executor.simulates())
        };
        let round = |q: Option<Quantizer>, x: f32| q.map_or(x, |q| q.fake_quantize(x));
        let inputs = problem.inputs.iter().zip(&raw).enumerate().map(|(i, (shape, raw))| {
            let steps = [quantizer(&format!("source{i}.x")), quantizer(&format!("gate{i}"))];
            Tensor::new(shape, raw.iter().map(|&x| f64::from(steps.iter().fold(x, |x, &q| round(q, x)))).collect())
        });
        let inputs: Vec<Tensor> = inputs.collect();
        let names: Vec<String> = net.graph().outputs().iter().map(|&t| net.graph().tensor(t).name.clone()).collect();
        let quantizers: Vec<Option<Quantizer>> = names.iter().map(|n| quantizer(n)).collect();
        let surrogates = problem.surrogate.as_ref().unwrap_or(&problem.value)(&inputs);
        let given: Vec<Tensor> = surrogates.iter().zip(&quantizers).map(|(y, q)| upstream(y, *q, &mut random)).collect();

        let training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Frozen };
        let mut bench = Bench::new(net, batch, executor.simulates(), training).unwrap();
        bench.forward(&feeds).unwrap();
        let outputs = (0..names.len()).map(|i| bench.output(i)).collect();
        let in_memory: Vec<Vec<f32>> = given.iter().map(Tensor::to_memory).collect();
        bench.backward(&in_memory.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let gradients = (0..inputs.len()).map(|i| transpose(&bench.gradient(&format!("source{i}.weight")), batch)).collect();
        Trial { problem, name, inputs, outputs, quantizers, given, gradients }
    }

    /// Compares every output with the reference; returns how many numbers that was.
    fn check_values(&self) -> usize {
        let mut compared = 0;
        let references = (self.problem.value)(&self.inputs);
        assert_eq!(references.len(), self.outputs.len(), "{}: number of outputs", self.name);
        for (o, (found, reference)) in self.outputs.iter().zip(&references).enumerate() {
            assert_eq!(found.len(), reference.data.len(), "{}: elements of output {o}", self.name);
            for (i, (&found, &expected)) in found.iter().zip(&reference.data).enumerate() {
                let found = f64::from(found);
                let float_error = 2e-6 * expected.abs().max(1.0);
                let fits = match self.quantizers[o] {
                    None => (found - expected).abs() <= float_error,
                    Some(q) => {
                        let (step, range) = (f64::from(q.scale()), q.range());
                        let expected = expected.clamp(f64::from(range.min), f64::from(range.max));
                        let on_grid = (found / step - (found / step).round()).abs() < 1e-4;
                        on_grid && (found - expected).abs() <= 0.5 * step + float_error
                    }
                };
                assert!(fits, "{}: output {o}[{i}] is {found}, {expected} expected", self.name);
                compared += 1;
            }
        }
        compared
    }

    /// Compares the gradient of every input with finite differences of the surrogate.
    fn check_gradients(&self) -> Tally {
        const STEP: f64 = 1e-5;
        let mut tally = Tally::default();
        let here = self.loss(&self.inputs);
        for i in 0..self.inputs.len() {
            let mut moved = self.inputs.clone();
            let differences: Vec<Option<f64>> = (0..self.inputs[i].data.len())
                .map(|e| {
                    let x = self.inputs[i].data[e];
                    let mut loss_at = |at: f64| {
                        moved[i].data[e] = at;
                        self.loss(&moved)
                    };
                    let (above, below) = ((loss_at(x + STEP) - here) / STEP, (here - loss_at(x - STEP)) / STEP);
                    moved[i].data[e] = x;
                    let smooth = (above - below).abs() <= 1e-3 * (above.abs() + below.abs()) + 1e-4;
                    smooth.then_some((above + below) / 2.0)
                })
                .collect();
            tally.gradients(&format!("{}: gradient of input {i}", self.name), &self.gradients[i], &differences, 0.1);
        }
        tally
    }

    /// `Σ r·clip(surrogate)`: the clip is the output quantizer's range, widened by half a step.
    fn loss(&self, x: &[Tensor]) -> f64 {
        let outputs = self.problem.surrogate.as_ref().unwrap_or(&self.problem.value)(x);
        let terms = outputs.iter().zip(&self.given).zip(&self.quantizers).map(|((y, r), q)| {
            let (low, high) = q.map_or((f64::NEG_INFINITY, f64::INFINITY), |q| rounding_range(&q));
            y.data.iter().zip(&r.data).map(|(y, r)| y.clamp(low, high) * r).sum::<f64>()
        });
        terms.sum()
    }
}

/// Input `i`: `identity · weights`, reshaped, and passed through a Clip that clips nothing.
fn source(b: &mut GraphBuilder, i: usize, shape: &[usize], values: &[f32]) -> TensorId {
    let batch = shape[0];
    let count = values.len() / batch;
    let select = b.input(&format!("select{i}"), &[batch]);
    let weights = b.constant(&format!("source{i}.weight"), &[count, batch], transpose(values, count)).unwrap();
    let product = Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true };
    let (name, x) = (format!("source{i}"), format!("source{i}.x"));
    let flat = b.node(&name, Op::Gemm(product), &[select, weights], &name).unwrap();
    let rest = shape[1..].iter().map(|&n| Extent::Is(Dim::Fixed(n)));
    let reshape = Reshape { extents: std::iter::once(Extent::Is(Dim::Batch(1))).chain(rest).collect() };
    let x = b.node(&x, Op::Reshape(reshape), &[flat], &x).unwrap();
    let gate = Activation::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY };
    b.node(&format!("gate{i}"), Op::Activation(gate), &[x], &format!("gate{i}")).unwrap()
}

/// A matrix of rows of `columns` values, transposed.
fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// Inputs lie inside their ranges, the identity on a grid of whole numbers, and other tensors reach out of theirs.
fn adjust_ranges(net: &mut QuantGraph) {
    let tensors: Vec<String> = net.graph().tensors().iter().map(|t| t.name.clone()).collect();
    let of_tensor: Vec<_> = (0..tensors.len()).map(|t| net.quantizer_of(TensorId(t))).collect();
    for (i, q) in net.quantizers_mut().iter_mut().enumerate() {
        let holds = |prefix: &str| tensors.iter().zip(&of_tensor).any(|(t, id)| t.starts_with(prefix) && *id == Some(QuantizerId(i)));
        let r = q.range.expect("calibrated");
        let scaled = |factor: f32| Range::new(factor * r.min, factor * r.max);
        q.range = Some(match () {
            () if holds("select") => Range::new(0.0, 255.0),
            () if holds("source") || holds("gate") => scaled(1.02),
            () => scaled(0.8),
        });
    }
}

/// Gradients for an output: none where it stands at an end of its range.
fn upstream(y: &Tensor, q: Option<Quantizer>, random: &mut Random) -> Tensor {
    let near_an_end = |v: f64| {
        q.is_some_and(|q| {
            let (low, high) = rounding_range(&q);
            (v - low).abs().min((v - high).abs()) < 1e-3 * f64::from(q.scale())
        })
    };
    let gradient = |&v: &f64| if near_an_end(v) { 0.0 } else { f64::from(random.uniform(-1.0, 1.0)) };
    Tensor::new(&y.shape, y.data.iter().map(gradient).collect())
}

/// What rounds to a code without being clipped.
fn rounding_range(q: &Quantizer) -> (f64, f64) {
    let (low, high) = q.centred_limits();
    ((f64::from(low) - 0.5) * f64::from(q.scale()), (f64::from(high) + 0.5) * f64::from(q.scale()))
}
