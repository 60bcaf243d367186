//! What the engine cannot run is an error that names the node, never a wrong number.

use quantrain_engine::{BatchNormMode, EngineError, GradientPath, Mode, Network, Plan, Purpose, Training, Workspace};
use quantrain_graph::op::{Activation, Concat, Gemm, MatMul, Pad, PadMode, Propagate};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, TensorId};

use crate::executor::Executor;

/// Plans one operator `node` of an input `x` of `shape` and a constant `c` of `constant`, given to `inputs` in that order.
fn plan(shape: &[usize], constant: &[usize], op: Op, inputs: fn(TensorId, TensorId) -> Vec<TensorId>) -> Result<Plan, EngineError> {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", shape);
    let c = b.constant("c", constant, vec![0.5; constant.iter().product()]).unwrap();
    let y = b.node("node", op, &inputs(x, c), "y").unwrap();
    b.output(y);
    Plan::new(&QuantGraph::float(b.finish().unwrap()), 2, Purpose::Inference)
}

#[test]
fn forms_that_cannot_run_are_refused_by_name() {
    let gemm = |alpha| Op::Gemm(Gemm { alpha, beta: 1.0, transpose_a: false, transpose_b: false });
    let image: &[usize] = &[3, 4, 5];
    let reflect = Op::Pad(Pad { pads: vec![0, 4, 0, 0], mode: PadMode::Reflect });
    let cases = [
        ("Gemm with alpha", plan(&[4], &[4, 3], gemm(2.0), |x, c| vec![x, c])),
        ("an image times a matrix", plan(image, &[5, 2], Op::MatMul(MatMul), |x, c| vec![x, c])),
        ("a concat with a constant", plan(&[4], &[2, 3], Op::Concat(Concat { axis: 1 }), |_, c| vec![c, c])),
        ("the value of a constant", plan(&[4], &[2, 3], Op::Propagate(Propagate), |_, c| vec![c, c])),
        ("a function of a constant", plan(&[4], &[2, 3], Op::Activation(Activation::Relu), |_, c| vec![c])),
        ("a reflection longer than its input", plan(&[4], &[1], reflect, |x, _| vec![x])),
    ];
    for (what, result) in cases {
        match result.map(|_| ()) {
            Err(EngineError::Unsupported(found)) => assert_eq!(found.node, "node", "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// One convolution for a target, without ranges.
fn convolution() -> QuantGraph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2, 3, 3]);
    let y = b.convolution("conv", x, 2, [1, 1]).weights(vec![0.5; 4]).done().unwrap();
    b.output(y);
    Executor::Simulated("onnxruntime").prepare(b.finish().unwrap())
}

#[test]
fn each_misuse_of_a_network_has_its_error() {
    let net = convolution();
    let plan = Plan::new(&net, 1, Purpose::Inference).unwrap();
    let (mut workspace, mut net) = (Workspace::new(&plan), Network::new(net));
    let x = [0.25; 18];
    let mut run = |mode, inputs: &[&[f32]]| net.forward(&plan, &mut workspace, mode, inputs, &mut ());
    assert_eq!(run(Mode::SIMULATE, &[&x]), Err(EngineError::NotCalibrated { tensor: "x".into() }));
    assert_eq!(run(Mode::FLOAT, &[&x, &x]), Err(EngineError::InputCount { found: 2, expected: 1 }));
    assert_eq!(run(Mode::FLOAT, &[&x[1..]]), Err(EngineError::InputLength { tensor: "x".into(), found: 17, expected: 18 }));
    assert_eq!(run(Mode::FLOAT, &[&x]), Ok(()));
    let training = Training { gradient_path: GradientPath::Float, batch_norm: BatchNormMode::Running };
    let mode = Mode { simulate: true, training: Some(training) };
    assert_eq!(run(mode, &[&x]), Err(EngineError::OtherPlan { planned: Purpose::Inference, mode }));
}
