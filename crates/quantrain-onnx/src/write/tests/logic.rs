//! Truths are BOOL in files.

use super::*;

fn written(model: ModelFixture) -> GraphProto {
    let model = ModelProto::decode(&float_bytes(&model.read().unwrap()).unwrap()[..]).unwrap();
    graph_of(&model).clone()
}

#[test]
fn truths_between_operators_are_bool() {
    let image =
        || ModelFixture::new(16, &[0, 4, 8, 8]).floats("k", &[], &[0.5]).raw("mask", &[8], data_type::BOOL, vec![1, 0, 1, 0, 1, 0, 1, 1]);
    let model = image().node("Less", &["x", "k"], "less", vec![]).node("And", &["less", "mask"], "both", vec![]);
    let graph = written(model.node("Not", &["both"], "none", vec![]).node("Where", &["none", "x", "k"], "y", vec![]));
    assert_eq!(operators(&graph), ["Less", "And", "Not", "Where"]);
    let mask = initializer(&graph, "mask_truth");
    assert_eq!((mask.data_type, mask.raw_data.as_deref()), (Some(data_type::BOOL), Some(&[1, 0, 1, 0, 1, 0, 1, 1][..])));
    assert_eq!(graph.initializer.len(), 2, "the mask as floats has no reader");
    assert_eq!(graph.node[3].input, ["none_truth", "x", "k"]);
}

#[test]
fn truths_that_are_read_as_numbers_are_cast() {
    let model = ModelFixture::new(16, &[0, 4]).floats("k", &[], &[0.5]).node("Less", &["x", "k"], "less", vec![]);
    let model = model.node("Cast", &["less"], "number", vec![int("to", 1)]).node("Mul", &["x", "number"], "product", vec![]);
    let graph = written(model.node("Where", &["less", "product", "k"], "y", vec![]));
    assert_eq!(operators(&graph), ["Less", "Cast", "Identity", "Mul", "Where"]);
    assert_eq!(graph.node[4].input[0], "less_truth");
    let graph = written(ModelFixture::new(16, &[0, 4]).node("Floor", &["x"], "f", vec![]).node("Where", &["f", "x", "f"], "y", vec![]));
    assert_eq!(operators(&graph), ["Floor", "Cast", "Where"]);
    let graph = written(ModelFixture::new(16, &[0, 4]).node("IsNaN", &["x"], "y", vec![]));
    assert_eq!(operators(&graph), ["IsNaN", "Cast"]);
}
