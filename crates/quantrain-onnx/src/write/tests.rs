mod options;

use prost::Message;
use quantrain_graph::op::{Activation, Function, Reshape};
use quantrain_graph::{Dim, Graph, GraphBuilder, Op, QuantGraph, Range, Settings, Target, TensorId};

use super::clip::{ClipOptions, clip_bytes};
use super::encodings::encodings_text;
use super::float::float_bytes;
use super::qdq::{QdqOptions, qdq_bytes};
use super::tidl::settings_text;
use super::*;
use crate::fixture::{ModelFixture, NETWORKS, float, int, ints, network, text};
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use crate::read_bytes;

mod logic;
mod normalization;
mod pooling;
mod recurrent;

/// conv, bn, clip(0, 6), pool, flatten, fc: input `[N, 2, 4, 4]`.
fn small() -> Graph {
    let mut b = GraphBuilder::new("small");
    let x = b.input("x", &[2, 4, 4]);
    let weights = (0..36).map(|i| (i as f32 - 17.0) / 20.0).collect();
    let y = b.convolution("conv", x, 2, [3, 3]).padding([1, 1, 1, 1]).weights(weights).done().unwrap();
    let y = b.batch_norm("bn", y).unwrap();
    let y = b.node("relu6", Op::Activation(Activation::Clip { min: 0.0, max: 6.0 }), &[y], "relu6").unwrap();
    let y = b.global_average_pool("pool", y).unwrap();
    let y = b.flatten("flat", y).unwrap();
    let y = b.gemm("fc", y, 3, vec![0.5, -0.25, 1.0, 0.125, 0.75, -1.0], vec![0.1, -0.2, 0.3]).unwrap();
    b.output(y);
    b.describe(17, vec![("author".into(), "me".into()), ("quantrain.target".into(), "old".into())]);
    b.finish().unwrap()
}

fn prepared(graph: Graph, target: Target, settings: &Settings, range: Range) -> QuantGraph {
    let mut net = QuantGraph::prepare(graph, target, settings).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(range));
    net
}

fn with_bits(activations: u8, weights: u8) -> Settings {
    Settings { activation_bits: Some(activations), weight_bits: Some(weights), ..Settings::default() }
}

fn qdq(net: &QuantGraph, options: &QdqOptions) -> ModelProto {
    ModelProto::decode(&qdq_bytes(net, options).unwrap()[..]).unwrap()
}

fn graph_of(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

fn operators(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|n| n.op_type.as_deref().unwrap()).collect()
}

fn writer<'g>(graph: &'g GraphProto, tensor: &str) -> &'g NodeProto {
    graph.node.iter().find(|n| n.output[0] == tensor).unwrap()
}

fn initializer<'g>(graph: &'g GraphProto, name: &str) -> &'g TensorProto {
    graph.initializer.iter().find(|t| t.name.as_deref() == Some(name)).unwrap()
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data.as_ref().unwrap().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn float_files_of_the_reference_networks_read_back_the_same() {
    for name in NETWORKS {
        let Some(graph) = network("float_files_of_the_reference_networks_read_back_the_same", name) else { continue };
        assert_eq!(read_bytes(name, &float_bytes(&graph).unwrap()).unwrap(), graph, "{name}");
    }
}

