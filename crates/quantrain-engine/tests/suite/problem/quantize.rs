//! Fake-quantization as an operator, with every rounding policy.

use quantrain_graph::op::FakeQuantize;
use quantrain_graph::{Op, Quantizer, Rounding};

use super::{Problem, check, rounding_range};

const ROUNDINGS: [Rounding; 3] = [Rounding::HalfToEven, Rounding::HalfUp, Rounding::HalfAwayFromZero];

/// The quotient in f32 as ONNX divides, everything after it by the policy's own words.
fn fake_quantize(rounding: Rounding, scale: f32, zero: i32, limits: (i32, i32), x: f64) -> f64 {
    let t = f64::from(x as f32 / scale);
    let (floor, tie) = (t.floor(), t - t.floor() == 0.5);
    let q = match rounding {
        _ if !tie => (t + 0.5).floor(),
        Rounding::HalfToEven if floor % 2.0 == 0.0 => floor,
        Rounding::HalfToEven | Rounding::HalfUp => floor + 1.0,
        Rounding::HalfAwayFromZero => {
            if t > 0.0 {
                floor + 1.0
            } else {
                floor
            }
        }
    };
    let code = (q + f64::from(zero)).clamp(f64::from(limits.0), f64::from(limits.1));
    (code - f64::from(zero)) * f64::from(scale)
}

fn problems() -> Vec<Problem> {
    let mut all = Vec::new();
    for rounding in ROUNDINGS {
        for (scale, zero, limits) in [(0.125, 0, (-8, 7)), (0.1, 3, (0, 15)), (1.0 / 64.0, 0, (-128, 127)), (0.01, 128, (0, 255))] {
            let quantizer = Quantizer::new(scale, zero, limits.0, limits.1, rounding).unwrap();
            let op = Op::FakeQuantize(FakeQuantize { quantizers: vec![quantizer] });
            let value = move |x: f64| fake_quantize(rounding, scale, zero, limits, x);
            let (low, high) = rounding_range(&quantizer);
            let problem = Problem::operator(&format!("FakeQuantize {quantizer:?}"), &[&[2, 3, 4, 5]], op, move |x| x[0].map(value));
            all.push(problem.surrogate(move |x| x[0].map(|v| v.clamp(low, high))));
        }
    }
    all
}

#[test]
fn fake_quantization_meets_its_reference() {
    check(problems());
}

#[test]
fn ties_go_where_each_policy_says() {
    let ties: Vec<f32> = (-12..12).map(|i| (i as f32 + 0.5) * 0.25).collect();
    for rounding in ROUNDINGS {
        let q = Quantizer::new(0.25, 0, -8, 7, rounding).unwrap();
        for &x in &ties {
            assert_eq!(f64::from(q.fake_quantize(x)), fake_quantize(rounding, 0.25, 0, (-8, 7), f64::from(x)), "{rounding:?} of {x}");
        }
    }
}
