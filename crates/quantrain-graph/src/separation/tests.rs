use super::*;
use crate::op::{
    Activation, Concat, Extent, GlobalAveragePool, MatMul, MaxPool, Pad, Relation, Reshape, Slice, Softmax, Transpose, Where, Window,
};
use crate::{Dim, FloatReason, GraphBuilder, Target};

fn concat(b: &mut GraphBuilder, name: &str, inputs: &[TensorId]) -> TensorId {
    b.node(name, Op::Concat(Concat { axis: 1 }), inputs, name).unwrap()
}

fn sigmoid(b: &mut GraphBuilder, name: &str, x: TensorId) -> TensorId {
    b.node(name, Op::Activation(Activation::Sigmoid), &[x], name).unwrap()
}

fn convolution(b: &mut GraphBuilder, name: &str, x: TensorId) -> TensorId {
    b.convolution(name, x, 2, [1, 1]).done().unwrap()
}

/// Places a network, then once more by how far its tensors reach; what is not named reaches from −1 to 1.
fn placed(b: GraphBuilder, target: Target, extents: &[(&str, f32, f32)]) -> QuantGraph {
    placed_by(b, target, extents, &[])
}

/// As [`placed`], with tensors whose channels reach this far up.
fn placed_by(b: GraphBuilder, target: Target, extents: &[(&str, f32, f32)], channels: &[(&str, &[f32])]) -> QuantGraph {
    let graph = b.finish().unwrap();
    let along = |reach: &[f32]| AxisExtents { axis: 1, extents: reach.iter().map(|&max| Range::new(0.0, max)).collect() };
    let along_axes: BTreeMap<TensorId, Vec<AxisExtents>> =
        channels.iter().map(|(name, reach)| (graph.find(name).unwrap(), vec![along(reach)])).collect();
    let extent = |t: &crate::Tensor| {
        let named = extents.iter().find(|(name, ..)| *name == t.name).map_or((-1.0, 1.0), |&(_, min, max)| (min, max));
        Some(Range::new(named.0, named.1))
    };
    let extents: Vec<Option<Range>> = graph.tensors().iter().map(extent).collect();
    let mut net = QuantGraph::prepare(graph, target, &Settings::default()).unwrap();
    assert!(along_axes.keys().all(|t| net.measured_along_axes().iter().any(|(measured, axes)| measured == t && axes.contains(&1))));
    net.place_by(net.separations_by(&extents, &along_axes)).unwrap();
    net
}

/// `tensor: bits owner`, or `tensor: float`.
fn quantizer(net: &QuantGraph, tensor: &str) -> String {
    let quantizer = net.graph().find(tensor).and_then(|t| net.quantizer_of(t)).map(|q| &net.quantizers()[q.0]);
    quantizer.map_or_else(|| format!("{tensor}: float"), |q| format!("{tensor}: {} {}", q.scheme.bits, q.tensor))
}

fn quantizers(net: &QuantGraph, tensors: &[&str]) -> Vec<String> {
    tensors.iter().map(|t| quantizer(net, t)).collect()
}

/// Two layers of one input.
fn two_layers(b: &mut GraphBuilder) -> (TensorId, TensorId) {
    let x = b.input("x", &[3, 4, 4]);
    (convolution(b, "boxes", x), convolution(b, "logits", x))
}

#[test]
fn scores_do_not_share_the_step_of_boxes_on_an_output() {
    for target in [Target::onnxruntime(), Target::tidl_pow2()] {
        let mut b = GraphBuilder::new("g");
        let (boxes, logits) = two_layers(&mut b);
        let scores = sigmoid(&mut b, "scores", logits);
        let y = concat(&mut b, "joined", &[boxes, scores]);
        let rows = Reshape { extents: vec![Extent::Copy, Extent::Is(Dim::Fixed(4)), Extent::Infer] };
        let y = b.node("rows", Op::Reshape(rows), &[y], "rows").unwrap();
        let y = b.node("turned", Op::Transpose(Transpose { permutation: vec![0, 2, 1] }), &[y], "turned").unwrap();
        b.output(y);
        let net = placed(b, target, &[("boxes", 0.0, 640.0), ("scores", 0.0, 1.0), ("joined", 0.0, 640.0)]);
        assert_eq!(
            quantizers(&net, &["boxes", "scores", "joined", "rows", "turned"]),
            ["boxes: 8 boxes", "scores: 8 scores", "joined: float", "rows: float", "turned: float"]
        );
        let spread = Spread { part: "scores".into(), own: Range::new(0.0, 1.0), shared: Range::new(0.0, 640.0) };
        assert_eq!(net.float_nodes()[0].1, FloatReason::Apart(Some(spread)));
        assert_eq!(net.float_nodes()[1].1, FloatReason::Apart(None));
    }
}

