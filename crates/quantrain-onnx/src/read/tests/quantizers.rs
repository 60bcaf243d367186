//! Quantizers as other tools write them: clipped codes, ONNX Runtime's own pair, QONNX, codes that are moved before they are read.

use quantrain_graph::op::{Activation, FakeQuantize};
use quantrain_graph::{Graph, Op, Quantizer, Rounding, StoredCodes};

use crate::fixture::{ModelFixture, int, ints, text};
use crate::proto::{AttributeProto, data_type};
use crate::{NodeError, ReadError};

fn image() -> ModelFixture {
    ModelFixture::new(17, &[0, 3, 4, 4])
}

/// The quantizers of the last node.
fn quantizers(graph: &Graph) -> Vec<Quantizer> {
    match &graph.nodes().last().unwrap().op {
        Op::FakeQuantize(FakeQuantize { quantizers }) => quantizers.clone(),
        other => panic!("a quantizer was expected, not {other:?}"),
    }
}

/// The codes of the second input of the last node.
fn weight_codes(graph: &Graph) -> StoredCodes {
    graph.stored_codes(graph.nodes().last().unwrap().inputs[1]).cloned().unwrap()
}

fn refusal(model: ModelFixture) -> NodeError {
    match model.read() {
        Err(ReadError::Node { source, .. }) => *source,
        other => panic!("a refused node was expected, not {other:?}"),
    }
}

#[test]
fn a_clip_on_codes_leaves_fewer_codes() {
    let model = image().floats("s", &[], &[0.5]).raw("z", &[], data_type::UINT8, vec![0]);
    let model = model.raw("low", &[], data_type::UINT8, vec![0]).raw("high", &[], data_type::UINT8, vec![15]);
    let model = model.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]).node("Clip", &["q", "low", "high"], "c", vec![]);
    let graph = model.node("DequantizeLinear", &["c", "s", "z"], "y", vec![]).read().unwrap();
    assert_eq!(quantizers(&graph), [Quantizer::new(0.5, 0, 0, 15, Rounding::HalfToEven).unwrap()]);

    // Stored weights may lie beyond their limits; a pool may stand between the clip and DequantizeLinear.
    let model = image().floats("s", &[3], &[0.5, 0.25, 2.0]).raw("z", &[3], data_type::INT8, vec![0; 3]);
    let model = model.raw("w", &[3, 3, 1, 1], data_type::INT8, vec![0x80, 7, 0x7f, 1, 2, 3, 0xf9, 0xf8, 9]);
    let model = model.raw("low", &[], data_type::INT8, vec![0xf9]).raw("high", &[], data_type::INT8, vec![7]);
    let model = model.node("Clip", &["w", "low", "high"], "c", vec![]);
    let model = model.node("DequantizeLinear", &["c", "s", "z"], "d", vec![int("axis", 0)]);
    let graph = model.node("Conv", &["x", "d"], "y", vec![]).read().unwrap();
    let codes = weight_codes(&graph);
    assert_eq!(codes.centred, [-7, 7, 7, 1, 2, 3, -7, -7, 7]);
    assert_eq!(
        codes.quantizers.iter().map(|q| (q.scale(), q.qmin(), q.qmax())).collect::<Vec<_>>(),
        [(0.5, -7, 7), (0.25, -7, 7), (2.0, -7, 7)]
    );

    let model = image().floats("s", &[], &[0.5]).raw("z", &[], data_type::INT8, vec![0]);
    let model = model.raw("low", &[], data_type::INT8, vec![0xf8]).raw("high", &[], data_type::INT8, vec![7]);
    let model = model.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]).node("Clip", &["q", "low", "high"], "c", vec![]);
    let model = model.node("MaxPool", &["c"], "p", vec![ints("kernel_shape", &[2, 2])]);
    let graph = model.node("DequantizeLinear", &["p", "s", "z"], "y", vec![]).read().unwrap();
    let first = &graph.nodes()[0].op;
    assert_eq!(*first, Op::FakeQuantize(FakeQuantize { quantizers: vec![Quantizer::new(0.5, 0, -8, 7, Rounding::HalfToEven).unwrap()] }));
}

