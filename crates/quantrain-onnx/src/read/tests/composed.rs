//! Operators that are read as several others.

use quantrain_graph::op::*;
use quantrain_graph::{Graph, Op, Shape};

use super::operators::{constant, image, output_shape};
use crate::NodeError;
use crate::ReadError;
use crate::fixture::{ModelFixture, int, ints, text};

fn names(graph: &Graph) -> String {
    graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>().join(" ")
}

#[test]
fn sums_of_something_are_reductions_of_it() {
    let cases = [
        ("ReduceL1", "Abs ReduceSum"),
        ("ReduceSumSquare", "Mul ReduceSum"),
        ("ReduceLogSum", "ReduceSum Log"),
        ("ReduceLogSumExp", "ReduceMax Sub Exp ReduceSum Log ReduceMax Add"),
    ];
    for (name, becomes) in cases {
        let old = image(13).node(name, &["x"], "y", vec![ints("axes", &[1]), int("keepdims", 0)]).read().unwrap();
        assert_eq!((names(&old).as_str(), output_shape(&old)), (becomes, Shape::batched(&[8, 8])));
        let new = image(18).ints("a", &[2, -1]).node(name, &["x", "a"], "y", vec![]).read().unwrap();
        assert_eq!((names(&new).as_str(), output_shape(&new)), (becomes, Shape::batched(&[3, 1, 1])));
    }
}

#[test]
fn a_mean_of_operands_divides_their_sum() {
    let model = image(13).node("Abs", &["x"], "a", vec![]).node("Neg", &["x"], "b", vec![]);
    let graph = model.node("Mean", &["x", "a", "b"], "y", vec![]).read().unwrap();
    assert_eq!(names(&graph), "Abs Neg Add Add Div");
    assert_eq!(constant(&graph, "y.count"), [3.0]);
}

#[test]
fn a_triangle_is_a_choice() {
    let matrix = || ModelFixture::new(14, &[0, 2, 3]);
    let mask = |model: ModelFixture, inputs: &[&str], upper| {
        let graph = model.node("Trilu", inputs, "y", vec![int("upper", upper)]).read().unwrap();
        assert_eq!(graph.nodes()[0].op, Op::Where(Where));
        constant(&graph, "y.mask")
    };
    assert_eq!(mask(matrix(), &["x"], 1), [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
    assert_eq!(mask(matrix(), &["x"], 0), [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(mask(matrix().ints("k", &[1]), &["x", "k"], 1), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    let model = matrix().floats("c", &[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).node("Trilu", &["c"], "t", vec![int("upper", 0)]);
    assert_eq!(constant(&model.node("Mul", &["x", "t"], "y", vec![]).read().unwrap(), "t"), [1.0, 0.0, 0.0, 4.0, 5.0, 0.0]);
}

/// Equation, extents of x, inputs, and the result's extents behind the batch.
type Case<'a> = (&'a str, &'a [i64], &'a [&'a str], &'a [usize]);

#[test]
fn a_sum_over_labels_is_a_product() {
    let read = |equation: &str, extents: &[i64], inputs: &[&str]| {
        let model = ModelFixture::new(13, extents).floats("w", &[4, 5], &[0.5; 20]).floats("v", &[4], &[0.5; 4]);
        model.node("Einsum", inputs, "y", vec![text("equation", equation)]).read()
    };
    let cases: [Case; 8] = [
        ("bnd,de->bne", &[0, 3, 4], &["x", "w"], &[3, 5]),
        ("ed,bnd->bne", &[0, 3, 5], &["w", "x"], &[3, 4]),
        ("nchw,cd->ndhw", &[0, 4, 2, 3], &["x", "w"], &[5, 2, 3]),
        ("bhid,bhjd->bhij", &[0, 2, 3, 4], &["x", "x"], &[2, 3, 3]),
        ("bhij,bhjd->bihd", &[0, 2, 3, 3], &["x", "x"], &[3, 2, 3]),
        ("bc,c->bc", &[0, 4], &["x", "v"], &[4]),
        ("bc , cd", &[0, 4], &["x", "w"], &[5]),
        ("bijk->bk", &[0, 2, 3, 4], &["x"], &[4]),
    ];
    for (equation, extents, inputs, result) in cases {
        let shape = output_shape(&read(equation, extents, inputs).unwrap());
        assert_eq!(shape, Shape::batched(result), "{equation}");
    }
    for equation in ["bii->b", "b...,bc->b", "bi->bj", "bij,ij"] {
        match read(equation, &[0, 4, 4], &["x"]) {
            Err(ReadError::Node { source, .. }) => assert!(matches!(*source, NodeError::Value { what: "equation", .. }), "{source:?}"),
            other => panic!("{equation} was refused, found {other:?}"),
        }
    }
}
