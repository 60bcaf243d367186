//! Truths, and the choice between two tensors.

use quantrain_graph::op::{Activation, Binary, Relation, Where};
use quantrain_graph::{GraphBuilder, Op, TensorId};

use super::elementwise::broadcast;
use super::{Problem, check};
use crate::random::Random;
use crate::tensor::Tensor;

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

type OfTwo = fn(f64, f64) -> f64;
type OfOne = fn(f64) -> f64;

const RELATIONS: [(Relation, OfTwo); 8] = [
    (Relation::Equal, |a, b| flag(a == b)),
    (Relation::Less, |a, b| flag(a < b)),
    (Relation::LessOrEqual, |a, b| flag(a <= b)),
    (Relation::Greater, |a, b| flag(a > b)),
    (Relation::GreaterOrEqual, |a, b| flag(a >= b)),
    (Relation::And, |a, b| flag(a != 0.0 && b != 0.0)),
    (Relation::Or, |a, b| flag(a != 0.0 || b != 0.0)),
    (Relation::Xor, |a, b| flag((a != 0.0) != (b != 0.0))),
];

fn node(b: &mut GraphBuilder, name: &str, op: Op, inputs: &[TensorId]) -> TensorId {
    b.node(name, op, inputs, name).unwrap()
}

/// `b` where the condition is 0, else `a`, all three of one rank.
fn chosen(condition: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
    let taken = broadcast(|c, a| if c == 0.0 { f64::NAN } else { a }, condition, a);
    broadcast(|a, b| if a.is_nan() { b } else { a }, &taken, b)
}

fn problems() -> Vec<Problem> {
    let mut all = Vec::new();
    for (relation, f) in RELATIONS {
        let op = Op::Binary(Binary::Relation(relation));
        // Numbers that are rounded may meet: what is compared is a number and one far from all grids.
        for shape in [&[2, 3, 4, 5][..], &[3, 6]] {
            let problem = Problem::parts(
                &format!("{} {shape:?}", relation.name()),
                &[shape],
                {
                    let op = op.clone();
                    move |b, x| {
                        let limit = b.constant("limit", &[], vec![0.123_456_7]).unwrap();
                        vec![node(b, "y", op.clone(), &[x[0], limit])]
                    }
                },
                move |x| vec![x[0].map(|x| f(x, f64::from(0.123_456_7f32)))],
            );
            all.push(problem.surrogate(|x| x[0].map(|_| 0.0)));
        }
        let itself = Problem::parts(
            &format!("{} of a tensor and itself", relation.name()),
            &[&[2, 3, 4, 5]],
            move |b, x| vec![node(b, "y", op.clone(), &[x[0], x[0]])],
            move |x| vec![x[0].map(|x| f(x, x))],
        );
        all.push(itself.surrogate(|x| x[0].map(|_| 0.0)));
    }
    let truths: [(Activation, OfOne); 3] = [
        (Activation::Not, |x| flag(x == 0.0)),
        (Activation::IsNaN, |_| 0.0),
        (Activation::IsInf { negative: true, positive: true }, |_| 0.0),
    ];
    for (activation, f) in truths {
        let problem = Problem::parts(
            activation.name(),
            &[&[2, 3, 4, 5]],
            move |b, x| {
                let relu = node(b, "relu", Op::Activation(Activation::Relu), x);
                vec![node(b, "y", Op::Activation(activation), &[relu])]
            },
            move |x| vec![x[0].map(|x| f(x.max(0.0)))],
        );
        all.push(problem.surrogate(|x| x[0].map(|_| 0.0)));
    }
    all.extend(choices());
    all
}

/// Conditions that are constant, or computed from one of the operands.
fn choices() -> Vec<Problem> {
    let shapes: [[&[usize]; 3]; 6] = [
        [&[1, 3, 4, 5], &[2, 3, 4, 5], &[2, 3, 4, 5]],
        [&[4, 5], &[2, 3, 4, 5], &[2, 3, 1, 1]],
        [&[1, 1, 4, 5], &[2, 3, 1, 5], &[2, 1, 4, 1]],
        [&[], &[3, 6], &[3, 1]],
        [&[3, 4, 5], &[2, 1, 1, 5], &[2, 1, 3, 4, 1]],
        [&[5, 5], &[2, 5, 5], &[2, 1, 1]],
    ];
    let mut all = Vec::new();
    for [c, a, b] in shapes {
        let values: Vec<f32> = Random::new(5).values(c.iter().product(), -1.0, 1.0).iter().map(|&v| f32::from(u8::from(v > 0.0))).collect();
        let condition = Tensor::new(c, values.iter().map(|&v| f64::from(v)).collect());
        all.push(Problem::parts(
            &format!("Where constant {c:?}, {a:?}, {b:?}"),
            &[a, b],
            move |g, x| {
                let condition = g.constant("condition", c, values.clone()).unwrap();
                vec![node(g, "y", Op::Where(Where), &[condition, x[0], x[1]])]
            },
            move |x| vec![chosen(&condition, &x[0], &x[1])],
        ));
    }
    for constant_first in [false, true] {
        all.push(Problem::parts(
            &format!("Where of a comparison and a constant{}", if constant_first { " first" } else { "" }),
            &[&[2, 3, 4, 5]],
            move |g, x| {
                let [limit, fill] = [("limit", 0.123_456_7), ("fill", -0.75)].map(|(name, v)| g.constant(name, &[], vec![v]).unwrap());
                let condition = node(g, "condition", Op::Binary(Binary::Relation(Relation::Less)), &[x[0], limit]);
                let operands = if constant_first { [condition, fill, x[0]] } else { [condition, x[0], fill] };
                vec![node(g, "y", Op::Where(Where), &operands)]
            },
            move |x| vec![x[0].map(|x| if (x < f64::from(0.123_456_7f32)) == constant_first { -0.75 } else { x })],
        ));
    }
    all.push(Problem::parts(
        "Where between two tensors, by the second",
        &[&[2, 3, 4, 5], &[2, 3, 4, 5]],
        |g, x| {
            let limit = g.constant("limit", &[], vec![0.123_456_7]).unwrap();
            let condition = node(g, "condition", Op::Binary(Binary::Relation(Relation::GreaterOrEqual)), &[x[1], limit]);
            vec![node(g, "y", Op::Where(Where), &[condition, x[0], x[1]])]
        },
        |x| vec![broadcast(|a, b| if b >= f64::from(0.123_456_7f32) { a } else { b }, &x[0], &x[1])],
    ));
    all
}

#[test]
fn truths_and_choices_meet_their_references() {
    check(problems());
}
