//! Layers that become other operators, or take their size from attributes.

use quantrain_graph::op::*;
use quantrain_graph::{Op, Shape};

use super::operators::{constant, image, output_shape, read};
use crate::fixture::{ModelFixture, float, int, ints, text};

#[test]
fn transposed_convolutions_are_cut_to_their_size() {
    let transposed = |attributes| {
        let model = image(11).floats("w", &[3, 2, 3, 3], &[0.5; 54]);
        let (op, shape) = read(model.node("ConvTranspose", &["x", "w"], "y", [vec![ints("strides", &[2, 2])], attributes].concat()));
        let Op::ConvTranspose(op) = op else { panic!("a transposed convolution was written") };
        (op.window.pads, op.output_padding, shape.at(1))
    };
    assert_eq!(transposed(vec![]), ([0; 4], [0; 2], vec![1, 2, 17, 17]));
    let pads = vec![ints("pads", &[1, 0, 1, 2]), ints("output_padding", &[1, 0])];
    assert_eq!(transposed(pads), ([1, 0, 1, 2], [1, 0], vec![1, 2, 16, 15]));
    assert_eq!(transposed(vec![text("auto_pad", "SAME_UPPER")]), ([0, 0, 1, 1], [0; 2], vec![1, 2, 16, 16]));
    assert_eq!(transposed(vec![ints("output_shape", &[14, 18])]), ([2, 0, 1, 0], [0, 1], vec![1, 2, 14, 18]));
}

#[test]
fn a_signal_is_an_image_of_one_row_between_its_convolutions() {
    let parameters = ["gamma", "beta", "mean", "variance"];
    let model = parameters.iter().fold(ModelFixture::new(13, &[0, 3, 9]), |m, p| m.floats(p, &[4], &[1.0; 4]));
    let model = model.floats("w", &[4, 3, 3], &[0.5; 36]).floats("v", &[4, 1, 2], &[0.5; 8]);
    let model = model.node("Conv", &["x", "w"], "conv", vec![ints("pads", &[1, 1]), ints("strides", &[2])]);
    let model = model.node("BatchNormalization", &["conv", "gamma", "beta", "mean", "variance"], "norm", vec![]);
    let model = model.node("Relu", &["norm"], "relu", vec![]).node("Conv", &["relu", "v"], "y", vec![int("group", 4)]);
    let graph = model.read().unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["Reshape", "Conv", "BatchNormalization", "Relu", "Conv", "Reshape"]);
    assert_eq!(output_shape(&graph), Shape::batched(&[4, 4]));
}

#[test]
fn a_split_is_a_slice_for_each_output() {
    let split = |model: ModelFixture, attributes, inputs: &[&str]| {
        let mut model = model.node("Split", inputs, "y", attributes);
        model.graph().node[0].output = vec!["a".into(), "b".into()];
        let graph = model.node("Relu", &["a"], "c", vec![]).node("Relu", &["b"], "y", vec![]).read().unwrap();
        graph.nodes().iter().map(|n| n.op.clone()).collect::<Vec<_>>()
    };
    let halves = split(image(11), vec![int("axis", 2)], &["x"]);
    let slice = |start, end| Op::Slice(Slice { starts: vec![start], ends: vec![end], axes: vec![2], steps: vec![1] });
    // What no output depends on is left out.
    assert_eq!(halves, [slice(4, 8), Op::Activation(Activation::Relu)]);
    let by_input = split(image(13).ints("sizes", &[3, 5]), vec![int("axis", 2)], &["x", "sizes"]);
    assert_eq!(by_input[0], slice(3, 8));
}

#[test]
fn a_product_without_weights_of_its_own_is_spelled_out() {
    let model = ModelFixture::new(13, &[4, 5]).floats("c", &[4, 1], &[1.0; 4]);
    let attributes = vec![int("transB", 1), float("alpha", 0.5)];
    let graph = model.node("Gemm", &["x", "x", "c"], "y", attributes).read().unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["Transpose", "Mul", "MatMul", "Add"]);
    let model = image(13).floats("w", &[8, 2], &[1.0; 16]);
    let graph = model.node("MatMul", &["x", "w"], "y", vec![]).read().unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!((names, output_shape(&graph)), (vec!["Reshape", "MatMul", "Reshape"], Shape::batched(&[3, 8, 2])));
}

#[test]
fn groups_share_the_parameters_of_operator_set_18() {
    let model = ModelFixture::new(18, &[0, 4, 2, 2]).floats("s", &[2], &[2.0, 3.0]).floats("b", &[2], &[0.5, -0.5]);
    let graph = model.node("GroupNormalization", &["x", "s", "b"], "y", vec![int("num_groups", 2)]).read().unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["GroupNormalization"]);
    assert_eq!((constant(&graph, "y.scale"), constant(&graph, "y.bias")), (vec![2.0, 2.0, 3.0, 3.0], vec![0.5, 0.5, -0.5, -0.5]));
    assert_eq!(output_shape(&graph), Shape::batched(&[4, 2, 2]));
}

#[test]
fn a_range_counts_in_floats_too() {
    let model = ModelFixture::new(13, &[0, 4]).floats("start", &[], &[1.0]).floats("limit", &[], &[-0.6]).floats("delta", &[], &[-0.5]);
    let graph = model.node("Range", &["start", "limit", "delta"], "r", vec![]).node("Mul", &["x", "r"], "y", vec![]).read().unwrap();
    assert_eq!(graph.constant(graph.find("r").unwrap()), Some(&[1.0, 0.5, 0.0, -0.5][..]));
}
