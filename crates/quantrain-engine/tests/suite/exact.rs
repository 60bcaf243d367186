//! Simulated evaluations against integer arithmetic, code for code (design section 6).

mod fixed_point;
mod ties;

use quantrain_engine::{Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::{Graph, GraphBuilder, KernelLibrary, Op, QuantGraph, Quantizer, Range, Requantize, Settings, Target};

use crate::block::{Activation, Case, Values, cases};
use crate::executor::calibrate;
use crate::random::Random;
use crate::tensor::{Tensor, places_in_memory};

/// Codes, as the device holds them.
fn codes(q: &Quantizer, values: &[f32]) -> Vec<i64> {
    values.iter().map(|v| (f64::from(*v) / f64::from(q.scale())).round() as i64 + i64::from(q.zero_point())).collect()
}

fn quantizer(net: &QuantGraph, name: &str) -> Quantizer {
    let id = net.quantizer_of(net.graph().find(name).unwrap()).expect("the tensor is quantized");
    net.quantizers()[id.0].quantizer().unwrap().expect("the range is set")
}

/// The outputs of a simulated evaluation, in ONNX's order.
fn simulate(net: QuantGraph, batch: usize, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let plan = Plan::new(&net, batch, Purpose::Inference).unwrap();
    let (mut workspace, mut net) = (Workspace::new(&plan), Network::new(net));
    net.forward(&plan, &mut workspace, Mode::SIMULATE, inputs, &mut ()).unwrap();
    (0..net.quant_graph().graph().outputs().len()).map(|i| net.output_in_onnx_order(&plan, &workspace, i)).collect()
}

/// `clamp(rint(f32(acc)·m) + z)`, `m = f32(f32(s_x·s_w) / s_y)`; or a shift with half up.
fn requantize(formula: Requantize, acc: i64, input: f32, weight: f32, y: &Quantizer) -> i64 {
    let z = i64::from(y.zero_point());
    match formula {
        Requantize::FixedPointDouble => fixed_point::rescale(acc, f64::from(input) * f64::from(weight) / f64::from(y.scale())) + z,
        Requantize::Multiply => {
            let m = (input * weight) / y.scale();
            (acc as f32 * m).round_ties_even() as i64 + z
        }
        Requantize::Shift => {
            let shift = (f64::from(y.scale()) / (f64::from(input) * f64::from(weight))).log2();
            assert_eq!(shift, shift.round(), "scales are powers of two");
            let shift = shift as i32;
            if shift > 0 { (acc + (1 << (shift - 1))) >> shift } else { acc << -shift }
        }
    }
}

/// Widths of weights and activations.
const WIDTHS: [(u8, u8); 3] = [(8, 8), (4, 8), (4, 4)];

#[test]
fn a_block_gives_the_integers_of_the_device() {
    let mut compared = 0;
    for target in Target::names() {
        for (c, case) in cases().iter().enumerate() {
            for activation in Activation::ALL {
                for (weight_bits, activation_bits) in WIDTHS {
                    let seed = (100 * c + usize::from(weight_bits + activation_bits)) as u64;
                    compared += check_block(target, case, activation, weight_bits, activation_bits, seed);
                }
            }
        }
    }
    println!("{compared} codes compared");
    assert!(compared > 0);
}

fn check_block(target: &str, case: &Case, activation: Activation, weight_bits: u8, activation_bits: u8, seed: u64) -> usize {
    let target = Target::named(target).unwrap();
    let mut values = Values::draw(case, &mut Random::new(seed), case.has_bias(), case.folds_batch_norm(), false);
    let requantizer = target.requantize();
    let settings = Settings { weight_bits: Some(weight_bits), activation_bits: Some(activation_bits), ..Settings::default() };
    let graph = case.graph_of_input(&values, activation);
    let output = graph.tensor(graph.outputs()[0]).name.clone();
    let batch = case.input[0];
    // Inputs reach out of their range, and some stand on a tie.
    values.x.iter_mut().step_by(7).for_each(|x| *x = (*x * 32.0).round() / 32.0 + 1.0 / 64.0);
    let memory: Vec<f32> = places_in_memory(&case.input).iter().map(|&i| values.x[i]).collect();
    let mut net = calibrate(QuantGraph::prepare(graph, target, &settings).unwrap(), batch, &[&memory]);
    for q in net.quantizers_mut() {
        q.range = q.range.map(|r| Range::new(0.8 * r.min, 0.8 * r.max));
    }
    if net.weight_quantizer(net.units().len() - 1).is_none() {
        // The target leaves this kind of block in float.
        return 0;
    }
    let (x, y) = (quantizer(&net, "x"), quantizer(&net, &output));
    let block = net.quantized_block(net.units().len() - 1).unwrap().expect("the block is quantized");
    let found = codes(&y, &simulate(net, batch, &[&memory])[0]);

    let inputs: Vec<i64> = values.x.iter().map(|&v| i64::from(x.code(v)) - i64::from(x.zero_point())).collect();
    let mut accumulators: Vec<i64> = (0..case.outputs()).map(|i| i64::from(block.bias[case.channel_of(i)])).collect();
    for &[to, from, by] in &case.products {
        accumulators[to] += inputs[from] * block.weight.codes[by] as i64;
    }
    let (low, high) = activation.limits();
    let limit = |v: f64| i64::from(y.code(v as f32));
    let (low, high) = (limit(low).max(i64::from(y.qmin())), limit(high).min(i64::from(y.qmax())));
    for (i, (&acc, &found)) in accumulators.iter().zip(&found).enumerate() {
        let expected = requantize(requantizer, acc, x.scale(), block.weight.scale(case.channel_of(i)), &y).clamp(low, high);
        assert_eq!(found, expected, "{} {activation:?} {weight_bits}/{activation_bits} bits: code {i}", case.name);
    }
    found.len()
}

/// Two convolutions of the input, and what `f` makes of them; every tensor is handed out.
fn of_two_blocks(f: impl Fn(&mut GraphBuilder, [quantrain_graph::TensorId; 2]) -> quantrain_graph::TensorId) -> Graph {
    let mut random = Random::new(3);
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 4, 5]);
    let parts = ["a", "b"].map(|name| b.convolution(name, x, 6, [1, 1]).weights(random.values(18, -1.0, 1.0)).done().unwrap());
    let y = f(&mut b, parts);
    [parts[0], parts[1], y].into_iter().for_each(|t| b.output(t));
    b.finish().unwrap()
}

