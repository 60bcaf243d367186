//! What becomes integers, and numbers of shapes that become floats on their way.

use quantrain_graph::op::*;
use quantrain_graph::{Graph, Op, Shape};

use super::operators::{constant, image, output_shape, read};
use crate::fixture::{ModelFixture, int, tensor, tensor_attribute, text};
use crate::proto::data_type::{self, FLOAT, INT8, INT32, INT64, UINT8};

fn to(kind: i32) -> Vec<crate::proto::AttributeProto> {
    vec![int("to", kind.into())]
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|n| n.op.name()).collect()
}

#[test]
fn floats_are_cut_where_they_become_integers() {
    for kind in [INT8, UINT8, INT32, INT64] {
        assert_eq!(read(image(13).node("Cast", &["x"], "y", to(kind))).0, Op::Activation(Activation::Trunc));
        let model = image(13).node("Floor", &["x"], "f", vec![]).node("Cast", &["f"], "y", to(kind));
        assert_eq!(read(model).0, Op::Identity, "whole numbers are what they are");
    }
    let model = ModelFixture::new(13, &[0, 256]).node("ArgMax", &["x"], "i", vec![int("axis", 1)]).node("Cast", &["i"], "y", to(UINT8));
    assert_eq!(operators(&model.read().unwrap()), ["ArgMax", "Identity"]);
}

#[test]
fn a_quotient_of_integers_is_cut() {
    // The row of a place in a map of 8 columns.
    let place = || ModelFixture::new(13, &[0, 64]).node("ArgMax", &["x"], "i", vec![int("axis", 1)]).ints("columns", &[8]);
    let graph = place().node("Div", &["i", "columns"], "y", vec![]).read().unwrap();
    assert_eq!(operators(&graph), ["ArgMax", "Div", "Trunc"]);
    // As floats it is not.
    let model =
        place().node("Cast", &["i"], "f", to(FLOAT)).node("Cast", &["columns"], "c", to(FLOAT)).node("Div", &["f", "c"], "y", vec![]);
    assert_eq!(operators(&model.read().unwrap()), ["ArgMax", "Identity", "Div"]);
    // The column: what the rows before leave.
    let model = place().node("Div", &["i", "columns"], "r", vec![]).node("Mul", &["r", "columns"], "m", vec![]);
    let graph = model.node("Sub", &["i", "m"], "s", vec![]).node("Div", &["s", "columns"], "y", vec![]).read().unwrap();
    assert_eq!(operators(&graph).last(), Some(&"Trunc"));
}

#[test]
fn constants_of_fewer_bits_keep_the_low_ones() {
    let cast = |kind| {
        let model = image(13).ints("k", &[300, -1, 127]).node("Cast", &["k"], "c", to(kind)).node("Cast", &["c"], "f", to(FLOAT));
        let graph = model.ints("at", &[0, 0, 0]).node("Gather", &["x", "at"], "g", vec![int("axis", 3)]);
        constant(&graph.node("Mul", &["g", "f"], "y", vec![]).read().unwrap(), "f")
    };
    assert_eq!(cast(INT8), [44.0, -1.0, 127.0]);
    assert_eq!(cast(UINT8), [44.0, 255.0, 127.0]);
    assert_eq!(cast(data_type::UINT16), [300.0, 65535.0, 127.0]);
}

#[test]
fn sizes_that_are_floats_on_their_way_hold_the_batch() {
    // nn.Upsample(scale_factor=1.5) as PyTorch wrote it when sizes were floats: the whole shape, batch and channels among it.
    let scales = tensor("", &[4], FLOAT, [1f32, 1.0, 1.5, 1.5].iter().flat_map(|v| v.to_le_bytes()).collect());
    let model = image(11)
        .node("Shape", &["x"], "s", vec![])
        .node("Cast", &["s"], "f", to(FLOAT))
        .node("Constant", &[], "scales", vec![tensor_attribute("value", scales)])
        .node("Mul", &["f", "scales"], "m", vec![])
        .node("Floor", &["m"], "whole", vec![])
        .node("Cast", &["whole"], "sizes", to(INT64))
        .floats("none", &[0], &[]);
    let attributes = vec![text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor")];
    let (op, shape) = read(model.node("Resize", &["x", "none", "none", "sizes"], "y", attributes));
    assert!(matches!(op, Op::Resize(_)));
    assert_eq!(shape, Shape::batched(&[3, 12, 12]));
    // Scales as the quotient of sizes: that of the batch is 1.
    let model = image(11)
        .node("Shape", &["x"], "s", vec![])
        .node("Cast", &["s"], "f", to(FLOAT))
        .floats("factors", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Mul", &["f", "factors"], "m", vec![])
        .node("Div", &["m", "f"], "scales", vec![])
        .floats("none", &[0], &[]);
    let (_, shape) = read(model.node("Resize", &["x", "none", "scales"], "y", vec![text("mode", "nearest")]));
    assert_eq!(shape, Shape::batched(&[3, 16, 16]));
}

#[test]
fn a_token_is_tiled_or_added_to_a_shape_of_the_batch() {
    let values: Vec<f32> = (0..8u8).map(f32::from).collect();
    let patches = || {
        let model = ModelFixture::new(17, &[0, 4, 8]).floats("token", &[1, 1, 8], &values).ints("zero", &[0]).ints("ones", &[1, 1]);
        model.node("Shape", &["x"], "s", vec![]).node("Gather", &["s", "zero"], "n", vec![])
    };
    let model = patches().node("Concat", &["n", "ones"], "repeats", vec![int("axis", 0)]).node("Tile", &["token", "repeats"], "t", vec![]);
    let tiled = model.node("Concat", &["t", "x"], "y", vec![int("axis", 1)]).read().unwrap();
    let model = patches().ints("rest", &[1, 8]).node("Concat", &["n", "rest"], "shape", vec![int("axis", 0)]);
    let model = model.node("ConstantOfShape", &["shape"], "zeros", vec![]).node("Add", &["zeros", "token"], "t", vec![]);
    let added = model.node("Concat", &["t", "x"], "y", vec![int("axis", 1)]).read().unwrap();
    for graph in [tiled, added] {
        assert_eq!(operators(&graph), ["Expand", "Concat"]);
        assert_eq!(output_shape(&graph), Shape::batched(&[5, 8]));
        assert_eq!(graph.constant(graph.nodes()[0].inputs[0]), Some(&values[..]));
    }
}
