use super::*;
use crate::op::{Activation, Binary, Concat, Extent, MaxPool, Relation, Reshape, Softmax, Where, Window};
use crate::{Dim, GraphBuilder, Op, Quantizer, Range, TensorId};

/// conv → pool ─┬─ conv → relu ─┐
///              └───────────────┴ concat → conv → softmax
fn network() -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let y = b.convolution("first", x, 4, [3, 3]).padding([1, 1, 1, 1]).done().unwrap();
    let y = b.node("pool", Op::MaxPool(MaxPool { window: Window::new([2, 2]) }), &[y], "pool").unwrap();
    let z = b.convolution("middle", y, 4, [1, 1]).done().unwrap();
    let z = b.relu("relu", z).unwrap();
    let z = b.node("concat", Op::Concat(Concat { axis: 1 }), &[y, z], "concat").unwrap();
    let z = b.convolution("last", z, 2, [1, 1]).done().unwrap();
    let z = b.node("softmax", Op::Softmax(Softmax::along(1)), &[z], "softmax").unwrap();
    b.output(z);
    b.finish().unwrap()
}

/// One line a quantizer: bits, sign, and the tensors that have it.
fn placed(net: &QuantGraph) -> Vec<String> {
    let tensors = |q: usize| {
        let of = |t: &usize| net.quantizer_of(TensorId(*t)) == Some(QuantizerId(q));
        let names = (0..net.graph().tensors().len()).filter(of).map(|t| net.graph().tensor(TensorId(t)).name.clone());
        names.collect::<Vec<_>>().join(" ")
    };
    net.quantizers().iter().enumerate().map(|(i, q)| format!("{} bits: {}", q.scheme.bits, tensors(i))).collect()
}

#[test]
fn quantizers_go_where_the_target_says() {
    let net = QuantGraph::prepare(network(), Target::onnxruntime(), &Settings::default()).unwrap();
    assert_eq!(placed(&net), ["8 bits: x", "8 bits: first pool relu concat", "8 bits: last"]);
    let softmax = net.graph().nodes().len() - 1;
    assert_eq!(net.float_nodes(), [(NodeId(softmax), FloatReason::NotInTarget)]);
}

/// Widths of the weights of the first, middle and last layer.
fn widths_of_weights(target: &Target, weight_bits: u8, edge_bits: u8) -> Vec<u8> {
    let settings = Settings { weight_bits: Some(weight_bits), edge_bits: Some(edge_bits), ..Settings::default() };
    let net = QuantGraph::prepare(network(), target.clone(), &settings).unwrap();
    (0..net.units().len()).filter_map(|u| net.weight_quantizer(u)).map(|w| w.scheme.bits).collect()
}

#[test]
fn edges_keep_more_bits_than_the_middle() {
    let settings = Settings { weight_bits: Some(4), activation_bits: Some(4), edge_bits: Some(8), ..Settings::default() };
    let net = QuantGraph::prepare(network(), Target::onnxruntime(), &settings).unwrap();
    assert_eq!(placed(&net), ["8 bits: x", "8 bits: first pool relu concat", "4 bits: last"]);
    assert_eq!(widths_of_weights(&Target::tidl_pow2(), 4, 8), [8, 4, 8]);
}

#[test]
fn weights_of_edges_are_no_wider_than_the_targets_own() {
    let text = include_str!("../../targets/onnxruntime.toml");
    let seven = Target::parse("seven", &text.replacen("bits = 8", "bits = 7", 1)).unwrap();
    assert_eq!(widths_of_weights(&seven, 4, 8), [7, 4, 7]);
    assert_eq!(widths_of_weights(&Target::onnxruntime(), 4, 8), [8, 4, 8]);
    assert_eq!(widths_of_weights(&seven, 8, 8), [8, 8, 8], "8 bits for all are meant");
    assert_eq!(widths_of_weights(&seven, 8, 4), [4, 8, 4]);
    assert_eq!(widths_of_weights(&seven, 4, 16), [16, 4, 16]);
}