#[test]
fn every_operator_reads_back_the_same() {
    let image = |opset| ModelFixture::new(opset, &[0, 4, 8, 8]);
    let pool = || vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 0, 0]), int("ceil_mode", 1)];
    let scales = |m: ModelFixture| m.floats("s", &[4], &[1.0, 1.0, 2.0, 0.5]);
    let models = [
        image(13).floats("w", &[4, 2, 3, 3], &[0.5; 72]).node(
            "Conv",
            &["x", "w"],
            "y",
            vec![int("group", 2), text("auto_pad", "SAME_LOWER")],
        ),
        ModelFixture::new(13, &[0, 4]).floats("w", &[4, 2], &[1.0; 8]).floats("b", &[2], &[1.0; 2]).node(
            "Gemm",
            &["x", "w", "b"],
            "y",
            vec![float("beta", 0.5)],
        ),
        image(13).floats("k", &[4, 1, 1], &[2.0; 4]).node("Div", &["x", "k"], "y", vec![]),
        image(13).node("Clip", &["x"], "y", vec![]),
        image(13).floats("max", &[], &[3.0]).node("Clip", &["x", "", "max"], "y", vec![]),
        image(13).node("LeakyRelu", &["x"], "y", vec![]),
        image(13).node("HardSigmoid", &["x"], "y", vec![]),
        image(14).node("HardSwish", &["x"], "y", vec![]),
        image(13).node("Elu", &["x"], "y", vec![float("alpha", 0.5)]),
        image(13).node("Selu", &["x"], "y", vec![float("gamma", 1.5)]),
        image(13).node("Celu", &["x"], "y", vec![float("alpha", 0.5)]),
        image(20).node("Gelu", &["x"], "y", vec![text("approximate", "tanh")]),
        image(18).node("Mish", &["x"], "y", vec![]),
        image(13).node("Softplus", &["x"], "y", vec![]),
        image(13).node("Sqrt", &["x"], "y", vec![]),
        image(13).node("ThresholdedRelu", &["x"], "y", vec![float("alpha", 0.5)]),
        image(13).node("Shrink", &["x"], "y", vec![float("bias", 0.25), float("lambd", 0.75)]),
        image(13).floats("y.exponent", &[], &[1.5]).node("Pow", &["x", "y.exponent"], "y", vec![]),
        image(13).floats("slope", &[4, 1, 1], &[0.5; 4]).node("PRelu", &["x", "slope"], "y", vec![]),
        image(13).node("Max", &["x", "x"], "y", vec![]),
        image(13).node("MaxPool", &["x"], "y", pool()),
        image(13).node("AveragePool", &["x"], "y", pool()),
        image(19).node("AveragePool", &["x"], "y", [pool(), vec![ints("dilations", &[2, 2])]].concat()),
        image(13).node("ReduceMean", &["x"], "y", vec![ints("axes", &[2, 3])]),
        image(18).ints("a", &[-1]).node("ReduceMean", &["x", "a"], "y", vec![int("keepdims", 0)]),
        image(13).ints("a", &[1]).node("ReduceSum", &["x", "a"], "y", vec![]),
        image(13).node("ReduceMax", &["x"], "y", vec![ints("axes", &[1])]),
        image(18).ints("a", &[1]).node("ReduceL2", &["x", "a"], "y", vec![]),
        image(13).node("Softmax", &["x"], "y", vec![int("axis", 1)]),
        image(13).node("LogSoftmax", &["x"], "y", vec![int("axis", -1)]),
        image(13).ints("s", &[-1]).ints("e", &[i64::MIN]).ints("a", &[3]).node("Slice", &["x", "s", "e", "a", "s"], "y", vec![]),
        image(13).ints("p", &[0, 1, 0, 2, 0, 0, 3, 0]).node("Pad", &["x", "p"], "y", vec![text("mode", "edge")]),
        scales(image(13)).node("Resize", &["x", "", "s"], "y", vec![text("nearest_mode", "round_prefer_ceil")]),
        scales(image(13)).node(
            "Resize",
            &["x", "", "s"],
            "y",
            vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")],
        ),
        image(18).ints("n", &[5, 7]).node("Resize", &["x", "", "", "n"], "y", vec![ints("axes", &[2, 3])]),
        image(13).ints("to", &[0, -1]).node("Reshape", &["x", "to"], "y", vec![]),
        image(13).ints("to", &[-1, 64]).node("Reshape", &["x", "to"], "y", vec![]),
        image(13).node("Flatten", &["x"], "y", vec![int("axis", -2)]),
        image(13).node("Transpose", &["x"], "y", vec![]),
        image(13).node("DepthToSpace", &["x"], "y", vec![int("blocksize", 2), text("mode", "CRD")]),
        image(13).node("SpaceToDepth", &["x"], "y", vec![int("blocksize", 4)]),
        image(13).ints("n", &[3, 0]).node("Gather", &["x", "n"], "y", vec![int("axis", -3)]),
        image(13).ints("n", &[1, 2, 1, 1]).node("Tile", &["x", "n"], "y", vec![]),
        image(19).ints("p", &[0, 0, 1, 2, 0, 0, 3, 0]).node("Pad", &["x", "p"], "y", vec![text("mode", "wrap")]),
        image(13).node("Concat", &["x", "x"], "y", vec![int("axis", 1)]),
        image(13).node("Identity", &["x"], "y", vec![]),
        image(13).floats("s", &[], &[0.5]).node("QuantizeLinear", &["x", "s"], "q", vec![]).node(
            "DequantizeLinear",
            &["q", "s"],
            "y",
            vec![],
        ),
        image(21)
            .floats("s", &[4], &[0.5, 1.0, 2.0, 4.0])
            .raw("z", &[4], data_type::INT16, vec![0; 8])
            .node("QuantizeLinear", &["x", "s", "z"], "q", vec![])
            .node("DequantizeLinear", &["q", "s", "z"], "y", vec![]),
    ];
    for model in models {
        let graph = model.read().unwrap();
        let mut back = read_bytes("back", &float_bytes(&graph).unwrap()).unwrap();
        for (node, original) in back.nodes().to_vec().iter().zip(graph.nodes()) {
            assert_eq!((&node.op, &node.inputs), (&original.op, &original.inputs));
        }
        back.opset = graph.opset;
        assert_eq!(back.tensors(), graph.tensors());
    }
}

