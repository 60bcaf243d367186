use quantrain_data::Batch;
use quantrain_graph::op::Activation;
use quantrain_graph::{Graph, GraphBuilder, Op, Range, Settings, Target};

use super::*;
use crate::sqnr::Noise;
use crate::test_data::noise;

const SIZE: usize = 8;
const COUNT: usize = 40;

/// Weights of `channels` rows whose ranges differ widely.
fn uneven(seed: u64, channels: usize, row: usize) -> Vec<f32> {
    noise(seed, channels * row).iter().enumerate().map(|(i, w)| w * [0.02, 0.3, 1.5][i / row % 3]).collect()
}

/// An inverted bottleneck: 1x1, depthwise 3x3 and 1x1 convolutions, with BatchNormalization or biases, clips at `limit`.
fn bottleneck(with_norm: bool, limit: f32) -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, SIZE, SIZE]);
    let block = |b: &mut GraphBuilder, name: &str, x, out: usize, taps: usize, groups: usize, row: usize, seed: u64| {
        let weights = uneven(seed, out, row);
        let bias: Vec<f32> = noise(seed + 9, out).iter().map(|v| 0.3 * v).collect();
        let pad = taps / 2;
        let convolution = b.convolution(name, x, out, [taps, taps]).groups(groups).padding([pad; 4]).weights(weights);
        if with_norm { convolution.done() } else { convolution.bias(bias).done() }.unwrap()
    };
    let norm = |b: &mut GraphBuilder, name: &str, x| if with_norm { b.batch_norm(name, x).unwrap() } else { x };
    let clip =
        |b: &mut GraphBuilder, name: &str, x| b.node(name, Op::Activation(Activation::Clip { min: 0.0, max: limit }), &[x], name).unwrap();
    let y = block(&mut b, "expand", x, 12, 1, 1, 3, 1);
    let y = norm(&mut b, "expand_norm", y);
    let y = clip(&mut b, "expand_clip", y);
    let y = block(&mut b, "depthwise", y, 12, 3, 12, 9, 2);
    let y = norm(&mut b, "depthwise_norm", y);
    let y = clip(&mut b, "depthwise_clip", y);
    let y = block(&mut b, "project", y, 4, 1, 1, 12, 3);
    let y = norm(&mut b, "project_norm", y);
    b.output(y);
    b.finish().unwrap()
}

fn images() -> CalibrationImages {
    let batch =
        Batch { images: noise(5, COUNT * 3 * SIZE * SIZE), size: COUNT, height: SIZE, width: SIZE, channels: 3, ..Batch::default() };
    CalibrationImages::read(std::iter::once(Ok(batch)), 0.25).unwrap()
}

fn per_tensor(graph: Graph) -> QuantGraph {
    let settings = Settings { per_channel: Some(quantrain_graph::ChannelScales::None), weight_bits: Some(4), ..Settings::default() };
    let mut net = QuantGraph::prepare(graph, Target::onnxruntime(), &settings).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
    net
}

fn settings(steps: &[RefineStep]) -> Refinement {
    Refinement { steps: steps.to_vec(), held_out: 0.25, bias_epochs: 5, bias_rate: 0.5, rounding: AdaRound::default() }
}

fn refined(graph: Graph, steps: &[RefineStep]) -> (QuantGraph, Vec<StepReport>) {
    let steps = [&[RefineStep::MeanSquaredErrorRanges], steps].concat();
    let observer = ObserverSettings::new(ObserverKind::MinMax);
    refine(per_tensor(graph), &images(), observer, &settings(&steps), &mut ()).unwrap()
}

fn outputs(net: &QuantGraph, mode: Mode) -> Vec<f32> {
    let mut network = Network::new(net.clone());
    let images = images();
    let batches = images.batches().chain(images.held_out());
    batches.flat_map(|i| Runner::new(Purpose::Inference).output(&mut network, mode, i.size, i.values[0], 0, &mut ()).unwrap()).collect()
}

#[test]
fn equalization_keeps_the_float_function() {
    for (with_norm, limit) in [(true, f32::INFINITY), (false, f32::INFINITY), (true, 0.5), (false, 0.5)] {
        let net = per_tensor(bottleneck(with_norm, limit));
        let (after, _) = refined(bottleneck(with_norm, limit), &[RefineStep::Equalization]);
        assert_ne!(net.weights_of(0), after.weights_of(0).filter(|_| !with_norm), "something was scaled");
        assert_ne!(net.folded(1), after.folded(1), "something was scaled");
        for (a, b) in outputs(&net, Mode::FLOAT).iter().zip(outputs(&after, Mode::FLOAT)) {
            assert!((a - b).abs() < 1e-5, "BatchNorm {with_norm}, clip {limit}: {a} {b}");
        }
    }
}

