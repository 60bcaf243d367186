//! What happens to a file: read, place quantizers, plan, inspect, run.

use quantrain_engine::{GradientPath, Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::{Graph, NodeId, QuantGraph, Range, Settings, Target};

/// How far a file came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Refused,
    Read,
    Placed,
    Planned,
    Run,
}

/// The same in words.
pub const STEPS: [&str; 5] = ["refused", "read only", "placed only", "planned", "run"];

/// Multiplications that a file is run for.
const FEW: usize = 20_000_000;

/// Bytes of buffers that a file is run with.
const SMALL: usize = 16 << 20;

/// Takes a file as far as it goes.
pub fn walk(bytes: &[u8]) -> Step {
    let graph = match quantrain_onnx::read_bytes("damaged.onnx", bytes) {
        Ok(graph) => graph,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Step::Refused;
        }
    };
    // The targets differ in what they fuse and share.
    let target = || if bytes.len().is_multiple_of(2) { Target::onnxruntime() } else { Target::tidl_pow2() };
    if graph.is_quantized() {
        take_over(&graph, target());
    }
    let Ok(net) = QuantGraph::prepare(graph, target(), &Settings::default()) else { return Step::Read };
    inspect(&net);
    for purpose in [Purpose::Inference, Purpose::Training(GradientPath::Quantized)] {
        match Plan::new(&net, 1, purpose) {
            Ok(plan) => assert!(plan.bytes() > 0 && !plan.to_string().is_empty()),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return Step::Placed;
            }
        }
    }
    run(net)
}

/// What `train` and `verify` make of a file that is quantized already.
fn take_over(graph: &Graph, target: Target) {
    let (float, quantizers) = graph.clone().split_quantizers();
    let bias_limit = target.bias_limit();
    for net in [QuantGraph::take_over(float, target.clone(), &quantizers, bias_limit), QuantGraph::adopt(graph.clone(), target)] {
        match net {
            Ok(net) => inspect(&net),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Runs a sample, in float and in integers, where that is little work.
fn run(mut net: QuantGraph) -> Step {
    let graph = net.graph();
    let work = (0..graph.nodes().len()).map(|n| graph.multiply_accumulates(NodeId(n))).fold(0, usize::saturating_add);
    let Ok(plan) = Plan::new(&net, 1, Purpose::Inference) else { return Step::Placed };
    if work > FEW || plan.bytes() > SMALL {
        return Step::Planned;
    }
    let inputs: Vec<Vec<f32>> = graph.inputs().iter().map(|&t| vec![0.25; graph.tensor(t).shape.elements(1)]).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(0.0, 1.0)));
    let mut network = Network::new(net);
    let mut workspace = Workspace::new(&plan);
    for mode in [Mode::FLOAT, Mode::SIMULATE] {
        if let Err(error) = network.forward(&plan, &mut workspace, mode, &inputs, &mut ()) {
            assert!(!error.to_string().is_empty());
            return Step::Planned;
        }
    }
    Step::Run
}

/// What `quantrain inspect` asks.
fn inspect(net: &QuantGraph) {
    let graph = net.graph();
    assert!(graph.parameter_count() <= graph.tensors().iter().filter_map(|t| t.constant.as_ref()).map(Vec::len).sum());
    for n in 0..graph.nodes().len() {
        let _ = graph.multiply_accumulates(NodeId(n));
    }
    assert!(graph.tensors().iter().all(|t| !t.shape.to_string().is_empty()));
    assert!(net.float_nodes().iter().all(|(_, reason)| !reason.to_string().is_empty()));
}