#[test]
fn functions_that_the_operator_set_lacks_are_written_as_chains() {
    let written = |opset, activation| {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 3, 3]);
        let y = b.node("act", Op::Activation(activation), &[x], "y").unwrap();
        b.output(y);
        b.describe(opset, vec![]);
        let model = ModelProto::decode(&float_bytes(&b.finish().unwrap()).unwrap()[..]).unwrap();
        assert_eq!(model.opset_import[0].version, Some(opset));
        let last = graph_of(&model).node.last().unwrap();
        assert_eq!((last.name.as_deref(), last.output[0].as_str()), (Some("act"), "y"));
        operators(graph_of(&model)).join(" ")
    };
    assert_eq!(written(13, Activation::Silu), "Sigmoid Mul");
    assert_eq!(written(13, Activation::HardSwish), "HardSigmoid Mul");
    assert_eq!(written(14, Activation::HardSwish), "HardSwish");
    assert_eq!(written(17, Activation::Mish), "Softplus Tanh Mul");
    assert_eq!(written(18, Activation::Mish), "Mish");
    assert_eq!(written(17, Activation::Gelu { tanh: false }), "Div Erf Add Mul Mul");
    assert_eq!(written(17, Activation::Gelu { tanh: true }), "Pow Mul Add Mul Tanh Add Mul Mul");
    assert_eq!(written(20, Activation::Gelu { tanh: true }), "Gelu");
}

#[test]
fn chains_are_recognised_again() {
    for activation in [Activation::Silu, Activation::HardSwish, Activation::Mish, Activation::Gelu { tanh: true }] {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 3, 3]);
        let y = b.node("act", Op::Activation(activation), &[x], "y").unwrap();
        b.output(y);
        b.describe(13, vec![]);
        let net = prepared(b.finish().unwrap(), Target::onnxruntime(), &Settings::default(), Range::new(-1.0, 1.0));
        let read = read_bytes("qdq", &qdq_bytes(&net, &QdqOptions::default()).unwrap()).unwrap();
        let back = QuantGraph::adopt(read, Target::onnxruntime()).unwrap();
        assert_eq!(back.units().len(), 1, "{activation:?}");
        assert_eq!(back.graph().nodes()[0].op, Op::Activation(activation));
        assert_eq!(back.quantizers().len(), 1, "both tensors have the same numbers");
    }
}

