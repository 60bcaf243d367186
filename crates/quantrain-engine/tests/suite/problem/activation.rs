//! Functions of each element.

use std::f64::consts::PI;

use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{GraphBuilder, Op, TensorId};

use super::{Problem, check};

type OfElement = fn(f64) -> f64;

fn problems() -> Vec<Problem> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let functions: [(Activation, OfElement); 25] = [
        (Activation::Relu, |x| x.max(0.0)),
        (Activation::Clip { min: -0.5, max: 1.25 }, |x| x.clamp(-0.5, 1.25)),
        (Activation::LeakyRelu { alpha: 0.1 }, |x| if x > 0.0 { x } else { f64::from(0.1f32) * x }),
        (Activation::Sigmoid, sigmoid),
        (Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }, |x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
        (Activation::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        (Activation::Tanh, f64::tanh),
        (Activation::Elu { alpha: 0.5 }, |x| if x > 0.0 { x } else { 0.5 * x.exp_m1() }),
        (Activation::Selu { alpha: 1.5, gamma: 1.25 }, |x| 1.25 * if x > 0.0 { x } else { 1.5 * x.exp_m1() }),
        (Activation::Celu { alpha: 2.0 }, |x| x.max(0.0) + (2.0 * (x / 2.0).exp_m1()).min(0.0)),
        (Activation::Gelu { tanh: false }, |x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))),
        (Activation::Gelu { tanh: true }, |x| 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())),
        (Activation::Silu, |x| x / (1.0 + (-x).exp())),
        (Activation::Softplus, |x| x.exp().ln_1p()),
        (Activation::Mish, |x| x * x.exp().ln_1p().tanh()),
        (Activation::Exp, f64::exp),
        (Activation::Neg, |x| -x),
        (Activation::Abs, f64::abs),
        (Activation::Erf, erf),
        (Activation::Sin, f64::sin),
        (Activation::Cos, f64::cos),
        (Activation::Softsign, |x| x / (1.0 + x.abs())),
        (Activation::ThresholdedRelu { alpha: 0.71 }, |x| if x > f64::from(0.71f32) { x } else { 0.0 }),
        (Activation::Shrink { bias: 0.25, lambd: 0.51 }, |x| if x.abs() > f64::from(0.51f32) { x - 0.25f64.copysign(x) } else { 0.0 }),
        (Activation::Pow { exponent: 2.0 }, |x| x * x),
    ];
    let above_zero: [(Activation, OfElement); 5] = [
        (Activation::Log, f64::ln),
        (Activation::Sqrt, f64::sqrt),
        (Activation::Reciprocal, f64::recip),
        (Activation::Pow { exponent: 1.5 }, |x| x.powf(1.5)),
        (Activation::Pow { exponent: -2.0 }, |x| x.powi(-2)),
    ];
    let steps: [(Activation, OfElement); 5] = [
        (Activation::Floor, f64::floor),
        (Activation::Ceil, f64::ceil),
        (Activation::Round, f64::round_ties_even),
        (Activation::Trunc, f64::trunc),
        (Activation::Sign, f64::signum),
    ];
    let mut all = Vec::new();
    for (activation, function) in functions {
        for shape in [&[2, 3, 4, 5][..], &[3, 7]] {
            let name = format!("{} {shape:?}", activation.name());
            let problem = Problem::operator(&name, &[shape], Op::Activation(activation), move |x| x[0].map(function));
            all.push(problem.limits(-4.0, 4.0));
        }
    }
    for (activation, function) in above_zero {
        let problem = Problem::operator(activation.name(), &[&[2, 3, 4, 5]], Op::Activation(activation), move |x| x[0].map(function));
        all.push(problem.limits(0.5, 2.0));
    }
    for (activation, function) in steps {
        let problem = Problem::operator(activation.name(), &[&[2, 3, 4, 5]], Op::Activation(activation), move |x| x[0].map(function));
        all.push(problem.limits(-4.0, 4.0).surrogate(|x| x[0].map(|_| 0.0)));
    }
    all
}

/// `2/√π · exp(−x²) · Σ 2ⁿ·x^(2n+1)/(2n+1)!!`
fn erf(x: f64) -> f64 {
    let terms = std::iter::successors(Some((x, 1.0)), |&(term, n)| Some((term * 2.0 * x * x / (2.0 * n + 1.0), n + 1.0)));
    2.0 / PI.sqrt() * (-x * x).exp() * terms.take(100).map(|(term, _)| term).sum::<f64>()
}

/// Functions spelled out, which become one unit: values and gradients are those of the function.
fn spelled_out() -> Vec<Problem> {
    let number = |b: &mut GraphBuilder, value: f32| {
        let name = format!("c{}", b.graph().tensors().len());
        b.constant(&name, &[], vec![value]).unwrap()
    };
    let node = |b: &mut GraphBuilder, op: Op, inputs: &[TensorId]| {
        let name = format!("n{}", b.graph().nodes().len());
        b.node(&name, op, inputs, &name).unwrap()
    };
    let shape: &[usize] = &[2, 3, 4, 5];
    let silu = Problem::parts(
        "SiLU of Sigmoid and Mul",
        &[shape],
        move |b, x| {
            let gate = node(b, Op::Activation(Activation::Sigmoid), x);
            vec![node(b, Op::Binary(Binary::Mul), &[x[0], gate])]
        },
        |x| vec![x[0].map(|x| x / (1.0 + (-x).exp()))],
    );
    let hard_swish = Problem::parts(
        "HardSwish of Add, Clip, Mul and Div",
        &[shape],
        move |b, x| {
            let (three, six) = (number(b, 3.0), number(b, 6.0));
            let sum = node(b, Op::Binary(Binary::Add), &[x[0], three]);
            let clip = node(b, Op::Activation(Activation::Clip { min: 0.0, max: 6.0 }), &[sum]);
            let product = node(b, Op::Binary(Binary::Mul), &[x[0], clip]);
            vec![node(b, Op::Binary(Binary::Div), &[product, six])]
        },
        |x| vec![x[0].map(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)],
    );
    let mish = Problem::parts(
        "Mish of Softplus, Tanh and Mul",
        &[shape],
        move |b, x| {
            let soft = node(b, Op::Activation(Activation::Softplus), x);
            let gate = node(b, Op::Activation(Activation::Tanh), &[soft]);
            vec![node(b, Op::Binary(Binary::Mul), &[x[0], gate])]
        },
        |x| vec![x[0].map(|x| x * x.exp().ln_1p().tanh())],
    );
    let gelu = Problem::parts(
        "Gelu of Div, Erf, Add and Mul",
        &[shape],
        move |b, x| {
            let (root, one, half) = (number(b, std::f32::consts::SQRT_2), number(b, 1.0), number(b, 0.5));
            let scaled = node(b, Op::Binary(Binary::Div), &[x[0], root]);
            let erf = node(b, Op::Activation(Activation::Erf), &[scaled]);
            let gate = node(b, Op::Binary(Binary::Add), &[erf, one]);
            let product = node(b, Op::Binary(Binary::Mul), &[x[0], gate]);
            vec![node(b, Op::Binary(Binary::Mul), &[product, half])]
        },
        |x| vec![x[0].map(|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())))],
    );
    [silu, hard_swish, mish, gelu].into_iter().map(|p| p.limits(-4.0, 4.0)).collect()
}

#[test]
fn functions_spelled_out_are_quantized_once_at_the_end() {
    check(spelled_out());
}

#[test]
fn activations_meet_their_references() {
    check(problems());
}
