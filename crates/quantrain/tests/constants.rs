//! Operators between constants, folded by the engine while a file is read.

use quantrain_graph::op::{Coordinates, Interpolation, Resize, ResizeTo};
use quantrain_graph::{GraphBuilder, Op, Shape};
use quantrain_onnx::{ReadOptions, read_with, write_float};

#[test]
fn a_position_embedding_that_is_resized_is_a_constant() {
    // Keys' cubic convolution of a row [0, 1] to 4 positions, by hand: half-pixel places -0.25, 0.25, 0.75, 1.25, a = -0.75, edges repeated.
    let weight = |t: f64| {
        let (t, a) = (t.abs(), -0.75);
        if t <= 1.0 { ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0 } else { ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a }
    };
    let at = |place: f64| {
        (-1..=2).map(|k| weight(place - place.floor() - f64::from(k)) * (place.floor() + f64::from(k)).clamp(0.0, 1.0)).sum::<f64>()
    };
    let right = [-0.25, 0.25, 0.75, 1.25].map(at);

    let mut builder = GraphBuilder::new("position");
    let x = builder.input("x", &[1, 1, 4]);
    let embedding = builder.input_shaped("embedding", Shape::fixed(&[1, 1, 1, 2])).unwrap();
    let interpolation = Interpolation::Cubic { a: -0.75, exclude_outside: false };
    let op = Resize { to: ResizeTo::Scales([1.0, 2.0]), coordinates: Coordinates::HalfPixel, interpolation };
    let resized = builder.node("resize", Op::Resize(op), &[embedding], "resized").unwrap();
    let sum = builder.add("sum", x, resized).unwrap();
    builder.output(sum);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    write_float(&builder.finish().unwrap(), &path).unwrap();

    // The input becomes an initializer by a message of the same name: fields of concatenated messages are joined.
    let floats = [0f32, 1.0].iter().flat_map(|v| v.to_le_bytes());
    let tensor: Vec<u8> = [8, 1, 8, 1, 8, 1, 8, 2, 16, 1, 66, 9].into_iter().chain(*b"embedding").chain([74, 8]).chain(floats).collect();
    let graph: Vec<u8> = [42, tensor.len() as u8].into_iter().chain(tensor).collect();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend([58, graph.len() as u8].into_iter().chain(graph));
    std::fs::write(&path, bytes).unwrap();

    assert!(read_with(&path, &ReadOptions::default()).unwrap_err().to_string().contains("`resize`"));
    let graph = quantrain::read(&path).unwrap();
    assert_eq!(graph.nodes().len(), 1);
    let folded = graph.constant(graph.find("resized").unwrap()).unwrap();
    assert!(folded.iter().zip(right).all(|(&a, b)| (f64::from(a) - b).abs() < 1e-6), "{folded:?} {right:?}");
}
