//! A training step that has run before allocates nothing, along either gradient path.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use quantrain_engine::{BatchNormMode, GradientPath, Mode, Monitor, Network, Plan, Purpose, Training, Want, Workspace};
use quantrain_graph::op::{Activation, Binary, Concat, MaxPool, Window};
use quantrain_graph::{Graph, GraphBuilder, Op, QuantGraph, QuantizerId, Range, Settings, Target};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sees extrema, as the observers of a training do.
struct Extrema;

impl Monitor for Extrema {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Extrema
    }

    fn extrema(&mut self, _: QuantizerId, min: f32, max: f32) {
        assert!(min <= max);
    }

    fn values(&mut self, _: QuantizerId, _: &[f32]) {
        unreachable!("only extrema are wanted")
    }
}

const BATCH: usize = 4;

/// Blocks of each kind, and operators of most families.
fn network() -> Graph {
    let weights = |n: usize| (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.004).collect::<Vec<f32>>();
    let mut b = GraphBuilder::new("steps");
    let x = b.input("x", &[3, 16, 16]);
    let y = b.convolution("stem", x, 16, [3, 3]).padding([1; 4]).weights(weights(16 * 27)).done().unwrap();
    let y = b.batch_norm("stem_norm", y).unwrap();
    let y = b.relu("stem_relu", y).unwrap();
    let z = b.convolution("depth", y, 16, [3, 3]).padding([1; 4]).groups(16).weights(weights(16 * 9)).done().unwrap();
    let z = b.batch_norm("depth_norm", z).unwrap();
    let z = b.node("sigmoid", Op::Activation(Activation::Sigmoid), &[z], "sigmoid").unwrap();
    let z = b.node("gate", Op::Binary(Binary::Mul), &[y, z], "gate").unwrap();
    let z = b.convolution("point", z, 16, [1, 1]).weights(weights(256)).bias(vec![0.1; 16]).done().unwrap();
    let y = b.add("add", y, z).unwrap();
    let y = b.node("halve", Op::MaxPool(MaxPool { window: Window { strides: [2, 2], ..Window::new([2, 2]) } }), &[y], "halve").unwrap();
    let y = b.node("join", Op::Concat(Concat { axis: 1 }), &[y, y], "join").unwrap();
    let y = b.global_average_pool("pool", y).unwrap();
    let y = b.flatten("flat", y).unwrap();
    let y = b.gemm("fc", y, 10, weights(320), vec![0.0; 10]).unwrap();
    b.output(y);
    b.finish().unwrap()
}

fn allocations_of_a_second_step(simulate: bool, gradient_path: GradientPath, batch_norm: BatchNormMode) -> usize {
    let net = if simulate {
        let mut net = QuantGraph::prepare(network(), Target::onnxruntime(), &Settings::default()).unwrap();
        net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-2.0, 3.0)));
        net
    } else {
        QuantGraph::float(network())
    };
    let plan = Plan::new(&net, BATCH, Purpose::Training(gradient_path)).unwrap();
    let mut workspace = Workspace::new(&plan);
    let mut network = Network::new(net);
    let mode = Mode { simulate, training: Some(Training { gradient_path, batch_norm }) };
    let images: Vec<f32> = (0..BATCH * 3 * 256).map(|i| ((i * 13 % 97) as f32 - 48.0) * 0.02).collect();
    let (mut output, gradient) = (Vec::new(), vec![0.01; BATCH * 10]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let mut step = || {
            network.forward(&plan, &mut workspace, mode, &[&images], &mut Extrema).unwrap();
            network.read_output(&plan, &workspace, 0, &mut output);
            network.backward(&plan, &mut workspace, mode, &[&gradient]);
        };
        // Scratch buffers change hands until each has the size that any pass needs; a thread that is held up lets one more into the game.
        (0..8).for_each(|_| step());
        let allocations_of = |_| {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            step();
            ALLOCATIONS.load(Ordering::Relaxed) - before
        };
        (0..4).map(allocations_of).min().unwrap_or(0)
    })
}

#[test]
fn a_step_that_has_run_before_allocates_nothing() {
    for simulate in [false, true] {
        for gradient_path in [GradientPath::Quantized, GradientPath::Float] {
            for batch_norm in [BatchNormMode::Running, BatchNormMode::Corrected, BatchNormMode::Frozen] {
                let allocations = allocations_of_a_second_step(simulate, gradient_path, batch_norm);
                assert_eq!(allocations, 0, "simulated: {simulate}, {gradient_path:?}, {batch_norm:?}");
            }
        }
    }
}