#[test]
fn equalized_layers_have_equal_ranges_where_no_clip_forbids_it() {
    let (net, _) = refined(bottleneck(true, f32::INFINITY), &[RefineStep::Equalization]);
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, |m, w| m.max(w.abs()));
    let [expand, depthwise, project] = [0, 1, 2].map(|u| net.folded(u).unwrap().weight);
    for c in 0..12 {
        let before = largest(&mut expand[3 * c..][..3].iter().copied());
        let between = largest(&mut depthwise[9 * c..][..9].iter().copied());
        let behind = largest(&mut (0..4).map(|o| project[12 * o + c]));
        assert!((before / between - 1.0).abs() < 0.05 && (between / behind - 1.0).abs() < 0.05, "{c}: {before} {between} {behind}");
    }
}

#[test]
fn every_step_that_should_brings_outputs_nearer() {
    use RefineStep::*;
    // Equalization alone is no gain where the layers with large weights are those that matter.
    let rows: [(&[RefineStep], f64); 4] =
        [(&[BiasCorrection], 0.1), (&[BiasCalibration], 0.1), (&[AdaRound], 1.0), (&[Equalization, AdaRound], 1.5)];
    let mut weak = Vec::new();
    for (steps, gain) in rows {
        for with_norm in [true, false] {
            let (_, reports) = refined(bottleneck(with_norm, 6.0), steps);
            let (before, after) = (reports[1].sqnr, reports[reports.len() - 1].sqnr);
            if after.is_nan() || after <= before + gain {
                weak.push(format!("{steps:?}, BatchNorm {with_norm}: {before:.2} dB to {after:.2} dB"));
            }
        }
    }
    assert!(weak.is_empty(), "{weak:#?}");
}

#[test]
fn learned_codes_stay_when_the_network_is_made_anew() {
    for target in [Target::onnxruntime(), Target::tidl_pow2()] {
        let mut net = QuantGraph::prepare(bottleneck(true, 6.0), target, &Settings::default()).unwrap();
        net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
        let observer = ObserverSettings::new(ObserverKind::MinMax);
        let scales = |net: &QuantGraph, u| net.quantized_block(u).unwrap().unwrap().weight.quantizers;
        let (after, reports) = refine(net.clone(), &images(), observer, &settings(&[RefineStep::AdaRound]), &mut ()).unwrap();
        for u in 0..3 {
            for (before, after) in scales(&net, u).iter().zip(scales(&after, u)) {
                assert!((before.scale() / after.scale() - 1.0).abs() < 1e-5, "{} {u}", net.target().name());
            }
        }
        let mut sqnr = Noise::default();
        let (float, simulated) = (outputs(&net, Mode::FLOAT), outputs(&after, Mode::SIMULATE));
        let held_out = float.len() * 3 / 4;
        sqnr.add(&float[held_out..], &simulated[held_out..]);
        assert!((sqnr.decibels().unwrap() - reports[1].sqnr).abs() < 1e-9);
    }
}

#[test]
fn a_lone_large_weight_is_clipped_and_the_others_are_finer() {
    let mut weights = noise(1, 48 * 3);
    weights[7] = 3.0;
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, SIZE, SIZE]);
    let y = b.convolution("conv", x, 48, [1, 1]).weights(weights).done().unwrap();
    b.output(y);
    let graph = b.finish().unwrap();
    let settings_of = Settings { per_channel: Some(quantrain_graph::ChannelScales::None), weight_bits: Some(3), ..Settings::default() };
    let mut net = QuantGraph::prepare(graph, Target::onnxruntime(), &settings_of).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
    let observer = ObserverSettings::new(ObserverKind::MinMax);
    let (after, _) = refine(net.clone(), &images(), observer, &settings(&[RefineStep::WeightClipping]), &mut ()).unwrap();
    let error = |clipped: &QuantGraph| -> f32 {
        let block = clipped.quantized_block(0).unwrap().unwrap().weight;
        let masters = net.folded(0).unwrap().weight;
        block.codes.iter().zip(&masters).map(|(q, w)| (q * block.scale(0) - w) * (q * block.scale(0) - w)).sum()
    };
    assert!(error(&after) < 0.7 * error(&net), "{} {}", error(&after), error(&net));
    assert_eq!(after.weights_of(0).unwrap().iter().zip(&net.weights_of(0).unwrap()).filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn one_image_is_too_few() {
    let batch = Batch { images: vec![0.0; 3], size: 1, ..Batch::default() };
    assert!(matches!(CalibrationImages::read(std::iter::once(Ok(batch)), 0.2), Err(RunError::TooFewImages { found: 1 })));
    assert_eq!([2, 3, 10, 100].map(|n| CalibrationImages::seen_of(n, 0.2)), [1, 2, 8, 80]);
    assert_eq!(CalibrationImages::seen_of(2, 0.9), 1);
}
