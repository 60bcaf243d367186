//! Operators that ONNX Runtime's optimizer makes of several.

use quantrain_graph::op::*;
use quantrain_graph::{Graph, Note, Op, Shape};

use super::operators::{constant, image, output_shape};
use crate::NodeError;
use crate::ReadError;
use crate::fixture::{ModelFixture, float, int, ints, text};
use crate::proto::{AttributeProto, data_type};

/// Gives the last node ONNX Runtime's domain.
fn microsoft(mut model: ModelFixture) -> ModelFixture {
    model.graph().node.last_mut().unwrap().domain = Some("com.microsoft".into());
    model
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|n| n.op.name()).collect()
}

/// Rows `[N, 4, 8]` with constants of ones by name and shape.
fn rows(constants: &[(&str, &[i64])]) -> ModelFixture {
    constants.iter().fold(ModelFixture::new(17, &[0, 4, 8]), |model, (name, dims)| {
        let count = usize::try_from(dims.iter().product::<i64>()).unwrap();
        model.floats(name, dims, &vec![1.0; count])
    })
}

fn read(model: ModelFixture, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Graph {
    microsoft(model.node(op, inputs, "y", attributes)).read().unwrap()
}

#[test]
fn functions_and_their_biases() {
    let with_bias = || rows(&[("b", &[8])]);
    for (name, inputs, expected, last) in [
        ("Gelu", &["x"][..], &["Gelu"][..], Op::Activation(Activation::Gelu { tanh: false })),
        ("BiasGelu", &["x", "b"], &["Add", "Gelu"], Op::Activation(Activation::Gelu { tanh: false })),
        ("FastGelu", &["x"], &["Gelu"], Op::Activation(Activation::Gelu { tanh: true })),
        ("FastGelu", &["x", "b"], &["Add", "Gelu"], Op::Activation(Activation::Gelu { tanh: true })),
        ("QuickGelu", &["x"], &["Mul", "Sigmoid", "Mul"], Op::Binary(Binary::Mul)),
    ] {
        let graph = read(with_bias(), name, inputs, vec![]);
        assert_eq!(operators(&graph), expected, "{name}");
        assert_eq!(graph.nodes().last().unwrap().op, last, "{name}");
    }
    let graph = read(rows(&[]), "QuickGelu", &["x"], vec![]);
    assert_eq!(graph.constant(graph.nodes()[0].inputs[1]), Some(&[1.702][..]));
    assert_eq!(operators(&read(rows(&[]), "QuickGelu", &["x"], vec![float("alpha", 1.0)])), ["Silu"]);
}

#[test]
fn normalisations_of_sums() {
    let model = || rows(&[("g", &[8]), ("b", &[8]), ("bias", &[8])]).node("Relu", &["x"], "skip", vec![]);
    let graph = read(model(), "SkipLayerNormalization", &["x", "skip", "g", "b", "bias"], vec![float("epsilon", 1e-6)]);
    assert_eq!(operators(&graph), ["Relu", "Add", "Add", "LayerNormalization"]);
    let epsilon = Epsilon::OfVariance(1e-6);
    assert_eq!(graph.nodes()[3].op, Op::LayerNormalization(LayerNormalization { axis: -1, epsilon }));
    let mut model = microsoft(model().node("SkipSimplifiedLayerNormalization", &["x", "skip", "g"], "y", vec![]));
    model.graph().node.last_mut().unwrap().output.extend(["".into(), "".into(), "sum".into()]);
    let graph = model.node("Sigmoid", &["sum"], "z", vec![]).output("z").read().unwrap();
    assert_eq!(operators(&graph), ["Relu", "Add", "RMSNormalization", "Sigmoid"]);
    assert_eq!(graph.nodes()[3].inputs, [graph.nodes()[1].output]);
    // Below operator set 17 ONNX Runtime has a LayerNormalization of its own.
    let model = ModelFixture::new(12, &[0, 4, 8]).floats("g", &[8], &[1.0; 8]);
    let model = model.node("SimplifiedLayerNormalization", &["x", "g"], "s", vec![int("axis", -1)]);
    let graph = model.node("LayerNormalization", &["s", "g", "g"], "y", vec![int("axis", -1)]).read().unwrap();
    assert_eq!(operators(&graph), ["RMSNormalization", "LayerNormalization"]);
}

#[test]
fn parameters_of_a_normalisation_broadcast() {
    let model = |dims: &[i64]| {
        ModelFixture::new(23, &[0, 4, 8]).floats("s", dims, &vec![2.0; usize::try_from(dims.iter().product::<i64>()).unwrap()])
    };
    for op in ["LayerNormalization", "RMSNormalization"] {
        let graph = model(&[1]).node(op, &["x", "s"], "y", vec![]).read().unwrap();
        assert_eq!(operators(&graph), [op]);
        assert_eq!(graph.constant(graph.nodes()[0].inputs[1]), Some(&[2.0; 8][..]));
        let graph = model(&[8]).node(op, &["x", "s"], "y", vec![int("axis", -2)]).read().unwrap();
        assert_eq!(graph.constant(graph.nodes()[0].inputs[1]), Some(&[2.0; 32][..]));
        // One for each row is no parameter of columns.
        let graph = model(&[4, 1]).node(op, &["x", "s"], "y", vec![]).read().unwrap();
        assert_eq!(operators(&graph), [op, "Mul"]);
    }
    let graph = model(&[4, 1]).node("LayerNormalization", &["x", "s", "s"], "y", vec![]).read().unwrap();
    assert_eq!(operators(&graph), ["LayerNormalization", "Mul", "Add"]);
}

#[test]
fn products_are_turned_and_scaled() {
    let graph = read(rows(&[("w", &[5, 8])]), "FusedMatMul", &["x", "w"], vec![int("transB", 1), float("alpha", 0.5)]);
    assert_eq!((operators(&graph), output_shape(&graph)), (vec!["MatMul"], Shape::batched(&[4, 5])));
    assert_eq!(graph.constant(graph.nodes()[0].inputs[1]), Some(&[0.5; 40][..]));
    let graph = read(rows(&[]), "FusedMatMul", &["x", "x"], vec![int("transA", 1), float("alpha", 0.5)]);
    assert_eq!((operators(&graph), output_shape(&graph)), (vec!["Transpose", "Mul", "MatMul"], Shape::batched(&[8, 8])));
}

#[test]
fn layers_with_their_activation() {
    let conv = |function: &str, inputs: &[&str], more: Vec<AttributeProto>| {
        let model = image(11).floats("w", &[3, 3, 1, 1], &[0.5; 9]).floats("b", &[3], &[0.0; 3]);
        read(model, "FusedConv", inputs, [vec![text("activation", function), ints("kernel_shape", &[1, 1])], more].concat())
    };
    assert_eq!(operators(&conv("Relu", &["x", "w", "b"], vec![])), ["Conv", "Relu"]);
    assert_eq!(operators(&conv("Sigmoid", &["x", "w", "b", "x"], vec![])), ["Conv", "Add", "Sigmoid"]);
    let parameters = AttributeProto { floats: vec![-1.0, 6.0], ..ints("activation_params", &[]) };
    let parameters = AttributeProto { r#type: Some(crate::proto::attribute_type::FLOATS), ..parameters };
    let graph = conv("Clip", &["x", "w"], vec![parameters]);
    assert_eq!(graph.nodes()[1].op, Op::Activation(Activation::Clip { min: -1.0, max: 6.0 }));
    let gemm = ModelFixture::new(11, &[0, 4]).floats("w", &[4, 2], &[1.0; 8]).floats("b", &[2], &[1.0; 2]);
    let attributes = vec![text("activation", "LeakyRelu"), float("activation_alpha", 0.25)];
    let graph = read(gemm, "FusedGemm", &["x", "w", "b"], attributes);
    assert_eq!(graph.nodes()[1].op, Op::Activation(Activation::LeakyRelu { alpha: 0.25 }));
}

#[test]
fn attention_is_its_parts() {
    let attention = |inputs: &[&str], more: Vec<AttributeProto>| {
        let model =
            rows(&[("w", &[8, 24]), ("b", &[24])]).raw("seen", &[1, 4], data_type::INT32, [1i32, 1, 1, 0].map(i32::to_le_bytes).concat());
        microsoft(model.node("Attention", inputs, "y", [vec![int("num_heads", 2)], more].concat())).read()
    };
    let graph = attention(&["x", "w", "b", "seen"], vec![]).unwrap();
    assert_eq!(output_shape(&graph), Shape::batched(&[4, 8]));
    let expected = ["MatMul", "Add", "Slice", "Slice", "Slice"];
    assert_eq!(operators(&graph)[..5], expected);
    assert!(graph.tensors().iter().any(|t| t.constant.as_deref() == Some(&[0.0, 0.0, 0.0, -10_000.0][..])));
    let error = attention(&["x", "w", "b", "", "x"], vec![]).unwrap_err();
    assert!(matches!(&error, ReadError::Node { source, .. } if matches!(**source, NodeError::Value { what: "past", .. })), "{error}");
    let graph =
        read(rows(&[("b", &[24])]), "MultiHeadAttention", &["x", "x", "x", "b"], vec![int("num_heads", 4), int("unidirectional", 1)]);
    assert_eq!(output_shape(&graph), Shape::batched(&[4, 8]));
    assert_eq!(operators(&graph).iter().filter(|&&op| op == "Add").count(), 4, "three biases and a mask");
    let model = ModelFixture::new(23, &[0, 2, 4, 8]).node("Attention", &["x", "x", "x", "", "x", "x"], "y", vec![]);
    assert!(model.read().unwrap_err().to_string().contains("use_cache=False"));
}

#[test]
fn weights_in_blocks_are_floats() {
    // Blocks of 2 along the rows of [4, 3]: the last row of scales is that of rows 2 and 3.
    let model = ModelFixture::new(21, &[0, 4]).raw("q", &[4, 3], data_type::INT8, (1..13).collect());
    let model = model.floats("s", &[2, 3], &[1.0, 10.0, 100.0, 0.5, 0.25, 2.0]).raw("z", &[2, 3], data_type::INT8, vec![0, 0, 0, 1, 0, 0]);
    let graph = model.node("DequantizeLinear", &["q", "s", "z"], "w", vec![int("axis", 0), int("block_size", 2)]);
    let graph = graph.node("MatMul", &["x", "w"], "y", vec![]).read().unwrap();
    assert_eq!(constant(&graph, "w"), [1.0, 20.0, 300.0, 4.0, 50.0, 600.0, 3.0, 2.0, 18.0, 4.5, 2.75, 24.0]);
    assert_eq!(graph.notes, [Note::BlocksAsFloats { tensor: "w".into(), block: 2 }]);
    assert!(graph.stored_codes(graph.find("w").unwrap()).is_none());
    // Two columns of five, blocks of 16, four bits: the first five nibbles of each row count, 8 is zero.
    let mut packed = vec![0x98, 0xba, 0x0c, 0, 0, 0, 0, 0];
    packed.extend([0x07, 0xf6, 0x08, 0, 0, 0, 0, 0]);
    let model = ModelFixture::new(17, &[0, 5]).raw("b", &[2, 1, 8], data_type::UINT8, packed).floats("s", &[2], &[1.0, 0.5]);
    let attributes = vec![int("K", 5), int("N", 2), int("bits", 4), int("block_size", 16)];
    let graph = read(model, "MatMulNBits", &["x", "b", "s"], attributes);
    let weights = graph.constant(graph.nodes()[0].inputs[1]).unwrap();
    assert_eq!(weights, [0.0, -0.5, 1.0, -4.0, 2.0, -1.0, 3.0, 3.5, 4.0, 0.0]);
}

#[test]
fn normalisations_of_older_networks_are_their_parts() {
    let graph = image(13).node("LRN", &["x"], "y", vec![int("size", 5), float("alpha", 0.5), float("bias", 2.0)]).read().unwrap();
    assert_eq!(operators(&graph), ["Mul", "Reshape", "AveragePool", "Reshape", "Mul", "Add", "Pow", "Div"]);
    let Op::AveragePool(pool) = &graph.nodes()[2].op else { panic!("a mean over channels") };
    assert_eq!((pool.window.kernel, pool.window.pads, pool.count_include_pad), ([5, 1], [2, 0, 2, 0], true));
    let norm = |p| operators(&image(13).node("LpNormalization", &["x"], "y", vec![int("axis", 1), int("p", p)]).read().unwrap()).join(" ");
    assert_eq!([norm(1), norm(2)], ["Abs ReduceSum Clip Div", "ReduceL2 Clip Div"]);
    let graph = image(13).node("ArgMin", &["x"], "y", vec![int("axis", 1)]).read().unwrap();
    assert_eq!(operators(&graph), ["Neg", "ArgMax"]);
}

#[test]
fn elements_are_counted() {
    // [N, 3, 8, 8] as [N, 192] the way of exporters that multiply extents.
    let model = image(13).node("Shape", &["x"], "s", vec![]).ints("one", &[1]).ints("four", &[4]).node(
        "Slice",
        &["s", "one", "four"],
        "rest",
        vec![],
    );
    let model = model.node("ReduceProd", &["rest"], "count", vec![int("keepdims", 1)]).ints("minus", &[-1]);
    let model = model.node("Concat", &["minus", "count"], "to", vec![int("axis", 0)]).node("Reshape", &["x", "to"], "y", vec![]);
    assert_eq!(output_shape(&model.read().unwrap()), Shape::batched(&[192]));
    let model = image(13).node("Size", &["x"], "n", vec![]).ints("each", &[64]).node("Div", &["n", "each"], "rows", vec![]);
    let model = model.node("Concat", &["rows", "each"], "to", vec![int("axis", 0)]).node("Reshape", &["x", "to"], "y", vec![]);
    assert_eq!(output_shape(&model.read().unwrap()).at(2), [6, 64]);
    // The larger side.
    let model = ModelFixture::new(13, &[0, 3, 4, 8]).node("Shape", &["x"], "s", vec![]).ints("two", &[2]).ints("four", &[4]);
    let model = model.node("Slice", &["s", "two", "four"], "sides", vec![]).node("ReduceMax", &["sides"], "side", vec![int("keepdims", 1)]);
    let model = model.ints("head", &[0, -1]).node("Concat", &["head", "side"], "to", vec![int("axis", 0)]);
    assert_eq!(output_shape(&model.node("Reshape", &["x", "to"], "y", vec![]).read().unwrap()), Shape::batched(&[12, 8]));
}

#[test]
fn pads_below_zero_cut() {
    let pad = |pads: &[i64]| image(13).ints("p", pads).node("Pad", &["x", "p"], "y", vec![]).read().unwrap();
    let graph = pad(&[0, 0, -1, 0, 0, 0, -2, -3]);
    assert_eq!((operators(&graph), output_shape(&graph)), (vec!["Slice"], Shape::batched(&[3, 5, 5])));
    let graph = pad(&[0, 0, -1, 2, 0, 0, 1, -3]);
    assert_eq!((operators(&graph), output_shape(&graph)), (vec!["Slice", "Pad"], Shape::batched(&[3, 8, 7])));
}

#[test]
fn ranges_made_of_ones_are_folded() {
    // torch.arange(8) as PyTorch wrote it before Range.
    let model = ModelFixture::new(9, &[0, 4, 8]).ints("length", &[8]);
    let one = crate::fixture::tensor("", &[1], data_type::INT64, 1i64.to_le_bytes().to_vec());
    let model = model.node("ConstantOfShape", &["length"], "ones", vec![crate::fixture::tensor_attribute("value", one)]);
    let model = model.node("NonZero", &["ones"], "found", vec![]).node("Transpose", &["found"], "column", vec![ints("perm", &[1, 0])]);
    let model = model.node("Squeeze", &["column"], "row", vec![ints("axes", &[1])]).node("Cast", &["row"], "f", vec![int("to", 1)]);
    let graph = model.node("Add", &["x", "f"], "y", vec![]).read().unwrap();
    assert_eq!(constant(&graph, "f"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}
