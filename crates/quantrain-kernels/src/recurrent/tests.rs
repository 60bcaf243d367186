use super::*;
use crate::test_data::floats;

/// A direction, and what gradients are of: x, W, R, B, P, and H and C at the start.
struct Case {
    layer: Recurrence,
    given: [Vec<f32>; 7],
}

impl Case {
    fn new(cell: Cell, functions: &[Activation], reverse: bool, lengths: Option<Vec<usize>>) -> Self {
        let (steps, samples, inputs, hidden) = (4, 3, 2, 5);
        let layer = Recurrence { cell, functions: functions.to_vec(), reverse, steps, samples, inputs, hidden, lengths };
        let gates = cell.gates() * hidden;
        let lstm = usize::from(cell == Cell::Lstm);
        let sizes = [steps * samples * inputs, gates * inputs, gates * hidden, 2 * gates, 3 * hidden * lstm, samples * hidden];
        let sizes = [&sizes[..], &[samples * hidden * lstm]].concat();
        let given = std::array::from_fn(|i| floats(i as u64 + 1, sizes[i]).iter().map(|v| v / 6.0).collect());
        Case { layer, given }
    }

    fn all() -> Vec<Case> {
        use Activation::{HardSigmoid, LeakyRelu, Relu, Sigmoid, Softsign, Tanh};
        let functions: [(Cell, &[Activation], &[Activation]); 4] = [
            (Cell::Lstm, &[Sigmoid, Tanh, Tanh], &[HardSigmoid { alpha: 0.2, beta: 0.5 }, Softsign, LeakyRelu { slope: 0.3 }]),
            (Cell::Gru { linear_before_reset: false }, &[Sigmoid, Tanh], &[Softsign, Relu]),
            (Cell::Gru { linear_before_reset: true }, &[Sigmoid, Tanh], &[Sigmoid, Softsign]),
            (Cell::Plain, &[Tanh], &[Relu]),
        ];
        let mut cases = Vec::new();
        for (cell, usual, others) in functions {
            for reverse in [false, true] {
                cases.push(Case::new(cell, usual, reverse, None));
                cases.push(Case::new(cell, others, reverse, Some(vec![4, 0, 2])));
            }
        }
        cases
    }

    fn parameters(&self) -> Parameters<'_> {
        let [_, input, recurrent, bias, peepholes, ..] = &self.given;
        Parameters { input, recurrent, bias: Some(bias), peepholes: Some(&peepholes[..]).filter(|p| !p.is_empty()) }
    }

    fn start(&self) -> Carry<'_> {
        Carry { hidden: Some(&self.given[5]), cell: Some(&self.given[6][..]).filter(|c| !c.is_empty()) }
    }

    /// H of every step, and H and C behind the last, by ONNX's formulas, one value at a time.
    fn reference(&self, given: &[Vec<f64>]) -> [Vec<f64>; 3] {
        let Recurrence { cell, ref functions, reverse, steps, samples, inputs, hidden, ref lengths } = self.layer;
        let [x, w, r, b, p, h, c] = given else { unreachable!("seven tensors") };
        let f = |k: usize, v: f64| value(functions[k], v);
        let (mut h, mut c) = (h.clone(), c.clone());
        let mut y = vec![0.0; steps * samples * hidden];
        for turn in 0..steps {
            let t = if reverse { steps - 1 - turn } else { turn };
            let (last_h, last_c) = (h.clone(), c.clone());
            for n in (0..samples).filter(|&n| lengths.as_ref().is_none_or(|lengths| t < lengths[n])) {
                let from_x = |g: usize, k: usize| -> f64 {
                    let row = g * hidden + k;
                    (0..inputs).map(|i| x[(t * samples + n) * inputs + i] * w[row * inputs + i]).sum::<f64>() + b[row]
                };
                let from = |g: usize, k: usize, h: &dyn Fn(usize) -> f64| -> f64 {
                    let row = g * hidden + k;
                    (0..hidden).map(|j| h(j) * r[row * hidden + j]).sum::<f64>() + b[cell.gates() * hidden + row]
                };
                let last = |j: usize| last_h[n * hidden + j];
                for k in 0..hidden {
                    let at = n * hidden + k;
                    let gate = |g: usize| from_x(g, k) + from(g, k, &last);
                    match cell {
                        Cell::Lstm => {
                            let i = f(0, gate(0) + p[k] * last_c[at]);
                            let forget = f(0, gate(2) + p[2 * hidden + k] * last_c[at]);
                            c[at] = forget * last_c[at] + i * f(1, gate(3));
                            h[at] = f(0, gate(1) + p[hidden + k] * c[at]) * f(2, c[at]);
                        }
                        Cell::Gru { linear_before_reset } => {
                            let z = f(0, gate(0));
                            let reset = |j: usize| f(0, from_x(1, j) + from(1, j, &last));
                            let through =
                                if linear_before_reset { reset(k) * from(2, k, &last) } else { from(2, k, &|j| reset(j) * last(j)) };
                            h[at] = (1.0 - z) * f(1, from_x(2, k) + through) + z * last(k);
                        }
                        Cell::Plain => h[at] = f(0, gate(0)),
                    }
                    y[(t * samples + n) * hidden + k] = h[at];
                }
            }
        }
        [y, h, c]
    }
}

