//! Networks in which gradients meet: tensors read more than once, several inputs, several outputs.

use quantrain_graph::op::{Activation, Binary, Concat, Flatten, Transpose};
use quantrain_graph::{GraphBuilder, Op, TensorId};

use super::{Problem, check};
use crate::tensor::Tensor;

const SHAPE: &[usize] = &[2, 3, 4, 5];

fn zip(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    Tensor { shape: a.shape.clone(), data: a.data.iter().zip(&b.data).map(|(a, b)| f(*a, *b)).collect() }
}

fn node(b: &mut GraphBuilder, name: &str, op: Op, x: &[TensorId]) -> TensorId {
    b.node(name, op, x, name).unwrap()
}

const TANH: Op = Op::Activation(Activation::Tanh);
const ADD: Op = Op::Binary(Binary::Add);
const MUL: Op = Op::Binary(Binary::Mul);

fn problems() -> Vec<Problem> {
    let residual = Problem::parts(
        "x + tanh(x) + tanh(x + tanh(x))",
        &[SHAPE],
        |b, x| {
            let t = node(b, "t", TANH, x);
            let s = node(b, "s", ADD, &[x[0], t]);
            let u = node(b, "u", TANH, &[s]);
            vec![node(b, "y", ADD, &[s, u])]
        },
        |x| {
            let s = x[0].map(|v| v + v.tanh());
            vec![s.map(|v| v + v.tanh())]
        },
    );
    let doubled = Problem::parts(
        "(x + x)·(x + x)",
        &[SHAPE],
        |b, x| {
            let s = node(b, "s", ADD, &[x[0], x[0]]);
            vec![node(b, "y", MUL, &[s, s])]
        },
        |x| vec![x[0].map(|v| 4.0 * v * v)],
    );
    let two_outputs = Problem::parts(
        "an output that is read on",
        &[SHAPE, SHAPE],
        |b, x| {
            let p = node(b, "p", MUL, x);
            let t = node(b, "t", TANH, &[p]);
            let y = node(b, "y", ADD, &[t, x[1]]);
            vec![p, y]
        },
        |x| {
            let p = zip(&x[0], &x[1], |a, b| a * b);
            let y = zip(&p, &x[1], |p, b| p.tanh() + b);
            vec![p, y]
        },
    );
    let same_output = Problem::parts(
        "one tensor as two outputs",
        &[SHAPE],
        |b, x| {
            let t = node(b, "t", TANH, x);
            vec![t, t]
        },
        |x| vec![x[0].map(f64::tanh), x[0].map(f64::tanh)],
    );
    let repeated = Problem::parts(
        "a concat of one tensor three times",
        &[SHAPE],
        |b, x| vec![node(b, "y", Op::Concat(Concat { axis: 1 }), &[x[0], x[0], x[0]])],
        |x| vec![Tensor::from_fn(&[2, 9, 4, 5], |i| x[0].at(&[i[0], i[1] % 3, i[2], i[3]]))],
    );
    let many_readers = Problem::parts(
        "five readers that move elements",
        &[SHAPE],
        |b, x| {
            let t = node(b, "t", TANH, x);
            let moved = node(b, "moved", Op::Transpose(Transpose { permutation: vec![0, 1, 3, 2] }), &[t]);
            let back = node(b, "back", Op::Transpose(Transpose { permutation: vec![0, 1, 3, 2] }), &[moved]);
            let same = node(b, "same", Op::Identity, &[t]);
            let s = node(b, "s", ADD, &[back, same]);
            let s = node(b, "s2", ADD, &[s, t]);
            let s = node(b, "s3", MUL, &[s, t]);
            let flat = node(b, "flat", Op::Flatten(Flatten { axis: 1 }), &[t]);
            vec![s, flat]
        },
        |x| {
            let t = x[0].map(f64::tanh);
            vec![t.map(|v| 3.0 * v * v), Tensor::new(&[2, 60], t.data.clone())]
        },
    );
    let reason = "tensors inside are rounded too, so the whole is no rounding of one function";
    let all = [residual, doubled, two_outputs, same_output, many_readers].map(|p| p.float_only(reason));
    all.into_iter().chain([repeated]).collect()
}

#[test]
fn gradients_that_meet_are_summed() {
    check(problems());
}
