//! What happens to a file until it would run: read, place quantizers, plan, inspect.

use quantrain_engine::{GradientPath, Plan, Purpose};
use quantrain_graph::{NodeId, QuantGraph, Settings, Target};

/// How far a file came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Refused,
    Read,
    Placed,
    Planned,
}

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
    let target = if bytes.len().is_multiple_of(2) { Target::onnxruntime() } else { Target::tidl_pow2() };
    let Ok(net) = QuantGraph::prepare(graph, target, &Settings::default()) else { return Step::Read };
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
    Step::Planned
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
