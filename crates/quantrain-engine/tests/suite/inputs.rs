//! Gradients of a network's inputs, against the formula of a 1x1 convolution: `dx[i] = Σ w[o, i]·dy[o]`, 0 where the input was clipped.

use quantrain_engine::{BatchNormMode, GradientPath, Mode, Network, Plan, Training, Workspace, in_memory_order, in_onnx_order};
use quantrain_graph::{Graph, GraphBuilder, QuantGraph, Range, Settings, Target};

const EXTENTS: [usize; 4] = [2, 2, 1, 3];
const WEIGHTS: [f32; 6] = [0.5, -1.0, 0.25, 1.0, -0.5, 0.75];

fn graph() -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &EXTENTS[1..]);
    let y = b.convolution("conv", x, 3, [1, 1]).weights(WEIGHTS.to_vec()).done().unwrap();
    b.output(y);
    b.finish().unwrap()
}

/// The gradient of the input in ONNX's order, for these values and gradients of the output.
fn input_gradient(net: QuantGraph, simulate: bool, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Frozen };
    let plan = Plan::with_input_gradients(&net, EXTENTS[0], training.gradient_path).unwrap();
    let (mut net, mut workspace, mode) = (Network::new(net), Workspace::new(&plan), Mode { simulate, training: Some(training) });
    let (mut fed, mut arriving, mut found, mut ordered) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    in_memory_order(&EXTENTS, x, &mut fed);
    in_memory_order(&[2, 3, 1, 3], dy, &mut arriving);
    net.forward(&plan, &mut workspace, mode, &[&fed], &mut ()).unwrap();
    net.backward(&plan, &mut workspace, mode, &[&arriving]);
    net.read_input_gradient(&plan, &workspace, 0, &fed, &mut found);
    in_onnx_order(&EXTENTS, &found, &mut ordered);
    ordered
}

fn expected(x: &[f32], dy: &[f32], limit: f32) -> Vec<f32> {
    let at = |n: usize, c: usize, channels: usize, pixel: usize| (n * channels + c) * 3 + pixel;
    let mut dx = vec![0.0; x.len()];
    for (n, c, pixel) in (0..2).flat_map(|n| (0..2).flat_map(move |c| (0..3).map(move |p| (n, c, p)))) {
        if x[at(n, c, 2, pixel)].abs() < limit {
            dx[at(n, c, 2, pixel)] = (0..3).map(|o| WEIGHTS[o * 2 + c] * dy[at(n, o, 3, pixel)]).sum();
        }
    }
    dx
}

#[test]
fn an_input_has_the_gradient_of_what_reads_it() {
    let x: Vec<f32> = (0..12).map(|i| (i as f32 - 6.0) / 8.0).collect();
    let dy: Vec<f32> = (0..18).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
    assert_eq!(input_gradient(QuantGraph::float(graph()), false, &x, &dy), expected(&x, &dy, f32::INFINITY));
}

#[test]
fn what_the_inputs_quantizer_clips_has_none() {
    let x: Vec<f32> = (0..12).map(|i| (i as f32 - 5.5) / 4.0).collect();
    let dy: Vec<f32> = (0..18).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
    let mut net = QuantGraph::prepare(graph(), Target::named("tidl-pow2").unwrap(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
    // The output's range is wide enough for all.
    net.quantizers_mut().last_mut().unwrap().range = Some(Range::new(-8.0, 8.0));
    let found = input_gradient(net, true, &x, &dy);
    assert_eq!(found.iter().filter(|g| **g == 0.0).count(), expected(&x, &dy, 1.0).iter().filter(|g| **g == 0.0).count());
    // The quantized layer's derivative has rounded weights.
    assert!(found.iter().zip(expected(&x, &dy, 1.0)).all(|(f, e)| (f - e).abs() < 0.02), "{found:?}");
}
