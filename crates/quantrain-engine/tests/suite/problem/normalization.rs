//! Normalisation with the statistics of each sample; BatchNormalization that no block takes.

use quantrain_engine::{BatchNormMode, GradientPath, Training};
use quantrain_graph::op::{
    Activation, BatchNormalization, Binary, Epsilon, GroupNormalization, InstanceNormalization, LayerNormalization, Reduce,
    RmsNormalization,
};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, TensorId};

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
fn normalised(op: &Op, x: &Tensor, group: impl Fn(&[usize]) -> Vec<usize>, parameter: impl Fn(&[usize]) -> (f64, f64)) -> Tensor {
    let indices = crate::tensor::indices(&x.shape);
    let epsilon = f64::from(EPSILON);
    Tensor::from_fn(&x.shape, |at| {
        let values: Vec<f64> = indices.iter().filter(|i| group(i) == group(at)).map(|i| x.at(i)).collect();
        let mean = if matches!(op, Op::RmsNormalization(_)) { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 };
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        let deviation = match op {
            Op::LayerNormalization(LayerNormalization { epsilon: Epsilon::OfDeviation(_), .. }) => variance.sqrt() + epsilon,
            Op::LayerNormalization(LayerNormalization { epsilon: Epsilon::Least(_), .. }) => variance.max(epsilon).sqrt(),
            _ => (variance + epsilon).sqrt(),
        };
        let (scale, offset) = parameter(at);
        (x.at(at) - mean) / deviation * scale + offset
    })
}

/// A normalisation of `shape` by each sample's own statistics, its parameters, and its function of them.
struct OfSamples {
    shape: &'static [usize],
    op: Op,
    parameters: Vec<Vec<f32>>,
}

impl OfSamples {
    fn new(shape: &'static [usize], op: Op) -> Self {
        let count = Self::own(shape, &op).iter().product();
        let mut random = Random::new(shape.len() as u64);
        let mut parameters = vec![random.values(count, 0.5, 1.5), random.values(count, -0.5, 0.5)];
        parameters.truncate(op.input_count().1 - 1);
        OfSamples { shape, op, parameters }
    }

    /// The first axis that is normalised, where parameters are those of places.
    fn first(op: &Op) -> Option<i64> {
        match op {
            Op::LayerNormalization(op) => Some(op.axis),
            Op::RmsNormalization(op) => Some(op.axis),
            _ => None,
        }
    }