#[test]
fn relu_min_and_max_on_codes_leave_fewer_too() {
    let with = |nodes: &[(&str, [&str; 2], &str)]| {
        let model = image().floats("s", &[], &[0.5]).raw("z", &[], data_type::INT8, vec![0]);
        let model = model.raw("low", &[], data_type::INT8, vec![0xf9]).raw("high", &[], data_type::INT8, vec![7]);
        let mut model = model.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]);
        for (op, inputs, output) in nodes {
            let inputs: Vec<&str> = inputs.iter().copied().filter(|i| !i.is_empty()).collect();
            model = model.node(op, &inputs, output, vec![]);
        }
        let found = quantizers(&model.node("DequantizeLinear", &["c", "s", "z"], "y", vec![]).read().unwrap())[0];
        (found.qmin(), found.qmax())
    };
    assert_eq!(with(&[("Relu", ["q", ""], "c")]), (0, 127));
    assert_eq!(with(&[("Min", ["q", "high"], "m"), ("Max", ["low", "m"], "c")]), (-7, 7));
}

#[test]
fn a_clip_may_leave_the_zero_point_out() {
    let quantized = |scale: &[f32], zero: Vec<u8>, low: u8, high: u8| {
        let dims: Vec<i64> = if scale.len() == 1 { vec![] } else { vec![3] };
        let model = image().floats("s", &dims, scale).raw("z", &dims, data_type::UINT8, zero);
        let model = model.raw("low", &[], data_type::UINT8, vec![low]).raw("high", &[], data_type::UINT8, vec![high]);
        let model = model.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]).node("Clip", &["q", "low", "high"], "c", vec![]);
        model.node("DequantizeLinear", &["c", "s", "z"], "y", vec![]).read().unwrap()
    };
    // Codes from 2 to 40 with the zero point 0 are values from 1 to 20.
    let graph = quantized(&[0.5], vec![0], 2, 40);
    assert_eq!(graph.nodes()[0].op, Op::Activation(Activation::Clip { min: 1.0, max: 20.0 }));
    assert_eq!(quantizers(&graph), [Quantizer::new(0.5, 0, 0, 40, Rounding::HalfToEven).unwrap()]);
    let graph = quantized(&[0.5], vec![100], 2, 40);
    assert_eq!(graph.nodes()[0].op, Op::Activation(Activation::Clip { min: -49.0, max: -30.0 }));
    assert_eq!(quantizers(&graph), [Quantizer::new(0.5, 100, 2, 100, Rounding::HalfToEven).unwrap()]);
    let graph = quantized(&[0.5, 1.0, 2.0], vec![0, 3, 50], 2, 40);
    assert_eq!(graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Max", "Min", "FakeQuantize"]);
    let limits = |n: usize| graph.constant(graph.nodes()[n].inputs[1]).unwrap().to_vec();
    assert_eq!((limits(0), limits(1)), (vec![1.0, -1.0, -96.0], vec![20.0, 37.0, -20.0]));
}

#[test]
fn codes_without_a_zero_point_are_moved_as_others() {
    let model = image().floats("s", &[], &[0.5]).node("QuantizeLinear", &["x", "s"], "q", vec![]);
    let model = model.node("MaxPool", &["q"], "p", vec![ints("kernel_shape", &[2, 2])]);
    let graph = model.node("DequantizeLinear", &["p", "s"], "y", vec![]).read().unwrap();
    assert_eq!(graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["FakeQuantize", "MaxPool", "FakeQuantize"]);
    assert_eq!(quantizers(&graph), [Quantizer::new(0.5, 0, 0, 255, Rounding::HalfToEven).unwrap()]);
}

#[test]
fn the_pair_of_onnx_runtime_has_types_that_onnx_has_later() {
    for (kind, zero, limits) in [(data_type::INT4, vec![0], (-8, 7)), (data_type::UINT16, vec![0, 1], (0, 65535))] {
        let mut model = image().floats("s", &[], &[0.5]).raw("z", &[], kind, zero);
        model = model.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]).node("DequantizeLinear", &["q", "s", "z"], "y", vec![]);
        model.graph().node.iter_mut().for_each(|n| n.domain = Some("com.microsoft".into()));
        let found = quantizers(&model.read().unwrap())[0];
        assert_eq!((found.qmin(), found.qmax()), limits);
    }
}

