use super::*;
use crate::op::{Activation, FakeQuantize, Gemm};
use crate::{GraphBuilder, Rounding, TensorId};

fn quantizer(scale: f32, zero: i32, low: i32, high: i32) -> Quantizer {
    Quantizer::new(scale, zero, low, high, Rounding::HalfToEven).unwrap()
}

fn pair(b: &mut GraphBuilder, x: TensorId, q: Quantizer, output: &str) -> TensorId {
    b.node(output, Op::FakeQuantize(FakeQuantize { quantizers: vec![q] }), &[x], output).unwrap()
}

/// Input, product with integer weights, clip, all in pairs.
fn network(weights: Vec<Quantizer>) -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let x = pair(&mut b, x, quantizer(0.03, 7, 0, 255), "x_pair");
    let scale = |c: usize| weights[if weights.len() == 1 { 0 } else { c }].scale();
    let centred = vec![127, -100, 3, -127];
    let values = centred.iter().enumerate().map(|(i, &c)| c as f32 * scale(i / 2)).collect();
    let w = b.constant("w", &[2, 2], values).unwrap();
    b.stored_codes(w, StoredCodes { centred, quantizers: weights, axis: 0 });
    let gemm = Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true };
    let y = b.node("gemm", Op::Gemm(gemm), &[x, w], "gemm").unwrap();
    let y = b.node("clip", Op::Activation(Activation::Clip { min: 0.0, max: 6.0 }), &[y], "clip").unwrap();
    let y = pair(&mut b, y, quantizer(6.0 / 255.0, 0, 0, 255), "y");
    b.output(y);
    b.finish().unwrap()
}

fn taken(graph: Graph) -> QuantGraph {
    let (graph, file) = graph.split_quantizers();
    QuantGraph::take_over(graph, Target::onnxruntime(), &file, BiasLimit::Off).unwrap()
}

#[test]
fn kinds_that_the_target_does_not_have_are_refused() {
    let of = |activation: Quantizer, weights: Vec<Quantizer>| {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2]);
        let x = pair(&mut b, x, activation, "x_pair");
        let w = b.constant("w", &[2, 2], vec![0.5; 4]).unwrap();
        b.stored_codes(w, StoredCodes { centred: vec![1; 4], quantizers: weights, axis: 0 });
        let gemm = Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true };
        let y = b.node("gemm", Op::Gemm(gemm), &[x, w], "gemm").unwrap();
        let y = pair(&mut b, y, quantizer(0.5, 0, -128, 127), "y");
        b.output(y);
        let (graph, file) = b.finish().unwrap().split_quantizers();
        QuantGraph::take_over(graph, Target::tidl_pow2(), &file, BiasLimit::Off)
    };
    let even = quantizer(0.5, 0, -128, 127);
    assert!(of(even, vec![even]).is_ok() && of(quantizer(0.5, 0, 0, 255), vec![even]).is_ok());
    for (activation, weights, what) in [
        (quantizer(0.3, 0, 0, 255), vec![even], "no power of two"),
        (quantizer(0.5, 3, 0, 255), vec![even], "a zero point"),
        (even, vec![even, even], "a scale for each channel"),
    ] {
        let found = of(activation, weights).unwrap_err();
        assert!(matches!(found, PlacementError::NotInTarget { .. }) && found.to_string().contains(what), "{found}");
    }
}

#[test]
fn quantizers_are_calibrated_to_the_numbers_of_the_file() {
    for weights in [vec![quantizer(0.01, 0, -128, 127)], vec![quantizer(0.01, 0, -127, 127), quantizer(0.37, 0, -127, 127)]] {
        let net = taken(network(weights.clone()));
        assert!(net.is_calibrated() && net.float_nodes().is_empty());
        assert_eq!(net.graph().nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Gemm", "Clip"], "no pair, and the clip");
        assert_eq!(net.units().len(), 1, "which the product takes");
        let numbers = net.quantizers().iter().map(|q| q.quantizer().unwrap().unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers, [quantizer(0.03, 7, 0, 255), quantizer(6.0 / 255.0, 0, 0, 255)]);
        assert!(net.quantizers().iter().all(|q| q.fixed.is_none()), "training may move them");
        let block = net.quantized_block(0).unwrap().unwrap();
        assert_eq!(block.weight.quantizers, weights);
        assert_eq!(block.weight.codes, [127.0, -100.0, 3.0, -127.0]);
    }
}

#[test]
fn a_relu_that_the_file_left_to_a_quantizer_is_an_operator_again() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let x = pair(&mut b, x, quantizer(0.03, 0, 0, 255), "x_pair");
    let y = b.gemm("first", x, 2, vec![1.0, -1.0, 0.5, 0.25], vec![0.0; 2]).unwrap();
    let y = pair(&mut b, y, quantizer(0.1, 0, 0, 255), "y_pair");
    let z = b.gemm("second", y, 2, vec![1.0, -1.0, 0.5, 0.25], vec![0.0; 2]).unwrap();
    let z = pair(&mut b, z, quantizer(0.1, 9, 0, 255), "z");
    b.output(z);
    let net = taken(b.finish().unwrap());
    assert_eq!(net.graph().nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Gemm", "Relu", "Gemm"], "not behind the input");
    let [first, second] = net.units() else { panic!("two products were built") };
    assert_eq!((first.nodes().count(), second.nodes().count()), (2, 1));
    assert_eq!(net.graph().tensor(first.output(net.graph())).name, "first", "which has the quantizer");
    assert!(net.quantizer_of(first.output(net.graph())).is_some());
}

#[test]
fn weights_with_the_zero_point_in_the_middle_are_symmetric_ones() {
    let net = taken(network(vec![quantizer(0.01, 128, 0, 255)]));
    let block = net.quantized_block(0).unwrap().unwrap();
    assert_eq!(block.weight.quantizers, [quantizer(0.01, 0, -128, 127)]);
    assert_eq!(block.weight.codes, [127.0, -100.0, 3.0, -127.0]);
}

#[test]
fn many_scales_are_met_to_the_bit() {
    let mut missed = 0;
    for i in 0..4000 {
        let scale = 1e-4 * 1.0037f32.powi(i);
        for q in
            [quantizer(scale, i % 256, 0, 255), quantizer(scale, 0, -128, 127), quantizer(scale, 0, 0, 65535), quantizer(scale, 0, -7, 7)]
        {
            let (scheme, range) = trained(scheme(&Target::onnxruntime().activations(), &q, Granularity::PerTensor), &q);
            let made = Quantizer::from_range(&scheme, range).unwrap();
            assert!((made.scale() / q.scale() - 1.0).abs() < 3e-7 && made.zero_point() == q.zero_point(), "{q:?} {made:?}");
            missed += usize::from(made.scale() != q.scale());
        }
    }
    // Not every scale is a f32 divided by the number of codes.
    assert!(missed < 640, "{missed} of 16000 are one unit in the last place apart");
}

#[test]
fn a_float_network_has_nothing_to_take_over() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2]);
    let y = b.relu("y", x).unwrap();
    b.output(y);
    let graph = b.finish().unwrap();
    let (same, file) = graph.clone().split_quantizers();
    assert!(file.is_empty() && same == graph);
}