#[test]
fn what_operator_set_13_changed_is_written_as_it_wants_it() {
    let image = |opset| ModelFixture::new(opset, &[0, 4, 8, 8]);
    let written = |model: ModelFixture| {
        let model = ModelProto::decode(&float_bytes(&model.read().unwrap()).unwrap()[..]).unwrap();
        operators(graph_of(&model)).join(" ")
    };
    assert_eq!(written(image(11).node("Softmax", &["x"], "y", vec![])), "Flatten Softmax Reshape");
    assert_eq!(written(image(13).node("ArgMax", &["x"], "y", vec![int("axis", 1)])), "ArgMax Cast");
}

#[test]
fn older_operator_sets_are_raised_to_13() {
    let graph = ModelFixture::new(9, &[0, 4]).node("Clip", &["x"], "y", vec![float("max", 6.0)]).read().unwrap();
    let back = read_bytes("back", &float_bytes(&graph).unwrap()).unwrap();
    assert_eq!((graph.opset, back.opset), (9, 13));
    assert_eq!(back.nodes(), graph.nodes());
}

#[test]
fn folding_leaves_no_batch_normalization() {
    for name in NETWORKS {
        let Some(graph) = network("folding_leaves_no_batch_normalization", name) else { continue };
        let norms = graph.nodes().iter().filter(|n| matches!(n.op, Op::BatchNormalization(_))).count();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folded.onnx");
        write_float_folded(&QuantGraph::float(graph.clone()), &path).unwrap();
        let folded = crate::read(&path).unwrap();
        assert_eq!(folded.nodes().len() + norms, graph.nodes().len(), "{name}");
        assert!(!folded.nodes().iter().any(|n| matches!(n.op, Op::BatchNormalization(_))));
        assert_eq!(folded.tensor(folded.outputs()[0]).name, "logits");
    }
}

#[test]
fn qdq_files_have_a_pair_after_each_quantized_tensor() {
    let net = prepared(small(), Target::onnxruntime(), &Settings::default(), Range::new(0.0, 6.0));
    let model = qdq(&net, &QdqOptions::default());
    let graph = graph_of(&model);
    let pair = ["QuantizeLinear", "DequantizeLinear"];
    let weights = ["DequantizeLinear", "DequantizeLinear"];
    let expected: Vec<&str> =
        [&pair[..], &weights, &["Conv", "Clip"], &pair, &["GlobalAveragePool"], &pair, &["Flatten"], &pair, &weights, &["Gemm"], &pair]
            .concat();
    assert_eq!(operators(graph), expected);

    assert_eq!(writer(graph, "bn").input, ["x_dequantized", "conv.weight_dequantized", "conv.bias_dequantized"]);
    let carried = writer(graph, "flat_quantized");
    assert_eq!(carried.input, ["flat", "pool_scale", "pool_zero_point"], "carried values keep the numbers of their source");
    assert_eq!(writer(graph, "fc").op_type.as_deref(), Some("DequantizeLinear"), "the output keeps its name");
    assert_eq!(writer(graph, "fc_float").op_type.as_deref(), Some("Gemm"));
    assert_eq!(model.opset_import[0].version, Some(17));
    let metadata: Vec<(&str, &str)> =
        model.metadata_props.iter().map(|p| (p.key.as_deref().unwrap(), p.value.as_deref().unwrap())).collect();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [("author", "me"), ("quantrain.format", "qdq"), ("quantrain.target", "onnxruntime"), ("quantrain.version", version)];
    assert_eq!(metadata, expected);
}

