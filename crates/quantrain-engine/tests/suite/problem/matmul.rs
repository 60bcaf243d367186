//! Products of two activations.

use quantrain_graph::Op;
use quantrain_graph::op::{Activation, MatMul, Transpose};

use super::{Problem, check};
use crate::tensor::Tensor;

fn product(a: &Tensor, b: &Tensor) -> Tensor {
    let (rank, inner) = (a.shape.len(), a.shape[a.shape.len() - 1]);
    let shape = [&a.shape[..rank - 1], &b.shape[rank - 1..]].concat();
    Tensor::from_fn(&shape, |index| {
        let (outer, last) = (&index[..rank - 2], [index[rank - 2], index[rank - 1]]);
        (0..inner).map(|k| a.at(&[outer, &[last[0], k]].concat()) * b.at(&[outer, &[k, last[1]]].concat())).sum()
    })
}

fn transposed(x: &Tensor) -> Tensor {
    Tensor::from_fn(&[x.shape[0], x.shape[2], x.shape[1]], |i| x.at(&[i[0], i[2], i[1]]))
}

fn problems() -> Vec<Problem> {
    let with_itself = Problem::parts(
        "x·xᵀ",
        &[&[2, 3, 4]],
        |b, x| {
            let t = b.node("t", Op::Transpose(Transpose { permutation: vec![0, 2, 1] }), x, "t").unwrap();
            vec![b.node("op", Op::MatMul(MatMul), &[x[0], t], "y").unwrap()]
        },
        |x| vec![product(&x[0], &transposed(&x[0]))],
    );
    let clipped = Problem::parts(
        "MatMul, clipped",
        &[&[2, 3, 4], &[2, 4, 5]],
        |b, x| {
            let y = b.node("op", Op::MatMul(MatMul), x, "op").unwrap();
            vec![b.node("clip", Op::Activation(Activation::Relu), &[y], "y").unwrap()]
        },
        |x| vec![product(&x[0], &x[1]).map(|v| v.max(0.0))],
    );
    vec![
        Problem::operator("MatMul of rank 3", &[&[2, 3, 4], &[2, 4, 5]], Op::MatMul(MatMul), |x| product(&x[0], &x[1])),
        Problem::operator("MatMul, one row", &[&[3, 1, 6], &[3, 6, 2]], Op::MatMul(MatMul), |x| product(&x[0], &x[1])),
        with_itself,
        clipped,
    ]
}

#[test]
fn products_of_activations_meet_their_references() {
    check(problems());
}