#[test]
fn nodes_may_stand_in_any_order() {
    let model = image().floats("s", &[], &[0.5]).raw("z", &[], data_type::UINT8, vec![3]);
    let model = model.node("DequantizeLinear", &["q", "s", "z"], "y", vec![]).node("QuantizeLinear", &["a", "s", "z"], "q", vec![]);
    let graph = model.node("Relu", &["x"], "a", vec![]).read().unwrap();
    assert_eq!(graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Relu", "FakeQuantize"]);
}

#[test]
fn codes_move_with_the_weights_they_stand_for() {
    // As PyTorch exports a linear layer that is trained quantization-aware: float weights, a pair, a Transpose, MatMul.
    let model = || {
        let model = ModelFixture::new(17, &[0, 3]).floats("w", &[2, 3], &[1.0, -2.0, 0.4, 8.0, 0.0, -1.1]);
        let model = model.floats("s", &[2], &[0.5, 2.0]).raw("z", &[2], data_type::INT8, vec![0; 2]);
        model.node("QuantizeLinear", &["w", "s", "z"], "q", vec![int("axis", 0)])
    };
    let dequantized = model().node("DequantizeLinear", &["q", "s", "z"], "d", vec![int("axis", 0)]);
    let graph = dequantized.node("Transpose", &["d"], "t", vec![]).node("MatMul", &["x", "t"], "y", vec![]).read().unwrap();
    let codes = weight_codes(&graph);
    assert_eq!((codes.centred, codes.axis), (vec![2, 4, -4, 0, 1, -1], 1));
    assert_eq!(graph.constant(graph.find("t").unwrap()).unwrap(), [1.0, 8.0, -2.0, 0.0, 0.5, -2.0]);

    // Integers that are moved before they are read.
    let stored = image().raw("w", &[3, 2], data_type::INT8, vec![1, 2, 3, 4, 5, 6]).ints("shape", &[2, 3, 1, 1]);
    let stored = stored.floats("s", &[2], &[0.5, 2.0]).raw("z", &[2], data_type::INT8, vec![0; 2]);
    let stored = stored.node("Transpose", &["w"], "t", vec![]).node("Reshape", &["t", "shape"], "k", vec![]);
    let graph = stored.node("DequantizeLinear", &["k", "s", "z"], "d", vec![int("axis", 0)]).node("Conv", &["x", "d"], "y", vec![]).read();
    let codes = weight_codes(&graph.unwrap());
    assert_eq!((codes.centred, codes.quantizers[0].qmin()), (vec![1, 3, 5, 2, 4, 6], -128));
}

/// A Quant of `x` with these numbers.
fn quant(x: &str, scale: &[f32], zero: f32, bits: f32, attributes: Vec<AttributeProto>) -> ModelFixture {
    let dims: Vec<i64> = if scale.len() == 1 { vec![] } else { vec![1, i64::try_from(scale.len()).unwrap(), 1, 1] };
    let model = image().floats("s", &dims, scale).floats("z", &[], &[zero]).floats("b", &[], &[bits]);
    let mut model = model.node("Quant", &[x, "s", "z", "b"], "y", attributes);
    model.graph().node[0].domain = Some("qonnx.custom_op.general".into());
    model
}

fn numbers(signed: i64, narrow: i64, mode: &str) -> Vec<AttributeProto> {
    vec![int("signed", signed), int("narrow", narrow), text("rounding_mode", mode)]
}

#[test]
fn a_quant_is_a_quantizer_where_one_says_the_same() {
    let to_even = Rounding::HalfToEven;
    for (bits, zero, signed, narrow, mode, expected) in [
        (4.0, 0.0, 1, 0, "ROUND", (0, -8, 7, to_even)),
        (4.0, 0.0, 1, 1, "ROUND", (0, -7, 7, to_even)),
        (3.0, 0.0, 0, 0, "HALF_EVEN", (0, 0, 7, to_even)),
        (3.0, 0.0, 0, 1, "round", (0, 0, 6, to_even)),
        (8.0, 128.0, 0, 0, "ROUND", (128, 0, 255, to_even)),
        (12.0, 0.0, 1, 0, "HALF_UP", (0, -2048, 2047, Rounding::HalfAwayFromZero)),
        (8.0, 3.0, 0, 0, "HALF_UP", (3, 0, 255, Rounding::HalfUp)),
    ] {
        let graph = quant("x", &[0.5], zero, bits, numbers(signed, narrow, mode)).read().unwrap();
        let (zero, low, high, rounding) = expected;
        assert_eq!(quantizers(&graph), [Quantizer::new(0.5, zero, low, high, rounding).unwrap()], "{bits} bits, {mode}");
    }
    let by_channel = quantizers(&quant("x", &[0.5, 0.25, 2.0], 0.0, 4.0, numbers(1, 0, "ROUND")).read().unwrap());
    assert_eq!(by_channel.iter().map(Quantizer::scale).collect::<Vec<_>>(), [0.5, 0.25, 2.0]);
}

#[test]
fn other_roundings_of_activations_are_operators() {
    for (mode, zero, nodes) in [
        ("FLOOR", 0.0, &["Div", "Clip", "Floor", "Mul"][..]),
        ("CEIL", 0.0, &["Div", "Clip", "Ceil", "Mul"]),
        ("DOWN", 0.0, &["Div", "Clip", "Sign", "Abs", "Floor", "Mul", "Mul"]),
        ("HALF_DOWN", 0.0, &["Div", "Clip", "Sign", "Abs", "Add", "Ceil", "Mul", "Mul"]),
        ("ROUND", 1.0, &["Div", "Add", "Clip", "Round", "Sub", "Mul"]),
    ] {
        let graph = quant("x", &[0.5], zero, 4.0, numbers(1, 0, mode)).read().unwrap();
        assert_eq!(graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), nodes, "{mode}");
    }
}

