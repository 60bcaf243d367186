use super::*;
use crate::op::Binary;
use crate::{Rounding, Shape};

fn byte(scale: f32, zero: i32) -> Quantizer {
    Quantizer::new(scale, zero, 0, 255, Rounding::HalfToEven).unwrap()
}

fn pair(b: &mut GraphBuilder, x: TensorId, q: Quantizer, output: &str) -> TensorId {
    b.node(output, Op::FakeQuantize(FakeQuantize { quantizers: vec![q] }), &[x], output).unwrap()
}

fn adopted(b: GraphBuilder) -> QuantGraph {
    adopt(b.finish().unwrap(), Target::onnxruntime()).unwrap()
}

fn quantizer(net: &QuantGraph, name: &str) -> Option<Quantizer> {
    net.quantizer_of(net.graph().find(name).unwrap()).map(|q| net.quantizers()[q.0].quantizer().unwrap().unwrap())
}

/// A product of two inputs and two channels whose integers the file holds, channels last.
fn product(b: &mut GraphBuilder, x: TensorId, bias_scale: f32) -> TensorId {
    let signed = |scale, low| Quantizer::new(scale, 0, low, -(low + 1), Rounding::HalfToEven).unwrap();
    let weight = b.constant("w", &[2, 2], vec![0.5, -0.25, 1.5, 0.75]).unwrap();
    b.stored_codes(weight, StoredCodes { centred: vec![1, -1, 3, 3], quantizers: vec![signed(0.5, -128), signed(0.25, -128)], axis: 1 });
    let bias = b.constant("bias", &[2], vec![1.0, 33554432.0 * bias_scale]).unwrap();
    let wide = signed(bias_scale, i32::MIN);
    b.stored_codes(bias, StoredCodes { centred: vec![7, 33554431], quantizers: vec![wide, wide], axis: 0 });
    let gemm = crate::op::Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false };
    b.node("gemm", Op::Gemm(gemm), &[x, weight, bias], "gemm").unwrap()
}

#[test]
fn pairs_become_quantizers_with_the_very_numbers() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let y = pair(&mut b, x, byte(0.1, 3), "x_pair");
    let y = b.relu("relu", y).unwrap();
    let y = pair(&mut b, y, byte(0.3, 0), "y");
    b.output(y);
    let net = adopted(b);
    assert_eq!(net.units().len(), 1);
    assert_eq!(quantizer(&net, "x"), Some(byte(0.1, 3)));
    assert_eq!(quantizer(&net, "y"), Some(byte(0.3, 0)), "an output has the name it is handed out by");
}

#[test]
fn an_output_behind_one_pair_of_several_keeps_its_name() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let sum = b.node("sum", Op::Binary(Binary::Add), &[x, x], "sum").unwrap();
    let y = pair(&mut b, sum, byte(0.3, 0), "y");
    let other = pair(&mut b, sum, byte(0.2, 0), "other");
    let z = b.relu("z", other).unwrap();
    b.output(y);
    b.output(z);
    let net = adopted(b);
    let names: Vec<&str> = net.graph().outputs().iter().map(|&t| net.graph().tensor(t).name.as_str()).collect();
    assert_eq!(names, ["y", "z"]);
    assert_eq!((quantizer(&net, "y"), quantizer(&net, "sum")), (Some(byte(0.3, 0)), None));
}

#[test]
fn a_clip_between_two_pairs_is_not_fused() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let x = pair(&mut b, x, byte(0.1, 3), "x_pair");
    let y = b.node("sum", Op::Binary(Binary::Add), &[x, x], "sum").unwrap();
    let y = pair(&mut b, y, byte(0.2, 3), "sum_pair");
    let y = b.relu("relu", y).unwrap();
    let y = pair(&mut b, y, byte(0.2, 0), "y");
    b.output(y);
    assert_eq!(adopted(b).units().iter().map(|u| u.nodes().count()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_tensor_that_is_also_read_in_float_stays_float() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let y = pair(&mut b, x, byte(0.1, 3), "y");
    let z = b.node("sum", Op::Binary(Binary::Add), &[x, y], "z").unwrap();
    b.output(z);
    let net = adopted(b);
    assert_eq!(quantizer(&net, "x"), None);
    assert_eq!(quantizer(&net, "y"), Some(byte(0.1, 3)));
    assert_eq!(net.graph().nodes()[0].op, Op::Identity);
    assert_eq!(net.float_nodes().iter().map(|(_, why)| why).collect::<Vec<_>>(), [&FloatReason::NotInFile]);
}

#[test]
fn a_clip_to_the_values_of_codes_leaves_fewer_codes() {
    for (max, nodes, qmax) in [(1.5, 0, 15), (1.55, 1, 255)] {
        let mut b = GraphBuilder::new("g");
        let x = b.input_shaped("x", Shape::batched(&[2])).unwrap();
        let y = b.node("clip", Op::Activation(Activation::Clip { min: 0.0, max }), &[x], "clip").unwrap();
        let y = pair(&mut b, y, byte(0.1, 0), "y");
        let z = b.relu("relu", y).unwrap();
        b.output(z);
        let net = adopted(b);
        assert_eq!(net.graph().nodes().len(), nodes + 1);
        let tensor = if nodes == 0 { "x" } else { "clip" };
        assert_eq!(quantizer(&net, tensor).unwrap().qmax(), qmax);
    }
}

#[test]
fn a_clip_between_two_pairs_stays_whatever_their_scales() {
    for (first, second) in [(0.1, 0.1), (0.1, 0.05), (0.05, 0.1)] {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2]);
        let y = pair(&mut b, x, byte(first, 0), "x_pair");
        let y = b.node("clip", Op::Activation(Activation::Clip { min: 0.0, max: 1.5 }), &[y], "clip").unwrap();
        let y = pair(&mut b, y, byte(second, 0), "y");
        b.output(y);
        let net = adopted(b);
        assert_eq!(net.graph().nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Clip"]);
        assert_eq!((quantizer(&net, "x"), quantizer(&net, "y")), (Some(byte(first, 0)), Some(byte(second, 0))));
    }
}