#[test]
fn qdq_integers_are_the_codes_of_the_network() {
    let net = prepared(small(), Target::onnxruntime(), &Settings::default(), Range::new(0.0, 6.0));
    let model = qdq(&net, &QdqOptions::default());
    let graph = graph_of(&model);
    let block = net.quantized_block(0).unwrap().unwrap();
    let weight = initializer(graph, "conv.weight_quantized");
    assert_eq!((weight.data_type, &weight.dims[..]), (Some(data_type::INT8), &[2i64, 2, 3, 3][..]));
    let codes: Vec<f32> = weight.raw_data.as_ref().unwrap().iter().map(|&b| f32::from(b as i8)).collect();
    assert_eq!(codes, block.weight.codes);
    let bias = initializer(graph, "conv.bias_quantized");
    let codes: Vec<i32> = bias.raw_data.as_ref().unwrap().chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!((bias.data_type, codes), (Some(data_type::INT32), block.bias.clone()));
    let scales: Vec<f32> = (0..2).map(|c| block.input.scale() * block.weight.scale(c)).collect();
    assert_eq!(floats(initializer(graph, "conv.bias_scale")), scales);

    let read = read_bytes("qdq", &qdq_bytes(&net, &QdqOptions::default()).unwrap()).unwrap();
    let fake: Vec<_> =
        read.nodes().iter().filter_map(|n| if let Op::FakeQuantize(f) = &n.op { Some(f.quantizers[0]) } else { None }).collect();
    assert_eq!(fake.len(), 5);
    assert_eq!(fake[0], net.quantizers()[0].quantizer().unwrap().unwrap());
    let values: Vec<f32> = block.weight.codes.iter().enumerate().map(|(i, c)| c * block.weight.scale(i / 18)).collect();
    assert_eq!(read.constant(read.find("conv.weight_dequantized").unwrap()).unwrap(), values);
}

#[test]
fn weights_stored_channels_last_have_their_scales_on_axis_1() {
    let model =
        ModelFixture::new(13, &[0, 2]).floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).node("MatMul", &["x", "w"], "y", vec![]);
    let net = prepared(model.read().unwrap(), Target::named("onnxruntime-vnni").unwrap(), &with_bits(8, 8), Range::new(-1.0, 1.0));
    let model = qdq(&net, &QdqOptions::default());
    let graph = graph_of(&model);
    let weight = initializer(graph, "w_quantized");
    assert_eq!(weight.dims, [2, 3]);
    assert_eq!(weight.raw_data.as_deref(), Some(&[32, 51, 64, 127, 127, 127][..]));
    assert_eq!(writer(graph, "w_dequantized").attribute[0].i, Some(1));
    assert_eq!(writer(graph, "y_float").input, ["x_dequantized", "w_dequantized"]);
}

#[test]
fn a_fused_clip_moves_onto_the_outermost_codes_only_where_no_code_changes() {
    let limits = |range| {
        let net = prepared(small(), Target::onnxruntime(), &Settings::default(), range);
        let model = qdq(&net, &QdqOptions::default());
        let max = floats(initializer(graph_of(&model), "relu6.max"))[0];
        (max, net.quantizers()[1].quantizer().unwrap().unwrap())
    };
    let (max, q) = limits(Range::new(0.0, 6.01));
    assert_eq!((max, q.code(6.0)), (q.range().max, 255));
    let (max, q) = limits(Range::new(0.0, 8.0));
    assert_eq!((max, q.code(6.0)), (6.0, 191));
    assert_eq!(limits(Range::new(0.0, 5.0)).0, 6.0);
}