#[test]
fn a_quant_of_weights_keeps_their_codes() {
    let mut model = quant("w", &[0.5], 0.0, 3.0, numbers(1, 1, "FLOOR"));
    model.graph().node[0].output = vec!["d".into()];
    let model = model.floats("w", &[3, 3, 1, 1], &[0.4, 0.5, 0.9, -0.1, -0.5, -0.6, 9.0, -9.0, 0.0]);
    let graph = model.node("Conv", &["x", "d"], "y", vec![]).read().unwrap();
    let codes = weight_codes(&graph);
    assert_eq!(codes.centred, [0, 1, 1, -1, -1, -2, 3, -3, 0]);
    assert_eq!((codes.quantizers[0].qmin(), codes.quantizers[0].qmax()), (-3, 3));
    assert_eq!(graph.constant(graph.find("d").unwrap()).unwrap()[..3], [0.0, 0.5, 0.5]);
}

#[test]
fn what_no_integers_stand_for_is_refused_with_the_reason() {
    let mut bipolar = image().floats("s", &[], &[0.5]).node("BipolarQuant", &["x", "s"], "y", vec![]);
    bipolar.graph().node[0].domain = Some("onnx.brevitas".into());
    assert!(matches!(refusal(bipolar), NodeError::NoQuantizer { .. }));
    assert!(matches!(refusal(quant("x", &[0.5], 0.0, 1.0, numbers(1, 0, "ROUND"))), NodeError::NoQuantizer { .. }));
    assert!(matches!(refusal(quant("x", &[0.5], 0.0, 3.5, numbers(1, 0, "ROUND"))), NodeError::Value { what: "bitwidth", .. }));
    assert!(matches!(refusal(quant("x", &[0.5], 0.0, 4.0, numbers(1, 0, "NEAREST"))), NodeError::Value { what: "rounding_mode", .. }));
    assert!(matches!(refusal(quant("x", &[0.5, 1.0], 0.0, 4.0, numbers(1, 0, "ROUND"))), NodeError::Value { what: "scale", .. }));
}

#[test]
fn constants_are_cast_and_expanded_so_that_batch_normalization_stays() {
    // As torch.onnx.export writes a convolution without bias and its BatchNormalization with optimize=False.
    let scalar = |name: &str, value: f32| crate::fixture::tensor(name, &[], data_type::FLOAT, value.to_le_bytes().to_vec());
    let mut model = ModelFixture::new(20, &[0, 3, 4, 4]).floats("w", &[2, 3, 1, 1], &[0.5; 6]).ints("one", &[1]);
    model = model.node("Constant", &[], "zero", vec![crate::fixture::tensor_attribute("value", scalar("", 0.0))]);
    model = model.node("Shape", &["w"], "channels", vec![int("start", 0), int("end", 1)]);
    model = model.node("Expand", &["channels", "one"], "bias_shape", vec![]).node("CastLike", &["zero", "x"], "cast", vec![]);
    model = model.node("Expand", &["cast", "bias_shape"], "bias", vec![]).node("Conv", &["x", "w", "bias"], "c", vec![]);
    for name in ["gamma", "beta", "mean", "variance"] {
        model = model.floats(name, &[2], &[1.0; 2]);
    }
    let graph = model.node("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], "y", vec![]).read().unwrap();
    assert_eq!(graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Conv", "BatchNormalization"]);
    assert_eq!(graph.constant(graph.nodes()[0].inputs[2]), Some(&[0.0; 2][..]));
    let net = quantrain_graph::QuantGraph::prepare(graph, quantrain_graph::Target::onnxruntime(), &Default::default()).unwrap();
    assert!(net.units().len() == 1 && net.batch_norm_of(0).is_some(), "it folds into the convolution, and is trained");
}
