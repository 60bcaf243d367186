use quantrain_engine::{BatchNormMode, GradientPath, Mode, Plan, Purpose, Training, Workspace};
use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};

use super::*;
use crate::test_data::noise;

/// A normalised convolution and one that is not, quantized at 3 bits.
fn network(target: &Target) -> Network {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[4, 5, 5]);
    let y = b.convolution("first", x, 4, [3, 3]).weights(noise(1, 144)).done().unwrap();
    let y = b.batch_norm("bn", y).unwrap();
    let y = b.convolution("second", y, 3, [1, 1]).weights(noise(2, 12)).done().unwrap();
    b.output(y);
    let settings = Settings { weight_bits: Some(3), ..Settings::default() };
    let mut net = QuantGraph::prepare(b.finish().unwrap(), target.clone(), &settings).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
    Network::new(net)
}

fn step(network: &mut Network) -> Vec<f32> {
    let training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Frozen };
    let mode = Mode { simulate: true, training: Some(training) };
    let plan = Plan::new(network.quant_graph(), 2, Purpose::Training(GradientPath::Quantized)).unwrap();
    let mut workspace = Workspace::new(&plan);
    network.forward(&plan, &mut workspace, mode, &[&noise(3, 200)], &mut ()).unwrap();
    let y = network.output(&plan, &workspace, 0);
    network.backward(&plan, &mut workspace, mode, &[&noise(4, y.len())]);
    y
}

fn limits(network: &mut Network) -> Vec<Vec<f32>> {
    network.weight_limits().into_iter().map(|l| l.values.to_vec()).collect()
}

const METHODS: [(RangeLearning, fn() -> Target); 2] = [(RangeLearning::Lsq, Target::onnxruntime), (RangeLearning::Tqt, Target::tidl_pow2)];

#[test]
fn limits_begin_as_the_extents_and_change_no_code() {
    for (method, target) in METHODS {
        let mut network = network(&target());
        let before = step(&mut network);
        let counts = if method == RangeLearning::Lsq { vec![4, 3] } else { vec![1, 1] };
        LearnedWeights::new(&mut network, method, 1.0);
        assert_eq!(limits(&mut network).iter().map(Vec::len).collect::<Vec<_>>(), counts, "one, or one for each channel");
        assert_eq!(step(&mut network), before, "{method:?}");
    }
}

#[test]
fn every_limit_has_a_gradient_and_moves_against_it() {
    for (method, target) in METHODS {
        let mut network = network(&target());
        let mut learned = LearnedWeights::new(&mut network, method, 1.0);
        step(&mut network);
        let before = limits(&mut network);
        learned.take_up(&mut network);
        learned.apply(&mut network);
        assert_eq!(before, limits(&mut network), "to the bit");
        for view in learned.views() {
            assert!(view.gradient.iter().all(|g| *g != 0.0), "{method:?} {}", view.name);
            view.value.iter_mut().zip(view.gradient).for_each(|(v, g)| *v -= 0.01 * g.signum());
        }
        let signs: Vec<bool> = learned.learned.iter().flat_map(|l| &l.gradients).map(|g| *g > 0.0).collect();
        learned.apply(&mut network);
        let after = limits(&mut network);
        let fell: Vec<bool> = before.iter().flatten().zip(after.iter().flatten()).map(|(b, a)| a < b).collect();
        assert_eq!(fell, signs, "{method:?}");
    }
}

#[test]
fn what_was_learned_is_what_is_stored_and_read_again() {
    for (method, target) in METHODS {
        let mut network = network(&target());
        let mut learned = LearnedWeights::new(&mut network, method, 1.0);
        step(&mut network);
        learned.take_up(&mut network);
        learned.views().for_each(|view| view.value.iter_mut().for_each(|v| *v *= 0.9));
        learned.apply(&mut network);
        let after = step(&mut network);
        let mut again = Network::new(network.into_quant_graph());
        assert_eq!(step(&mut again), after, "{method:?}");
        let weight = again.quant_graph().quantized_block(0).unwrap().unwrap().weight;
        let largest = weight.codes.iter().fold(0.0f32, |l, c| l.max(c.abs()));
        assert_eq!(largest, f32::from(3u8 + u8::from(method == RangeLearning::Tqt && weight.codes.contains(&-4.0))));
    }
}