    /// The shape of the parameters.
    fn own(shape: &'static [usize], op: &Op) -> &'static [usize] {
        Self::first(op).map_or(&shape[1..2], |axis| &shape[axis.rem_euclid(shape.len() as i64) as usize..])
    }

    fn node(&self, b: &mut GraphBuilder, x: TensorId) -> TensorId {
        let own = Self::own(self.shape, &self.op);
        let mut inputs = vec![x];
        for (name, values) in ["scale", "offset"].into_iter().zip(&self.parameters) {
            inputs.push(b.constant(name, own, values.clone()).unwrap());
        }
        b.node("op", self.op.clone(), &inputs, "y").unwrap()
    }

    fn value(&self, x: &Tensor, parameters: &[Vec<f64>]) -> Tensor {
        let own = Self::own(self.shape, &self.op);
        let first = self.shape.len() - own.len();
        let of_places = Self::first(&self.op).is_some();
        let place = |i: &[usize]| if of_places { i[first..].iter().zip(own).fold(0, |at, (i, n)| at * n + i) } else { i[1] };
        let group = |i: &[usize]| match &self.op {
            Op::GroupNormalization(op) => vec![i[0], i[1] / (self.shape[1] / op.groups)],
            _ => i[..if of_places { first } else { 2 }].to_vec(),
        };
        normalised(&self.op, x, group, |i| (parameters[0][place(i)], parameters.get(1).map_or(0.0, |offset| offset[place(i)])))
    }

    /// The parameters as the reference has them.
    fn values(&self) -> Vec<Vec<f64>> {
        self.parameters.iter().map(|p| p.iter().map(|&v| f64::from(v)).collect()).collect()
    }
}

fn of_samples() -> Vec<OfSamples> {
    let inside = Epsilon::OfVariance(EPSILON);
    let layer = |axis, epsilon| Op::LayerNormalization(LayerNormalization { axis, epsilon });
    let rms = |axis| Op::RmsNormalization(RmsNormalization { axis, epsilon: inside });
    let instance = Op::InstanceNormalization(InstanceNormalization { epsilon: EPSILON });
    let groups = |groups| Op::GroupNormalization(GroupNormalization { groups, epsilon: EPSILON });
    vec![
        OfSamples::new(&[2, 3, 6], layer(-1, inside)),
        OfSamples::new(&[2, 3, 6], layer(-1, Epsilon::OfDeviation(EPSILON))),
        OfSamples::new(&[2, 3, 6], layer(-1, Epsilon::Least(EPSILON))),
        OfSamples::new(&[3, 7], layer(1, inside)),
        OfSamples::new(&[2, 3, 4, 5], layer(-1, inside)),
        OfSamples::new(&[2, 3, 2, 2], layer(1, inside)),
        OfSamples::new(&[2, 3, 6], rms(-1)),
        OfSamples::new(&[2, 3, 2, 2], rms(1)),
        OfSamples::new(&[2, 3, 4, 5], instance.clone()),
        OfSamples::new(&[2, 3, 5], instance),
        OfSamples::new(&[2, 6, 3, 4], groups(2)),
        OfSamples::new(&[2, 4, 5], groups(4)),
    ]
}

#[test]
fn normalisations_of_samples_meet_their_references() {
    let problem = |part: OfSamples| {
        let part = std::rc::Rc::new(part);
        let values = part.values();
        let (name, shape, builder) = (format!("{} {:?}", part.op.name(), part.shape), part.shape, part.clone());
        Problem::parts(&name, &[shape], move |b, x| vec![builder.node(b, x[0])], move |x| vec![part.value(&x[0], &values)])
    };
    check(of_samples().into_iter().map(problem).collect());
}

/// A normalisation of `part` written in parts, as exporters do.
fn spelled_out(part: &OfSamples, b: &mut GraphBuilder, x: TensorId) -> TensorId {
    let mut count = 0;
    let mut node = |b: &mut GraphBuilder, op: Op, inputs: &[TensorId]| {
        count += 1;
        b.node(&format!("n{count}"), op, inputs, &format!("n{count}")).unwrap()
    };
    let axes: Vec<i64> = match OfSamples::first(&part.op) {
        Some(axis) => (axis.rem_euclid(part.shape.len() as i64)..part.shape.len() as i64).collect(),
        None => (2..part.shape.len() as i64).collect(),
    };
    let reduce = |axes: &[i64]| Op::Reduce(Reduce::mean(axes, true));
    let mut distance = x;
    if !matches!(part.op, Op::RmsNormalization(_)) {
        let mean = node(b, reduce(&axes), &[x]);
        distance = node(b, Op::Binary(Binary::Sub), &[x, mean]);
    }
    let square = node(b, Op::Binary(Binary::Mul), &[distance, distance]);
    let variance = node(b, reduce(&axes), &[square]);
    let epsilon = b.constant("epsilon", &[], vec![EPSILON]).unwrap();
    let root = |op| Op::Activation(op);
    let deviation = match &part.op {
        Op::LayerNormalization(LayerNormalization { epsilon: Epsilon::OfDeviation(_), .. }) => {
            let root = node(b, root(Activation::Sqrt), &[variance]);
            node(b, Op::Binary(Binary::Add), &[root, epsilon])
        }
        Op::LayerNormalization(LayerNormalization { epsilon: Epsilon::Least(_), .. }) => {
            let kept = node(b, Op::Binary(Binary::Max), &[variance, epsilon]);
            node(b, root(Activation::Sqrt), &[kept])
        }
        _ => {
            let sum = node(b, Op::Binary(Binary::Add), &[variance, epsilon]);
            node(b, root(Activation::Sqrt), &[sum])
        }
    };
    let mut y = node(b, Op::Binary(Binary::Div), &[distance, deviation]);
    let mut own = OfSamples::own(part.shape, &part.op).to_vec();
    if OfSamples::first(&part.op).is_none() {
        own.extend(vec![1; part.shape.len() - 2]);
    }
    for ((name, op), values) in [("scale", Binary::Mul), ("offset", Binary::Add)].into_iter().zip(&part.parameters) {
        let constant = b.constant(name, &own, values.clone()).unwrap();
        y = node(b, Op::Binary(op), &[constant, y]);
    }
    y
}

#[test]
fn normalisations_in_parts_are_recognised_and_compute_the_same() {
    let mut problems = Vec::new();
    for part in of_samples().into_iter().filter(|part| !matches!(part.op, Op::GroupNormalization(_))) {
        let part = std::rc::Rc::new(part);
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &part.shape[1..]);
        let y = spelled_out(&part, &mut b, x);
        b.output(y);
        let net = QuantGraph::float(b.finish().unwrap());
        assert_eq!(net.graph().nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), [part.op.name()], "{:?}", part.shape);
        let (values, builder, name) = (part.values(), part.clone(), format!("{} in parts {:?}", part.op.name(), part.shape));
        let value = move |x: &[Tensor]| vec![part.value(&x[0], &values)];
        problems.push(Problem::parts(&name, &[builder.shape], move |b, x| vec![spelled_out(&builder, b, x[0])], value));
    }
    check(problems);
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
        let values = part.values();
        let loss = |values: &[Vec<f64>]| -> f64 { part.value(&x, values).data.iter().zip(&r.data).map(|(y, r)| y * r).sum() };
        for (which, name) in ["scale", "offset"].into_iter().enumerate().take(values.len()) {
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
