//! Every operator family, in the forms of its operator sets.

use quantrain_graph::op::*;
use quantrain_graph::{Dim, Graph, Op, Quantizer, Rounding, Shape};

use crate::fixture::{ModelFixture, float, int, ints, tensor, tensor_attribute, text};
use crate::proto::data_type;

/// A model with input x `[N, 3, 8, 8]`.
pub(super) fn image(opset: i64) -> ModelFixture {
    ModelFixture::new(opset, &[0, 3, 8, 8])
}

/// The operator of the node that writes `y`, and the shape of `y`.
pub(super) fn read(model: ModelFixture) -> (Op, Shape) {
    let graph = model.read().unwrap();
    (graph.nodes().last().unwrap().op.clone(), output_shape(&graph))
}

pub(super) fn output_shape(graph: &Graph) -> Shape {
    graph.tensor(graph.outputs()[0]).shape.clone()
}

pub(super) fn constant(graph: &Graph, name: &str) -> Vec<f32> {
    graph.constant(graph.find(name).unwrap()).unwrap().to_vec()
}

#[test]
fn convolutions_have_groups_and_every_padding() {
    let conv = |attributes| {
        let model = image(17).floats("w", &[6, 1, 3, 3], &[0.5; 54]).floats("b", &[6], &[1.0; 6]);
        let model = model.node("Conv", &["x", "w", "b"], "y", [vec![int("group", 3), ints("strides", &[2, 2])], attributes].concat());
        let (op, shape) = read(model);
        let Op::Convolution(op) = op else { panic!("a convolution was written") };
        assert_eq!(op.groups, 3);
        (op.window.pads, shape)
    };
    assert_eq!(conv(vec![]), ([0; 4], Shape::batched(&[6, 3, 3])));
    assert_eq!(conv(vec![ints("pads", &[0, 1, 2, 3])]), ([0, 1, 2, 3], Shape::batched(&[6, 4, 5])));
    assert_eq!(conv(vec![text("auto_pad", "VALID")]).0, [0; 4]);
    assert_eq!(conv(vec![text("auto_pad", "SAME_UPPER")]), ([0, 0, 1, 1], Shape::batched(&[6, 4, 4])));
    assert_eq!(conv(vec![text("auto_pad", "SAME_LOWER")]), ([1, 1, 0, 0], Shape::batched(&[6, 4, 4])));
    assert_eq!(conv(vec![text("auto_pad", "SAME_UPPER"), ints("dilations", &[3, 3])]).0, [2, 2, 3, 3]);
}

#[test]
fn products_keep_their_layout() {
    let model = ModelFixture::new(13, &[0, 4]).floats("w", &[2, 4], &[1.0; 8]).floats("b", &[1, 2], &[1.0; 2]);
    let (op, shape) = read(model.node("Gemm", &["x", "w", "b"], "y", vec![int("transB", 1), float("alpha", 0.5)]));
    assert_eq!(op, Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true }));
    assert_eq!(shape, Shape::batched(&[2]));
    let model = ModelFixture::new(13, &[0, 5, 4]).floats("w", &[4, 2], &[1.0; 8]);
    assert_eq!(read(model.node("MatMul", &["x", "w"], "y", vec![])), (Op::MatMul(MatMul), Shape::batched(&[5, 2])));
}

#[test]
fn batch_normalization_has_onnx_defaults() {
    let parameters = ["gamma", "beta", "mean", "variance"];
    let model = parameters.iter().fold(image(9), |m, p| m.floats(p, &[3], &[1.0; 3]));
    let (op, _) = read(model.node("BatchNormalization", &["x", "gamma", "beta", "mean", "variance"], "y", vec![float("epsilon", 1e-3)]));
    assert_eq!(op, Op::BatchNormalization(BatchNormalization { epsilon: 1e-3, momentum: 0.9 }));
}

#[test]
fn clip_limits_are_attributes_then_inputs() {
    let clip = |min, max| Op::Activation(Activation::Clip { min, max });
    let attributes = vec![float("min", 0.0), float("max", 6.0)];
    assert_eq!(read(image(9).node("Clip", &["x"], "y", attributes)).0, clip(0.0, 6.0));
    assert_eq!(read(image(9).node("Clip", &["x"], "y", vec![float("max", f32::MAX)])).0, clip(f32::NEG_INFINITY, f32::INFINITY));
    let model = || image(13).floats("low", &[], &[-1.0]).floats("high", &[1], &[6.0]);
    assert_eq!(read(model().node("Clip", &["x", "low", "high"], "y", vec![])).0, clip(-1.0, 6.0));
    assert_eq!(read(model().node("Clip", &["x", "", "high"], "y", vec![])).0, clip(f32::NEG_INFINITY, 6.0));
}

