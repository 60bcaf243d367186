//! Whole training steps, forward and backward, in images a second: in float, and quantization-aware along either gradient path.
//!
//! `cargo bench -p quantrain-engine`, on one thread with `RAYON_NUM_THREADS=1` before it. The small network is the repository's example, the
//! others are read from `../shared/models` beside it; one that is not there is named and left out. `cargo xtask compare` times steps beside
//! PyTorch's.

use std::path::Path;

use divan::Bencher;
use divan::counter::ItemsCount;
use quantrain_engine::{BatchNormMode, GradientPath, Mode, Monitor, Network, Plan, Purpose, Training, Want, Workspace};
use quantrain_graph::{QuantGraph, QuantizerId, Range, Settings, Target};

fn main() {
    println!("path {}, {} threads", quantrain_kernels::simd().name(), rayon::current_num_threads());
    // On a thread of the pool, as in a training run.
    rayon::scope(|_| divan::main());
}

/// Where a network is, from the root of the repository, and the images of a step.
const NETWORKS: [(&str, usize); 4] = [
    ("examples/fashion-mnist/fashion_mobilenet.onnx", 64),
    ("../shared/models/resnet20_cifar10.onnx", 64),
    ("../shared/models/mobilenet_v1_025_vww.onnx", 32),
    ("../shared/models/efficientnet_lite0.onnx", 4),
];

#[divan::bench(args = NETWORKS, sample_count = 15, sample_size = 1)]
fn float(bencher: Bencher, network: (&str, usize)) {
    step(bencher, network, false, GradientPath::Quantized);
}

#[divan::bench(args = NETWORKS, sample_count = 15, sample_size = 1)]
fn quantized(bencher: Bencher, network: (&str, usize)) {
    step(bencher, network, true, GradientPath::Quantized);
}

#[divan::bench(args = NETWORKS, sample_count = 15, sample_size = 1)]
fn float_path(bencher: Bencher, network: (&str, usize)) {
    step(bencher, network, true, GradientPath::Float);
}

fn step(bencher: Bencher, (file, batch): (&str, usize), simulate: bool, gradient_path: GradientPath) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return;
    }
    let graph = quantrain_onnx::read(&path).expect("the network can be read");
    let net = QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default()).expect("the target places quantizers");
    let plan = Plan::new(&net, batch, Purpose::Training(gradient_path)).expect("the engine trains it");
    let mut extrema = Extrema(vec![Range::new(0.0, 0.0); net.quantizers().len()]);
    let mut network = Network::new(net);
    let mut workspace = Workspace::new(&plan);
    let input = network.quant_graph().graph().inputs()[0];
    let len = network.quant_graph().graph().tensor(input).shape.elements(batch);
    let images: Vec<f32> = (0..len).map(|i| (i * 7919 % 1000) as f32 / 250.0 - 2.0).collect();
    let training = Some(Training { gradient_path, batch_norm: BatchNormMode::Corrected });
    network.forward(&plan, &mut workspace, Mode { simulate: false, training }, &[&images], &mut extrema).expect("it runs");
    network.quant_graph_mut().quantizers_mut().iter_mut().zip(&extrema.0).for_each(|(q, range)| q.range = Some(*range));
    let gradient = vec![0.01; network.output(&plan, &workspace, 0).len()];
    let mode = Mode { simulate, training };
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        network.forward(&plan, &mut workspace, mode, &[&images], &mut extrema).expect("it runs");
        network.backward(&plan, &mut workspace, mode, &[&gradient]);
    });
}

/// Ranges as a training run watches them.
struct Extrema(Vec<Range>);

impl Monitor for Extrema {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Extrema
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        self.0[quantizer.0] = self.0[quantizer.0].union(Range::new(min, max));
    }

    fn values(&mut self, _: QuantizerId, _: &[f32]) {}
}
