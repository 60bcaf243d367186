//! Activations against their formulas in f64.

use super::*;
use crate::exponential::erf_reference;
use crate::simd::on_every_path;
use crate::test_data::floats;

const ALL: [Activation; 24] = [
    Activation::Relu,
    Activation::Clip { lo: -1.0, hi: 2.5 },
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Sigmoid,
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::HardSwish,
    Activation::Tanh,
    Activation::Silu,
    Activation::Elu { gain: 1.0, alpha: 1.3, rate: 1.0 },
    Activation::Elu { gain: 1.05, alpha: 1.75, rate: 0.7 },
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Softplus,
    Activation::Mish,
    Activation::Exp,
    Activation::Neg,
    Activation::Abs,
    Activation::Erf,
    Activation::Sin,
    Activation::Cos,
    Activation::Softsign,
    Activation::ThresholdedRelu { threshold: 0.7 },
    Activation::Shrink { bias: 0.25, limit: 0.5 },
    Activation::Power { exponent: 3.0 },
];

/// Those that are defined above zero only, or have a pole there.
const POSITIVE: [Activation; 5] =
    [Activation::Log, Activation::Sqrt, Activation::Reciprocal, Activation::Power { exponent: 1.7 }, Activation::Power { exponent: -2.0 }];

const STEPS: [Activation; 11] = [
    Activation::Floor,
    Activation::Ceil,
    Activation::Round,
    Activation::Trunc,
    Activation::Sign,
    Activation::Not,
    Activation::IsNaN,
    Activation::IsInf { negative: true, positive: true },
    Activation::IsInf { negative: true, positive: false },
    Activation::IsInf { negative: false, positive: true },
    Activation::IsInf { negative: false, positive: false },
];

fn reference(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Clip { lo, hi } => x.clamp(lo.into(), hi.into()),
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                x
            } else {
                f64::from(slope) * x
            }
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x * sigmoid(x),
        Activation::Elu { gain, alpha, rate } => {
            if x > 0.0 {
                f64::from(gain) * x
            } else {
                f64::from(alpha) * (f64::from(rate) * x).exp_m1()
            }
        }
        Activation::Gelu => 0.5 * x * (1.0 + erf_reference(x / 2f64.sqrt())),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
        Activation::Softplus => x.exp().ln_1p(),
        Activation::Mish => x * x.exp().ln_1p().tanh(),
        Activation::Exp => x.exp(),
        Activation::Log => x.ln(),
        Activation::Sqrt => x.sqrt(),
        Activation::Reciprocal => 1.0 / x,
        Activation::Neg => -x,
        Activation::Abs => x.abs(),
        Activation::Erf => erf_reference(x),
        Activation::Sin => x.sin(),
        Activation::Cos => x.cos(),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::ThresholdedRelu { threshold } => {
            if x > f64::from(threshold) {
                x
            } else {
                0.0
            }
        }
        Activation::Shrink { bias, limit } => {
            if x.abs() > f64::from(limit) {
                x - f64::from(bias).copysign(x)
            } else {
                0.0
            }
        }
        Activation::Power { exponent } => x.powf(f64::from(exponent)),
        Activation::Floor => x.floor(),
        Activation::Ceil => x.ceil(),
        Activation::Round => x.round_ties_even(),
        Activation::Trunc => x.trunc(),
        Activation::Sign => {
            if x == 0.0 {
                0.0
            } else {
                x.signum()
            }
        }
        Activation::Not => f64::from(u8::from(x == 0.0)),
        Activation::IsNaN => f64::from(u8::from(x.is_nan())),
        Activation::IsInf { negative, positive } => f64::from(u8::from(x.is_infinite() && if x < 0.0 { negative } else { positive })),
    }
}

fn check(activation: Activation, x: &[f32]) {
    on_every_path(|simd| {
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        forward(activation, x, &mut y);
        backward(activation, x, &vec![2.0; x.len()], &mut dx, true);
        for i in 0..x.len() {
            let at = f64::from(x[i]);
            // Values are a few roundings of f32 away from the formula.
            let expected = reference(activation, at);
            let size = expected.abs().max(1.0);
            assert!((f64::from(y[i]) - expected).abs() < 2e-6 * size, "{activation:?} {simd:?} at {at}");
            let step = 1e-5;
            let [left, right] = [at - step, at + step].map(|x| reference(activation, x));
            let kink = ((right - expected) - (expected - left)).abs() > 1e-7 * size;
            let slope = 1.0 + 2.0 * (right - left) / (2.0 * step);
            let size = slope.abs().max(1.0);
            assert!(kink || (f64::from(dx[i]) - slope).abs() < 1e-5 * size, "{activation:?} {simd:?} at {at}");
        }
    });
}

#[test]
fn values_and_slopes_agree_with_the_formula_in_f64() {
    let x = floats(3, 20_011);
    ALL.iter().for_each(|&activation| check(activation, &x));
    let positive: Vec<f32> = x.iter().map(|x| x.abs() + 0.2).collect();
    POSITIVE.iter().for_each(|&activation| check(activation, &positive));
}

#[test]
fn steps_are_exact_and_pass_no_gradient() {
    let mut x = floats(4, 1001);
    x.extend([0.5, 1.5, -0.5, -2.5, 0.0, -0.0, 3.0]);
    for activation in STEPS {
        on_every_path(|simd| {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![1.0; x.len()]);
            forward(activation, &x, &mut y);
            backward(activation, &x, &vec![2.0; x.len()], &mut dx, false);
            // Truths have values there; of the others no whole number is asked.
            let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
            let mut truths = [0.0; 4];
            forward(activation, &special, &mut truths);
            for (&x, &y) in special.iter().zip(&truths).filter(|(x, _)| reference(activation, f64::from(**x)).is_finite()) {
                assert_eq!(f64::from(y), reference(activation, f64::from(x)), "{activation:?} {simd:?} at {x}");
            }
            for i in 0..x.len() {
                assert_eq!(f64::from(y[i]), reference(activation, f64::from(x[i])), "{activation:?} {simd:?} at {}", x[i]);
                assert_eq!(dx[i], 0.0);
            }
        });
    }
}

#[test]
fn relu_has_no_slope_at_zero() {
    let mut dx = [5.0];
    backward(Activation::Relu, &[0.0], &[1.0], &mut dx, false);
    assert_eq!(dx, [0.0]);
}