#[test]
fn activations_have_onnx_defaults() {
    let cases = [
        ("Relu", vec![], Activation::Relu),
        ("LeakyRelu", vec![], Activation::LeakyRelu { alpha: 0.01 }),
        ("LeakyRelu", vec![float("alpha", 0.2)], Activation::LeakyRelu { alpha: 0.2 }),
        ("Sigmoid", vec![], Activation::Sigmoid),
        ("HardSigmoid", vec![float("alpha", 0.25)], Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }),
        ("HardSwish", vec![], Activation::HardSwish),
        ("Tanh", vec![], Activation::Tanh),
        ("Elu", vec![], Activation::Elu { alpha: 1.0 }),
        ("Selu", vec![], Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }),
        ("Celu", vec![float("alpha", 2.0)], Activation::Celu { alpha: 2.0 }),
        ("Gelu", vec![], Activation::Gelu { tanh: false }),
        ("Gelu", vec![text("approximate", "tanh")], Activation::Gelu { tanh: true }),
        ("Softplus", vec![], Activation::Softplus),
        ("Mish", vec![], Activation::Mish),
        ("Exp", vec![], Activation::Exp),
        ("Log", vec![], Activation::Log),
        ("Sqrt", vec![], Activation::Sqrt),
        ("Reciprocal", vec![], Activation::Reciprocal),
        ("Neg", vec![], Activation::Neg),
        ("Abs", vec![], Activation::Abs),
        ("Erf", vec![], Activation::Erf),
        ("Sin", vec![], Activation::Sin),
        ("Cos", vec![], Activation::Cos),
        ("Softsign", vec![], Activation::Softsign),
        ("ThresholdedRelu", vec![], Activation::ThresholdedRelu { alpha: 1.0 }),
        ("Shrink", vec![float("bias", 0.25)], Activation::Shrink { bias: 0.25, lambd: 0.5 }),
        ("Floor", vec![], Activation::Floor),
        ("Ceil", vec![], Activation::Ceil),
        ("Round", vec![], Activation::Round),
        ("Sign", vec![], Activation::Sign),
    ];
    for (name, attributes, expected) in cases {
        assert_eq!(read(image(20).node(name, &["x"], "y", attributes)).0, Op::Activation(expected));
    }
}

#[test]
fn operands_broadcast() {
    for (name, op) in [("Add", Binary::Add), ("Sub", Binary::Sub), ("Mul", Binary::Mul), ("Div", Binary::Div)] {
        let model = image(13).floats("k", &[3, 1, 1], &[1.0, 2.0, 3.0]);
        assert_eq!(read(model.node(name, &["x", "k"], "y", vec![])), (Op::Binary(op), Shape::batched(&[3, 8, 8])));
    }
}

#[test]
fn an_exponent_may_be_one_number_or_a_tensor() {
    let square = Op::Activation(Activation::Pow { exponent: 2.0 });
    assert_eq!(read(image(13).floats("two", &[], &[2.0]).node("Pow", &["x", "two"], "y", vec![])).0, square);
    assert_eq!(read(image(13).ints("two", &[2]).node("Pow", &["x", "two"], "y", vec![])).0, square);
    let model = image(13).floats("e", &[3, 1, 1], &[1.0, 2.0, 3.0]).node("Pow", &["x", "e"], "y", vec![]);
    assert_eq!(read(model).0, Op::Binary(Binary::Pow));
    let whole = image(13).raw("e", &[3, 1, 1], data_type::INT32, vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    let graph = whole.node("Pow", &["x", "e"], "y", vec![]).read().unwrap();
    assert_eq!(constant(&graph, "e"), [1.0, 2.0, 3.0]);
    // One number of five axes makes a result of five.
    let model = image(13).floats("e", &[1; 5], &[2.0]).node("Pow", &["x", "e"], "y", vec![]);
    assert_eq!(
        read(model),
        (Op::Binary(Binary::Pow), Shape(vec![Dim::Fixed(1), Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)]))
    );
}

#[test]
fn many_operands_are_joined_one_by_one() {
    for (name, op) in [("Min", Binary::Min), ("Max", Binary::Max), ("Sum", Binary::Add)] {
        let model = image(13).floats("k", &[], &[1.0]).node("Abs", &["x"], "a", vec![]).node(name, &["x", "a", "k"], "y", vec![]);
        let graph = model.read().unwrap();
        let joined: Vec<(&Op, &str)> = graph.nodes()[1..].iter().map(|n| (&n.op, n.name.as_str())).collect();
        assert_eq!(joined, [(&Op::Binary(op), "y.1"), (&Op::Binary(op), "y")]);
        assert_eq!(read(image(13).node(name, &["x"], "y", vec![])).0, Op::Identity);
    }
}

