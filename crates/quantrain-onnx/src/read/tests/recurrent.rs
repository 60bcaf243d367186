//! LSTM, GRU and RNN in the forms that exporters write.

use quantrain_graph::op::*;
use quantrain_graph::{Graph, Op};

use super::operators::output_shape;
use crate::fixture::{ModelFixture, float, int, text, texts};

/// An operator on `x` of these extents, with hidden size 2 and three inputs; `more` are its inputs behind R.
fn layer(extents: &[i64], op: &str, directions: i64, more: &[&str], outputs: &[&str]) -> ModelFixture {
    let gates = match op {
        "LSTM" => 8,
        "GRU" => 6,
        _ => 2,
    };
    let floats = |model: ModelFixture, name: &str, columns: i64| {
        let count = usize::try_from(directions * gates * columns).unwrap();
        model.floats(name, &[directions, gates, columns], &vec![0.1; count])
    };
    let model = floats(floats(ModelFixture::new(14, extents), "w", 3), "r", 2);
    let mut model = model.node(op, &[&["x", "w", "r"], more].concat(), "layer", vec![int("hidden_size", 2)]);
    model.graph().node[0].output = outputs.iter().map(|&o| o.into()).collect();
    model
}

fn attribute(mut model: ModelFixture, attribute: crate::proto::AttributeProto) -> ModelFixture {
    model.graph().node[0].attribute.push(attribute);
    model
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|n| n.op.name()).collect()
}

fn recurrent(graph: &Graph) -> Recurrent {
    let found = graph.nodes().iter().find_map(|n| if let Op::Recurrent(op) = &n.op { Some(op.clone()) } else { None });
    found.expect("a recurrent layer was written")
}

#[test]
fn only_outputs_that_something_reads_are_made() {
    let graph = layer(&[5, 4, 3], "LSTM", 1, &[], &["y", "last", "cell"]).read().unwrap();
    assert_eq!(names(&graph), ["LSTM"]);
    assert_eq!((graph.nodes()[0].name.as_str(), output_shape(&graph).to_string().as_str()), ("layer", "[5, 1, 4, 2]"));
    assert_eq!(recurrent(&graph).results, Results { sequence: true, ..Results::default() });
    let graph = layer(&[5, 4, 3], "GRU", 1, &[], &["sequence", "y"]).read().unwrap();
    assert_eq!((names(&graph), output_shape(&graph).to_string()), (vec!["GRU"], "[1, 4, 2]".into()));
    let both = layer(&[5, 4, 3], "LSTM", 1, &[], &["sequence", "last", "cell"]).node("Add", &["last", "cell"], "y", vec![]);
    let graph = both.read().unwrap();
    assert_eq!(names(&graph), ["LSTM", "Slice", "Reshape", "Slice", "Reshape", "Add"]);
    assert_eq!(output_shape(&graph).to_string(), "[1, 4, 2]");
}

#[test]
fn layout_1_and_a_transpose_before_have_the_batch_on_axis_1() {
    let graph = attribute(layer(&[0, 5, 3], "RNN", 1, &[], &["y"]), int("layout", 1)).read().unwrap();
    assert_eq!((names(&graph), output_shape(&graph).to_string()), (vec!["Transpose", "RNN", "Transpose"], "[N, 5, 1, 2]".into()));
    let model = layer(&[0, 5, 3], "GRU", 1, &[], &["sequence", "y"]);
    let mut model = model.node("Transpose", &["x"], "turned", vec![crate::fixture::ints("perm", &[1, 0, 2])]);
    model.graph().node[0].input[0] = "turned".into();
    assert_eq!(output_shape(&model.read().unwrap()).to_string(), "[1, N, 2]");
    let error = layer(&[0, 5, 3], "GRU", 1, &[], &["y"]).read().unwrap_err().to_string();
    assert!(error.contains("layer") && error.contains("axis 0"), "steps cannot be the batch: {error}");
}

#[test]
fn a_start_of_zeros_is_none_and_a_constant_one_serves_every_sample() {
    let start = |values: &[f32]| layer(&[0, 5, 3], "GRU", 1, &["", "", "h"], &["y"]).floats("h", &[1, 1, 2], values);
    let zeros = attribute(start(&[0.0; 2]), int("layout", 1)).read().unwrap();
    assert!(!recurrent(&zeros).optional.hidden);
    let ones = attribute(start(&[0.5, 1.0]), int("layout", 1)).read().unwrap();
    assert!(recurrent(&ones).optional.hidden && names(&ones).contains(&"Expand"), "{:?}", names(&ones));
}

#[test]
fn lengths_are_kept_where_some_are_shorter() {
    let lengths = |values: &[i64]| recurrent(&layer(&[5, 2, 3], "RNN", 1, &["", "n"], &["y"]).ints("n", values).read().unwrap()).lengths;
    assert_eq!((lengths(&[5, 5]), lengths(&[5, 2])), (None, Some(vec![5, 2])));
    let error = layer(&[5, 2, 3], "RNN", 1, &["", "n"], &["y"]).ints("n", &[6, 1]).read().unwrap_err().to_string();
    assert!(error.contains("numbers from 0 to 5"), "{error}");
}

#[test]
fn functions_take_their_numbers_in_turn() {
    let model = attribute(layer(&[5, 4, 3], "RNN", 2, &[], &["y"]), text("direction", "bidirectional"));
    let mut model = attribute(model, texts("activations", &["LeakyRelu", "hardsigmoid"]));
    model.graph().node[0].attribute.push(crate::fixture::floats("activation_alpha", &[0.3, 0.25]));
    let op = recurrent(&model.read().unwrap());
    assert_eq!(op.functions, [Activation::LeakyRelu { alpha: 0.3 }, Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }]);
    assert_eq!(op.direction, Direction::Bidirectional);
}

#[test]
fn forms_that_are_not_supported_say_so() {
    let refused = |op: &str, a| attribute(layer(&[5, 4, 3], op, 1, &[], &["y"]), a).read().unwrap_err().to_string();
    for (error, expected) in [
        (refused("LSTM", float("clip", 3.0)), "`clip` is 3"),
        (refused("LSTM", int("input_forget", 1)), "`input_forget` is 1"),
        (refused("GRU", text("direction", "up")), "`direction` is up"),
        (refused("RNN", texts("activations", &["Affine"])), "`activations` is Affine"),
        (refused("RNN", texts("activations", &["Tanh", "Tanh"])), "1 functions expected"),
    ] {
        assert!(error.contains(expected) && error.contains("layer"), "{error}");
    }
    let computed = layer(&[8, 1, 3], "RNN", 1, &[], &["y"]).node("Relu", &["r"], "rr", vec![]);
    assert!(computed.read().is_ok(), "what is folded is constant");
}