#[test]
fn a_layer_is_pinned_by_name_or_pattern() {
    let layer = |pattern: &str| LayerSettings { pattern: pattern.into(), float: true, ..LayerSettings::default() };
    let settings = Settings { layers: vec![layer("mid*")], ..Settings::default() };
    let net = QuantGraph::prepare(network(), Target::onnxruntime(), &settings).unwrap();
    assert!(net.float_nodes().iter().any(|(n, r)| net.graph().node(*n).name == "middle" && *r == FloatReason::Pinned));
    assert_eq!(placed(&net)[1], "8 bits: first pool relu concat");
    let settings = Settings { layers: vec![layer("mild*")], ..Settings::default() };
    let error = QuantGraph::prepare(network(), Target::onnxruntime(), &settings).unwrap_err();
    assert_eq!(error, PlacementError::PatternMatchesNothing { pattern: "mild*".into() });
}

#[test]
fn a_rule_meets_every_node_that_has_its_name_in_the_file() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let y = b.convolution("conv", x, 3, [1, 1]).done().unwrap();
    let y = b.convolution("conv_1", y, 3, [1, 1]).done().unwrap();
    let y = b.convolution("conv_2", y, 3, [1, 1]).done().unwrap();
    b.note([crate::graph::Note::NodeRenamed { node: "conv".into(), output: "y".into(), renamed: "conv_1".into() }]);
    b.output(y);
    let graph = b.finish().unwrap();
    let float = |pattern: &str| {
        let layers = vec![LayerSettings { pattern: pattern.into(), float: true, ..LayerSettings::default() }];
        let settings = Settings { layers, ..Settings::default() };
        let net = QuantGraph::prepare(graph.clone(), Target::onnxruntime(), &settings).unwrap();
        net.float_nodes().iter().map(|(n, _)| net.graph().node(*n).name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(float("conv"), ["conv", "conv_1"]);
    assert_eq!(float("conv_1"), ["conv_1"]);
}

#[test]
fn an_output_may_stay_float() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let y = b.convolution("conv", x, 4, [1, 1]).done().unwrap();
    b.output(y);
    let settings = Settings { quantize_output: Some(false), ..Settings::default() };
    let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &settings).unwrap();
    assert_eq!(placed(&net), ["8 bits: x"]);
}

#[test]
fn what_leads_to_a_float_output_only_stays_float() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let stem = b.convolution("stem", x, 4, [1, 1]).done().unwrap();
    let y = b.convolution("boxes", stem, 4, [1, 1]).done().unwrap();
    let z = b.convolution("logits", stem, 2, [1, 1]).done().unwrap();
    let z = b.node("scores", Op::Activation(Activation::Sigmoid), &[z], "scores").unwrap();
    let stride = b.constant("stride", &[1], vec![8.0]).unwrap();
    let y = b.node("scaled", Op::Binary(Binary::Mul), &[y, stride], "scaled").unwrap();
    let y = b.node("joined", Op::Concat(Concat { axis: 1 }), &[y, z], "joined").unwrap();
    let rows = Reshape { extents: vec![Extent::Copy, Extent::Is(Dim::Fixed(6)), Extent::Infer] };
    let y = b.node("rows", Op::Reshape(rows), &[y], "rows").unwrap();
    b.output(y);
    let settings = Settings { quantize_output: Some(false), ..Settings::default() };
    let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &settings).unwrap();
    assert_eq!(placed(&net), ["8 bits: x", "8 bits: stem"]);
    let float: Vec<&str> = net.float_nodes().iter().map(|(n, _)| net.graph().node(*n).name.as_str()).collect();
    assert_eq!(float, ["scores", "scaled", "joined", "rows"]);
    assert!(net.float_nodes().iter().all(|(_, reason)| *reason == FloatReason::LeadsToOutput));
    assert_eq!((0..net.units().len()).filter(|&u| net.weight_quantizer(u).is_some()).count(), 3, "layers stay in integers");
}

#[test]
fn widths_that_the_target_lacks_are_refused() {
    let settings = Settings { weight_bits: Some(9), ..Settings::default() };
    assert!(matches!(QuantGraph::prepare(network(), Target::onnxruntime(), &settings), Err(PlacementError::Target(_))));
}