#[test]
fn narrow_codes_are_clipped_and_wide_ones_need_operator_set_21() {
    let net = prepared(small(), Target::onnxruntime(), &with_bits(4, 4), Range::new(0.0, 6.0));
    let model = qdq(&net, &QdqOptions::default());
    let graph = graph_of(&model);
    assert_eq!(writer(graph, "pool_clipped").input, ["pool", "pool_min", "pool_max"]);
    assert_eq!(floats(initializer(graph, "pool_max")), [net.quantizers()[2].quantizer().unwrap().unwrap().range().max]);
    assert_eq!(initializer(graph, "conv.weight_quantized").data_type, Some(data_type::INT8));
    assert_eq!(model.opset_import[0].version, Some(17));

    let packed = qdq(&net, &QdqOptions { int4_weights: true, ..QdqOptions::default() });
    let weight = initializer(graph_of(&packed), "conv.weight_quantized");
    assert_eq!((weight.data_type, weight.raw_data.as_ref().unwrap().len()), (Some(data_type::INT4), 18));
    assert_eq!((packed.opset_import[0].version, packed.ir_version), (Some(21), Some(10)));

    let net = prepared(small(), Target::onnxruntime(), &with_bits(16, 8), Range::new(0.0, 6.0));
    let model = qdq(&net, &QdqOptions::default());
    assert_eq!(initializer(graph_of(&model), "pool_zero_point").data_type, Some(data_type::UINT16));
    assert_eq!(model.opset_import[0].version, Some(21));
}

#[test]
fn nodes_kept_in_float_have_no_pairs() {
    let layer = quantrain_graph::LayerSettings { pattern: "fc".into(), float: true, ..Default::default() };
    let settings = Settings { layers: vec![layer], ..Settings::default() };
    let net = prepared(small(), Target::onnxruntime(), &settings, Range::new(0.0, 6.0));
    let model = qdq(&net, &QdqOptions::default());
    let graph = graph_of(&model);
    let gemm = writer(graph, "fc");
    assert_eq!(
        (gemm.op_type.as_deref(), &gemm.input[..]),
        (Some("Gemm"), &["flat_dequantized".into(), "fc.weight".into(), "fc.bias".into()][..])
    );
}

#[test]
fn a_block_kept_in_float_reads_no_dequantize_linear() {
    let layer = quantrain_graph::LayerSettings { pattern: "conv".into(), float: true, ..Default::default() };
    let settings = Settings { layers: vec![layer], ..Settings::default() };
    let net = prepared(small(), Target::onnxruntime(), &settings, Range::new(0.0, 6.0));
    let bytes = qdq_bytes(&net, &QdqOptions::default()).unwrap();
    let model = ModelProto::decode(&bytes[..]).unwrap();
    let conv = graph_of(&model).node.iter().find(|n| n.op_type.as_deref() == Some("Conv")).unwrap();
    let before = writer(graph_of(&model), &conv.input[0]);
    assert_eq!((before.op_type.as_deref(), &before.input[..]), (Some("Sum"), &["x_dequantized".into()][..]));
    assert!(read_bytes("small", &bytes).is_ok());
}

#[test]
fn clip_files_clip_to_the_trained_ranges() {
    let net = prepared(small(), Target::tidl_pow2(), &Settings::default(), Range::new(0.0, 5.0));
    let model = ModelProto::decode(&clip_bytes(&net, &ClipOptions::default()).unwrap()[..]).unwrap();
    let graph = graph_of(&model);
    // One Clip at min(6, 8), whose range an importer rounds up to 8; carried values have none.
    assert_eq!(operators(graph), ["Clip", "Conv", "Clip", "GlobalAveragePool", "Clip", "Flatten", "Gemm", "Clip"]);
    assert_eq!(writer(graph, "relu6").input, ["relu6_unclipped", "relu6_Clip.min", "relu6_Clip.max"]);
    assert_eq!(floats(initializer(graph, "relu6_Clip.max")), [6.0]);
    assert_eq!(floats(initializer(graph, "pool_Clip.max")), [8.0], "the power of two, not the largest code");
    assert_eq!(writer(graph, "fc").op_type.as_deref(), Some("Clip"), "the output keeps its name");

    let net = prepared(small(), Target::tidl_pow2(), &Settings::default(), Range::new(0.0, 4.0));
    let model = ModelProto::decode(&clip_bytes(&net, &ClipOptions::default()).unwrap()[..]).unwrap();
    assert_eq!(operators(graph_of(&model))[..3], ["Clip", "Conv", "Clip"], "a range within the fused clip takes its place");
    assert_eq!(floats(initializer(graph_of(&model), "relu6_Clip.max")), [4.0]);
    let float_weights = floats(initializer(graph_of(&model), "conv.weight_folded"));
    assert_eq!(float_weights, net.folded(0).unwrap().weight);

    let model =
        ModelProto::decode(&clip_bytes(&net, &ClipOptions { quantized_weights: true, ..ClipOptions::default() }).unwrap()[..]).unwrap();
    let block = net.quantized_block(0).unwrap().unwrap();
    let values: Vec<f32> = block.weight.codes.iter().map(|c| c * block.weight.scale(0)).collect();
    assert_eq!(floats(initializer(graph_of(&model), "conv.weight_folded")), values);
}

