//! Operators that gather an axis.

use quantrain_graph::Op;
use quantrain_graph::op::{ArgMax, Reduce, Reduction, Softmax};

use super::{Problem, check};
use crate::tensor::{Tensor, indices};

/// Shape, axes, keepdims.
const CASES: [(&[usize], &[i64], bool); 13] = [
    (&[2, 3, 4, 5], &[2, 3], true),
    (&[2, 3, 4, 5], &[-1, -2], false),
    (&[2, 3, 4, 5], &[1], true),
    (&[2, 3, 4, 5], &[1], false),
    (&[2, 3, 4, 5], &[2], false),
    (&[2, 3, 4, 5], &[3], true),
    (&[2, 3, 4, 5], &[1, 3], false),
    (&[2, 3, 4, 5], &[1, 2, 3], false),
    (&[2, 3, 4, 2, 2], &[2], false),
    (&[2, 3, 4, 2, 2], &[-1], true),
    (&[2, 3, 5], &[1], false),
    (&[2, 3, 5], &[2], true),
    (&[2, 7], &[1], false),
];

/// What a function makes of the values that fall to each element of the output, in ONNX's order.
fn reduced(x: &Tensor, axes: &[i64], keep_dims: bool, f: impl Fn(&[f64]) -> f64) -> Tensor {
    let shape = &x.shape;
    let is_reduced = |a: usize| axes.iter().any(|&r| r.rem_euclid(shape.len() as i64) as usize == a);
    let kept: Vec<usize> = (0..shape.len()).map(|a| if is_reduced(a) { 1 } else { shape[a] }).collect();
    let place = Tensor::from_fn(&kept, |_| 0.0);
    let mut groups = vec![Vec::new(); place.data.len()];
    for index in indices(shape) {
        let at: Vec<usize> = index.iter().zip(&kept).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
        groups[place.offset(&at)].push(x.at(&index));
    }
    let left: Vec<usize> = (0..shape.len()).filter(|&a| keep_dims || !is_reduced(a)).map(|a| kept[a]).collect();
    Tensor::new(&left, groups.iter().map(|g| f(g)).collect())
}

fn reductions() -> Vec<Problem> {
    type OfMany = fn(&[f64]) -> f64;
    let functions: [(Reduction, OfMany); 6] = [
        (Reduction::Mean, |x| x.iter().sum::<f64>() / x.len() as f64),
        (Reduction::Sum, |x| x.iter().sum()),
        (Reduction::Max, |x| x.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        (Reduction::Min, |x| x.iter().copied().fold(f64::INFINITY, f64::min)),
        (Reduction::L2, |x| x.iter().map(|v| v * v).sum::<f64>().sqrt()),
        (Reduction::Product, |x| x.iter().product()),
    ];
    let mut all = Vec::new();
    for (function, f) in functions {
        for (shape, axes, keep_dims) in CASES {
            let op = Reduce { function, axes: axes.to_vec(), keep_dims };
            let name = format!("{} {shape:?} {axes:?} {keep_dims}", op.name());
            all.push(Problem::operator(&name, &[shape], Op::Reduce(op), move |x| reduced(&x[0], axes, keep_dims, f)));
        }
    }
    all
}

fn indices_of_the_greatest() -> Vec<Problem> {
    let mut all = Vec::new();
    for (shape, axes, keep_dims) in CASES.into_iter().filter(|(_, axes, _)| axes.len() == 1) {
        for last in [false, true] {
            let op = ArgMax { axis: axes[0], keep_dims, last };
            let greatest = move |x: &[f64]| {
                let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let at = if last { x.iter().rposition(|&v| v == most) } else { x.iter().position(|&v| v == most) };
                at.unwrap_or_default() as f64
            };
            let name = format!("ArgMax {shape:?} {axes:?} {keep_dims} {last}");
            let problem = Problem::operator(&name, &[shape], Op::ArgMax(op), move |x| reduced(&x[0], axes, keep_dims, greatest));
            all.push(problem.surrogate(move |x| reduced(&x[0], axes, keep_dims, |_| 0.0)));
        }
    }
    all
}

fn softmaxes() -> Vec<Problem> {
    let cases: [(&'static [usize], i64, bool); 10] = [
        (&[3, 7], 1, false),
        (&[3, 7], -1, false),
        (&[2, 5, 2, 3], 1, false),
        (&[2, 5, 2, 3], 2, false),
        (&[2, 5, 2, 3], -1, false),
        (&[2, 3, 4], 2, false),
        (&[2, 3, 4], 1, false),
        (&[2, 5, 2, 3], 1, true),
        (&[2, 5, 2, 3], 2, true),
        (&[2, 3, 4], 1, true),
    ];
    let mut all = Vec::new();
    for (shape, axis, joined) in cases {
        for log in [false, true] {
            let op = Softmax { axis, joined, log };
            let at = axis.rem_euclid(shape.len() as i64) as usize;
            all.push(Problem::operator(&format!("{} {shape:?} {axis} {joined}", op.name()), &[shape], Op::Softmax(op), move |x| {
                let is_inside = |a: usize| a == at || joined && a > at;
                let same_row = |i: &[usize], j: &[usize]| (0..shape.len()).all(|a| is_inside(a) || i[a] == j[a]);
                Tensor::from_fn(shape, |i| {
                    let total: f64 = indices(shape).into_iter().filter(|j| same_row(i, j)).map(|j| x[0].at(&j).exp()).sum();
                    if log { x[0].at(i) - total.ln() } else { x[0].at(i).exp() / total }
                })
            }));
        }
    }
    all
}

#[test]
fn reductions_meet_their_references() {
    check(reductions());
}

#[test]
fn indices_of_the_greatest_meet_their_references() {
    check(indices_of_the_greatest());
}

#[test]
fn softmaxes_meet_their_references() {
    check(softmaxes());
}
