//! Padding, masks and channels of very different ranges: what a calibrated network gives in simulated integers, beside the float network.

use quantrain::observe::{ObserverKind, ObserverSettings};
use quantrain::{Runner, calibrate};
use quantrain_data::Batch;
use quantrain_engine::{Mode, Network};
use quantrain_graph::op::{Activation, Binary, MaxPool, Pad, PadMode, Relation, Slice, Where, Window};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, Settings, Target, TensorId};
use quantrain_integer::IntegerProgram;

const SIDE: usize = 8;
const IMAGES: usize = 32;

/// Even in [-1, 1], by a linear congruential generator.
fn noise(count: usize, mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(seed) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    };
    (0..count).map(|_| next()).collect()
}

/// A layer of 3x3 whose channels are as large as `sizes`.
fn layer(b: &mut GraphBuilder, name: &str, x: TensorId, inputs: usize, sizes: &[f32]) -> TensorId {
    let row = inputs * 9;
    let weights = noise(sizes.len() * row, name.len() as u32).iter().enumerate().map(|(i, w)| w * sizes[i / row] / row as f32).collect();
    b.convolution(name, x, sizes.len(), [3, 3]).padding([1; 4]).weights(weights).bias(vec![0.1; sizes.len()]).done().unwrap()
}

/// SQNR in dB of each output, after a calibration with what the images hold.
fn decibels(b: GraphBuilder, target: Target) -> Vec<f64> {
    let net = QuantGraph::prepare(b.finish().unwrap(), target, &Settings::default()).unwrap();
    let images = noise(IMAGES * SIDE * SIDE * 3, 7);
    let batch = Batch { images: images.clone(), size: IMAGES, height: SIDE, width: SIDE, channels: 3, ..Batch::default() };
    let mut network = Network::new(net);
    calibrate(&mut network, || std::iter::once(Ok(batch.clone())), &ObserverSettings::new(ObserverKind::MinMax), &mut ()).unwrap();
    let mut runner = Runner::new(quantrain_engine::Purpose::Inference);
    let mut of = |mode| {
        let mut outputs = Vec::new();
        runner.outputs(&mut network, mode, IMAGES, &[&images], &mut outputs).unwrap();
        outputs
    };
    let (float, simulated) = (of(Mode::FLOAT), of(Mode::SIMULATE));
    // The second opinion.
    let program = IntegerProgram::lower(network.quant_graph()).unwrap();
    assert_eq!(program.run(IMAGES, &[&images], &mut ()).unwrap(), simulated);
    let of_output = |(t, y): (&Vec<f32>, &Vec<f32>)| {
        let power = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>();
        let signal = power(&mut t.iter().map(|v| f64::from(*v)));
        10.0 * (signal / power(&mut t.iter().zip(y).map(|(t, y)| f64::from(*t) - f64::from(*y)))).log10()
    };
    float.iter().zip(&simulated).map(of_output).collect()
}

fn targets() -> [Target; 2] {
    [Target::onnxruntime(), Target::tidl_pow2()]
}

#[test]
fn pads_in_a_row_cost_nothing() {
    let network = |fill: Option<f32>| {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, SIDE, SIDE]);
        let mut y = layer(&mut b, "first", x, 3, &[8.0; 4]);
        let window = Window { strides: [2, 2], pads: if fill.is_none() { [1; 4] } else { [0; 4] }, ..Window::new([3, 3]) };
        for (axis, fill) in [2, 3].into_iter().flat_map(|axis| fill.map(|fill| (axis, fill))) {
            let mut pads = vec![0; 8];
            (pads[axis], pads[axis + 4]) = (1, 1);
            let name = format!("pad{axis}");
            y = b.node(&name, Op::Pad(Pad { pads, mode: PadMode::Constant(fill) }), &[y], &name).unwrap();
        }
        let y = b.node("pool", Op::MaxPool(MaxPool { window }), &[y], "pool").unwrap();
        let y = layer(&mut b, "last", y, 4, &[4.0; 4]);
        b.output(y);
        b
    };
    for target in targets() {
        let without = decibels(network(None), target.clone());
        for fill in [-20.0, -1e4, f32::MIN, f32::NEG_INFINITY] {
            let padded = decibels(network(Some(fill)), target.clone());
            // A range in front of the pool ends where the pool's does, which is seen only without pads between.
            assert!((padded[0] - without[0]).abs() < 0.5, "{fill} {}: {padded:?} {without:?}", target.name());
        }
    }
}

