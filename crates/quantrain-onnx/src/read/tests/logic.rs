//! Truths and choices of activations, and limits that are computed.

use quantrain_graph::op::*;
use quantrain_graph::{Dim, Graph, Op, Shape};

use super::operators::{constant, image, read};
use crate::NodeError;
use crate::ReadError;
use crate::fixture::{ModelFixture, int, ints};
use crate::proto::data_type;

fn operators(graph: &Graph) -> Vec<&Op> {
    graph.nodes().iter().map(|n| &n.op).collect()
}

#[test]
fn activations_are_compared_with_constants_of_any_type() {
    let relations = [
        ("Equal", Relation::Equal),
        ("Less", Relation::Less),
        ("LessOrEqual", Relation::LessOrEqual),
        ("Greater", Relation::Greater),
        ("GreaterOrEqual", Relation::GreaterOrEqual),
    ];
    for (name, relation) in relations {
        let model = image(16).floats("k", &[3, 1, 1], &[1.0, 2.0, 3.0]).node(name, &["x", "k"], "y", vec![]);
        assert_eq!(read(model), (Op::Binary(Binary::Relation(relation)), Shape::batched(&[3, 8, 8])));
    }
    let model = image(16).node("ArgMax", &["x"], "i", vec![int("axis", 1)]).ints("k", &[2]).node("Less", &["i", "k"], "y", vec![]);
    assert_eq!(constant(&model.read().unwrap(), "k"), [2.0]);
}

#[test]
fn truths_are_joined() {
    for (name, relation) in [("And", Relation::And), ("Or", Relation::Or), ("Xor", Relation::Xor)] {
        let model = image(16).floats("k", &[], &[1.0]).raw("mask", &[8], data_type::BOOL, vec![1, 0, 1, 0, 1, 0, 1, 0]);
        let model = model.node("Less", &["x", "k"], "a", vec![]).node(name, &["a", "mask"], "y", vec![]);
        let graph = model.read().unwrap();
        assert_eq!(graph.nodes()[1].op, Op::Binary(Binary::Relation(relation)));
        assert_eq!(constant(&graph, "mask"), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    }
    let one = |op: &str, attributes| read(image(16).node(op, &["x"], "y", attributes)).0;
    assert_eq!(one("IsNaN", vec![]), Op::Activation(Activation::IsNaN));
    let below = Activation::IsInf { negative: true, positive: false };
    assert_eq!(one("IsInf", vec![int("detect_positive", 0)]), Op::Activation(below));
    let model = image(16).node("IsNaN", &["x"], "n", vec![]).node("Not", &["n"], "y", vec![]);
    assert_eq!(read(model).0, Op::Activation(Activation::Not));
}

#[test]
fn what_is_cast_to_a_truth_is_what_is_not_zero() {
    let cast = || vec![int("to", data_type::BOOL.into())];
    let graph = image(13).node("Cast", &["x"], "y", cast()).read().unwrap();
    assert_eq!(operators(&graph), [&Op::Activation(Activation::Not); 2]);
    let model = image(13).node("IsNaN", &["x"], "n", vec![]).node("Cast", &["n"], "y", cast());
    assert_eq!(read(model).0, Op::Identity);
    let model = image(13).floats("k", &[8], &[0.0, 0.5, -1.0, 0.0, 0.0, 0.0, 0.0, 2.0]).node("Cast", &["k"], "m", cast());
    let model = model.floats("low", &[], &[f32::NEG_INFINITY]).node("Where", &["m", "x", "low"], "y", vec![]);
    assert_eq!(constant(&model.read().unwrap(), "m"), [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_choice_takes_its_condition_from_anywhere() {
    let model = || image(16).floats("low", &[], &[-1e9]).raw("mask", &[8, 8], data_type::BOOL, vec![1; 64]);
    let masked = model().node("Where", &["mask", "x", "low"], "y", vec![]);
    assert_eq!(read(masked), (Op::Where(Where), Shape::batched(&[3, 8, 8])));
    let computed = model().node("Greater", &["x", "low"], "c", vec![]).node("Where", &["c", "low", "x"], "y", vec![]);
    assert_eq!(read(computed), (Op::Where(Where), Shape::batched(&[3, 8, 8])));
    let wide = ModelFixture::new(16, &[0, 1, 8]).raw("mask", &[4, 1], data_type::BOOL, vec![1; 4]).floats("low", &[], &[0.0]);
    assert_eq!(read(wide.node("Where", &["mask", "x", "low"], "y", vec![])).1, Shape::batched(&[4, 8]));
}

#[test]
fn a_limit_that_is_computed_makes_a_max_or_a_min() {
    let signal = |opset| {
        let model = ModelFixture::new(opset, &[1, 2, 4]).floats("k", &[], &[2.0]);
        model.node("ReduceMax", &["x"], "m", vec![int("keepdims", 0)])
    };
    let (max, min) = (Op::Binary(Binary::Max), Op::Binary(Binary::Min));
    for opset in [11, 12, 13] {
        let low = signal(opset).node("Sub", &["m", "k"], "low", vec![]);
        let graph = low.node("Clip", &["x", "low"], "y", vec![]).read().unwrap();
        assert_eq!(operators(&graph)[2..], [&max]);
        let both = signal(opset).node("Sub", &["m", "k"], "low", vec![]).node("Clip", &["x", "low", "m"], "y", vec![]);
        let graph = both.read().unwrap();
        assert_eq!(operators(&graph)[2..], [&max, &min]);
        assert_eq!(graph.tensor(graph.outputs()[0]).shape, Shape(vec![Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(4)]));
        let mixed = signal(opset).node("Clip", &["x", "k", "m"], "y", vec![]);
        assert_eq!(operators(&mixed.read().unwrap())[1..], [&max, &min]);
        assert_eq!(read(signal(opset).node("Clip", &["x", "", "m"], "y", vec![])).0, min);
    }
    let rows = ModelFixture::new(13, &[1, 2, 4]).node("ReduceMax", &["x"], "m", vec![ints("axes", &[2])]);
    match rows.node("Clip", &["x", "m"], "y", vec![]).read() {
        Err(ReadError::Node { source, .. }) => assert!(matches!(*source, NodeError::Value { what: "min or max", .. })),
        other => panic!("a limit for each row was refused, found {other:?}"),
    }
}