#[test]
fn slopes_broadcast_to_the_input_only() {
    let model = image(13).floats("s", &[3, 1, 1], &[0.1, 0.2, 0.3]).node("PRelu", &["x", "s"], "y", vec![]);
    assert_eq!(read(model).0, Op::Binary(Binary::PRelu));
    let model = image(13).floats("s", &[2, 1, 3, 1, 1], &[0.1; 6]).node("PRelu", &["x", "s"], "y", vec![]);
    assert!(model.read().unwrap_err().to_string().contains("do not broadcast"));
}

#[test]
fn pools_have_windows() {
    let kernel = || vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
    let window = Window { strides: [2, 2], ..Window::new([3, 3]) };
    let expected = (Op::MaxPool(MaxPool { window }), Shape::batched(&[3, 3, 3]));
    assert_eq!(read(image(12).node("MaxPool", &["x"], "y", kernel())), expected);
    let ceil = Window { ceil: true, ..window };
    let attributes = [kernel(), vec![int("ceil_mode", 1), int("count_include_pad", 1)]].concat();
    let expected = (Op::AveragePool(AveragePool { window: ceil, count_include_pad: true }), Shape::batched(&[3, 4, 4]));
    assert_eq!(read(image(12).node("AveragePool", &["x"], "y", attributes)), expected);
    let expected = (Op::GlobalAveragePool(GlobalAveragePool), Shape::batched(&[3, 1, 1]));
    assert_eq!(read(image(12).node("GlobalAveragePool", &["x"], "y", vec![])), expected);
}

#[test]
fn slices_are_attributes_then_inputs() {
    let old = vec![ints("starts", &[0, 1]), ints("ends", &[9, -1]), ints("axes", &[1, 3])];
    let (op, shape) = read(image(9).node("Slice", &["x"], "y", old));
    assert_eq!(op, Op::Slice(Slice { starts: vec![0, 1], ends: vec![9, -1], axes: vec![1, 3], steps: vec![1, 1] }));
    assert_eq!(shape, Shape::batched(&[3, 8, 6]));
    let model = image(13).ints("s", &[0]).ints("e", &[i64::MAX]).ints("a", &[2]).ints("t", &[2]);
    assert_eq!(read(model.node("Slice", &["x", "s", "e", "a", "t"], "y", vec![])).1, Shape::batched(&[3, 4, 8]));
}

#[test]
fn pads_are_attributes_then_inputs_then_by_axis() {
    let all = vec![0, 0, 1, 2, 0, 0, 3, 4];
    let constant = |value| Op::Pad(Pad { pads: vec![0, 0, 1, 2, 0, 0, 3, 4], mode: PadMode::Constant(value) });
    let old = vec![ints("pads", &all), float("value", 2.0)];
    assert_eq!(read(image(9).node("Pad", &["x"], "y", old)), (constant(2.0), Shape::batched(&[3, 12, 14])));
    assert_eq!(read(image(11).ints("p", &all).node("Pad", &["x", "p"], "y", vec![])).0, constant(0.0));
    let model = image(18).ints("p", &[1, 2, 3, 4]).floats("v", &[], &[0.5]).ints("a", &[-2, 3]);
    assert_eq!(read(model.node("Pad", &["x", "p", "v", "a"], "y", vec![])).0, constant(0.5));
    let model = image(19).ints("p", &all).node("Pad", &["x", "p"], "y", vec![text("mode", "wrap")]);
    assert!(matches!(read(model).0, Op::Pad(Pad { mode: PadMode::Wrap, .. })));
    let model = image(13).ints("p", &all).node("Pad", &["x", "p"], "y", vec![text("mode", "reflect")]);
    assert!(matches!(read(model).0, Op::Pad(Pad { mode: PadMode::Reflect, .. })));
}

