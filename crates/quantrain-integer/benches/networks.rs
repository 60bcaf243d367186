//! Whole networks in integers, in images a second.
//!
//! `cargo bench -p quantrain-integer`, on two threads with `RAYON_NUM_THREADS=2` before it. Networks are read from `../shared/models` beside
//! the repository; one that is not there is named and left out. Ranges come from random images: they change codes, not the work.

use std::path::Path;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use quantrain_engine::{Mode, Monitor, Network, Plan, Purpose, Want, Workspace};
use quantrain_graph::{QuantGraph, QuantizerId, Range, Settings, Target};
use quantrain_integer::IntegerProgram;

fn main() {
    println!("path {}, {} threads", quantrain_kernels::simd().name(), rayon::current_num_threads());
    rayon::scope(|_| divan::main());
}

/// Name and image size of a network.
const NETWORKS: [(&str, usize); 2] = [("resnet20_cifar10", 32), ("efficientnet_lite0", 224)];

#[divan::bench(args = [1, 32])]
fn resnet20(bencher: Bencher, batch: usize) {
    run(bencher, NETWORKS[0], batch);
}

#[divan::bench(args = [1, 32])]
fn efficientnet_lite0(bencher: Bencher, batch: usize) {
    run(bencher, NETWORKS[1], batch);
}

fn run(bencher: Bencher, (name, size): (&str, usize), batch: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models").join(name).with_extension("onnx");
    if !path.exists() {
        println!("skipped: {name}: no {}", path.display());
        return;
    }
    let graph = quantrain_onnx::read(&path).expect("the network can be read");
    let net = QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default()).expect("the target places quantizers");
    let image: Vec<f32> = (0..3 * size * size).map(|i| (i * 7919 % 1000) as f32 / 250.0 - 2.0).collect();
    let program = IntegerProgram::lower(&calibrated(net, &image)).expect("the network has an integer program");
    let images = image.repeat(batch);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| program.run(batch, &[black_box(&images)], &mut ()).expect("it runs"));
}

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

/// Ranges from one image.
fn calibrated(net: QuantGraph, image: &[f32]) -> QuantGraph {
    let plan = Plan::new(&net, 1, Purpose::Inference).expect("the engine runs it");
    let mut extrema = Extrema(vec![Range::new(0.0, 0.0); net.quantizers().len()]);
    let (mut workspace, mut network) = (Workspace::new(&plan), Network::new(net));
    network.forward(&plan, &mut workspace, Mode::FLOAT, &[image], &mut extrema).expect("it runs");
    let mut net = network.into_quant_graph();
    net.quantizers_mut().iter_mut().zip(extrema.0).for_each(|(q, range)| q.range = Some(range));
    net
}