#[test]
fn parts_of_about_the_same_range_share_a_quantizer() {
    let mut b = GraphBuilder::new("g");
    let (boxes, logits) = two_layers(&mut b);
    let y = concat(&mut b, "joined", &[boxes, logits]);
    b.output(y);
    let net = placed(b, Target::onnxruntime(), &[("boxes", -2.0, 2.0), ("joined", -2.0, 2.0)]);
    assert_eq!(quantizers(&net, &["boxes", "logits", "joined"]), ["boxes: 8 boxes", "logits: 8 boxes", "joined: 8 boxes"]);
    assert_eq!(net.separations(), []);
}

#[test]
fn a_join_of_heads_whose_parts_differ_stays_apart_though_the_heads_are_alike() {
    let mut b = GraphBuilder::new("g");
    let (boxes, scores) = two_layers(&mut b);
    let first = concat(&mut b, "first", &[boxes, scores]);
    let second = concat(&mut b, "second", &[boxes, scores]);
    let y = b.node("heads", Op::Concat(Concat { axis: 2 }), &[first, second], "heads").unwrap();
    b.output(y);
    let reach = [("boxes", 0.0, 640.0), ("first", -1.0, 640.0), ("second", -1.0, 640.0), ("heads", -1.0, 640.0)];
    let net = placed(b, Target::onnxruntime(), &reach);
    assert_eq!(
        quantizers(&net, &["boxes", "logits", "first", "second", "heads"]),
        ["boxes: 8 boxes", "logits: 8 logits", "first: float", "second: float", "heads: float"]
    );
}

#[test]
fn parts_that_are_taken_out_again_have_a_quantizer_of_their_own() {
    let mut b = GraphBuilder::new("g");
    let (boxes, logits) = two_layers(&mut b);
    let joined = concat(&mut b, "joined", &[boxes, logits]);
    let slice = Slice { starts: vec![2], ends: vec![4], axes: vec![1], steps: vec![1] };
    let only = b.node("only", Op::Slice(slice), &[joined], "only").unwrap();
    let scores = sigmoid(&mut b, "scores", only);
    let y = convolution(&mut b, "behind", scores);
    b.output(y);
    let net = placed(b, Target::onnxruntime(), &[("boxes", 0.0, 640.0), ("joined", -1.0, 640.0)]);
    assert_eq!(quantizers(&net, &["joined", "only", "scores"]), ["joined: float", "only: 8 only", "scores: 8 scores"]);
}

#[test]
fn a_layer_reads_values_of_very_different_ranges_in_sixteen_bits() {
    let mut b = GraphBuilder::new("g");
    let (boxes, logits) = two_layers(&mut b);
    let joined = concat(&mut b, "joined", &[boxes, logits]);
    let relu = b.relu("relu", joined).unwrap();
    let y = convolution(&mut b, "behind", relu);
    b.output(y);
    let net = placed(b, Target::onnxruntime(), &[("boxes", 0.0, 640.0), ("joined", -1.0, 640.0), ("relu", 0.0, 640.0)]);
    assert_eq!(
        quantizers(&net, &["boxes", "logits", "joined", "relu", "behind"]),
        ["boxes: 8 boxes", "logits: 8 logits", "joined: 16 joined", "relu: 16 relu", "behind: 8 behind"]
    );
}