#[test]
fn reshapes_keep_the_batch_unknown() {
    let reshape = |extents| Op::Reshape(Reshape { extents });
    let is = |n| Extent::Is(Dim::Fixed(n));
    let model = image(13).ints("to", &[0, -1, 8]);
    let expected = (reshape(vec![Extent::Copy, Extent::Infer, is(8)]), Shape::batched(&[24, 8]));
    assert_eq!(read(model.node("Reshape", &["x", "to"], "y", vec![])), expected);
    let model = ModelFixture::new(11, &[0, 3, 1, 1]).node("Squeeze", &["x"], "y", vec![ints("axes", &[2, -1])]);
    assert_eq!(read(model), (reshape(vec![Extent::Copy, is(3)]), Shape::batched(&[3])));
    let model = ModelFixture::new(13, &[0, 3, 1, 1]).node("Squeeze", &["x"], "y", vec![]);
    assert_eq!(read(model).1, Shape::batched(&[3]));
    let model = ModelFixture::new(13, &[0, 3]).ints("axes", &[-1, 2]).node("Unsqueeze", &["x", "axes"], "y", vec![]);
    assert_eq!(read(model), (reshape(vec![Extent::Copy, is(3), is(1), is(1)]), Shape::batched(&[3, 1, 1])));
    assert_eq!(read(image(13).node("Flatten", &["x"], "y", vec![])).1, Shape::batched(&[192]));
}

#[test]
fn axes_are_reordered_joined_and_averaged() {
    let (op, shape) = read(image(13).node("Transpose", &["x"], "y", vec![ints("perm", &[0, 2, 3, 1])]));
    assert_eq!((op, shape), (Op::Transpose(Transpose { permutation: vec![0, 2, 3, 1] }), Shape::batched(&[8, 8, 3])));
    let model = image(13).node("Relu", &["x"], "r", vec![]).node("Concat", &["x", "r"], "y", vec![int("axis", -3)]);
    assert_eq!(read(model), (Op::Concat(Concat { axis: -3 }), Shape::batched(&[6, 8, 8])));
    let mean = Op::Reduce(Reduce::mean(&[2, 3], false));
    let old = vec![ints("axes", &[2, 3]), int("keepdims", 0)];
    assert_eq!(read(image(13).node("ReduceMean", &["x"], "y", old)).0, mean);
    let model = image(18).ints("axes", &[2, 3]).node("ReduceMean", &["x", "axes"], "y", vec![int("keepdims", 0)]);
    assert_eq!(read(model).0, mean);
    let model = image(18).node("ReduceMean", &["x"], "y", vec![int("noop_with_empty_axes", 1)]);
    assert_eq!(read(model).0, Op::Identity);
    let sum = Op::Reduce(Reduce { function: Reduction::Sum, axes: vec![1], keep_dims: true });
    assert_eq!(read(image(11).node("ReduceSum", &["x"], "y", vec![ints("axes", &[1])])).0, sum);
    assert_eq!(read(image(13).ints("axes", &[1]).node("ReduceSum", &["x", "axes"], "y", vec![])).0, sum);
    for (name, function) in
        [("ReduceMax", Reduction::Max), ("ReduceMin", Reduction::Min), ("ReduceL2", Reduction::L2), ("ReduceProd", Reduction::Product)]
    {
        let model = image(17).node(name, &["x"], "y", vec![ints("axes", &[-1]), int("keepdims", 0)]);
        assert_eq!(read(model), (Op::Reduce(Reduce { function, axes: vec![-1], keep_dims: false }), Shape::batched(&[3, 8])));
    }
    let attributes = vec![int("axis", 1), int("keepdims", 0), int("select_last_index", 1)];
    let expected = (Op::ArgMax(ArgMax { axis: 1, keep_dims: false, last: true }), Shape::batched(&[8, 8]));
    assert_eq!(read(image(13).node("ArgMax", &["x"], "y", attributes)), expected);
}

#[test]
fn blocks_of_pixels_and_channels_change_places() {
    let deep = || ModelFixture::new(13, &[0, 8, 3, 3]);
    let order = |order| Op::DepthToSpace(DepthToSpace { block: 2, order });
    let (op, shape) = read(deep().node("DepthToSpace", &["x"], "y", vec![int("blocksize", 2)]));
    assert_eq!((op, shape), (order(DepthOrder::BlockFirst), Shape::batched(&[2, 6, 6])));
    let model = deep().node("DepthToSpace", &["x"], "y", vec![int("blocksize", 2), text("mode", "CRD")]);
    assert_eq!(read(model).0, order(DepthOrder::ChannelFirst));
    let model = image(13).node("SpaceToDepth", &["x"], "y", vec![int("blocksize", 4)]);
    assert_eq!(read(model), (Op::SpaceToDepth(SpaceToDepth { block: 4 }), Shape::batched(&[48, 2, 2])));
}

