//! Products of two activations, and of one with constants that are no weights of a block.

use quantrain_graph::Op;
use quantrain_graph::op::{Activation, MatMul, Transpose};

use super::{Problem, check};
use crate::tensor::Tensor;

fn product(a: &Tensor, b: &Tensor) -> Tensor {
    let rank = a.shape.len().max(b.shape.len());
    let extent = |x: &Tensor, axis: usize| (axis + x.shape.len()).checked_sub(rank).map_or(1, |at| x.shape[at]);
    let mut shape: Vec<usize> = (0..rank - 2).map(|axis| extent(a, axis).max(extent(b, axis))).collect();
    shape.extend([a.shape[a.shape.len() - 2], b.shape[b.shape.len() - 1]]);
    // Axes of 1 stay at 0, missing ones are left out.
    let at = |x: &Tensor, outer: &[usize], row: usize, column: usize| {
        let own = outer.iter().enumerate().skip(rank - x.shape.len()).map(|(axis, &i)| if extent(x, axis) == 1 { 0 } else { i });
        x.at(&own.chain([row, column]).collect::<Vec<_>>())
    };
    Tensor::from_fn(&shape, |index| {
        let (outer, last) = (&index[..rank - 2], [index[rank - 2], index[rank - 1]]);
        (0..extent(a, rank - 1)).map(|k| at(a, outer, last[0], k) * at(b, outer, k, last[1])).sum()
    })
}

/// A product with a constant on one side.
fn with_constant(shape: &'static [usize], constant: &'static [usize], left: bool) -> Problem {
    let values: Vec<f32> = (0..constant.iter().product::<usize>()).map(|i| (i * 7 % 11) as f32 / 8.0 - 0.6).collect();
    let tensor = Tensor::new(constant, values.iter().map(|&v| f64::from(v)).collect());
    Problem::parts(
        &format!("MatMul {shape:?} with a constant {constant:?}, {}", if left { "left" } else { "right" }),
        &[shape],
        move |b, x| {
            let c = b.constant("c", constant, values.clone()).unwrap();
            vec![b.node("op", Op::MatMul(MatMul), &if left { [c, x[0]] } else { [x[0], c] }, "y").unwrap()]
        },
        move |x| vec![if left { product(&tensor, &x[0]) } else { product(&x[0], &tensor) }],
    )
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
        Problem::operator("MatMul of images", &[&[2, 3, 4, 5], &[2, 3, 5, 2]], Op::MatMul(MatMul), |x| product(&x[0], &x[1])),
        Problem::operator("MatMul, heads share a factor", &[&[2, 3, 4, 5], &[2, 1, 5, 2]], Op::MatMul(MatMul), |x| product(&x[0], &x[1])),
        Problem::operator("MatMul of rank 5", &[&[2, 1, 2, 3, 4], &[2, 3, 1, 4, 2]], Op::MatMul(MatMul), |x| product(&x[0], &x[1])),
        with_constant(&[2, 3, 4], &[5, 3], true),
        with_constant(&[2, 3, 4, 5], &[3, 2, 4], true),
        with_constant(&[2, 3, 4, 5], &[3, 5, 2], false),
        with_itself,
        clipped,
    ]
}

#[test]
fn products_of_activations_meet_their_references() {
    check(problems());
}
