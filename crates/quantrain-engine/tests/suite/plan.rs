//! What a plan prints, what it costs, and that neither a second run nor another thread changes a bit.

use quantrain_engine::{BatchNormMode, GradientPath, Mode, Plan, Purpose, Training, Workspace};
use quantrain_graph::op::{MaxPool, Window};
use quantrain_graph::{Graph, GraphBuilder, Op, QuantGraph};

use crate::executor::{Bench, EXECUTORS, Executor, calibrate};
use crate::random::Random;

const BATCH: usize = 6;
const PATHS: [GradientPath; 2] = [GradientPath::Float, GradientPath::Quantized];
const NORMS: [BatchNormMode; 3] = [BatchNormMode::Running, BatchNormMode::Corrected, BatchNormMode::Frozen];

/// A residual network with every kind of block, large enough that threads share its work.
fn network() -> Graph {
    let mut random = Random::new(1);
    let mut weights = |n: usize| random.values(n, -0.3, 0.3);
    let mut b = GraphBuilder::new("residual");
    let x = b.input("x", &[3, 24, 24]);
    let y = b.convolution("stem", x, 16, [3, 3]).padding([1; 4]).weights(weights(16 * 27)).done().unwrap();
    let y = b.batch_norm("stem_norm", y).unwrap();
    let y = b.relu("stem_relu", y).unwrap();
    let z = b.convolution("depth", y, 16, [3, 3]).padding([1; 4]).groups(16).weights(weights(16 * 9)).done().unwrap();
    let z = b.batch_norm("depth_norm", z).unwrap();
    let z = b.relu("depth_relu", z).unwrap();
    let z = b.convolution("point", z, 16, [1, 1]).weights(weights(256)).bias(vec![0.1; 16]).done().unwrap();
    let y = b.add("add", y, z).unwrap();
    let y = b.node("halve", Op::MaxPool(MaxPool { window: Window { strides: [2, 2], ..Window::new([2, 2]) } }), &[y], "halve").unwrap();
    let y = b.global_average_pool("pool", y).unwrap();
    let y = b.flatten("flat", y).unwrap();
    let y = b.gemm("fc", y, 10, weights(160), vec![0.0; 10]).unwrap();
    b.output(y);
    b.finish().unwrap()
}

fn image() -> Vec<f32> {
    Random::new(2).values(BATCH * 3 * 24 * 24, -1.0, 1.0)
}

fn prepared(executor: Executor) -> QuantGraph {
    calibrate(executor.prepare(network()), BATCH, &[&image()])
}

#[test]
fn a_training_plan_says_what_it_replays_and_what_it_skips() {
    let net = prepared(Executor::Simulated("onnxruntime"));
    let lines = |purpose| {
        let text = Plan::new(&net, 2, purpose).unwrap().to_string();
        text.lines().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(Purpose::Training(GradientPath::Quantized)),
        [
            "0 stem Conv+BatchNormalization+Relu [2, 24, 24, 16] replays x̂, accumulator, ŵ; gradient to no input",
            "1 depth Conv+BatchNormalization+Relu [2, 24, 24, 16] replays x̂, accumulator, ŵ; gradient to stem_relu",
            "2 point Conv [2, 24, 24, 16] replays x̂, accumulator, ŵ; gradient to depth_relu",
            "3 add Add [2, 24, 24, 16] replays both inputs; gradient to stem_relu, point",
            "4 halve MaxPool [2, 12, 12, 16] replays inputs; gradient to add",
            "5 pool GlobalAveragePool [2, 1, 1, 16] replays result before quantization; gradient to halve",
            "6 flat Flatten [2, 16] replays nothing; gradient to pool",
            "7 fc Gemm [2, 10] replays x̂, accumulator, ŵ; gradient to flat",
        ]
    );
    let float = lines(Purpose::Training(GradientPath::Float));
    assert!(float[0].ends_with("replays x̂, float accumulator, w (skips ŵ and its product); gradient to no input"), "{}", float[0]);
    assert_eq!(lines(Purpose::Inference)[7], "7 fc Gemm [2, 10]");
}

#[test]
fn an_inference_plan_is_smaller_than_a_training_plan() {
    let net = prepared(Executor::Simulated("onnxruntime"));
    let bytes = |purpose| Plan::new(&net, BATCH, purpose).unwrap().bytes();
    let training = PATHS.map(|path| bytes(Purpose::Training(path)));
    assert!(2 * bytes(Purpose::Inference) < training[1] && training[1] <= training[0], "{training:?}");
}