#[test]
fn elements_are_picked_and_repeated() {
    let model = image(13).ints("n", &[-1, 0]).node("Gather", &["x", "n"], "y", vec![int("axis", 1)]);
    assert_eq!(read(model), (Op::Gather(Gather { axis: 1, indices: vec![2, 0] }), Shape::batched(&[2, 8, 8])));
    // One index takes the axis away, a matrix of them puts two in its place.
    let scalar = image(13).raw("n", &[], data_type::INT64, vec![1, 0, 0, 0, 0, 0, 0, 0]);
    let graph = scalar.node("Gather", &["x", "n"], "y", vec![int("axis", 1)]).read().unwrap();
    assert_eq!((graph.nodes().len(), output_shape(&graph)), (2, Shape::batched(&[8, 8])));
    let matrix = image(13).raw("n", &[2, 2], data_type::INT64, [0u8; 32].to_vec());
    assert_eq!(read(matrix.node("Gather", &["x", "n"], "y", vec![int("axis", 3)])).1, Shape::batched(&[3, 8, 2, 2]));
    let model = image(13).ints("n", &[1, 2, 1, 3]).node("Tile", &["x", "n"], "y", vec![]);
    assert_eq!(read(model), (Op::Tile(Tile { repeats: vec![1, 2, 1, 3] }), Shape::batched(&[6, 8, 24])));
    let column = || ModelFixture::new(13, &[0, 3, 1]);
    let model = column().ints("to", &[1, 3, 4]).node("Expand", &["x", "to"], "y", vec![]);
    assert_eq!(read(model), (Op::Tile(Tile { repeats: vec![1, 1, 4] }), Shape::batched(&[3, 4])));
    let model = ModelFixture::new(13, &[3, 1]).ints("to", &[2, 1, 4]).node("Expand", &["x", "to"], "y", vec![]);
    assert_eq!(read(model).1, Shape::fixed(&[2, 3, 4]));
    let model = column().floats("k", &[1], &[2.0]).ints("to", &[3, 1]).node("Expand", &["k", "to"], "e", vec![]);
    assert_eq!(constant(&model.node("Mul", &["x", "e"], "y", vec![]).read().unwrap(), "e"), [2.0; 3]);
}

#[test]
fn shapes_are_compared_and_chosen_from() {
    // As exporters spell x.expand(-1, 3, 8, 8) out: where a target is −1 the extent stays 1.
    let model = image(13)
        .ints("to", &[-1, 3, 8, 8])
        .ints("ones", &[1, 1, 1, 1])
        .ints("minus", &[-1])
        .node("Equal", &["to", "minus"], "e", vec![])
        .node("Where", &["e", "ones", "to"], "chosen", vec![])
        .node("Expand", &["x", "chosen"], "y", vec![]);
    assert_eq!(read(model), (Op::Tile(Tile { repeats: vec![1; 4] }), Shape::batched(&[3, 8, 8])));
    let model = image(13)
        .node("Shape", &["x"], "shape", vec![])
        .ints("zero", &[0])
        .node("Greater", &["shape", "zero"], "positive", vec![])
        .node("Not", &["positive"], "empty", vec![])
        .node("Or", &["positive", "empty"], "all", vec![])
        .node("And", &["positive", "all"], "both", vec![])
        .node("Where", &["both", "shape", "zero"], "chosen", vec![])
        .node("Reshape", &["x", "chosen"], "y", vec![]);
    assert_eq!(read(model).1, Shape::batched(&[3, 8, 8]));
    let model = image(13).floats("a", &[2], &[1.0, 3.0]).floats("b", &[1], &[2.0]).node("Less", &["a", "b"], "less", vec![]);
    let model = model.node("Cast", &["less"], "k", vec![int("to", 1)]).floats("i", &[2, 8, 8], &[1.0; 128]).ints("at", &[2, 1, 1]);
    let model = model.node("Reshape", &["k", "at"], "column", vec![]).node("Mul", &["i", "column"], "w", vec![]);
    let graph = model.ints("p", &[0, 1]).node("Gather", &["x", "p"], "g", vec![int("axis", 1)]).node("Mul", &["g", "w"], "y", vec![]);
    assert_eq!(constant(&graph.read().unwrap(), "w"), [[1.0; 64], [0.0; 64]].concat());
}

#[test]
fn whole_numbers_are_cast_to_integers_and_stay_floats() {
    let model = image(13).node("ArgMax", &["x"], "i", vec![int("axis", 1)]).node("Cast", &["i"], "y", vec![int("to", 6)]);
    assert_eq!(read(model).0, Op::Identity);
    assert_eq!(read(image(13).node("Floor", &["x"], "f", vec![]).node("Cast", &["f"], "y", vec![int("to", 7)])).0, Op::Identity);
    assert_eq!(read(image(13).node("Cast", &["x"], "y", vec![int("to", 10)])).0, Op::Identity);
}