/// A layer, truths of its values, and what reads them as numbers where `as_number`.
fn truths(as_number: bool, target: Target) -> QuantGraph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[1, 2, 2]);
    let layer = b.convolution("layer", x, 2, [1, 1]).done().unwrap();
    let [zero, one] = [("zero", 0.0), ("one", 1.0)].map(|(name, v)| b.constant(name, &[1], vec![v]).unwrap());
    let truth = b.node("truth", Op::Binary(Binary::Relation(Relation::Less)), &[layer, zero], "truth").unwrap();
    let inverse = b.node("inverse", Op::Binary(Binary::Sub), &[one, truth], "inverse").unwrap();
    let chosen = b.node("chosen", Op::Where(Where), &[inverse, layer, zero], "chosen").unwrap();
    let product = b.node("product", Op::Binary(Binary::Mul), &[layer, inverse], "product").unwrap();
    let y = b.convolution("behind", chosen, 2, [1, 1]).done().unwrap();
    b.output(y);
    if as_number {
        b.output(product);
    }
    QuantGraph::prepare(b.finish().unwrap(), target, &Settings::default()).unwrap()
}

#[test]
fn truths_and_what_is_computed_of_them_stay_in_float() {
    for target in [Target::onnxruntime(), Target::tidl_pow2()] {
        let net = truths(false, target);
        let quantized = |name: &str| net.quantizer_of(net.graph().find(name).unwrap()).is_some();
        assert!(!quantized("truth") && !quantized("inverse"));
        assert!(net.float_nodes().iter().any(|(n, why)| net.graph().node(*n).name == "inverse" && *why == FloatReason::FewValues));
    }
}

#[test]
fn truths_that_are_multiplied_have_codes_of_exactly_their_values() {
    for target in [Target::onnxruntime(), Target::tidl_pow2()] {
        let net = truths(true, target);
        let q = &net.quantizers()[net.quantizer_of(net.graph().find("inverse").unwrap()).unwrap().0];
        assert_eq!(q.levels.as_deref(), Some(&[0.0, 1.0][..]));
        let range = q.range_for(Range::new(0.0, 1.0));
        let quantizer = Quantizer::from_range(&q.scheme, range).unwrap();
        assert_eq!([0.0, 1.0].map(|v| quantizer.fake_quantize(v)), [0.0, 1.0], "{quantizer:?}");
        let other = &net.quantizers()[net.quantizer_of(net.graph().find("layer").unwrap()).unwrap().0];
        assert_eq!(other.range_for(Range::new(0.0, 1.0)), Range::new(0.0, 1.0));
    }
}

#[test]
fn what_is_only_compared_has_no_quantizer_and_a_layer_keeps_its_integer_weights() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[1, 2, 2]);
    let other = b.convolution("other", x, 2, [1, 1]).done().unwrap();
    let layer = b.convolution("layer", x, 2, [1, 1]).done().unwrap();
    let zero = b.constant("zero", &[1], vec![0.0]).unwrap();
    let truth = b.node("truth", Op::Binary(Binary::Relation(Relation::Less)), &[layer, zero], "truth").unwrap();
    let y = b.node("y", Op::Where(Where), &[truth, other, zero], "y").unwrap();
    let y = b.convolution("behind", y, 2, [1, 1]).done().unwrap();
    b.output(y);
    let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
    let quantized = |name: &str| net.quantizer_of(net.graph().find(name).unwrap()).is_some();
    assert_eq!([quantized("other"), quantized("layer")], [true, false]);
    assert!((0..2).all(|u| net.weight_quantizer(u).is_some()));
}

#[test]
fn peaks_on_an_output_are_found_among_float_scores() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[1, 4, 4]);
    let layer = b.convolution("layer", x, 2, [1, 1]).done().unwrap();
    let scores = b.node("scores", Op::Activation(Activation::Sigmoid), &[layer], "scores").unwrap();
    let window = Window { pads: [1; 4], ..Window::new([3, 3]) };
    let pool = b.node("pool", Op::MaxPool(MaxPool { window }), &[scores], "pool").unwrap();
    let peak = b.node("peak", Op::Binary(Binary::Relation(Relation::Equal)), &[scores, pool], "peak").unwrap();
    let y = b.node("y", Op::Binary(Binary::Mul), &[scores, peak], "y").unwrap();
    b.output(y);
    let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
    let quantized = |name: &str| net.quantizer_of(net.graph().find(name).unwrap()).is_some();
    assert_eq!(["layer", "scores", "pool", "peak", "y"].map(quantized), [false; 5]);
}

