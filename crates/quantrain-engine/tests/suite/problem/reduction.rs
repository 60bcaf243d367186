//! Operators that gather an axis.

use quantrain_graph::Op;
use quantrain_graph::op::{ReduceMean, Softmax};

use super::{Problem, check};
use crate::tensor::{Tensor, indices};

fn means() -> Vec<Problem> {
    let cases: [(&'static [usize], &'static [i64], bool); 8] = [
        (&[2, 3, 4, 5], &[2, 3], true),
        (&[2, 3, 4, 5], &[-1, -2], false),
        (&[2, 3, 4, 5], &[1], true),
        (&[2, 3, 4, 5], &[3], true),
        (&[2, 3, 4, 5], &[1, 2, 3], false),
        (&[2, 3, 5], &[1], false),
        (&[2, 3, 5], &[2], true),
        (&[2, 7], &[1], false),
    ];
    let problem = |(shape, axes, keep_dims): (&'static [usize], &'static [i64], bool)| {
        let op = Op::ReduceMean(ReduceMean { axes: axes.to_vec(), keep_dims });
        Problem::operator(&format!("ReduceMean {shape:?} {axes:?} {keep_dims}"), &[shape], op, move |x| {
            let reduced = |a: usize| axes.iter().any(|&r| r.rem_euclid(shape.len() as i64) as usize == a);
            let count: usize = (0..shape.len()).filter(|&a| reduced(a)).map(|a| shape[a]).product();
            let kept: Vec<usize> = (0..shape.len()).map(|a| if reduced(a) { 1 } else { shape[a] }).collect();
            let mut sums = Tensor::from_fn(&kept, |_| 0.0);
            for index in indices(shape) {
                let at: Vec<usize> = index.iter().zip(&kept).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
                let at = sums.offset(&at);
                sums.data[at] += x[0].at(&index) / count as f64;
            }
            let left: Vec<usize> = (0..shape.len()).filter(|&a| keep_dims || !reduced(a)).map(|a| kept[a]).collect();
            Tensor::new(&left, sums.data)
        })
    };
    cases.into_iter().map(problem).collect()
}

fn softmaxes() -> Vec<Problem> {
    let cases: [(&'static [usize], i64); 4] = [(&[3, 7], 1), (&[3, 7], -1), (&[2, 5, 2, 3], 1), (&[2, 3, 4], 2)];
    let problem = |(shape, axis): (&'static [usize], i64)| {
        let at = axis.rem_euclid(shape.len() as i64) as usize;
        Problem::operator(&format!("Softmax {shape:?} {axis}"), &[shape], Op::Softmax(Softmax { axis }), move |x| {
            let along = |index: &[usize]| {
                let index = index.to_vec();
                (0..shape[at]).map(move |i| [&index[..at], &[i], &index[at + 1..]].concat())
            };
            Tensor::from_fn(shape, |i| x[0].at(i).exp() / along(i).map(|j| x[0].at(&j).exp()).sum::<f64>())
        })
    };
    cases.into_iter().map(problem).collect()
}

#[test]
fn means_meet_their_references() {
    check(means());
}

#[test]
fn softmaxes_meet_their_references() {
    check(softmaxes());
}
