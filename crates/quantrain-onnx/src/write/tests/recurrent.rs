//! Recurrent layers are one node again.

use super::*;
use crate::fixture::{floats, text, texts};

/// A bidirectional LSTM of three inputs and two hidden values, whose outputs have these names.
fn lstm(outputs: &[&str]) -> ModelFixture {
    let model = ModelFixture::new(14, &[5, 4, 3]).floats("w", &[2, 8, 3], &[0.1; 48]).floats("r", &[2, 8, 2], &[0.2; 32]);
    let model = model.floats("p", &[2, 6], &[0.3; 12]).floats("c", &[2, 4, 2], &[0.5; 16]).ints("n", &[5, 2, 5, 1]);
    let activations = ["HardSigmoid", "Tanh", "Softsign"].repeat(2);
    let attributes = vec![
        text("direction", "bidirectional"),
        texts("activations", &activations),
        floats("activation_alpha", &[0.2, 0.25]),
        floats("activation_beta", &[0.5, 0.4]),
    ];
    let mut model = model.node("LSTM", &["x", "w", "r", "", "n", "", "c", "p"], "layer", attributes);
    model.graph().node[0].output = outputs.iter().map(|&o| o.into()).collect();
    model
}

#[test]
fn a_layer_is_read_back_as_it_was() {
    for outputs in [&["y"][..], &["", "y"], &["", "", "y"]] {
        let graph = lstm(outputs).read().unwrap();
        let again = crate::read_bytes("again.onnx", &float_bytes(&graph).unwrap()).unwrap();
        assert_eq!(again.nodes()[0].op, graph.nodes()[0].op, "{outputs:?}");
        let constants = |graph: &Graph| {
            let inputs = &graph.nodes()[0].inputs;
            inputs.iter().filter_map(|&t| graph.constant(t).map(|v| (graph.tensor(t).name.clone(), v.to_vec()))).collect::<Vec<_>>()
        };
        assert_eq!(constants(&again), constants(&graph));
        assert_eq!(constants(&again).len(), 4, "W, R, P and C at the start");
    }
}

#[test]
fn several_results_are_joined_behind_the_node() {
    let graph =
        lstm(&["sequence", "last", "cell"]).node("Add", &["last", "cell"], "sum", vec![]).node("Add", &["sum", "sequence"], "y", vec![]);
    let graph = graph.read().unwrap();
    let model = ModelProto::decode(&float_bytes(&graph).unwrap()[..]).unwrap();
    let written = graph_of(&model);
    assert_eq!(operators(written)[..4], ["LSTM", "Unsqueeze", "Unsqueeze", "Concat"]);
    assert_eq!(written.node[0].output, ["layer_Y", "layer_Y_h", "layer_Y_c"]);
    let lengths = initializer(written, "layer.lengths");
    assert_eq!((lengths.data_type, lengths.raw_data.as_deref().map(<[u8]>::len)), (Some(data_type::INT32), Some(16)));
}
