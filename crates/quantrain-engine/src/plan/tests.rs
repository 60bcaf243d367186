use quantrain_graph::op::{Activation, Binary, Concat, Function, MaxPool, Softmax, Transpose, Window};
use quantrain_graph::{GraphBuilder, Range, Settings, Target};

use super::*;
use crate::{BatchNormMode, Mode, Network, Training, Workspace};

const BATCH: usize = 2;
const CHANNELS: usize = 3;

struct Halve;

impl Function for Halve {
    fn name(&self) -> &str {
        "halve"
    }

    fn apply(&self, _: &[usize], x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x / 2.0);
    }
}

/// Whole numbers below `n`, from a linear congruential generator (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect()
    }
}

/// Images of one shape, each of which may be read by any later node; two or three of them are outputs.
fn random_graph(dice: &mut Dice) -> Graph {
    let mut b = GraphBuilder::new("random");
    let mut tensors = vec![b.input("one", &[CHANNELS, 5, 5]), b.input("two", &[CHANNELS, 5, 5])];
    for n in 0..4 + dice.below(12) {
        let name = format!("n{n}");
        let x = tensors[tensors.len() - 1 - dice.below(tensors.len().min(4))];
        let other = tensors[dice.below(tensors.len())];
        let mut node = |op, inputs: &[TensorId]| b.node(&name, op, inputs, &name).unwrap();
        let y = match dice.below(11) {
            0 => node(Op::Binary(Binary::Add), &[x, other]),
            1 => node(Op::Binary(Binary::Mul), &[x, other]),
            2 => node(Op::Activation(Activation::Relu), &[x]),
            3 => node(Op::Activation(Activation::Tanh), &[x]),
            4 => node(Op::MaxPool(MaxPool { window: Window { pads: [1; 4], ..Window::new([3, 3]) } }), &[x]),
            5 => node(Op::Transpose(Transpose { permutation: vec![0, 1, 3, 2] }), &[x]),
            6 => node(Op::Softmax(Softmax::along(1)), &[x]),
            7 => b.straight_through(&name, x, Halve).unwrap(),
            8 => b.propagate(&name, x, other).unwrap(),
            kind => {
                // A convolution, after a concat or not, and with or without BatchNorm.
                let from = if kind == 9 { node(Op::Concat(Concat { axis: 1 }), &[x, other]) } else { x };
                let inputs = if kind == 9 { 2 * CHANNELS } else { CHANNELS };
                let weights = dice.values(CHANNELS * inputs * 9);
                let conv = b.convolution(&format!("conv{n}"), from, CHANNELS, [3, 3]).padding([1; 4]).weights(weights).done().unwrap();
                if dice.below(2) == 0 { b.batch_norm(&format!("norm{n}"), conv).unwrap() } else { conv }
            }
        };
        tensors.push(y);
    }
    let last = tensors.len() - 1;
    [last, 2 + dice.below(last - 1)].into_iter().for_each(|t| b.output(tensors[t]));
    b.finish().unwrap()
}

/// Outputs and gradients of a step whose memory is full of NaN at first.
fn step(plan: &Plan, net: &QuantGraph, mode: Mode, dice: &mut Dice) -> Vec<u32> {
    let mut workspace = Workspace::new(plan);
    workspace.memory.fill(f32::NAN);
    let mut net = Network::new(net.clone());
    let len = BATCH * CHANNELS * 25;
    let (one, two) = (dice.values(len), dice.values(len));
    net.forward(plan, &mut workspace, mode, &[&one, &two], &mut ()).unwrap();
    let mut all = [net.output(plan, &workspace, 0), net.output(plan, &workspace, 1)].concat();
    if mode.training.is_some() {
        let (first, second) = (dice.values(len), dice.values(len));
        net.backward(plan, &mut workspace, mode, &[&first, &second]);
        net.for_each_parameter(|p| all.extend_from_slice(p.gradient));
    }
    assert!(all.iter().all(|v| v.is_finite()), "a buffer was read before it was written");
    all.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn sharing_memory_changes_no_bit() {
    let (mut shared, mut apart, mut gradients) = (0, 0, 0);
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let graph = random_graph(&mut dice);
        let target = [Target::onnxruntime(), Target::tidl_pow2()][dice.below(2)].clone();
        let mut net = QuantGraph::prepare(graph, target, &Settings::default()).unwrap();
        net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-2.0, 2.0)));
        let paths = [GradientPath::Float, GradientPath::Quantized];
        let purposes = paths.map(Purpose::Training).into_iter().chain([Purpose::Inference, Purpose::Inspection]);
        for (purpose, simulate) in purposes.flat_map(|p| [(p, false), (p, true)]) {
            let training = match purpose {
                Purpose::Inference | Purpose::Inspection => None,
                Purpose::Training(gradient_path) => Some(Training { gradient_path, batch_norm: BatchNormMode::Corrected }),
            };
            let mode = Mode { simulate, training };
            let mut plan = Plan::new(&net, BATCH, purpose).unwrap();
            let found = step(&plan, &net, mode, &mut Dice(seed));
            shared += plan.bytes();
            plan.slots = plan.slots.apart();
            apart += plan.bytes();
            assert!(found == step(&plan, &net, mode, &mut Dice(seed)), "seed {seed}, {mode:?}\n{plan}");
            gradients += found.len() - 2 * BATCH * CHANNELS * 25;
        }
    }
    assert!(shared < apart && gradients > 10_000, "{shared} bytes shared, {apart} apart, {gradients} gradients");
}

#[test]
fn a_name_of_any_length_is_shown() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let y = b.relu(&"é".repeat(100_000), x).unwrap();
    b.output(y);
    let plan = Plan::new(&QuantGraph::float(b.finish().unwrap()), 1, Purpose::Inference).unwrap();
    let text = plan.to_string();
    assert!(text.contains(&format!("{}…", "é".repeat(200))) && text.chars().count() < 1000, "{text}");
}