/// Conv, depthwise conv with Relu, MaxPool, GlobalAveragePool, Gemm.
fn pooled() -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 8, 8]);
    let y = b.convolution("dense", x, 4, [3, 3]).weights(vec![0.1; 108]).done().unwrap();
    let y = b.convolution("depthwise", y, 4, [3, 3]).groups(4).weights(vec![0.1; 36]).done().unwrap();
    let y = b.relu("relu", y).unwrap();
    let y = b.node("max", Op::MaxPool(MaxPool { window: Window::new([2, 2]) }), &[y], "max").unwrap();
    let y = b.global_average_pool("mean", y).unwrap();
    let y = b.flatten("flat", y).unwrap();
    let y = b.gemm("fc", y, 2, vec![0.1; 8], vec![0.0; 2]).unwrap();
    b.output(y);
    b.finish().unwrap()
}

#[test]
fn scales_of_channels_are_for_all_layers_for_depthwise_ones_or_for_those_a_rule_names() {
    use Granularity::{PerChannel, PerTensor};
    let found = |settings: &Settings| {
        let net = QuantGraph::prepare(pooled(), Target::tidl_pow2(), settings).unwrap();
        (0..net.units().len()).filter_map(|u| Some(net.weight_quantizer(u)?.scheme.granularity)).collect::<Vec<_>>()
    };
    let of = |scales| Settings { per_channel: Some(scales), ..Settings::default() };
    assert_eq!(found(&Settings::default()), [PerTensor; 3]);
    assert_eq!(found(&of(ChannelScales::All)), [PerChannel; 3]);
    assert_eq!(found(&of(ChannelScales::Depthwise)), [PerTensor, PerChannel, PerTensor]);
    let rule = |name: &str, per_channel| LayerSettings { pattern: name.into(), per_channel: Some(per_channel), ..LayerSettings::default() };
    let mixed = Settings { layers: vec![rule("fc", true), rule("depthwise", false)], ..of(ChannelScales::Depthwise) };
    assert_eq!(found(&mixed), [PerTensor, PerTensor, PerChannel]);
}

#[test]
fn a_tensor_may_have_a_range_and_a_width_by_hand_or_stay_in_float() {
    let rule = |name: &str| TensorSettings { pattern: name.into(), ..TensorSettings::default() };
    let place = |tensors| QuantGraph::prepare(pooled(), Target::tidl_pow2(), &Settings { tensors, ..Settings::default() });
    let given = TensorSettings { range: Some(Range::new(-3.0, 1.0)), bits: Some(16), ..rule("dense") };
    let mut net = place(vec![given]).unwrap();
    let dense = net.quantizers().iter().position(|q| q.tensor == "dense").unwrap();
    assert_eq!(net.quantizers()[dense].quantizer().unwrap(), None, "nothing is known before a calibration");
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(0.0, 50.0)));
    let scale = |q: usize| net.quantizers()[q].quantizer().unwrap().unwrap().scale();
    assert_eq!((scale(dense), scale(0)), (4.0 / 32768.0, 64.0 / 256.0));
    let net = place(vec![TensorSettings { float: true, ..rule("relu") }]).unwrap();
    assert!(net.float_nodes().iter().any(|(n, reason)| net.graph().node(*n).name == "depthwise" && *reason == FloatReason::Pinned));
    for nothing in ["no such tensor", "dense.weight"] {
        assert!(matches!(place(vec![rule(nothing)]), Err(PlacementError::PatternMatchesNothing { .. })), "{nothing}");
    }
    assert!(matches!(place(vec![TensorSettings { bits: Some(9), ..rule("x") }]), Err(PlacementError::Target(_))));
}

/// The devkit gives MaxPool a range of its own and AdaptiveAvgPool2d none: a target file can say the same.
#[test]
fn where_pools_are_quantized_is_the_target_s_choice() {
    let text = include_str!("../../targets/tidl-pow2.toml");
    let theirs = text.replacen("\"AveragePool\", \"GlobalAveragePool\"", "\"AveragePool\", \"MaxPool\"", 1).replacen(
        "carried = [\"MaxPool\", ",
        "carried = [",
        1,
    );
    let tensors = |target: Target| {
        let net = QuantGraph::prepare(pooled(), target, &Settings::default()).unwrap();
        net.quantizers().iter().map(|q| q.tensor.clone()).collect::<Vec<_>>()
    };
    assert_eq!(tensors(Target::tidl_pow2()), ["x", "dense", "relu", "mean", "fc"]);
    assert_eq!(tensors(Target::parse("theirs", &theirs).unwrap()), ["x", "dense", "relu", "max", "flat", "fc"]);
}