fn value(function: Activation, x: f64) -> f64 {
    match function {
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                x
            } else {
                f64::from(slope) * x
            }
        }
        Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Activation::Softsign => x / (1.0 + x.abs()),
        other => unreachable!("{other:?} is in no case"),
    }
}

fn assert_near(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: elements");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}[{i}]: {found}, {expected} expected");
    }
}

fn wide(values: &[Vec<f32>]) -> Vec<Vec<f64>> {
    values.iter().map(|v| v.iter().map(|&v| f64::from(v)).collect()).collect()
}

/// The state behind a forward, and what it wrote.
fn run(case: &Case) -> (Vec<f32>, [Vec<f32>; 3]) {
    let layer = &case.layer;
    let mut state = vec![f32::NAN; layer.state_len()];
    layer.forward(&case.given[0], &case.parameters(), case.start(), &mut state);
    let mut y = vec![f32::NAN; layer.steps * layer.slot()];
    layer.write_steps(&mut state, |t, n, h| y[(t * layer.samples + n) * layer.hidden..][..layer.hidden].copy_from_slice(h));
    let (hidden, cell) = layer.last(&mut state);
    let last = [hidden.to_vec(), cell.to_vec()];
    let [hidden, cell] = last;
    (state, [y, hidden, cell])
}

#[test]
fn every_cell_gives_what_onnx_defines() {
    for case in Case::all() {
        let (_, found) = run(&case);
        let expected = case.reference(&wide(&case.given));
        for (what, (found, expected)) in ["Y", "Y_h", "Y_c"].into_iter().zip(found.iter().zip(&expected)) {
            assert_near(&format!("{:?}: {what}", case.layer), found, expected, 1e-5);
        }
    }
}

#[test]
fn gradients_through_time_are_finite_differences() {
    const STEP: f64 = 1e-6;
    for case in Case::all() {
        let layer = &case.layer;
        let given: Vec<Vec<f32>> = run(&case).1.iter().enumerate().map(|(i, y)| floats(20 + i as u64, y.len())).collect();
        let loss = |at: &[Vec<f64>]| -> f64 {
            let outputs = case.reference(at);
            outputs.iter().zip(&given).map(|(y, d)| y.iter().zip(d).map(|(y, &d)| y * f64::from(d)).sum::<f64>()).sum()
        };
        let (mut state, _) = run(&case);
        let p = case.parameters();
        let dy = OfSteps { values: &given[0], first: 0, apart: layer.slot() };
        let end = Carry { hidden: Some(&given[1]), cell: Some(&given[2][..]).filter(|c| !c.is_empty()) };
        layer.backward(&p, Some(dy), end, &mut state);
        let mut gradients = case.given.clone();
        layer.input_gradient(&p, &mut state, &mut gradients[0], false);
        layer.weight_gradient(&case.given[0], &mut state, &mut gradients[1]);
        layer.recurrent_gradient(&mut state, &mut gradients[2]);
        layer.bias_gradient(&mut state, &mut gradients[3]);
        layer.peephole_gradient(&mut state, &mut gradients[4]);
        let (hidden, cell) = layer.start_gradient(&mut state);
        let start = [hidden.to_vec(), cell.to_vec()];
        [gradients[5], gradients[6]] = start;
        let mut at = wide(&case.given);
        for (tensor, gradient) in gradients.iter().enumerate() {
            let differences: Vec<f64> = (0..gradient.len())
                .map(|i| {
                    let x = at[tensor][i];
                    let mut moved = |to: f64| {
                        at[tensor][i] = to;
                        loss(&at)
                    };
                    let difference = (moved(x + STEP) - moved(x - STEP)) / (2.0 * STEP);
                    at[tensor][i] = x;
                    difference
                })
                .collect();
            assert_near(&format!("{layer:?}: gradient of tensor {tensor}"), gradient, &differences, 1e-4);
        }
        let mut twice = gradients[0].clone();
        layer.input_gradient(&case.parameters(), &mut state, &mut twice, true);
        let doubled: Vec<f64> = gradients[0].iter().map(|&d| 2.0 * f64::from(d)).collect();
        assert_near("gradients that are added", &twice, &doubled, 1e-6);
    }
}

#[test]
fn a_batch_gives_what_its_samples_give() {
    let case = Case::new(Cell::Lstm, &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh], false, None);
    let (_, [whole, ..]) = run(&case);
    let layer = &case.layer;
    let row = |values: &[f32], size: usize, t: usize, n: usize| values[(t * layer.samples + n) * size..][..size].to_vec();
    for n in 0..layer.samples {
        let x = (0..layer.steps).flat_map(|t| row(&case.given[0], layer.inputs, t, n)).collect();
        let start = [5, 6].map(|i| row(&case.given[i], layer.hidden, 0, n));
        let mut given = case.given.clone();
        given[0] = x;
        [given[5], given[6]] = start;
        let single = Case { layer: Recurrence { samples: 1, ..layer.clone() }, given };
        let (_, [y, ..]) = run(&single);
        let expected: Vec<f32> = (0..layer.steps).flat_map(|t| row(&whole, layer.hidden, t, n)).collect();
        assert_eq!(y, expected, "sample {n}");
    }
}
