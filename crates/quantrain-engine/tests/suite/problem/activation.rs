//! Functions of each element.

use quantrain_graph::Op;
use quantrain_graph::op::Activation;

use super::{Problem, check};

type OfElement = fn(f64) -> f64;

fn problems() -> Vec<Problem> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let functions: [(Activation, OfElement); 7] = [
        (Activation::Relu, |x| x.max(0.0)),
        (Activation::Clip { min: -0.5, max: 1.25 }, |x| x.clamp(-0.5, 1.25)),
        (Activation::LeakyRelu { alpha: 0.1 }, |x| if x > 0.0 { x } else { f64::from(0.1f32) * x }),
        (Activation::Sigmoid, sigmoid),
        (Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }, |x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
        (Activation::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        (Activation::Tanh, f64::tanh),
    ];
    let mut all = Vec::new();
    for (activation, function) in functions {
        for shape in [&[2, 3, 4, 5][..], &[3, 7]] {
            let name = format!("{} {shape:?}", activation.name());
            let problem = Problem::operator(&name, &[shape], Op::Activation(activation), move |x| x[0].map(function));
            all.push(problem.limits(-4.0, 4.0));
        }
    }
    all
}

#[test]
fn activations_meet_their_references() {
    check(problems());
}