#[test]
fn inside_a_network_eight_times_as_coarse_is_fine_enough() {
    let mut b = GraphBuilder::new("g");
    let (boxes, logits) = two_layers(&mut b);
    let joined = concat(&mut b, "joined", &[boxes, logits]);
    let y = convolution(&mut b, "behind", joined);
    b.output(y);
    let net = placed(b, Target::onnxruntime(), &[("boxes", -8.0, 8.0), ("joined", -8.0, 8.0)]);
    assert_eq!(quantizers(&net, &["logits", "joined"]), ["logits: 8 boxes", "joined: 8 boxes"]);
}

#[test]
fn a_chain_of_joins_is_cut_where_it_differs_most() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 4, 4]);
    let layers: Vec<TensorId> = ["a", "b", "c"].iter().map(|name| convolution(&mut b, name, x)).collect();
    let ab = concat(&mut b, "ab", &layers[..2]);
    let bc = concat(&mut b, "bc", &layers[1..]);
    for (name, x) in [("left", ab), ("right", bc)] {
        let y = convolution(&mut b, name, x);
        b.output(y);
    }
    let reach = [("a", 0.0, 49.0), ("b", 0.0, 7.0), ("c", 0.0, 1.0), ("ab", 0.0, 49.0), ("bc", 0.0, 7.0)];
    let net = placed(b, Target::onnxruntime(), &reach);
    assert_eq!(quantizers(&net, &["a", "b", "c", "ab", "bc"]), ["a: 8 a", "b: 8 b", "c: 8 b", "ab: 8 ab", "bc: 8 b"]);
    assert!(matches!(net.separations(), [Separation { remedy: Remedy::Requantized, .. }]));
}

/// scores · values, masked before a Softmax.
fn attention(mask: Vec<f32>, op: Binary, mask_first: bool) -> GraphBuilder {
    let mut b = GraphBuilder::new("g");
    let x = b.input_shaped("x", crate::Shape::batched(&[2, 2])).unwrap();
    let scores = b.node("scores", Op::MatMul(MatMul), &[x, x], "scores").unwrap();
    let mask = b.constant("mask", &[2, 2], mask).unwrap();
    let operands = if mask_first { [mask, scores] } else { [scores, mask] };
    let masked = b.node("masked", Op::Binary(op), &operands, "masked").unwrap();
    let factor = b.constant("factor", &[1], vec![0.5]).unwrap();
    let scaled = b.node("scaled", Op::Binary(Binary::Mul), &[masked, factor], "scaled").unwrap();
    let p = b.node("softmax", Op::Softmax(Softmax::along(2)), &[scaled], "p").unwrap();
    let y = b.node("product", Op::MatMul(MatMul), &[p, x], "y").unwrap();
    b.output(y);
    b
}

#[test]
fn a_masked_sum_stays_in_float_up_to_the_softmax() {
    for low in [-100.0, -1e4, -1e9, f32::MIN, f32::NEG_INFINITY] {
        for (op, sign, first) in [(Binary::Add, 1.0, false), (Binary::Add, 1.0, true), (Binary::Sub, -1.0, false)] {
            let b = attention(vec![0.0, sign * low, 0.0, 0.0], op, first);
            let net = placed(b, Target::onnxruntime(), &[("scores", -4.0, 4.0), ("masked", low, 4.0), ("scaled", low, 2.0)]);
            let found = quantizers(&net, &["scores", "masked", "scaled", "p"]);
            assert_eq!(found, ["scores: 8 scores", "masked: float", "scaled: float", "p: 8 p"], "{low} {op:?}");
        }
    }
}

#[test]
fn a_bias_of_scores_is_no_mask() {
    let b = attention(vec![0.5, -0.5, 1.0, -2.0], Binary::Add, false);
    let net = placed(b, Target::onnxruntime(), &[("scores", -4.0, 4.0), ("masked", -6.0, 5.0)]);
    assert_eq!(quantizers(&net, &["masked", "scaled"]), ["masked: 8 masked", "scaled: 8 scaled"]);
}

