//! Attention and the functions that came with it.

use quantrain_graph::op::{Activation, Gather, Softmax};
use quantrain_graph::{Graph, Op, Shape};

use super::operators::output_shape;
use crate::fixture::{ModelFixture, float, int};

/// Queries, keys and values of one tensor `[N, 5, 12]`, in heads of queries and of keys.
fn attention(heads: [i64; 2], inputs: &[&str], attributes: Vec<crate::proto::AttributeProto>, model: ModelFixture) -> Graph {
    let columns = 12 / heads[0] * heads[1];
    let keys = vec![0.5; usize::try_from(12 * columns).unwrap()];
    let model = model.floats("w", &[12, columns], &keys).node("MatMul", &["x", "w"], "k", vec![]);
    let counts = vec![int("q_num_heads", heads[0]), int("kv_num_heads", heads[1])];
    let inputs = [&["x", "k", "k"], inputs].concat();
    model.node("Attention", &inputs, "y", [counts, attributes].concat()).read().unwrap()
}

fn model() -> ModelFixture {
    ModelFixture::new(23, &[0, 5, 12])
}

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().iter().map(|n| n.op.name()).collect()
}

#[test]
fn attention_is_read_as_products_and_a_softmax() {
    let graph = attention([3, 3], &[], vec![], model());
    let of_heads = ["Reshape", "Transpose"];
    let expected =
        [&["MatMul"], &of_heads[..], &of_heads[..], &of_heads[..], &["Mul", "MatMul", "Softmax", "MatMul", "Transpose", "Reshape"]];
    assert_eq!(names(&graph), expected.concat());
    assert_eq!(output_shape(&graph), Shape::batched(&[5, 12]));
    let scale = graph.nodes().iter().find(|n| n.op.name() == "Mul").unwrap().inputs[1];
    assert_eq!(graph.constant(scale).unwrap(), [0.5]);
    assert!(graph.nodes().iter().any(|n| n.op == Op::Softmax(Softmax::along(-1))));
}

#[test]
fn heads_of_queries_share_keys_and_scores_are_capped_before_the_mask() {
    let graph = attention([4, 2], &[], vec![float("softcap", 8.0), int("is_causal", 1), float("scale", 0.25)], model());
    let shared = Op::Gather(Gather { axis: 1, indices: vec![0, 0, 1, 1] });
    assert_eq!(graph.nodes().iter().filter(|n| n.op == shared).count(), 2);
    let names = names(&graph);
    let tanh = names.iter().position(|n| *n == "Tanh").unwrap();
    assert_eq!(names[tanh - 1..tanh + 4], ["Mul", "Tanh", "Mul", "Add", "Softmax"]);
    let mask = graph.constant(graph.nodes()[tanh + 2].inputs[1]).unwrap();
    let seen: Vec<bool> = mask.iter().map(|&m| m == 0.0).collect();
    assert!((0..25).all(|i| seen[i] == (i % 5 <= i / 5)));
}

#[test]
fn truths_hide_keys_and_join_with_the_causal_mask() {
    let hidden = model().raw("mask", &[1, 5], 9, vec![1, 1, 1, 1, 0]);
    let graph = attention([3, 3], &["mask"], vec![int("is_causal", 1)], hidden);
    let sums: Vec<_> = graph.nodes().iter().filter(|n| n.op.name() == "Add").collect();
    let mask = graph.constant(sums[0].inputs[1]).unwrap();
    assert_eq!((sums.len(), mask[5 * 4 + 3], mask[5 * 4 + 4] < -1e8, mask[1] < -1e8), (1, 0.0, true, true));
}

#[test]
fn computed_truths_choose_what_is_added() {
    let constants = model().floats("limit", &[], &[0.25]).ints("last", &[2]).ints("heads", &[1, 2]);
    let compared = constants
        .node("ReduceMax", &["x", "last"], "m", vec![int("keepdims", 0)])
        .node("Greater", &["m", "limit"], "seen", vec![])
        .node("Unsqueeze", &["seen", "heads"], "mask", vec![]);
    let graph = attention([3, 3], &["mask"], vec![], compared);
    let choice = graph.nodes().iter().find(|n| n.op.name() == "Where").unwrap();
    let value = |i: usize| graph.constant(choice.inputs[i]).unwrap()[0];
    assert_eq!((value(1), value(2) < -1e8), (0.0, true));
    let sum = graph.nodes().iter().find(|n| n.op.name() == "Add").unwrap();
    assert_eq!(sum.inputs[1], choice.output);
}

#[test]
fn past_keys_are_refused() {
    let past = ModelFixture::new(23, &[0, 5, 12]).floats("past", &[1, 3, 2, 4], &[0.0; 24]);
    let counts = vec![int("q_num_heads", 3), int("kv_num_heads", 3)];
    let refused = past.node("Attention", &["x", "x", "x", "", "past", "past"], "y", counts).read().unwrap_err();
    assert!(refused.to_string().contains("past"), "{refused}");
}

#[test]
fn swish_is_silu_or_its_parts() {
    let read = |attributes| ModelFixture::new(24, &[0, 5, 12]).node("Swish", &["x"], "y", attributes).read().unwrap();
    assert_eq!(read(vec![]).nodes()[0].op, Op::Activation(Activation::Silu));
    assert_eq!(names(&read(vec![float("alpha", 1.702)])), ["Mul", "Sigmoid", "Mul"]);
}

#[test]
fn operator_sets_24_and_25_are_read() {
    for opset in [24, 25] {
        let model = ModelFixture::new(opset, &[0, 5, 12]).node("Transpose", &["x"], "t", vec![]);
        assert!(model.node("Identity", &["t"], "y", vec![]).read().is_ok());
    }
    assert!(ModelFixture::new(26, &[0, 5, 12]).node("Identity", &["x"], "y", vec![]).read().is_err());
}