/// Runs `graph` on a target; returns quantizers and codes of its outputs.
fn run(target: &str, graph: Graph) -> Vec<(Quantizer, Vec<i64>)> {
    let names: Vec<String> = graph.outputs().iter().map(|&t| graph.tensor(t).name.clone()).collect();
    let x = Random::new(4).values(8 * 60, -2.0, 2.0);
    let net = QuantGraph::prepare(graph, Target::named(target).unwrap(), &Settings::default()).unwrap();
    let mut net = calibrate(net, 8, &[&x]);
    for (i, q) in net.quantizers_mut().iter_mut().enumerate() {
        let factor = 0.7 + 0.1 * i as f32;
        q.range = q.range.map(|r| Range::new(factor * r.min, factor * r.max));
    }
    let quantizers: Vec<Quantizer> = names.iter().map(|n| quantizer(&net, n)).collect();
    simulate(net, 8, &[&x]).iter().zip(quantizers).map(|(values, q)| (q, codes(&q, values))).collect()
}

/// To the integer that a target's policy says, between its codes.
fn to_code(q: &Quantizer, t: f32) -> i64 {
    let rounded = match q.rounding() {
        quantrain_graph::Rounding::HalfToEven => f64::from(t).round_ties_even(),
        quantrain_graph::Rounding::HalfUp => (f64::from(t) + 0.5).floor(),
        quantrain_graph::Rounding::HalfAwayFromZero => f64::from(t).round(),
    };
    (rounded + f64::from(q.zero_point())).clamp(f64::from(q.qmin()), f64::from(q.qmax())) as i64
}