#[test]
fn limits_of_clip_files_are_powers_of_two_below_zero_too_and_free_ones_stay() {
    let limits = |net: &QuantGraph, tensor: &str| {
        let model = ModelProto::decode(&clip_bytes(net, &ClipOptions::default()).unwrap()[..]).unwrap();
        ["min", "max"].map(|which| floats(initializer(graph_of(&model), &format!("{tensor}_Clip.{which}")))[0])
    };
    let net = prepared(small(), Target::tidl_pow2(), &Settings::default(), Range::new(-7.0, 5.0));
    assert_eq!(limits(&net, "fc"), [-8.0, 8.0]);
    let net = prepared(small(), Target::onnxruntime(), &Settings::default(), Range::new(-1.0, 1.55));
    let fc = net.quantizers().iter().find(|q| q.tensor == "fc").unwrap().quantizer().unwrap().unwrap();
    assert_eq!(limits(&net, "fc"), [fc.range().min, fc.range().max]);
}

#[test]
fn a_range_wider_than_the_activation_keeps_its_own_clip() {
    // An importer would take [0, 6] for [0, 8), and the network was trained with [0, 16).
    let net = prepared(small(), Target::tidl_pow2(), &Settings::default(), Range::new(0.0, 9.0));
    let model = ModelProto::decode(&clip_bytes(&net, &ClipOptions::default()).unwrap()[..]).unwrap();
    assert_eq!(operators(graph_of(&model))[..4], ["Clip", "Conv", "Clip", "Clip"]);
    assert_eq!(floats(initializer(graph_of(&model), "relu6_Clip.max")), [16.0]);
}

#[test]
fn learned_limits_clip_the_weights_that_an_importer_ranges() {
    let mut net = prepared(small(), Target::tidl_pow2(), &Settings::default(), Range::new(0.0, 5.0));
    net.set_weight_limits(0, Some(vec![0.5]));
    let model = ModelProto::decode(&clip_bytes(&net, &ClipOptions::default()).unwrap()[..]).unwrap();
    let written = floats(initializer(graph_of(&model), "conv.weight_folded"));
    assert_eq!(written.iter().fold(0.0f32, |l, w| l.max(w.abs())), 0.5);
    assert_eq!(net.quantized_block(0).unwrap().unwrap().weight.quantizers[0].scale(), 0.5 / 128.0);
    assert!(net.folded(0).unwrap().weight.iter().any(|w| w.abs() > 0.5), "the trained weights stay");
}

