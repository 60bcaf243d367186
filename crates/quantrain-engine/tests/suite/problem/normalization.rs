//! Normalisation with the statistics of each sample; BatchNormalization that no block takes.

use quantrain_engine::{BatchNormMode, GradientPath, Training};
use quantrain_graph::op::{BatchNormalization, InstanceNormalization, LayerNormalization};
use quantrain_graph::{GraphBuilder, Op, QuantGraph};

use super::{Problem, check};
use crate::executor::Bench;
use crate::random::Random;
use crate::tensor::Tensor;

fn problems() -> Vec<Problem> {
    let values = [("gamma", [1.5f32, -0.5, 0.8]), ("beta", [0.1, -0.2, 0.3]), ("mean", [0.5, -1.0, 0.0]), ("variance", [0.5, 2.0, 1.0])];
    let shapes: [&[usize]; 3] = [&[2, 3, 4, 5], &[4, 3], &[2, 3, 5]];
    let problem = |shape: &'static [usize]| {
        let problem = Problem::parts(
            &format!("BatchNormalization {shape:?}"),
            &[shape],
            move |b, x| {
                let mut inputs = vec![x[0]];
                inputs.extend(values.map(|(name, v)| b.constant(name, &[3], v.to_vec()).unwrap()));
                let op = BatchNormalization { epsilon: 1e-3, momentum: 0.9 };
                vec![b.node("op", Op::BatchNormalization(op), &inputs, "y").unwrap()]
            },
            move |x| {
                let [gamma, beta, mean, variance] = values.map(|(_, v)| v.map(f64::from));
                let norm = |c: usize, v: f64| gamma[c] * (v - mean[c]) / (variance[c] + f64::from(1e-3f32)).sqrt() + beta[c];
                vec![Tensor::from_fn(shape, |i| norm(i[1], x[0].at(i)))]
            },
        );
        if shape.len() == 4 { problem.float_only("a block there, whose factors are rounded") } else { problem }
    };
    shapes.into_iter().map(problem).collect()
}

const EPSILON: f32 = 1e-2;

/// Each group of places of `x` normalised; `parameter` is the scale and offset that a place has.
fn normalised(x: &Tensor, group: impl Fn(&[usize]) -> Vec<usize>, parameter: impl Fn(&[usize]) -> (f64, f64)) -> Tensor {
    let indices = crate::tensor::indices(&x.shape);
    Tensor::from_fn(&x.shape, |at| {
        let values: Vec<f64> = indices.iter().filter(|i| group(i) == group(at)).map(|i| x.at(i)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        let (scale, offset) = parameter(at);
        (x.at(at) - mean) / (variance + f64::from(EPSILON)).sqrt() * scale + offset
    })
}

/// A LayerNormalization or InstanceNormalization of `shape`, its parameters, and its function of them.
struct OfSamples {
    shape: &'static [usize],
    op: Op,
    parameters: [Vec<f32>; 2],
}

impl OfSamples {
    fn new(shape: &'static [usize], op: Op) -> Self {
        let own = Self::own(shape, &op);
        let mut random = Random::new(shape.len() as u64);
        OfSamples { shape, op, parameters: [random.values(own.iter().product(), 0.5, 1.5), random.values(own.iter().product(), -0.5, 0.5)] }
    }

    /// The shape of the parameters.
    fn own(shape: &'static [usize], op: &Op) -> &'static [usize] {
        match op {
            Op::LayerNormalization(op) => &shape[op.axis.rem_euclid(shape.len() as i64) as usize..],
            _ => &shape[1..2],
        }
    }

    fn node(&self, b: &mut GraphBuilder, x: quantrain_graph::TensorId) -> quantrain_graph::TensorId {
        let own = Self::own(self.shape, &self.op);
        let [scale, offset] = ["scale", "offset"].map(|name| {
            let values = self.parameters[usize::from(name == "offset")].clone();
            b.constant(name, own, values).unwrap()
        });
        b.node("op", self.op.clone(), &[x, scale, offset], "y").unwrap()
    }

    fn value(&self, x: &Tensor, [scale, offset]: [&[f64]; 2]) -> Tensor {
        let own = Self::own(self.shape, &self.op);
        let first = self.shape.len() - own.len();
        let place = |i: &[usize]| match self.op {
            Op::LayerNormalization(_) => i[first..].iter().zip(own).fold(0, |at, (i, n)| at * n + i),
            _ => i[1],
        };
        let group = |i: &[usize]| if matches!(self.op, Op::LayerNormalization(_)) { i[..first].to_vec() } else { i[..2].to_vec() };
        normalised(x, group, |i| (scale[place(i)], offset[place(i)]))
    }
}

fn of_samples() -> Vec<OfSamples> {
    let layer = |axis| Op::LayerNormalization(LayerNormalization { axis, epsilon: EPSILON });
    let instance = Op::InstanceNormalization(InstanceNormalization { epsilon: EPSILON });
    vec![
        OfSamples::new(&[2, 3, 6], layer(-1)),
        OfSamples::new(&[3, 7], layer(1)),
        OfSamples::new(&[2, 3, 4, 5], layer(-1)),
        OfSamples::new(&[2, 3, 2, 2], layer(1)),
        OfSamples::new(&[2, 3, 4, 5], instance.clone()),
        OfSamples::new(&[2, 3, 5], instance),
    ]
}

#[test]
fn normalisations_of_samples_meet_their_references() {
    let problem = |part: OfSamples| {
        let part = std::rc::Rc::new(part);
        let [scale, offset] = [0, 1].map(|i| part.parameters[i].iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
        let (name, shape, builder) = (format!("{} {:?}", part.op.name(), part.shape), part.shape, part.clone());
        Problem::parts(&name, &[shape], move |b, x| vec![builder.node(b, x[0])], move |x| vec![part.value(&x[0], [&scale, &offset])])
    };
    check(of_samples().into_iter().map(problem).collect());
}

#[test]
fn scales_and_offsets_of_samples_are_trained() {
    for part in of_samples() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &part.shape[1..]);
        let y = part.node(&mut b, x);
        b.output(y);
        let training = Training { gradient_path: GradientPath::Float, batch_norm: BatchNormMode::Frozen };
        let mut bench = Bench::new(QuantGraph::float(b.finish().unwrap()), part.shape[0], false, training).unwrap();
        let mut random = Random::new(9);
        let count = part.shape.iter().product();
        let [x, r] = [(); 2].map(|()| Tensor::new(part.shape, random.values(count, -1.0, 1.0).into_iter().map(f64::from).collect()));
        bench.forward(&[&x.to_memory()]).unwrap();
        bench.backward(&[&r.to_memory()]);
        let values = part.parameters.each_ref().map(|p| p.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
        let loss =
            |values: &[Vec<f64>; 2]| -> f64 { part.value(&x, [&values[0], &values[1]]).data.iter().zip(&r.data).map(|(y, r)| y * r).sum() };
        for (which, name) in ["scale", "offset"].into_iter().enumerate() {
            let found = bench.gradient(name);
            for (i, &found) in found.iter().enumerate() {
                let mut above = values.clone();
                above[which][i] += 1.0;
                let expected = loss(&above) - loss(&values);
                assert!((f64::from(found) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{name}[{i}]: {found}, {expected} expected");
            }
        }
    }
}

#[test]
fn a_batch_norm_of_its_own_meets_its_reference() {
    check(problems());
}
