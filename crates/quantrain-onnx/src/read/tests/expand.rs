//! Constants that meet a batch which is not known.

use quantrain_graph::op::*;
use quantrain_graph::{Graph, Op, Shape};

use super::operators::{constant, image, output_shape, read};
use crate::fixture::{ModelFixture, int};
use crate::{InputShape, ReadOptions, read_with};

/// Patches `[N, 4, 8]`, a token `[1, 1, 8]` and the shape `[N, 1, 8]` as exporters compute it.
fn tokens(model: ModelFixture) -> ModelFixture {
    let values: Vec<f32> = (0..8u8).map(f32::from).collect();
    let model = model.floats("token", &[1, 1, 8], &values).ints("zero", &[0]).ints("rest", &[1, 8]);
    let model = model.node("Shape", &["x"], "s", vec![]).node("Gather", &["s", "zero"], "n", vec![]);
    let model = model.node("Concat", &["n", "rest"], "size", vec![int("axis", 0)]);
    model.node("Expand", &["token", "size"], "tokens", vec![])
}

fn patches() -> ModelFixture {
    ModelFixture::new(17, &[0, 4, 8])
}

#[test]
fn a_token_is_repeated_for_every_sample() {
    let graph = tokens(patches()).node("Concat", &["tokens", "x"], "y", vec![int("axis", 1)]).read().unwrap();
    assert_eq!(graph.nodes()[0].op, Op::Expand(Expand { to: Shape::batched(&[1, 8]) }));
    assert_eq!(output_shape(&graph), Shape::batched(&[5, 8]));
    assert_eq!(constant(&graph, "token")[7], 7.0);
}

#[test]
fn operators_that_broadcast_read_the_constant_itself() {
    for name in ["Add", "Mul", "Max", "Less"] {
        for inputs in [["tokens", "x"], ["x", "tokens"]] {
            let graph = tokens(patches()).node(name, &inputs, "y", vec![]).read().unwrap();
            assert_eq!(graph.nodes().len(), 1, "{name}");
            assert_eq!(output_shape(&graph), Shape::batched(&[4, 8]));
        }
    }
    // Where the other has no batch, their product is repeated.
    let model = tokens(patches()).floats("k", &[8], &[2.0; 8]).node("Mul", &["tokens", "k"], "y", vec![]);
    let graph = model.read().unwrap();
    assert_eq!((graph.nodes().len(), output_shape(&graph)), (1, Shape::batched(&[1, 8])));
    assert_eq!(graph.constant(graph.nodes()[0].inputs[0]).unwrap()[7], 14.0);
}

/// Reads a model that was made for a batch, with that batch freed.
fn freed(model: ModelFixture, shape: Shape) -> Graph {
    let path = std::env::temp_dir().join(format!("quantrain-freed-{}.onnx", std::process::id()));
    std::fs::write(&path, model.output("y").bytes()).unwrap();
    let options = ReadOptions { input_shapes: vec![InputShape { name: None, shape }], ..ReadOptions::default() };
    let graph = read_with(&path, &options);
    std::fs::remove_file(&path).unwrap();
    graph.unwrap()
}

#[test]
fn a_constant_of_the_batch_of_the_file_counts_for_every_sample() {
    for batch in [1u8, 2] {
        let token: Vec<f32> = (0..8 * batch).map(|i| f32::from(i % 8)).collect();
        let model = || {
            let model = ModelFixture::new(17, &[batch.into(), 4, 8]).floats("token", &[batch.into(), 1, 8], &token);
            model.node("Concat", &["token", "x"], "y", vec![int("axis", 1)])
        };
        let graph = freed(model(), Shape::batched(&[4, 8]));
        assert_eq!(graph.nodes()[0].op, Op::Expand(Expand { to: Shape::batched(&[1, 8]) }));
        assert_eq!(output_shape(&graph), Shape::batched(&[5, 8]));
        let graph = model().read().unwrap();
        assert_eq!(output_shape(&graph).at(9), [batch.into(), 5, 8]);
    }
}

#[test]
fn a_map_of_coordinates_is_joined_to_the_channels() {
    let row: Vec<f32> = (0..64u8).map(|i| f32::from(i % 8) / 7.0).collect();
    let model = image(17).floats("columns", &[1, 1, 8, 8], &row).node("Concat", &["x", "columns"], "y", vec![int("axis", 1)]);
    let graph = model.read().unwrap();
    assert_eq!((graph.nodes().len(), output_shape(&graph)), (2, Shape::batched(&[4, 8, 8])));
    let model = ModelFixture::new(17, &[1, 3, 8, 8]).floats("columns", &[1, 1, 8, 8], &row);
    let (op, shape) = read(model.node("Concat", &["x", "columns"], "y", vec![int("axis", -3)]));
    assert_eq!((op, shape), (Op::Concat(Concat { axis: -3 }), Shape::fixed(&[1, 4, 8, 8])));
}
