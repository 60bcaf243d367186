//! What may be chosen about a file: operator set and types of codes.

use prost::Message;
use quantrain_graph::op::{AveragePool, MaxPool, Window};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, Quantizer, Range, Rounding, Settings, Target};

use super::qdq;
use crate::proto::{ModelProto, data_type};
use crate::write::float::{FloatOptions, bytes_with};
use crate::write::qdq::{QdqOptions, qdq_bytes};
use crate::{WriteError, read_bytes};

/// A convolution with weights of 4 bits and a pool of each kind, calibrated.
fn with_pools() -> QuantGraph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let y = b.convolution("conv", x, 2, [3, 3]).weights((0..54).map(|i| i as f32 / 27.0 - 1.0).collect()).done().unwrap();
    let window = Window::new([2, 2]);
    let y = b.node("max", Op::MaxPool(MaxPool { window }), &[y], "max").unwrap();
    let average = AveragePool { window, count_include_pad: false };
    let y = b.node("average", Op::AveragePool(average), &[y], "average").unwrap();
    b.output(y);
    let settings = Settings { weight_bits: Some(4), quantize_output: Some(true), ..Settings::default() };
    let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &settings).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
    net
}

#[test]
fn the_operator_set_is_the_one_asked_for_where_everything_has_it() {
    let net = with_pools();
    let opset =
        |options: &QdqOptions| qdq_bytes(&net, options).map(|bytes| ModelProto::decode(&bytes[..]).unwrap().opset_import[0].version);
    let asked = |opset| QdqOptions { opset: Some(opset), ..QdqOptions::default() };
    assert_eq!(opset(&QdqOptions::default()).unwrap(), Some(17), "the graph's own");
    for set in [13, 21, 23, 25] {
        assert_eq!(opset(&asked(set)).unwrap(), Some(set));
    }
    let int4 = QdqOptions { int4_weights: true, ..asked(17) };
    assert!(matches!(opset(&int4), Err(WriteError::Opset { asked: 17, needed: 21, .. })));
    assert_eq!(opset(&QdqOptions { int4_weights: true, ..QdqOptions::default() }).unwrap(), Some(21));

    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let window = Window { dilations: [2, 2], ..Window::new([2, 2]) };
    let y = b.node("pool", Op::AveragePool(AveragePool { window, count_include_pad: false }), &[x], "y").unwrap();
    b.output(y);
    let graph = b.finish().unwrap();
    let found = bytes_with(&graph, &FloatOptions { opset: Some(13) }).unwrap_err();
    assert!(found.to_string().contains("`pool`") && found.to_string().contains("needs 19"), "{found}");
}

#[test]
fn signed_activations_may_be_written_unsigned() {
    let net = with_pools();
    let model = qdq(&net, &QdqOptions { uint8_activations: true, ..QdqOptions::default() });
    let graph = model.graph.unwrap();
    let zeros = graph.initializer.iter().filter(|t| t.name.as_deref().is_some_and(|n| n.ends_with("_zero_point")));
    let of_activations = zeros.filter(|t| !t.name.as_deref().unwrap().contains("weight"));
    assert!(of_activations.clone().count() > 0 && of_activations.clone().all(|t| t.data_type == Some(data_type::UINT8)));
    let mut symmetric = with_pools();
    symmetric.quantizers_mut().iter_mut().for_each(|q| q.fixed = Some(Quantizer::new(0.5, 0, -128, 127, Rounding::HalfToEven).unwrap()));
    let bytes = qdq_bytes(&symmetric, &QdqOptions { uint8_activations: true, ..QdqOptions::default() }).unwrap();
    let back = QuantGraph::adopt(read_bytes("back", &bytes).unwrap(), Target::onnxruntime()).unwrap();
    let shifted = Quantizer::new(0.5, 128, 0, 255, Rounding::HalfToEven).unwrap();
    assert!(back.quantizers().iter().all(|q| q.fixed == Some(shifted)));
}

#[test]
fn every_attribute_of_a_window_is_written() {
    let model = qdq(&with_pools(), &QdqOptions::default());
    for (op, names) in [
        ("Conv", &["dilations", "group", "kernel_shape", "pads", "strides"][..]),
        ("MaxPool", &["ceil_mode", "dilations", "kernel_shape", "pads", "strides"]),
        ("AveragePool", &["ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"]),
    ] {
        let graph = model.graph.as_ref().unwrap();
        let node = graph.node.iter().find(|n| n.op_type.as_deref() == Some(op)).unwrap();
        let mut found: Vec<&str> = node.attribute.iter().filter_map(|a| a.name.as_deref()).collect();
        found.sort_unstable();
        assert_eq!(found, names, "{op}");
    }
}
