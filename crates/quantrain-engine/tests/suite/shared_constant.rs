//! A constant that two layers read is trained and stored for each: what runs is what is written.

use quantrain_engine::{Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::op::Gemm;
use quantrain_graph::{GraphBuilder, Op, QuantGraph, Range, Settings, Target};

use crate::random::Random;

fn output(network: &mut Network, mode: Mode, x: &[f32]) -> Vec<f32> {
    let plan = Plan::new(network.quant_graph(), 2, Purpose::Inference).unwrap();
    let mut workspace = Workspace::new(&plan);
    network.forward(&plan, &mut workspace, mode, &[x], &mut ()).unwrap();
    network.output(&plan, &workspace, 0)
}

#[test]
fn layers_that_share_weights_are_stored_as_they_run() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[4]);
    let shared = b.constant("w", &[4, 4], Random::new(1).values(16, -1.0, 1.0)).unwrap();
    let gemm = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false });
    let y = b.node("first", gemm.clone(), &[x, shared], "y").unwrap();
    let z = b.node("second", gemm, &[y, shared], "z").unwrap();
    b.output(z);
    let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-4.0, 4.0)));
    let mut network = Network::new(net);
    let names: Vec<String> = network.parameters().iter().map(|p| p.name.to_owned()).collect();
    assert_eq!(names, ["w", "w/second"]);
    // As two optimizer steps would: one layer goes up, the other down.
    for (parameter, step) in network.parameters().into_iter().zip([0.25, -0.25]) {
        parameter.value.iter_mut().for_each(|w| *w += step);
    }
    let x = Random::new(2).values(8, -1.0, 1.0);
    for mode in [Mode::FLOAT, Mode::SIMULATE] {
        let before = output(&mut network, mode, &x);
        network.store();
        let stored = network.quant_graph().clone();
        assert_eq!(output(&mut Network::new(stored), mode, &x), before);
    }
}