#[test]
fn a_rounding_that_is_not_the_standards_is_kept() {
    let q = Quantizer::new(0.5, 0, -8, 7, Rounding::HalfAwayFromZero).unwrap();
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let y = pair(&mut b, x, q, "y");
    let z = b.relu("z", y).unwrap();
    b.output(z);
    assert_eq!(quantizer(&adopted(b), "x"), Some(q));
}

#[test]
fn tensors_of_the_same_numbers_share_a_quantizer() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let x = pair(&mut b, x, byte(0.1, 3), "x_pair");
    let y = b.node("same", Op::Identity, &[x], "same").unwrap();
    let y = pair(&mut b, y, byte(0.1, 3), "y");
    b.output(y);
    assert_eq!(adopted(b).quantizers().len(), 1);
}

#[test]
fn a_block_keeps_the_integers_of_the_file() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let x = pair(&mut b, x, byte(0.5, 3), "x_pair");
    let y = product(&mut b, x, 0.25);
    let y = pair(&mut b, y, byte(0.3, 0), "y");
    b.output(y);
    // The bias is on 0.5·0.5, not on 0.5·0.25: channel 1 is rounded to that, and then so is channel 0.
    let block = adopted(b).quantized_block(0).unwrap().unwrap();
    assert_eq!(block.weight.codes, [1.0, 3.0, -1.0, 3.0], "channels first");
    assert_eq!(block.bias, [4, 67108864]);

    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let x = pair(&mut b, x, byte(0.5, 3), "x_pair");
    let weight = b.constant("w", &[2, 2], vec![0.5; 4]).unwrap();
    let q = Quantizer::new(0.5, 0, -128, 127, Rounding::HalfToEven).unwrap();
    b.stored_codes(weight, StoredCodes { centred: vec![1; 4], quantizers: vec![q], axis: 0 });
    let bias = b.constant("bias", &[2], vec![0.0, 8388608.0]).unwrap();
    let wide = Quantizer::new(0.25, 0, i32::MIN, i32::MAX, Rounding::HalfToEven).unwrap();
    b.stored_codes(bias, StoredCodes { centred: vec![0, 33554431], quantizers: vec![wide], axis: 0 });
    let gemm = crate::op::Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false };
    let y = b.node("gemm", Op::Gemm(gemm), &[x, weight, bias], "gemm").unwrap();
    b.output(y);
    let net = adopted(b);
    assert_eq!(net.quantized_block(0).unwrap().unwrap().bias, [0, 33554431], "f32 would not hold it");
    assert!(net.float_nodes().is_empty(), "a product of integers with a float result is no float node");
}

#[test]
fn weights_without_codes_run_in_float() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 4, 4]);
    let x = pair(&mut b, x, byte(0.5, 3), "x_pair");
    let y = b.convolution("conv", x, 2, [1, 1]).done().unwrap();
    b.output(y);
    let net = adopted(b);
    assert!(net.weight_quantizer(0).is_none() && net.codes_of(0).is_none());
    assert_eq!(net.float_nodes().len(), 1);
}

#[test]
fn an_output_behind_two_equal_pairs_keeps_its_name() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let sum = b.node("sum", Op::Binary(Binary::Add), &[x, x], "sum").unwrap();
    let first = pair(&mut b, sum, byte(0.3, 0), "first");
    let y = pair(&mut b, first, byte(0.3, 0), "y");
    b.output(y);
    let net = adopted(b);
    assert_eq!(net.graph().tensor(net.graph().outputs()[0]).name, "y");
}