#[test]
fn softmax_changed_its_axes_at_operator_set_13() {
    let flat = |opset| ModelFixture::new(opset, &[0, 10]);
    assert_eq!(read(flat(9).node("Softmax", &["x"], "y", vec![])).0, Op::Softmax(Softmax::along(1)));
    assert_eq!(read(image(13).node("Softmax", &["x"], "y", vec![])).0, Op::Softmax(Softmax::along(-1)));
    assert_eq!(read(image(12).node("Softmax", &["x"], "y", vec![])).0, Op::Softmax(Softmax { joined: true, ..Softmax::along(1) }));
    let last = read(image(12).node("LogSoftmax", &["x"], "y", vec![int("axis", 3)])).0;
    assert_eq!(last, Op::Softmax(Softmax { log: true, ..Softmax::along(3) }));
    let thin = ModelFixture::new(12, &[0, 3, 1, 1]).node("Softmax", &["x"], "y", vec![]);
    assert_eq!(read(thin).0, Op::Softmax(Softmax::along(1)));
}

#[test]
fn upsample_and_resize_are_one_operator() {
    let nearest = |to, mode| {
        let (coordinates, interpolation) = (Coordinates::Asymmetric, Interpolation::Nearest(mode));
        Op::Resize(Resize { to, coordinates, interpolation })
    };
    let twice = ResizeTo::Scales([2.0, 2.0]);
    for (opset, name) in [(9, "Upsample"), (10, "Resize")] {
        let model = image(opset).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]);
        assert_eq!(read(model.node(name, &["x", "s"], "y", vec![])), (nearest(twice, NearestMode::Floor), Shape::batched(&[3, 16, 16])));
    }
    let modes = || vec![text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "ceil")];
    let model = image(11).floats("roi", &[0], &[]).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]);
    assert_eq!(read(model.node("Resize", &["x", "roi", "s"], "y", modes())).0, nearest(twice, NearestMode::Ceil));
    let model = image(18).ints("sizes", &[5, 6]);
    let attributes = [modes(), vec![ints("axes", &[2, 3])]].concat();
    let expected = nearest(ResizeTo::Scales([0.625, 0.75]), NearestMode::Ceil);
    assert_eq!(read(model.node("Resize", &["x", "", "", "sizes"], "y", attributes)), (expected, Shape::batched(&[3, 5, 6])));
    // 6 times the factor nearest to 10/6 is 10 in f32 and a little less in f64.
    let model = ModelFixture::new(18, &[0, 3, 6, 6]).ints("sizes", &[9, 10]);
    let attributes = [modes(), vec![ints("axes", &[2, 3])]].concat();
    let expected = nearest(ResizeTo::Sizes([9, 10]), NearestMode::Ceil);
    assert_eq!(read(model.node("Resize", &["x", "", "", "sizes"], "y", attributes)), (expected, Shape::batched(&[3, 9, 10])));
    let model = image(13).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]).node("Resize", &["x", "", "s"], "y", vec![text("mode", "linear")]);
    let expected = Resize { to: twice, coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
    assert_eq!(read(model).0, Op::Resize(expected));
}

#[test]
fn identity_and_dropout_hand_on() {
    assert_eq!(read(image(13).node("Identity", &["x"], "y", vec![])).0, Op::Identity);
    assert_eq!(read(image(9).node("Dropout", &["x"], "y", vec![float("ratio", 0.5)])).0, Op::Identity);
    let model = image(13).floats("ratio", &[], &[0.5]).raw("training", &[], data_type::BOOL, vec![0]);
    assert_eq!(read(model.node("Dropout", &["x", "ratio", "training"], "y", vec![])).0, Op::Identity);
    assert_eq!(read(image(13).node("Cast", &["x"], "y", vec![int("to", 1)])).0, Op::Identity);
}

#[test]
fn a_quantize_dequantize_pair_is_fake_quantization() {
    let model = || image(13).floats("s", &[], &[0.5]).raw("z", &[], data_type::UINT8, vec![128]);
    let model = model().node("QuantizeLinear", &["x", "s", "z"], "q", vec![]).node("DequantizeLinear", &["q", "s", "z"], "y", vec![]);
    let quantizer = Quantizer::new(0.5, 128, 0, 255, Rounding::HalfToEven).unwrap();
    assert_eq!(read(model).0, Op::FakeQuantize(FakeQuantize { quantizers: vec![quantizer] }));
    let model = image(13).floats("s", &[3], &[0.5, 1.0, 2.0]).raw("z", &[3], data_type::INT8, vec![0; 3]);
    let model = model.node("QuantizeLinear", &["x", "s", "z"], "q", vec![]).node("DequantizeLinear", &["q", "s", "z"], "y", vec![]);
    let Op::FakeQuantize(op) = read(model).0 else { panic!("a pair was written") };
    assert_eq!(op.quantizers.iter().map(|q| (q.scale(), q.qmin())).collect::<Vec<_>>(), [(0.5, -128), (1.0, -128), (2.0, -128)]);
}

