//! Fake-quantization as an operator, with every rounding policy.

use quantrain_graph::op::FakeQuantize;
use quantrain_graph::{Op, Quantizer, Rounding};

use super::{Problem, check, rounding_range};
use crate::tensor::Tensor;

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
    // A quantizer for each channel: of rows, of images and of volumes, whose channels lie apart in memory in three ways.
    for shape in [&[4, 3][..], &[2, 3, 4, 5], &[2, 3, 5], &[2, 3, 2, 2, 2]] {
        let numbers = [(0.1, 3, (0, 15)), (0.25, 0, (-8, 7)), (1.0 / 64.0, 128, (0, 255))];
        let of =
            |&(scale, zero, (low, high)): &(f32, i32, (i32, i32))| Quantizer::new(scale, zero, low, high, Rounding::HalfToEven).unwrap();
        let quantizers: Vec<Quantizer> = numbers.iter().map(of).collect();
        let limits: Vec<(f64, f64)> = quantizers.iter().map(rounding_range).collect();
        let inner: usize = shape[2..].iter().product();
        let op = Op::FakeQuantize(FakeQuantize { quantizers });
        let value = move |i: usize, x: f64| {
            let (scale, zero, limits) = numbers[i / inner % 3];
            fake_quantize(Rounding::HalfToEven, scale, zero, limits, x)
        };
        let by_element =
            |x: &Tensor, f: &dyn Fn(usize, f64) -> f64| Tensor::new(&x.shape, x.data.iter().enumerate().map(|(i, &v)| f(i, v)).collect());
        let problem =
            Problem::operator(&format!("FakeQuantize by channels of {shape:?}"), &[shape], op, move |x| by_element(&x[0], &value));
        all.push(problem.surrogate(move |x| by_element(&x[0], &|i, v| v.clamp(limits[i / inner % 3].0, limits[i / inner % 3].1))));
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