#[test]
fn a_masked_sum_before_a_function_that_is_flat_there_stays_in_float_with_it() {
    for target in [Target::onnxruntime(), Target::tidl_pow2()] {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1, 1, 2]);
        let first = convolution(&mut b, "first", x);
        let mask = b.constant("mask", &[2], vec![0.0, -1e4]).unwrap();
        let masked = b.add("masked", first, mask).unwrap();
        let scores = sigmoid(&mut b, "scores", masked);
        let y = convolution(&mut b, "behind", scores);
        b.output(y);
        let net = placed(b, target, &[("masked", -10001.0, 1.0), ("scores", 0.0, 1.0)]);
        assert_eq!(quantizers(&net, &["first", "masked", "scores"]), ["first: 8 first", "masked: float", "scores: 8 scores"]);
        let float: Vec<&str> = net.float_nodes().iter().map(|(n, _)| net.graph().node(*n).name.as_str()).collect();
        assert_eq!(float, ["masked", "scores"]);
    }
}

#[test]
fn masked_places_of_a_choice_stay_in_float_up_to_where_they_vanish() {
    for low in [-1e4, f32::NEG_INFINITY] {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1, 1, 2]);
        let condition = b.constant("condition", &[2], vec![0.0, 1.0]).unwrap();
        let low_value = b.constant("low", &[1], vec![low]).unwrap();
        let half = b.constant("half", &[1], vec![0.5]).unwrap();
        let chosen = b.node("chosen", Op::Where(Where), &[condition, x, low_value], "chosen").unwrap();
        let scaled = b.node("scaled", Op::Binary(Binary::Mul), &[chosen, half], "scaled").unwrap();
        let again = b.node("again", Op::Where(Where), &[condition, scaled, low_value], "again").unwrap();
        let scores = sigmoid(&mut b, "scores", again);
        let y = convolution(&mut b, "behind", scores);
        b.output(y);
        let reach = [("chosen", low, 1.0), ("scaled", low, 0.5), ("again", low, 0.5), ("scores", 0.0, 1.0)];
        let net = placed(b, Target::onnxruntime(), &reach);
        let found = quantizers(&net, &["chosen", "scaled", "again", "scores"]);
        assert_eq!(found, ["chosen: float", "scaled: float", "again: float", "scores: 8 scores"]);
    }
}

#[test]
fn a_mask_that_is_computed_of_truths_is_a_mask() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[1, 1, 2]);
    let first = convolution(&mut b, "first", x);
    let [zero, one, low] = [("zero", 0.0), ("one", 1.0), ("low", -1e9)].map(|(name, v)| b.constant(name, &[1], vec![v]).unwrap());
    let truth = b.node("truth", Op::Binary(Binary::Relation(Relation::Less)), &[first, zero], "truth").unwrap();
    let inverse = b.node("inverse", Op::Binary(Binary::Sub), &[one, truth], "inverse").unwrap();
    let mask = b.node("mask", Op::Binary(Binary::Mul), &[inverse, low], "mask").unwrap();
    let masked = b.add("masked", first, mask).unwrap();
    let scores = sigmoid(&mut b, "scores", masked);
    let y = convolution(&mut b, "behind", scores);
    b.output(y);
    let net = placed(b, Target::tidl_pow2(), &[("masked", -1e9, 1.0), ("mask", -1e9, 0.0), ("inverse", 0.0, 1.0), ("scores", 0.0, 1.0)]);
    let found = quantizers(&net, &["inverse", "mask", "masked", "scores"]);
    assert_eq!(found, ["inverse: float", "mask: float", "masked: float", "scores: 8 scores"]);
}

fn pad(b: &mut GraphBuilder, name: &str, x: TensorId, fill: f32) -> TensorId {
    let pads = vec![0, 0, 1, 1, 0, 0, 1, 1];
    b.node(name, Op::Pad(Pad { pads, mode: PadMode::Constant(fill) }), &[x], name).unwrap()
}

fn max_pool(b: &mut GraphBuilder, name: &str, x: TensorId) -> TensorId {
    b.node(name, Op::MaxPool(MaxPool { window: Window::new([3, 3]) }), &[x], name).unwrap()
}

