//! Recurrent layers: every cell, both directions, starts that are computed, several results.

use quantrain_engine::{BatchNormMode, GradientPath, Training};
use quantrain_graph::op::{Activation, Cell, Direction, Optional, Recurrent, Results, Transpose};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, TensorId};

use super::{Problem, check};
use crate::executor::Bench;
use crate::random::Random;
use crate::tensor::{Tensor, indices};

const SAMPLES: usize = 2;
const STEPS: usize = 4;
const INPUTS: usize = 3;
const HIDDEN: usize = 2;

/// A layer with its parameters W, R and B.
#[derive(Clone)]
struct Layer {
    op: Recurrent,
    parameters: Vec<Tensor>,
}

impl Layer {
    fn new(cell: Cell, direction: Direction, results: Results, starts: bool) -> Self {
        let functions = match cell {
            Cell::Lstm => vec![Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
            Cell::Gru { .. } => vec![Activation::Sigmoid, Activation::Tanh],
            Cell::Plain => vec![Activation::Tanh],
        };
        let optional = Optional { bias: true, hidden: starts, cell: starts && cell == Cell::Lstm, ..Optional::default() };
        let (d, gates) = (direction.count(), cell.gates() * HIDDEN);
        let functions = functions.repeat(d);
        let op = Recurrent { cell, direction, hidden: HIDDEN, functions, optional, lengths: None, results };
        let mut random = Random::new(gates as u64);
        let mut tensor =
            |shape: &[usize]| Tensor::new(shape, random.values(shape.iter().product(), -0.9, 0.9).into_iter().map(f64::from).collect());
        Layer { op, parameters: vec![tensor(&[d, gates, INPUTS]), tensor(&[d, gates, HIDDEN]), tensor(&[d, 2 * gates])] }
    }

    fn all() -> Vec<Layer> {
        let (sequence, hidden, cell) = (true, true, true);
        let only = Results::default();
        vec![
            Layer::new(Cell::Lstm, Direction::Forward, Results { sequence, ..only }, false),
            Layer::new(Cell::Lstm, Direction::Bidirectional, Results { sequence, hidden, cell }, true),
            Layer::new(Cell::Lstm, Direction::Reverse, Results { cell, ..only }, true),
            Layer::new(Cell::Gru { linear_before_reset: false }, Direction::Bidirectional, Results { sequence, ..only }, true),
            Layer::new(Cell::Gru { linear_before_reset: true }, Direction::Reverse, Results { hidden, ..only }, false),
            Layer::new(Cell::Plain, Direction::Bidirectional, Results { sequence, hidden, cell: false }, true),
        ]
    }

    /// Shapes of the inputs, samples first: x, H and C.
    fn inputs(&self) -> Vec<Vec<usize>> {
        let state = vec![SAMPLES, self.op.direction.count(), HIDDEN];
        let mut shapes = vec![vec![SAMPLES, STEPS, INPUTS]];
        shapes.extend([self.op.optional.hidden, self.op.optional.cell].into_iter().filter(|&is_there| is_there).map(|_| state.clone()));
        shapes
    }

    /// The node, behind Transposes of what has the samples first.
    fn node(&self, b: &mut GraphBuilder, x: &[TensorId]) -> TensorId {
        let exchange = |b: &mut GraphBuilder, (i, x): (usize, &TensorId)| {
            let name = format!("turned{i}");
            b.node(&name, Op::Transpose(Transpose { permutation: vec![1, 0, 2] }), &[*x], &name).unwrap()
        };
        let turned: Vec<TensorId> = x.iter().enumerate().map(|x| exchange(b, x)).collect();
        let constants = ["W", "R", "B"].iter().zip(&self.parameters);
        let constants: Vec<TensorId> =
            constants.map(|(name, p)| b.constant(name, &p.shape, p.data.iter().map(|&v| v as f32).collect()).unwrap()).collect();
        let all = [&turned[..1], &constants[..], &turned[1..]].concat();
        b.node("layer", Op::Recurrent(self.op.clone()), &all, "y").unwrap()
    }

    /// ONNX's formulas, one value at a time; the results joined along the first axis.
    fn value(&self, x: &[Tensor], parameters: &[Tensor]) -> Tensor {
        let (d, gates) = (self.op.direction.count(), self.op.cell.gates());
        let (w, r, b) = (&parameters[0], &parameters[1], &parameters[2]);
        let mut y = Tensor::from_fn(&[STEPS, d, SAMPLES, HIDDEN], |_| 0.0);
        let mut ends = [(); 2].map(|()| Tensor::from_fn(&[d, SAMPLES, HIDDEN], |_| 0.0));
        for (direction, n) in indices(&[d, SAMPLES]).iter().map(|i| (i[0], i[1])) {
            let start = |is_there: bool, at: usize| -> Vec<f64> {
                (0..HIDDEN).map(|k| if is_there { x[at].at(&[n, direction, k]) } else { 0.0 }).collect()
            };
            let (mut h, mut c) = (start(self.op.optional.hidden, 1), start(self.op.optional.cell, 2));
            for turn in 0..STEPS {
                let backwards = self.op.direction == Direction::Reverse || direction == 1;
                let t = if backwards { STEPS - 1 - turn } else { turn };
                let from_x = |g: usize, k: usize| -> f64 {
                    let row = g * HIDDEN + k;
                    let sum: f64 = (0..INPUTS).map(|i| w.at(&[direction, row, i]) * x[0].at(&[n, t, i])).sum();
                    sum + b.at(&[direction, row])
                };
                let from_h = |g: usize, k: usize, h: &[f64]| -> f64 {
                    let row = g * HIDDEN + k;
                    let sum: f64 = (0..HIDDEN).map(|j| r.at(&[direction, row, j]) * h[j]).sum();
                    sum + b.at(&[direction, gates * HIDDEN + row])
                };
                let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
                let gate = |g: usize, k: usize| from_x(g, k) + from_h(g, k, &h);
                let next: Vec<(f64, f64)> = (0..HIDDEN)
                    .map(|k| match self.op.cell {
                        Cell::Lstm => {
                            let cell = sigmoid(gate(2, k)) * c[k] + sigmoid(gate(0, k)) * gate(3, k).tanh();
                            (sigmoid(gate(1, k)) * cell.tanh(), cell)
                        }
                        Cell::Gru { linear_before_reset } => {
                            let z = sigmoid(gate(0, k));
                            let reset: Vec<f64> = (0..HIDDEN).map(|j| sigmoid(gate(1, j))).collect();
                            let reduced: Vec<f64> = reset.iter().zip(&h).map(|(r, h)| r * h).collect();
                            let through = if linear_before_reset { reset[k] * from_h(2, k, &h) } else { from_h(2, k, &reduced) };
                            ((1.0 - z) * (from_x(2, k) + through).tanh() + z * h[k], 0.0)
                        }
                        Cell::Plain => (gate(0, k).tanh(), 0.0),
                    })
                    .collect();
                (h, c) = next.into_iter().unzip();
                for (k, &h) in h.iter().enumerate() {
                    let at = y.offset(&[t, direction, n, k]);
                    y.data[at] = h;
                }
            }
            for (end, values) in ends.iter_mut().zip([&h, &c]) {
                let at = end.offset(&[direction, n, 0]);
                end.data[at..at + HIDDEN].copy_from_slice(values);
            }
        }
        let Results { sequence, hidden, cell } = self.op.results;
        let [end_h, end_c] = ends;
        let parts: Vec<Tensor> =
            [(sequence, y), (hidden, end_h), (cell, end_c)].into_iter().filter(|(wanted, _)| *wanted).map(|(_, part)| part).collect();
        if parts.len() == 1 {
            return parts[0].clone();
        }
        let data: Vec<f64> = parts.iter().flat_map(|part| part.data.iter().copied()).collect();
        Tensor::new(&[data.len() / (d * SAMPLES * HIDDEN), d, SAMPLES, HIDDEN], data)
    }
}

#[test]
fn recurrent_layers_meet_their_reference() {
    let problems = Layer::all().into_iter().map(|layer| {
        let name = format!("{:?} {:?} {:?}", layer.op.cell, layer.op.direction, layer.op.results);
        let (shapes, builder) = (layer.inputs(), layer.clone());
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        Problem::parts(&name, &shapes, move |b, x| vec![builder.node(b, x)], move |x| vec![layer.value(x, &layer.parameters)])
    });
    check(problems.collect());
}

#[test]
fn parameters_are_trained_through_time() {
    const STEP: f64 = 1e-5;
    for layer in Layer::all() {
        let mut b = GraphBuilder::new("g");
        let shapes = layer.inputs();
        let inputs: Vec<TensorId> = shapes.iter().enumerate().map(|(i, s)| b.input(&format!("x{i}"), &s[1..])).collect();
        let y = layer.node(&mut b, &inputs);
        b.output(y);
        let training = Training { gradient_path: GradientPath::Float, batch_norm: BatchNormMode::Frozen };
        let mut bench = Bench::new(QuantGraph::float(b.finish().unwrap()), SAMPLES, false, training).unwrap();
        let mut random = Random::new(11);
        let mut tensor =
            |shape: &[usize]| Tensor::new(shape, random.values(shape.iter().product(), -1.0, 1.0).into_iter().map(f64::from).collect());
        let x: Vec<Tensor> = shapes.iter().map(|s| tensor(s)).collect();
        let upstream = tensor(&layer.value(&x, &layer.parameters).shape);
        let fed: Vec<Vec<f32>> = x.iter().map(Tensor::to_memory).collect();
        bench.forward(&fed.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        bench.backward(&[&upstream.to_memory()]);
        let loss = |p: &[Tensor]| -> f64 { layer.value(&x, p).data.iter().zip(&upstream.data).map(|(y, r)| y * r).sum() };
        for (which, name) in ["W", "R", "B"].into_iter().enumerate() {
            for (i, &found) in bench.gradient(name).iter().enumerate() {
                let moved = |by: f64| {
                    let mut p = layer.parameters.clone();
                    p[which].data[i] += by;
                    loss(&p)
                };
                let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                assert!(
                    (f64::from(found) - expected).abs() < 1e-4 * expected.abs().max(1.0),
                    "{:?} {name}[{i}]: {found}, {expected} expected",
                    layer.op
                );
            }
        }
    }
}
