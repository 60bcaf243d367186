//! BatchNormalization that no block takes.

use quantrain_graph::Op;
use quantrain_graph::op::BatchNormalization;

use super::{Problem, check};
use crate::tensor::Tensor;

fn problems() -> Vec<Problem> {
    let values = [("gamma", [1.5f32, -0.5, 0.8]), ("beta", [0.1, -0.2, 0.3]), ("mean", [0.5, -1.0, 0.0]), ("variance", [0.5, 2.0, 1.0])];
    let shapes: [&[usize]; 3] = [&[2, 3, 4, 5], &[4, 3], &[2, 3, 5]];
    let problem = |shape: &'static [usize]| {
        Problem::parts(
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
        )
    };
    shapes.into_iter().map(problem).collect()
}

#[test]
fn a_batch_norm_of_its_own_meets_its_reference() {
    check(problems());
}