#[test]
fn padding_before_a_pool_carries_the_quantizer_of_what_it_pads() {
    for fill in [-20.0, -1e4, f32::MIN, f32::NEG_INFINITY] {
        for target in [Target::onnxruntime(), Target::tidl_pow2()] {
            let mut b = GraphBuilder::new("g");
            let x = b.input("x", &[3, 4, 4]);
            let y = convolution(&mut b, "first", x);
            let y = pad(&mut b, "one", y, fill);
            let y = pad(&mut b, "two", y, fill);
            let turned = Op::Transpose(Transpose { permutation: vec![0, 1, 3, 2] });
            let y = b.node("turned", turned, &[y], "turned").unwrap();
            let other = convolution(&mut b, "other", x);
            let other = pad(&mut b, "three", other, fill);
            let other = pad(&mut b, "four", other, fill);
            let y = concat(&mut b, "joined", &[y, other]);
            let y = max_pool(&mut b, "pool", y);
            let y = b.convolution("last", y, 2, [1, 1]).done().unwrap();
            b.output(y);
            let reach = ["one", "two", "turned", "three", "four", "joined"].map(|name| (name, fill, 1.0));
            let net = placed(b, target, &reach);
            let found = quantizers(&net, &["one", "two", "turned", "three", "four", "joined", "pool"]);
            assert_eq!(found, ["one", "two", "turned", "three", "four", "joined", "pool"].map(|t| format!("{t}: 8 first")));
            assert_eq!(net.float_nodes(), []);
            let below = net.quantizers().iter().find(|q| q.tensor == "first").and_then(|q| q.below).unwrap();
            assert!(below < -1.0 && below > fill.max(f32::MIN), "{below}");
        }
    }
}

#[test]
fn a_clip_from_above_lets_marks_through() {
    for fill in [-1e4, f32::MIN, f32::NEG_INFINITY] {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 4, 4]);
        let y = convolution(&mut b, "first", x);
        let y = pad(&mut b, "pad", y, fill);
        let clip = Activation::Clip { min: f32::NEG_INFINITY, max: 6.0 };
        let y = b.node("clip", Op::Activation(clip), &[y], "clip").unwrap();
        let y = max_pool(&mut b, "pool", y);
        let y = convolution(&mut b, "last", y);
        b.output(y);
        let net = placed(b, Target::tidl_pow2(), &[("pad", fill, 1.0), ("clip", fill, 1.0)]);
        assert_eq!(quantizers(&net, &["pad", "clip", "pool"]), ["pad: 8 first", "clip: 8 clip", "pool: 8 clip"]);
        let below: Vec<f32> = net.quantizers().iter().filter_map(|q| q.below).collect();
        assert!(below.len() == 2 && below.iter().all(|b| *b < -1.0 && *b > fill.max(f32::MIN)), "{below:?}");
    }
}

/// One layer of six channels on an image.
fn one_layer(b: &mut GraphBuilder) -> TensorId {
    let x = b.input("x", &[3, 4, 4]);
    b.convolution("layer", x, 6, [1, 1]).done().unwrap()
}

const DIFFERENT: &[f32] = &[640.0, 500.0, 300.0, 400.0, 1.0, 0.3];

#[test]
fn channels_of_very_different_ranges_that_lead_to_an_output_stay_in_float() {
    let mut b = GraphBuilder::new("g");
    let layer = one_layer(&mut b);
    let all = sigmoid(&mut b, "all", layer);
    let factors = b.constant("factors", &[1, 6, 1, 1], vec![640.0, 640.0, 640.0, 640.0, 1.0, 1.0]).unwrap();
    let scaled = b.node("scaled", Op::Binary(Binary::Mul), &[all, factors], "scaled").unwrap();
    let y = b.node("mean", Op::GlobalAveragePool(GlobalAveragePool), &[scaled], "mean").unwrap();
    b.output(y);
    let reach = [("all", 0.0, 1.0), ("scaled", 0.0, 640.0), ("mean", 0.0, 640.0)];
    let net = placed_by(b, Target::onnxruntime(), &reach, &[("scaled", DIFFERENT)]);
    assert_eq!(quantizers(&net, &["all", "scaled", "mean"]), ["all: 8 all", "scaled: float", "mean: float"]);
    let spread = net.separations()[0].spread.clone().unwrap();
    assert_eq!((spread.part.as_str(), spread.own), ("scaled[:, 4:6]", Range::new(0.0, 1.0)));
}

