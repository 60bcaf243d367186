//! Values to the bit, derivatives of another path, and what the backward skips (design section 5).

use quantrain_engine::{BatchNormMode, GradientPath, Training};
use quantrain_graph::op::Function;
use quantrain_graph::{Graph, GraphBuilder, QuantGraph, TensorId};

use crate::executor::{Bench, EXECUTORS, calibrate};
use crate::random::Random;
use crate::tensor::Tensor;

const TRAINING: Training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Running };
const SHAPE: [usize; 4] = [2, 3, 4, 5];

/// Every result that arithmetic on the way would change: NaN payloads, a signalling NaN, −0, and values far from the input.
struct Odd;

fn odd(i: usize, x: f32) -> f32 {
    match i % 6 {
        0 => f32::from_bits(0x7fc1_2345),
        1 => f32::from_bits(0xffa0_0001),
        2 => -0.0,
        3 => x.next_up(),
        4 => x * 1e-9,
        _ => f32::NEG_INFINITY,
    }
}

impl Function for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn apply(&self, shape: &[usize], x: &[f32], y: &mut [f32]) {
        assert_eq!(shape, SHAPE, "the shape is ONNX's");
        y.iter_mut().enumerate().for_each(|(i, y)| *y = odd(i, x[i]));
    }
}

/// A float network of one convolution and what `f` adds.
fn after_convolution(f: impl Fn(&mut GraphBuilder, TensorId) -> TensorId) -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &SHAPE[1..]);
    let y = b.convolution("base", x, 3, [1, 1]).weights(Random::new(1).values(9, -1.0, 1.0)).done().unwrap();
    let z = f(&mut b, y);
    b.output(y);
    b.output(z);
    b.finish().unwrap()
}

fn inputs() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut random = Random::new(2);
    (random.values(120, -2.0, 2.0), vec![0.0; 120], random.values(120, -1.0, 1.0))
}

#[test]
fn the_value_of_a_wrapped_function_is_exact_to_the_bit() {
    let graph = after_convolution(|b, y| b.straight_through("odd", y, Odd).unwrap());
    let (x, zero, dz) = inputs();
    let mut bench = Bench::new(QuantGraph::float(graph), 2, false, TRAINING).unwrap();
    bench.forward(&[&x]).unwrap();
    let (y, z) = (bench.output(0), bench.output(1));
    let expected: Vec<f32> = y.iter().enumerate().map(|(i, &y)| odd(i, y)).collect();
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&z), bits(&expected));
    let detour: Vec<f32> = y.iter().zip(&expected).map(|(y, f)| y + (f - y)).collect();
    let differ = bits(&detour).iter().zip(bits(&expected)).filter(|(a, b)| *a != b).count();
    assert!(differ > 40, "x + (f(x) − x) rounds again in {differ} places");

    // The same gradients as without the function, however odd its values.
    bench.backward(&[&zero, &dz]);
    let found = bench.gradient("base.weight");
    let graph = after_convolution(|b, y| b.node("same", quantrain_graph::Op::Identity, &[y], "same").unwrap());
    let mut plain = Bench::new(QuantGraph::float(graph), 2, false, TRAINING).unwrap();
    plain.forward(&[&x]).unwrap();
    plain.backward(&[&zero, &dz]);
    assert_eq!(bits(&found), bits(&plain.gradient("base.weight")));
    assert!(found.iter().all(|g| g.is_finite() && *g != 0.0));
}

/// `base` feeds a path for the value, of a convolution, and hands itself on as the path of the gradient.
fn two_paths(b: &mut GraphBuilder, y: TensorId) -> TensorId {
    let value = b.convolution("value", y, 3, [3, 3]).padding([1; 4]).weights(Random::new(3).values(81, -0.5, 0.5)).done().unwrap();
    let value = b.relu("value_relu", value).unwrap();
    let value = b.global_average_pool("value_pool", value).unwrap();
    let value = b.add("value_add", value, y).unwrap();
    b.propagate("both", value, y).unwrap()
}

#[test]
fn propagate_skips_everything_that_computed_the_value_only() {
    let (x, zero, dz) = inputs();
    let paths = [GradientPath::Float, GradientPath::Quantized];
    for (executor, gradient_path) in EXECUTORS.into_iter().flat_map(|e| paths.map(|p| (e, p))) {
        let training = Training { gradient_path, ..TRAINING };
        let prepared = |graph| calibrate(executor.prepare(graph), 2, &[&x]);
        let mut bench = Bench::new(prepared(after_convolution(two_paths)), 2, executor.simulates(), training).unwrap();
        let printed = bench.plan.to_string();
        let line =
            |name: &str| printed.lines().find(|l| l.contains(&format!("  {name}  "))).unwrap_or_else(|| panic!("{name} in {printed}"));
        for name in ["value", "value_pool", "value_add"] {
            assert!(line(name).ends_with("skipped"), "{printed}");
        }
        assert!(line("both").ends_with("gradient to base") && line("base").contains("replays"), "{printed}");
        bench.forward(&[&x]).unwrap();
        bench.backward(&[&zero, &dz]);
        assert!(bench.gradient("value.weight").iter().all(|g| *g == 0.0), "nothing writes the skipped gradient");
        assert_ne!(bench.output(1), bench.output(0), "the value is the first path's");

        let identity = |b: &mut GraphBuilder, y| b.straight_through("same", y, Same).unwrap();
        let mut plain = Bench::new(prepared(after_convolution(identity)), 2, executor.simulates(), training).unwrap();
        plain.forward(&[&x]).unwrap();
        plain.backward(&[&zero, &dz]);
        assert_eq!(bench.gradient("base.weight"), plain.gradient("base.weight"), "{executor:?} {gradient_path:?}");
    }
}

/// The identity.
struct Same;

impl Function for Same {
    fn name(&self) -> &str {
        "same"
    }

    fn apply(&self, _: &[usize], x: &[f32], y: &mut [f32]) {
        y.copy_from_slice(x);
    }
}

#[test]
fn a_wrapped_function_between_quantized_blocks_sees_real_values() {
    let x = inputs().0;
    for executor in EXECUTORS {
        let graph = after_convolution(|b, y| b.straight_through("same", y, Same).unwrap());
        let net = calibrate(executor.prepare(graph), 2, &[&x]);
        let mut bench = Bench::new(net, 2, executor.simulates(), TRAINING).unwrap();
        bench.forward(&[&x]).unwrap();
        assert_eq!(bench.output(0), bench.output(1), "{executor:?}");
        let shape = Tensor::new(&SHAPE, bench.output(0).iter().map(|&v| f64::from(v)).collect());
        assert_eq!(shape.to_memory(), bench.net.output(&bench.plan, &bench.workspace, 0), "images lie NHWC");
    }
}