#[test]
fn encodings_follow_aimet() {
    let net = prepared(small(), Target::onnxruntime(), &with_bits(8, 8), Range::new(-1.0, 1.55));
    let text = encodings_text(&net).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["version"], "0.6.1");
    let x = &json["activation_encodings"]["x"][0];
    assert_eq!((x["offset"].as_i64(), x["bitwidth"].as_i64(), x["is_symmetric"].as_str()), (Some(-100), Some(8), Some("False")));
    let scale = x["scale"].as_f64().unwrap();
    assert_eq!(x["min"].as_f64().unwrap(), -100.0 * scale);
    assert_eq!(x["max"].as_f64().unwrap(), 155.0 * scale);
    assert_eq!(json["activation_encodings"].as_object().unwrap().len(), 5);
    let weights = json["param_encodings"]["conv.weight"].as_array().unwrap();
    assert_eq!(weights.len(), 2);
    assert_eq!((weights[0]["offset"].as_i64(), weights[0]["qmin"].as_i64()), (Some(-128), Some(-127)));
}

#[test]
fn tidl_settings_name_the_layers_of_16_bits() {
    let layer =
        quantrain_graph::LayerSettings { pattern: "fc".into(), weight_bits: Some(16), activation_bits: Some(16), ..Default::default() };
    let settings = Settings { layers: vec![layer], ..Settings::default() };
    let text = settings_text(&prepared(small(), Target::tidl_pow2(), &settings, Range::new(0.0, 4.0)));
    for line in [
        "quantizationStyle = 3",
        "calibrationOption = 64",
        "numParamBits = 8",
        "params16bitNamesList = \"fc\"",
        "# advanced_options:quantization_scale_type = 1",
        "# advanced_options:output_feature_16bit_names_list = fc",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    let wide = settings_text(&prepared(small(), Target::tidl_pow2(), &with_bits(16, 16), Range::new(0.0, 4.0)));
    assert!(wide.contains("numFeatureBits = 16") && wide.contains("tensor_bits = 16") && !wide.contains("NamesList"));
}

#[test]
fn files_appear_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    write_atomically(&path, b"first").unwrap();
    write_atomically(&path, b"second").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"second");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");
    assert!(matches!(write_atomically(folder.path().join("no/such/model.onnx"), b""), Err(WriteError::Io { .. })));
}

struct Round;

impl Function for Round {
    fn name(&self) -> &str {
        "round"
    }

    fn apply(&self, _: &[usize], x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x.round());
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let net = QuantGraph::prepare(small(), Target::onnxruntime(), &Settings::default()).unwrap();
    assert!(matches!(qdq_bytes(&net, &QdqOptions::default()), Err(WriteError::NotCalibrated { tensor }) if tensor == "x"));
    assert!(matches!(clip_bytes(&net, &ClipOptions::default()), Err(WriteError::NotCalibrated { .. })));
    assert!(matches!(encodings_text(&net), Err(WriteError::NotCalibrated { .. })));

    let no_form = |grow: &dyn Fn(&mut GraphBuilder, TensorId) -> TensorId| {
        let mut b = GraphBuilder::new("g");
        let x = b.input_shaped("x", quantrain_graph::Shape(vec![Dim::Batch(1), Dim::Batch(1), Dim::Fixed(4)])).unwrap();
        let y = grow(&mut b, x);
        b.output(y);
        match float_bytes(&b.finish().unwrap()) {
            Err(WriteError::NoForm { operator, .. }) => operator,
            other => panic!("no form was expected, found {other:?}"),
        }
    };
    assert_eq!(no_form(&|b, x| b.straight_through("round", x, Round).unwrap()), "StraightThrough");
    assert_eq!(no_form(&|b, x| b.propagate("propagate", x, x).unwrap()), "Propagate");
    let reshape = |b: &mut GraphBuilder, x| {
        let extents = [Dim::Fixed(4), Dim::Batch(1), Dim::Batch(1)].map(quantrain_graph::op::Extent::Is).to_vec();
        let extents = [extents[0..1].to_vec(), vec![quantrain_graph::op::Extent::Is(Dim::Fixed(1))], extents[1..].to_vec()].concat();
        b.node("reshape", Op::Reshape(Reshape { extents }), &[x], "reshape").unwrap()
    };
    assert_eq!(no_form(&reshape), "Reshape");
}
