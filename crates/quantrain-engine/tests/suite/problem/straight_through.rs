//! Values of one path, derivative of another.

use quantrain_graph::Op;
use quantrain_graph::op::{Function, Propagate, StraightThrough};

use super::{Problem, check};
use crate::tensor::Tensor;

/// A function that mixes elements by their place in ONNX's order, so that memory order would show.
struct Ramp;

impl Function for Ramp {
    fn name(&self) -> &str {
        "ramp"
    }

    fn apply(&self, shape: &[usize], x: &[f32], y: &mut [f32]) {
        let row = *shape.last().unwrap();
        for (i, y) in y.iter_mut().enumerate() {
            *y = x[i] * (i % row) as f32;
        }
    }
}

fn problems() -> Vec<Problem> {
    let shapes: [&[usize]; 3] = [&[2, 3, 4, 5], &[2, 6], &[2, 3, 4]];
    let ramp = |x: &[Tensor]| Tensor::from_fn(&x[0].shape, |i| x[0].at(i) * i[i.len() - 1] as f64);
    let mut all = Vec::new();
    for shape in shapes {
        let op = Op::StraightThrough(StraightThrough::new(Ramp));
        all.push(Problem::operator(&format!("StraightThrough {shape:?}"), &[shape], op, ramp).surrogate(|x| x[0].clone()));
        let op = Op::Propagate(Propagate);
        all.push(Problem::operator(&format!("Propagate {shape:?}"), &[shape, shape], op, |x| x[0].clone()).surrogate(|x| x[1].clone()));
    }
    all
}

#[test]
fn values_and_derivatives_come_from_their_own_paths() {
    check(problems());
}