/// The bits of everything that a step leaves: output, gradients, running statistics.
fn bits(bench: &mut Bench) -> Vec<u32> {
    let mut all = bench.output(0);
    bench.net.parameters().iter().for_each(|p| all.extend_from_slice(p.gradient));
    bench.net.statistics().iter().for_each(|s| all.extend_from_slice(s.1));
    assert!(all.iter().all(|v| v.is_finite()));
    all.iter().map(|v| v.to_bits()).collect()
}

fn step(executor: Executor, training: Training) -> Bench {
    let mut bench = Bench::new(prepared(executor), BATCH, executor.simulates(), training).unwrap();
    bench.forward(&[&image()]).unwrap();
    bench.backward(&[&Random::new(3).values(BATCH * 10, -1.0, 1.0)]);
    bench
}

fn every_step() -> impl Iterator<Item = (Executor, Training)> {
    let trainings = PATHS.into_iter().flat_map(|gradient_path| NORMS.map(|batch_norm| Training { gradient_path, batch_norm }));
    trainings.flat_map(|training| EXECUTORS.map(|executor| (executor, training)))
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let pools = [pool(1), pool(2), pool(3)];
    for (executor, training) in every_step() {
        let [one, two, three] = pools.each_ref().map(|p| p.install(|| bits(&mut step(executor, training))));
        assert!(one == two && one == three, "{executor:?} {training:?}");
    }
}

#[test]
fn a_second_run_gives_the_same_bits() {
    // Running statistics would move between the two.
    for (executor, training) in every_step().filter(|(_, t)| t.batch_norm == BatchNormMode::Frozen) {
        let mut bench = step(executor, training);
        let first = bits(&mut bench);
        bench.forward(&[&image()]).unwrap();
        bench.backward(&[&Random::new(3).values(BATCH * 10, -1.0, 1.0)]);
        assert!(first == bits(&mut bench), "{executor:?} {training:?}");
    }
}

#[test]
fn a_plan_for_one_purpose_gives_the_outputs_of_another() {
    let net = prepared(Executor::Simulated("tidl-pow2"));
    let purposes = [Purpose::Inference, Purpose::Training(GradientPath::Float), Purpose::Training(GradientPath::Quantized)];
    for mode in [Mode::FLOAT, Mode::SIMULATE] {
        let outputs = purposes.map(|purpose| {
            let plan = Plan::new(&net, BATCH, purpose).unwrap();
            let (mut workspace, mut net) = (Workspace::new(&plan), quantrain_engine::Network::new(net.clone()));
            net.forward(&plan, &mut workspace, mode, &[&image()], &mut ()).unwrap();
            net.output(&plan, &workspace, 0)
        });
        assert!(outputs[0] == outputs[1] && outputs[0] == outputs[2], "{mode:?}");
    }
}

#[test]
fn a_float_step_of_a_quantized_network_is_the_float_networks_step() {
    let float = |training| bits(&mut step(Executor::Float, training));
    for (executor, training) in every_step() {
        let mut bench = Bench::new(prepared(executor), BATCH, false, training).unwrap();
        bench.forward(&[&image()]).unwrap();
        bench.backward(&[&Random::new(3).values(BATCH * 10, -1.0, 1.0)]);
        assert!(bits(&mut bench) == float(training), "{executor:?} {training:?}");
    }
}

#[test]
fn stored_parameters_come_back_in_onnx_order() {
    let net = prepared(Executor::Simulated("onnxruntime"));
    let before = net.graph().clone();
    let mut bench =
        Bench::new(net, BATCH, true, Training { gradient_path: GradientPath::Float, batch_norm: BatchNormMode::Frozen }).unwrap();
    bench.net.store();
    assert_eq!(*bench.net.quant_graph().graph(), before);
    bench.net.for_each_parameter(|p| p.value.iter_mut().for_each(|v| *v += 1.0));
    bench.net.store();
    for (old, new) in before.tensors().iter().zip(bench.net.quant_graph().graph().tensors()) {
        let moves = !old.name.contains("running");
        let expected = old.constant.as_ref().map(|v| v.iter().map(|v| if moves { v + 1.0 } else { *v }).collect::<Vec<f32>>());
        assert_eq!(new.constant, expected, "{}", old.name);
    }
}