#[test]
fn dequantized_constants_are_the_floats_they_stand_for() {
    let cases = [
        (data_type::INT8, vec![0xff, 0x80, 0x7f, 0], [-1.0, -128.0, 127.0, 0.0]),
        (data_type::UINT8, vec![255, 128, 1, 0], [255.0, 128.0, 1.0, 0.0]),
        (data_type::INT16, vec![0xff, 0xff, 0, 0x80, 1, 0, 0, 0], [-1.0, -32768.0, 1.0, 0.0]),
        (data_type::INT32, vec![0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], [-1.0, 1.0, 16777216.0, 0.0]),
        (data_type::INT4, vec![0x8f, 0x07], [-1.0, -8.0, 7.0, 0.0]),
        (data_type::UINT4, vec![0x8f, 0x07], [15.0, 8.0, 7.0, 0.0]),
    ];
    for (kind, raw, codes) in cases {
        let zero = vec![0; if kind == data_type::INT32 { 4 } else { 2 }];
        let zero = if matches!(kind, data_type::INT16 | data_type::INT32) { zero } else { vec![0] };
        let model = ModelFixture::new(21, &[0, 4]).raw("q", &[4], kind, raw).floats("s", &[], &[0.1]).raw("z", &[], kind, zero);
        let graph = model.node("DequantizeLinear", &["q", "s", "z"], "w", vec![]).node("Add", &["x", "w"], "y", vec![]).read().unwrap();
        assert_eq!(constant(&graph, "w"), codes.map(|c: f32| c * 0.1), "{}", data_type::name(kind));
    }
    let model = ModelFixture::new(13, &[0, 2]).raw("q", &[2, 2], data_type::INT8, vec![1, 2, 3, 4]).floats("s", &[2], &[0.5, 2.0]);
    let model = model.raw("z", &[2], data_type::INT8, vec![0, 1]);
    let by_axis = |axis| {
        let model = ModelFixture { model: model.model.clone() };
        let model = model.node("DequantizeLinear", &["q", "s", "z"], "w", vec![int("axis", axis)]);
        constant(&model.node("MatMul", &["x", "w"], "y", vec![]).read().unwrap(), "w")
    };
    assert_eq!(by_axis(0), [0.5, 1.0, 4.0, 6.0]);
    assert_eq!(by_axis(-1), [0.5, 2.0, 1.5, 6.0]);
}

#[test]
fn shape_arithmetic_of_a_flatten_folds_away() {
    // x.view(x.size(0), -1) as PyTorch exports it.
    let model = image(11)
        .node("Shape", &["x"], "shape", vec![])
        .node("Constant", &[], "zero", vec![tensor_attribute("value", tensor("", &[], data_type::INT64, vec![0; 8]))])
        .node("Gather", &["shape", "zero"], "batch", vec![int("axis", 0)])
        .node("Unsqueeze", &["batch"], "row", vec![ints("axes", &[0])])
        .ints("rest", &[-1])
        .node("Concat", &["row", "rest"], "target", vec![int("axis", 0)])
        .node("Reshape", &["x", "target"], "y", vec![]);
    let expected = Op::Reshape(Reshape { extents: vec![Extent::Copy, Extent::Infer] });
    assert_eq!(read(model), (expected, Shape::batched(&[192])));
}

#[test]
fn shape_arithmetic_of_an_upsampling_folds_away() {
    // interpolate(x, scale_factor=2) as older exporters write it: sizes from shapes through floats.
    let model = image(11)
        .node("Shape", &["x"], "shape", vec![])
        .ints("two", &[2])
        .ints("four", &[4])
        .ints("zero", &[0])
        .node("Slice", &["shape", "two", "four", "zero"], "hw", vec![])
        .node("Cast", &["hw"], "hwf", vec![int("to", 1)])
        .floats("scale", &[2], &[2.0, 1.5])
        .node("Mul", &["hwf", "scale"], "scaled", vec![])
        .node("Floor", &["scaled"], "whole", vec![])
        .node("Cast", &["whole"], "sizes2", vec![int("to", 7)])
        .node("Slice", &["shape", "zero", "two", "zero"], "nc", vec![])
        .node("Concat", &["nc", "sizes2"], "sizes", vec![int("axis", 0)])
        .floats("none", &[0], &[])
        .node("Resize", &["x", "none", "none", "sizes"], "y", vec![text("mode", "linear")]);
    assert_eq!(read(model).1, Shape::batched(&[3, 16, 12]));
}

