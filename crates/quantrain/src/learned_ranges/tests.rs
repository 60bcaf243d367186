use quantrain_engine::{BatchNormMode, GradientPath, Mode, Plan, Purpose, Training, Workspace};
use quantrain_graph::{GraphBuilder, QuantGraph, Settings, Target};

use super::*;
use crate::test_data::noise;

/// A convolution, a sum and a pool, each with a quantizer of its own.
fn network(target: &Target) -> Network {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[4, 5, 5]);
    let y = b.convolution("conv", x, 4, [1, 1]).weights(noise(1, 16)).done().unwrap();
    let y = b.add("sum", y, x).unwrap();
    let y = b.global_average_pool("pool", y).unwrap();
    b.output(y);
    let mut net = QuantGraph::prepare(b.finish().unwrap(), target.clone(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-0.7, 0.7)));
    Network::new(net)
}

/// A step whose loss is the sum of the outputs times `wanted`; ranges and sums are filled.
fn step(network: &mut Network, wanted: &[f32]) {
    let training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Frozen };
    let mode = Mode { simulate: true, training: Some(training) };
    let plan = Plan::new(network.quant_graph(), 8, Purpose::Training(GradientPath::Quantized)).unwrap();
    let mut workspace = Workspace::new(&plan);
    network.forward(&plan, &mut workspace, mode, &[&noise(2, 8 * 100)], &mut ()).unwrap();
    network.backward(&plan, &mut workspace, mode, &[wanted]);
}

#[test]
fn every_quantizer_behind_a_weight_has_a_gradient_and_the_input_has_none() {
    for (target, methods) in [
        (Target::onnxruntime(), &[RangeLearning::Lsq, RangeLearning::LsqPlus, RangeLearning::Pact][..]),
        (Target::tidl_pow2(), &[RangeLearning::Tqt]),
    ] {
        for &method in methods {
            let mut network = network(&target);
            let mut learned = LearnedRanges::new(&mut network, method, 1.0);
            step(&mut network, &noise(3, 32));
            learned.take_up(&network);
            let before: Vec<_> = network.quant_graph().quantizers().iter().map(|q| q.range).collect();
            let gradients: Vec<f32> = learned.learned.iter().map(|l| l.gradients[0].abs()).collect();
            assert_eq!(gradients[0], 0.0, "nothing before the input's quantizer is trained");
            assert!(gradients[1..3].iter().all(|g| *g > 0.0), "{method:?}: {gradients:?}");
            learned.apply(&mut network);
            let same: Vec<_> = network.quant_graph().quantizers().iter().map(|q| q.range).collect();
            assert_eq!(before[0], same[0], "to the bit");
            for view in learned.views() {
                view.value.iter_mut().zip(view.gradient).for_each(|(v, g)| *v -= 0.01 * g);
            }
            learned.apply(&mut network);
            let moved = network.quant_graph().quantizers()[1].range;
            assert_ne!(moved, before[1], "{method:?}");
        }
    }
}

/// The derivative of the surrogate: with the roundings' errors held fixed, ŷ = s·t + s·e inside, s·hi above, s·lo below.
#[test]
fn gradients_are_those_of_the_surrogate() {
    let (x, dy) = (noise(5, 400), noise(6, 400));
    let schemes = [
        (RangeLearning::Lsq, Target::onnxruntime()),
        (RangeLearning::LsqPlus, Target::onnxruntime()),
        (RangeLearning::Pact, Target::onnxruntime()),
        (RangeLearning::Tqt, Target::tidl_pow2()),
    ];
    for (method, target) in schemes {
        let scheme = target.activations().with_bits(3);
        let quantizer = Quantizer::from_range(&scheme, Range::new(-0.3, 0.5)).unwrap();
        let (s, (low, high)) = (f64::from(quantizer.scale()), quantizer.centred_limits());
        let (low, high) = (f64::from(low), f64::from(high));
        let t = |x: f32| f64::from(x) / s;
        let error = |x: f32| if t(x) > high || t(x) < low { 0.0 } else { f64::from(quantizer.centred_code(x)) - t(x) };
        // ŷ with the step and the lower limit changed; the range's ends move with them.
        let value = |x: f32, step: f64, offset: f64| match t(x) {
            t if t > high => offset + step * (high - low),
            t if t < low => offset,
            _ => f64::from(x) + step * error(x),
        };
        let loss = |step: f64, offset: f64| -> f64 { x.iter().zip(&dy).map(|(&x, &dy)| f64::from(dy) * value(x, step, offset)).sum() };
        let slope = |f: &dyn Fn(f64) -> f64| (f(1e-6) - f(-1e-6)) / 2e-6;
        let offset = s * low;
        let by_step = slope(&|d| loss(s + d, (s + d) * low));
        let wanted = match method {
            RangeLearning::Lsq => [by_step, 0.0],
            RangeLearning::LsqPlus => [slope(&|d| loss(s + d, offset)), slope(&|d| loss(s, offset + d))],
            // Clipped values follow the limit, the others stay.
            RangeLearning::Pact => [x.iter().zip(&dy).filter(|(x, _)| t(**x) > high).map(|(_, dy)| f64::from(*dy)).sum(), 0.0],
            RangeLearning::Tqt => [slope(&|d| loss(s * d.exp2(), s * d.exp2() * low)), 0.0],
        };
        let mut sums = RangeSums::default();
        for (&x, &dy) in x.iter().zip(&dy) {
            let dy = f64::from(dy);
            match t(x) {
                t if t > high => sums.above += dy,
                t if t < low => sums.below += dy,
                _ => sums.inside += dy * error(x),
            }
        }
        let found = gradients(method, &quantizer, sums, 1.0);
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted).abs() < 1e-4 * (1.0 + wanted.abs()), "{method:?}: {found} {wanted}");
        }
    }
}

#[test]
fn ranges_follow_their_parameters() {
    let quantizer = |target: Target, range| Quantizer::from_range(&target.activations(), range).unwrap();
    let range = Range::new(-0.5, 1.5);
    let free = quantizer(Target::onnxruntime(), range);
    let scaled = new_range(RangeLearning::Lsq, range, &free, [free.scale() * 1.25, 0.0]);
    assert!((scaled.max - 1.875).abs() < 1e-5 && (scaled.min + 0.625).abs() < 1e-5, "{scaled:?}");
    let moved = new_range(RangeLearning::LsqPlus, range, &free, [free.scale(), -0.25]);
    assert!((moved.max - 1.75).abs() < 1e-5 && moved.min == -0.25, "{moved:?}");
    let clipped = new_range(RangeLearning::Pact, range, &free, [1.0, 0.0]);
    assert!((clipped.max - 1.0).abs() < 1e-6 && clipped.min == -0.5, "{clipped:?}");
    let power = quantizer(Target::tidl_pow2(), range);
    let wider = new_range(RangeLearning::Tqt, range, &power, [2.5f32.log2(), 0.0]);
    assert!((wider.max - 2.5).abs() < 1e-5, "{wider:?}");
    assert!(new_range(RangeLearning::Lsq, range, &free, [f32::NAN, 0.0]).max > 0.0, "never nothing");
}