#[test]
fn a_layer_of_two_kinds_of_channels_on_an_output_has_integer_weights_and_a_float_result() {
    let classes: &[f32] = &[20.0, 12.0, 9.0, 7.0, 4.0, 2.0];
    let [onnxruntime, tidl] = [Target::onnxruntime(), Target::tidl_pow2()];
    let cases =
        [(DIFFERENT, &onnxruntime, "layer: float", 8), (DIFFERENT, &tidl, "layer: float", 16), (classes, &tidl, "layer: 8 layer", 8)];
    for (channels, target, expected, weight_bits) in cases {
        let mut b = GraphBuilder::new("g");
        let layer = one_layer(&mut b);
        b.output(layer);
        let net = placed_by(b, target.clone(), &[("layer", 0.0, channels[0])], &[("layer", channels)]);
        assert_eq!(quantizer(&net, "layer"), expected);
        assert_eq!(net.weight_quantizer(0).unwrap().scheme.bits, weight_bits, "a scale for all channels needs more bits");
        assert_eq!(net.float_nodes(), []);
    }
}

#[test]
fn what_is_sliced_out_of_a_layer_does_not_share_a_step() {
    for inside in [false, true] {
        let mut b = GraphBuilder::new("g");
        let layer = one_layer(&mut b);
        let slice = |starts: i64, ends: i64| Op::Slice(Slice { starts: vec![starts], ends: vec![ends], axes: vec![1], steps: vec![1] });
        let boxes = b.node("boxes", slice(0, 4), &[layer], "boxes").unwrap();
        let logits = b.node("logits", slice(4, 6), &[layer], "logits").unwrap();
        let scores = sigmoid(&mut b, "scores", logits);
        let boxes = if inside { convolution(&mut b, "behind", boxes) } else { boxes };
        b.output(boxes);
        b.output(scores);
        let reach = [("layer", -4.0, 640.0), ("boxes", 0.0, 640.0), ("logits", -4.0, 4.0), ("scores", 0.0, 1.0)];
        let net = placed(b, Target::onnxruntime(), &reach);
        assert_eq!(quantizer(&net, "layer"), if inside { "layer: 16 layer" } else { "layer: float" });
        assert_eq!(quantizers(&net, &["logits", "scores"]), ["logits: 8 logits", "scores: 8 scores"]);
    }
}

#[test]
fn parts_that_zeros_surround_and_a_sum_joins_do_not_share_a_step() {
    for inside in [false, true] {
        let mut b = GraphBuilder::new("g");
        let (boxes, logits) = two_layers(&mut b);
        let channels = |before, after| Op::Pad(Pad { pads: vec![0, before, 0, 0, 0, after, 0, 0], mode: PadMode::Constant(0.0) });
        let first = b.node("first", channels(0, 2), &[boxes], "first").unwrap();
        let second = b.node("second", channels(2, 0), &[logits], "second").unwrap();
        let sum = b.add("sum", first, second).unwrap();
        let y = if inside { convolution(&mut b, "behind", sum) } else { sum };
        b.output(y);
        let net = placed(b, Target::onnxruntime(), &[("boxes", 0.0, 640.0), ("first", 0.0, 640.0), ("sum", -1.0, 640.0)]);
        assert_eq!(quantizers(&net, &["first", "second"]), ["first: 8 boxes", "second: 8 logits"]);
        assert_eq!(quantizer(&net, "sum"), if inside { "sum: 16 sum" } else { "sum: float" });
    }
}

#[test]
fn a_mean_of_what_is_kept_apart_is_kept_apart() {
    let mut b = GraphBuilder::new("g");
    let (boxes, logits) = two_layers(&mut b);
    let joined = concat(&mut b, "joined", &[boxes, logits]);
    let mean = b.node("mean", Op::GlobalAveragePool(GlobalAveragePool), &[joined], "mean").unwrap();
    let y = convolution(&mut b, "behind", mean);
    b.output(y);
    let net = placed(b, Target::onnxruntime(), &[("boxes", 0.0, 640.0), ("joined", -1.0, 640.0), ("mean", -1.0, 400.0)]);
    assert_eq!(quantizers(&net, &["joined", "mean"]), ["joined: 16 joined", "mean: 16 mean"]);
}