#[test]
fn integers_divide_multiply_and_fill() {
    // Channel shuffle: [N, 6, H, W] -> [N, 2, 3, H, W], its extents computed.
    let model = ModelFixture::new(13, &[0, 6, 4, 4])
        .node("Shape", &["x"], "shape", vec![])
        .node("Constant", &[], "one", vec![int("value_int", 1)])
        .node("Gather", &["shape", "one"], "channels", vec![])
        .node("Constant", &[], "groups", vec![int("value_int", 2)])
        .node("Div", &["channels", "groups"], "each", vec![])
        .ints("axes", &[0])
        .node("Unsqueeze", &["each", "axes"], "each1", vec![])
        .node("Unsqueeze", &["groups", "axes"], "groups1", vec![])
        .ints("length", &[2])
        .node(
            "ConstantOfShape",
            &["length"],
            "fours",
            vec![tensor_attribute("value", tensor("", &[1], data_type::INT64, 4i64.to_le_bytes().into()))],
        )
        .node("Constant", &[], "zero", vec![ints("value_ints", &[0])])
        .node("Gather", &["shape", "zero"], "batch", vec![])
        .node("Concat", &["batch", "groups1", "each1", "fours"], "target", vec![int("axis", 0)])
        .node("Reshape", &["x", "target"], "y", vec![]);
    assert_eq!(read(model).1, Shape::batched(&[2, 3, 4, 4]));
    let scalar = |model: ModelFixture, name, n| model.node("Constant", &[], name, vec![int("value_int", n)]);
    let model = scalar(scalar(scalar(image(13), "start", 3), "limit", -1), "delta", -1);
    let model = model.node("Range", &["start", "limit", "delta"], "pads", vec![]).ints("t", &[0, 0, 0, 0]);
    let model = model.node("Concat", &["t", "pads"], "all", vec![int("axis", 0)]).node("Pad", &["x", "all"], "y", vec![]);
    // Pads 3, 2, 1, 0 after the axes: the batch axis cannot be padded.
    assert!(model.read().unwrap_err().to_string().contains("axis 0"));
}

#[test]
fn float_constants_fold() {
    let model = ModelFixture::new(13, &[0, 2])
        .floats("a", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
        .floats("k", &[2], &[10.0, 100.0])
        .node("Transpose", &["a"], "t", vec![])
        .node("Mul", &["t", "k"], "w", vec![])
        .node("MatMul", &["x", "w"], "y", vec![]);
    let graph = model.read().unwrap();
    assert_eq!(graph.nodes().len(), 1);
    assert_eq!(constant(&graph, "w"), [10.0, 300.0, 20.0, 400.0]);
    let model = ModelFixture::new(13, &[0, 2]).node("Constant", &[], "k", vec![float("value_float", 2.5)]);
    let graph = model.node("Mul", &["x", "k"], "y", vec![]).read().unwrap();
    assert_eq!(constant(&graph, "k"), [2.5]);
}

#[test]
fn names_metadata_and_shared_constants_survive() {
    let mut model = image(13).floats("k", &[], &[2.0]).node("Mul", &["x", "k"], "a", vec![]).node("Mul", &["a", "k"], "y", vec![]);
    model.graph().node[0].name = None;
    model.graph().input.push(crate::fixture::value_info("k", &[]));
    let entry = crate::proto::StringStringEntryProto { key: Some("author".into()), value: Some("me".into()) };
    model.model.metadata_props.push(entry);
    let graph = model.read().unwrap();
    assert_eq!(graph.nodes()[0].name, "a", "an unnamed node has its output's name");
    assert_eq!(graph.inputs().len(), 1, "an initializer listed as input is an initializer");
    assert_eq!(graph.tensors().len(), 4);
    assert_eq!(graph.metadata, [("author".into(), "me".into())]);
}

#[test]
fn a_fixed_batch_stays_fixed() {
    let graph = ModelFixture::new(13, &[4, 3]).node("Relu", &["x"], "y", vec![]).read().unwrap();
    assert_eq!(output_shape(&graph), Shape::fixed(&[4, 3]));
    let mut model = ModelFixture::new(13, &[-1, 3]).node("Relu", &["x"], "y", vec![]);
    let shape = |m: &mut ModelFixture| m.graph().input[0].r#type.as_mut().and_then(|t| t.tensor_type.as_mut()?.shape.clone()).unwrap();
    assert_eq!(shape(&mut model).dim[0].dim_value, None);
    assert_eq!(output_shape(&model.read().unwrap()), Shape::batched(&[3]));
}