#[test]
fn an_addition_gives_the_integers_of_the_device() {
    for target in Target::names() {
        for relu in [false, true] {
            let results = run(
                target,
                of_two_blocks(|b, [p, q]| {
                    let y = b.add("add", p, q).unwrap();
                    if relu { b.relu("relu", y).unwrap() } else { y }
                }),
            );
            let [(qa, a), (qb, b), (qy, y)] = &results[..] else { panic!("three outputs") };
            let (ka, kb) = (qa.scale() / qy.scale(), qb.scale() / qy.scale());
            for i in 0..y.len() {
                let centred = |q: &Quantizer, code: i64| (code - i64::from(q.zero_point())) as f32;
                let t = match Target::named(target).unwrap().kernels().add {
                    KernelLibrary::Mlas => centred(qa, a[i]) * ka + centred(qb, b[i]) * kb,
                    KernelLibrary::Tflite => fixed_point::sum([qa, qb], qy, [a[i], b[i]]) as f32,
                    KernelLibrary::Xnnpack => fixed_point::weighted_sum([qa, qb], qy, [a[i], b[i]]) as f32,
                };
                let expected = to_code(qy, if relu { t.max(0.0) } else { t });
                assert_eq!(y[i], expected, "{target}, relu {relu}: code {i}");
            }
            assert_eq!(y.len(), 8 * 6 * 20);
        }
    }
}

#[test]
fn a_global_average_gives_the_integers_of_the_device() {
    for target in Target::names() {
        let results = run(target, of_two_blocks(|b, [p, _]| b.global_average_pool("pool", p).unwrap()));
        let [(qx, x), _, (qy, y)] = &results[..] else { panic!("three outputs") };
        let factor = qx.scale() / (qy.scale() * 20.0);
        for (i, &code) in y.iter().enumerate() {
            let sum: i64 = x[20 * i..][..20].iter().map(|&q| q - i64::from(qx.zero_point())).sum();
            let steps = match Target::named(target).unwrap().kernels().mean {
                KernelLibrary::Tflite => fixed_point::mean(sum, 20, qx, qy) as f32,
                KernelLibrary::Mlas | KernelLibrary::Xnnpack => sum as f32 * factor,
            };
            assert_eq!(code, to_code(qy, steps), "{target}: code {i}");
        }
        assert_eq!(y.len(), 8 * 6);
    }
}

#[test]
fn operators_that_move_elements_hand_codes_on() {
    for target in Target::names() {
        let results = run(
            target,
            of_two_blocks(|b, [p, q]| {
                let y = b.node("join", Op::Concat(quantrain_graph::op::Concat { axis: 1 }), &[p, q], "join").unwrap();
                b.node("same", Op::Identity, &[y], "same").unwrap()
            }),
        );
        let [(qa, a), (qb, b), (qy, y)] = &results[..] else { panic!("three outputs") };
        assert!(qa == qy && qb == qy, "a concat shares one quantizer");
        for (n, y) in y.chunks(240).enumerate() {
            assert_eq!(y[..120], a[120 * n..][..120], "{target}");
            assert_eq!(y[120..], b[120 * n..][..120], "{target}");
        }
    }
}

#[test]
fn the_first_input_is_quantized_by_the_targets_rule() {
    for (target, range) in
        [("onnxruntime", Range::new(-0.7, 1.3)), ("tidl-pow2", Range::new(-0.7, 1.3)), ("tidl-pow2", Range::new(0.0, 1.3))]
    {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 4, 4]);
        let y = b.node("same", Op::Identity, &[x], "same").unwrap();
        b.output(y);
        let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::named(target).unwrap(), &Settings::default()).unwrap();
        net.quantizers_mut()[0].range = Some(range);
        let q = quantizer(&net, "x");
        let mut x = Random::new(1).values(32, -2.0, 2.0);
        // Ties, and what no number can be done about.
        (0..20).for_each(|i| x[i] = (i as f32 - 9.5) * q.scale());
        (x[20], x[21], x[22]) = (f32::INFINITY, f32::NEG_INFINITY, f32::NAN);
        let memory = Tensor::new(&[1, 2, 4, 4], x.iter().map(|&v| f64::from(v)).collect()).to_memory();
        let found = codes(&q, &simulate(net, 1, &[&memory])[0]);
        for (x, found) in x.iter().zip(found) {
            let expected = if x.is_nan() { i64::from(q.zero_point()) } else { to_code(&q, x / q.scale()) };
            assert_eq!(found, expected, "{target}: {x}");
        }
    }
}
