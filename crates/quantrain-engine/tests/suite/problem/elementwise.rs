//! Two operands that broadcast.

use quantrain_engine::{BatchNormMode, GradientPath, Training};
use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{GraphBuilder, Op, QuantGraph};

use super::{Problem, check};
use crate::executor::Bench;
use crate::random::Random;
use crate::tensor::Tensor;

type OfTwo = fn(f64, f64) -> f64;

const OPERATORS: [(Binary, OfTwo); 7] = [
    (Binary::Add, |a, b| a + b),
    (Binary::Sub, |a, b| a - b),
    (Binary::Mul, |a, b| a * b),
    (Binary::Div, |a, b| a / b),
    (Binary::Min, f64::min),
    (Binary::Max, f64::max),
    (Binary::Pow, f64::powf),
];

const PRELU: OfTwo = |x, slope| if x > 0.0 { x } else { slope * x };

/// NumPy's broadcasting.
pub fn broadcast(f: OfTwo, a: &Tensor, b: &Tensor) -> Tensor {
    let rank = a.shape.len().max(b.shape.len());
    let extent = |t: &Tensor, i: usize| if i + t.shape.len() < rank { 1 } else { t.shape[i + t.shape.len() - rank] };
    let shape: Vec<usize> = (0..rank).map(|i| extent(a, i).max(extent(b, i))).collect();
    let read = |t: &Tensor, index: &[usize]| {
        let own = &index[rank - t.shape.len()..];
        t.at(&own.iter().zip(&t.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect::<Vec<_>>())
    };
    Tensor::from_fn(&shape, |index| f(read(a, index), read(b, index)))
}

fn problems() -> Vec<Problem> {
    let pairs: [(&[usize], &[usize]); 8] = [
        (&[2, 3, 4, 5], &[2, 3, 4, 5]),
        (&[2, 3, 4, 5], &[2, 1, 3, 4, 5]),
        (&[2, 1, 2, 4, 5], &[2, 2, 4, 1]),
        (&[2, 3, 4, 5], &[2, 3, 1, 1]),
        (&[2, 1, 4, 5], &[2, 3, 1, 5]),
        (&[2, 3, 1, 1], &[2, 3, 4, 5]),
        (&[3, 6], &[3, 1]),
        (&[2, 1, 5], &[2, 4, 5]),
    ];
    // Constants of lower rank, of one element, and as either operand.
    let constants: [(&[usize], &[usize]); 7] = [
        (&[2, 3, 4, 5], &[3, 1, 1]),
        (&[2, 3, 4, 5], &[1, 3, 1, 5]),
        (&[2, 3, 4, 5], &[2, 1, 3, 1, 5]),
        (&[2, 3, 4, 5], &[]),
        (&[2, 3, 4, 5], &[4, 5]),
        (&[2, 3, 4, 5], &[3, 4, 5]),
        (&[3, 6], &[6]),
    ];
    let mut all = Vec::new();
    for (op, f) in OPERATORS {
        let limits = if matches!(op, Binary::Div | Binary::Pow) { (0.5, 2.0) } else { (-2.0, 2.0) };
        for (a, b) in pairs {
            let name = format!("{} {a:?} {b:?}", op.name());
            let problem = Problem::operator(&name, &[a, b], Op::Binary(op), move |x| broadcast(f, &x[0], &x[1]));
            all.push(problem.limits(limits.0, limits.1));
        }
        for (a, c) in constants {
            for constant_first in [false, true] {
                let values = Random::new(9).values(c.iter().product(), limits.0, limits.1);
                let constant = Tensor::new(c, values.iter().map(|&v| f64::from(v)).collect());
                let problem = Problem::parts(
                    &format!("{} {a:?} constant {c:?}{}", op.name(), if constant_first { " first" } else { "" }),
                    &[a],
                    move |b, x| {
                        let constant = b.constant("c", c, values.clone()).unwrap();
                        let operands = if constant_first { [constant, x[0]] } else { [x[0], constant] };
                        vec![b.node("op", Op::Binary(op), &operands, "y").unwrap()]
                    },
                    move |x| vec![if constant_first { broadcast(f, &constant, &x[0]) } else { broadcast(f, &x[0], &constant) }],
                );
                all.push(problem.limits(limits.0, limits.1));
            }
        }
        let clip = Activation::Clip { min: -0.5, max: 1.5 };
        for shape in [&[2, 3, 4, 5][..], &[2, 3, 1, 1]] {
            let problem = Problem::parts(
                &format!("{} with {shape:?}, clipped", op.name()),
                &[&[2, 3, 4, 5], shape],
                move |b, x| {
                    let y = b.node("op", Op::Binary(op), x, "op").unwrap();
                    vec![b.node("clip", Op::Activation(clip), &[y], "y").unwrap()]
                },
                move |x| vec![broadcast(f, &x[0], &x[1]).map(|v| v.clamp(-0.5, 1.5))],
            );
            all.push(problem.limits(limits.0, limits.1));
        }
        let twice = Problem::parts(
            &format!("{} of a tensor and itself", op.name()),
            &[&[2, 3, 4, 5]],
            move |b, x| vec![b.node("op", Op::Binary(op), &[x[0], x[0]], "y").unwrap()],
            move |x| vec![broadcast(f, &x[0], &x[0])],
        );
        all.push(twice.limits(limits.0, limits.1));
    }
    for slope in [&[2, 3, 4, 5][..], &[2, 3, 1, 1]] {
        let op = Op::Binary(Binary::PRelu);
        all.push(Problem::operator(&format!("PRelu with {slope:?}"), &[&[2, 3, 4, 5], slope], op, |x| broadcast(PRELU, &x[0], &x[1])));
    }
    for (x, slope) in [(&[2, 3, 4, 5][..], &[3, 1, 1][..]), (&[2, 3, 4, 5], &[1]), (&[3, 6], &[6])] {
        let values = Random::new(11).values(slope.iter().product(), -0.5, 0.5);
        let constant = Tensor::new(slope, values.iter().map(|&v| f64::from(v)).collect());
        all.push(Problem::parts(
            &format!("PRelu {x:?} with constant {slope:?}"),
            &[x],
            move |b, x| {
                let slopes = b.constant("slopes", slope, values.clone()).unwrap();
                vec![b.node("op", Op::Binary(Binary::PRelu), &[x[0], slopes], "y").unwrap()]
            },
            move |x| vec![broadcast(PRELU, &x[0], &constant)],
        ));
    }
    all
}

#[test]
fn two_operands_meet_their_references() {
    check(problems());
}

/// The gradient of a channel's slope is `Σ dy·x` where x is not above 0.
#[test]
fn slopes_that_are_constants_are_trained() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 4, 5]);
    let slopes = b.constant("slopes", &[3, 1, 1], vec![0.2, -0.1, 0.5]).unwrap();
    let y = b.node("prelu", Op::Binary(Binary::PRelu), &[x, slopes], "y").unwrap();
    b.output(y);
    let training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Frozen };
    let mut bench = Bench::new(QuantGraph::float(b.finish().unwrap()), 2, false, training).unwrap();
    let mut random = Random::new(4);
    let shape = [2, 3, 4, 5];
    let [x, dy] = [(); 2].map(|()| Tensor::new(&shape, random.values(120, -1.0, 1.0).into_iter().map(f64::from).collect()));
    bench.forward(&[&x.to_memory()]).unwrap();
    bench.backward(&[&dy.to_memory()]);
    for (c, &found) in bench.gradient("slopes").iter().enumerate() {
        let of_channel = (0..120).filter(|i| i / 20 % 3 == c && x.data[*i] <= 0.0);
        let expected: f64 = of_channel.map(|i| x.data[i] * dy.data[i]).sum();
        assert!((f64::from(found) - expected).abs() < 1e-5, "slope {c}: {found}, {expected} expected");
    }
    assert_eq!(bench.output(0)[0], if x.data[0] > 0.0 { x.data[0] as f32 } else { x.data[0] as f32 * 0.2 });
}