#[test]
fn one_layer_may_make_boxes_and_scores() {
    for target in targets() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, SIDE, SIDE]);
        let y = layer(&mut b, "both", x, 3, &[2000.0, 1500.0, 2500.0, 1000.0, 20.0, 10.0]);
        for (name, start, end) in [("boxes", 0, 4), ("logits", 4, 6)] {
            let part = Slice { starts: vec![start], ends: vec![end], axes: vec![1], steps: vec![1] };
            let part = b.node(name, Op::Slice(part), &[y], name).unwrap();
            b.output(part);
        }
        let found = decibels(b, target.clone());
        assert!(found.iter().all(|d| *d > 28.0), "{}: {found:?}", target.name());
    }
}

/// Layers around a choice by truths, read as they are or through 1 − m.
fn chosen(inverted: bool, low: f32) -> GraphBuilder {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, SIDE, SIDE]);
    let y = layer(&mut b, "first", x, 3, &[8.0; 4]);
    let [zero, one, low] = [("zero", 0.0), ("one", 1.0), ("low", low)].map(|(name, v)| b.constant(name, &[1], vec![v]).unwrap());
    // Places, so that both forms choose the same.
    let places = b.constant("places", &[1, 1, SIDE, SIDE], noise(SIDE * SIDE, 3)).unwrap();
    let size = b.node("size", Op::Activation(Activation::Abs), &[y], "size").unwrap();
    let large = b.node("large", Op::Binary(Binary::Relation(Relation::GreaterOrEqual)), &[size, zero], "large").unwrap();
    let positive = b.node("positive", Op::Binary(Binary::Relation(Relation::Greater)), &[places, zero], "positive").unwrap();
    let m = b.node("m", Op::Binary(Binary::Mul), &[large, positive], "m").unwrap();
    let operands = if inverted {
        let inverse = b.node("inverse", Op::Binary(Binary::Sub), &[one, m], "inverse").unwrap();
        [inverse, low, y]
    } else {
        [m, y, low]
    };
    let y = b.node("chosen", Op::Where(Where), &operands, "chosen").unwrap();
    let y = b.node("gate", Op::Activation(Activation::Sigmoid), &[y], "gate").unwrap();
    let y = layer(&mut b, "last", y, 4, &[4.0; 4]);
    b.output(y);
    b
}

#[test]
fn truths_may_be_turned_round_and_marks_may_be_of_any_depth() {
    for target in targets() {
        let direct = decibels(chosen(false, -30.0), target.clone());
        assert!(direct[0] > 28.0, "{}: {direct:?}", target.name());
        for low in [-1e4, f32::NEG_INFINITY] {
            for inverted in [false, true] {
                let found = decibels(chosen(inverted, low), target.clone());
                assert!((found[0] - direct[0]).abs() < 0.5, "{} {low} {inverted}: {found:?} {direct:?}", target.name());
            }
        }
    }
}

#[test]
fn a_threshold_on_pixels_is_that_of_the_float_network() {
    for target in targets() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, SIDE, SIDE]);
        let zero = b.constant("zero", &[1], vec![0.0]).unwrap();
        let y = layer(&mut b, "first", x, 3, &[8.0; 3]);
        let positive = b.node("positive", Op::Binary(Binary::Relation(Relation::Greater)), &[x, zero], "positive").unwrap();
        let y = b.node("chosen", Op::Where(Where), &[positive, y, zero], "chosen").unwrap();
        let y = layer(&mut b, "last", y, 3, &[4.0; 3]);
        b.output(y);
        let found = decibels(b, target.clone());
        assert!(found[0] > 28.0, "{}: {found:?}", target.name());
    }
}
