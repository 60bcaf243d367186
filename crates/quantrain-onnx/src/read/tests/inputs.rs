//! Inputs of integers and truths, several of them, and what picks by them.

use quantrain_graph::op::*;
use quantrain_graph::{ElementType, Graph, Op, QuantGraph, Settings, Shape, Target};

use crate::fixture::{ModelFixture, int, value_info};
use crate::proto::ModelProto;
use crate::proto::data_type::{self, BOOL, FLOAT, INT32, INT64, UINT8};
use crate::read_bytes;
use crate::write::float::float_bytes;
use crate::write::{QdqOptions, qdq::qdq_bytes};
use prost::Message;

/// A model of inputs by name, extents and type.
fn model(inputs: &[(&str, &[i64], i32)]) -> ModelFixture {
    let mut model = ModelFixture::new(17, &[0]);
    model.graph().input = inputs
        .iter()
        .map(|&(name, extents, kind)| {
            let mut info = value_info(name, extents);
            info.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(kind);
            info
        })
        .collect();
    model
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|n| n.op.name()).collect()
}

fn embedding() -> ModelFixture {
    model(&[("ids", &[0, 5], INT64), ("mask", &[0, 5], BOOL)])
        .floats("table", &[4, 3], &[0.5; 12])
        .floats("zero", &[], &[0.0])
        .ints("last", &[2])
        .node("Gather", &["table", "ids"], "words", vec![])
        .node("Unsqueeze", &["mask", "last"], "seen", vec![])
        .node("Where", &["seen", "words", "zero"], "y", vec![])
}

#[test]
fn ids_pick_from_a_table_and_a_mask_chooses() {
    let graph = embedding().read().unwrap();
    assert_eq!(operators(&graph), ["Gather", "Reshape", "Where"]);
    assert_eq!(graph.nodes()[0].op, Op::Lookup(Lookup { axis: 0 }));
    assert_eq!(graph.tensor(graph.outputs()[0]).shape, Shape::batched(&[5, 3]));
    let kinds: Vec<_> = graph.inputs().iter().map(|&t| graph.element_type(t)).collect();
    assert_eq!(kinds, [ElementType::Int64, ElementType::Bool]);
    assert_eq!(graph.indexed_extents().into_iter().collect::<Vec<_>>(), [(graph.inputs()[0], 4)]);
}

#[test]
fn written_files_have_the_inputs_that_were_read() {
    let graph = embedding().read().unwrap();
    let float = float_bytes(&graph).unwrap();
    let mut net = QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(quantrain_graph::Range::new(0.0, 1.0)));
    for bytes in [float, qdq_bytes(&net, &QdqOptions::default()).unwrap()] {
        let written = ModelProto::decode(&bytes[..]).unwrap().graph.unwrap();
        let inputs: Vec<_> = written
            .input
            .iter()
            .map(|i| (i.name.clone().unwrap(), i.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().elem_type.unwrap()))
            .collect();
        assert_eq!(inputs, [("ids".into(), INT64), ("mask".into(), BOOL)]);
        let gather = written.node.iter().find(|n| n.op_type.as_deref() == Some("Gather")).unwrap();
        assert_eq!(gather.input[1], "ids", "indices are read as they come");
        let back = read_bytes("back", &bytes).unwrap();
        assert!(back.nodes().iter().any(|n| matches!(n.op, Op::Lookup(_))));
    }
}

#[test]
fn integers_stay_integers_until_they_are_cast() {
    let ids = || model(&[("x", &[0, 4], INT32)]).ints("two", &[2]);
    assert_eq!(operators(&ids().node("Div", &["x", "two"], "y", vec![]).read().unwrap()), ["Div", "Trunc"]);
    let cast = |model: ModelFixture, from: &str, to: i32, name: &str| model.node("Cast", &[from], name, vec![int("to", to.into())]);
    let halves = cast(cast(ids(), "x", FLOAT, "f"), "two", FLOAT, "d").node("Div", &["f", "d"], "y", vec![]);
    assert_eq!(operators(&halves.read().unwrap()), ["Identity", "Div"]);
    let moved = ids().node("Add", &["x", "two"], "a", vec![]).node("Concat", &["a", "x"], "y", vec![int("axis", 1)]);
    assert_eq!(operators(&moved.read().unwrap()), ["Add", "Concat"]);
    let image = cast(model(&[("x", &[0, 3, 8, 8], UINT8)]), "x", FLOAT, "y");
    assert_eq!(operators(&image.read().unwrap()), ["Identity"]);
    let truths = cast(cast(model(&[("x", &[0, 4], BOOL)]), "x", data_type::BOOL, "b"), "b", FLOAT, "y");
    assert_eq!(operators(&truths.read().unwrap()), ["Identity", "Identity"]);
}

#[test]
fn a_table_of_integers_gives_integers() {
    let graph = model(&[("x", &[0], INT64)]).ints("k", &[3, 5, 7]).ints("two", &[2]).node("Gather", &["k", "x"], "g", vec![]);
    let graph = graph.node("Div", &["g", "two"], "y", vec![]).read().unwrap();
    assert_eq!(operators(&graph), ["Gather", "Div", "Trunc"]);
    assert_eq!(graph.constant(graph.nodes()[0].inputs[0]), Some(&[3.0, 5.0, 7.0][..]));
}

#[test]
fn indices_are_in_float_whatever_else_reads_them() {
    let model = model(&[("x", &[0, 4], INT64)])
        .floats("table", &[9, 4], &[0.25; 36])
        .ints("one", &[1])
        .node("Add", &["x", "one"], "next", vec![])
        .node("Gather", &["table", "next"], "words", vec![])
        .node("Cast", &["next"], "f", vec![int("to", FLOAT.into())])
        .floats("w", &[4, 4], &[0.5; 16])
        .node("MatMul", &["f", "w"], "product", vec![])
        .node("MatMul", &["words", "w"], "y", vec![])
        .output("product");
    let net = QuantGraph::prepare(model.read().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
    let quantized = |name: &str| net.graph().find(name).is_some_and(|t| net.quantizer_of(t).is_some());
    assert_eq!(["x", "next", "f", "words", "y"].map(quantized), [false, false, false, true, true]);
}
