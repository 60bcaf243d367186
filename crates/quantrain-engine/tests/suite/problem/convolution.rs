//! Convolutions in float beside operators that hand tensors on: the blocks themselves are in `block`.

use quantrain_graph::op::Concat;
use quantrain_graph::{Op, TensorId};

use super::{Problem, check};
use crate::random::Random;
use crate::tensor::Tensor;

const SHAPE: &[usize] = &[2, 3, 4, 5];

fn convolved(x: &Tensor, weights: &[f32], out: usize) -> Tensor {
    let (channels, w) = (x.shape[1], weights);
    Tensor::from_fn(&[x.shape[0], out, x.shape[2], x.shape[3]], |i| {
        let mut sum = 0.0;
        for c in 0..channels {
            for (k, (a, b)) in (0..9).map(|k| (k, (k / 3, k % 3))) {
                let at = [i[0] as isize, c as isize, (i[2] + a) as isize - 1, (i[3] + b) as isize - 1];
                sum += x.get(&at).unwrap_or(0.0) * f64::from(w[(i[1] * channels + c) * 9 + k]);
            }
        }
        sum
    })
}

fn conv(b: &mut quantrain_graph::GraphBuilder, name: &str, x: TensorId, out: usize, weights: &[f32]) -> TensorId {
    b.convolution(name, x, out, [3, 3]).padding([1; 4]).weights(weights.to_vec()).done().unwrap()
}

fn problems() -> Vec<Problem> {
    let w = Random::new(5).values(3 * 3 * 9, -0.5, 0.5);
    let (for_build, for_value) = (w.clone(), w.clone());
    let chain = Problem::parts(
        "two convolutions, one after the other",
        &[SHAPE],
        move |b, x| {
            let y = conv(b, "one", x[0], 3, &for_build);
            vec![conv(b, "two", y, 3, &for_build)]
        },
        move |x| vec![convolved(&convolved(&x[0], &for_value, 3), &for_value, 3)],
    );
    let (for_build, for_value) = (w.clone(), w);
    let fork = Problem::parts(
        "a tensor that two convolutions and a concat read",
        &[SHAPE],
        move |b, x| {
            let (y, z) = (conv(b, "one", x[0], 3, &for_build), conv(b, "two", x[0], 3, &for_build));
            let z = b.relu("relu", z).unwrap();
            vec![b.node("op", Op::Concat(Concat { axis: 1 }), &[y, x[0], z], "y").unwrap()]
        },
        move |x| {
            let y = convolved(&x[0], &for_value, 3);
            let z = y.map(|v| v.max(0.0));
            vec![Tensor::from_fn(&[2, 9, 4, 5], |i| [&y, &x[0], &z][i[1] / 3].at(&[i[0], i[1] % 3, i[2], i[3]]))]
        },
    );
    let reason = "their weights are rounded; `block` and `exact` compare those";
    vec![chain.float_only(reason), fork.float_only(reason)]
}

#[test]
fn convolutions_hand_gradients_on() {
    check(problems());
}
