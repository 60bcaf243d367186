use super::*;
use crate::GraphBuilder;
use crate::op::{Activation, Binary, Extent, Flatten, MaxPool, Pad, PadMode, Reduce, Reshape, Window};

/// `name: region` of each part of a tensor, whole axes as `:`.
fn parts(graph: &Graph, parts: &Parts, tensor: TensorId) -> Vec<String> {
    let axis = |r: &Option<Range<usize>>| r.as_ref().map_or(":".to_owned(), |r| format!("{}..{}", r.start, r.end));
    let line = |p: &Part| format!("{}: {}", graph.tensor(p.tensor).name, p.region.iter().map(axis).collect::<Vec<_>>().join(" "));
    parts.get(tensor).iter().map(line).collect()
}

fn infer(last: usize) -> Op {
    Op::Reshape(Reshape { extents: vec![Extent::Copy, Extent::Is(crate::Dim::Fixed(last)), Extent::Infer] })
}

/// Two inputs of 4 and 2 channels, joined.
fn joined() -> (GraphBuilder, TensorId) {
    let mut b = GraphBuilder::new("g");
    let (boxes, scores) = (b.input("boxes", &[4, 3, 5]), b.input("scores", &[2, 3, 5]));
    let y = b.node("concat", Op::Concat(Concat { axis: 1 }), &[boxes, scores], "concat").unwrap();
    (b, y)
}

#[test]
fn regions_follow_what_moves_them() {
    let (mut b, y) = joined();
    let rows = b.node("rows", infer(6), &[y], "rows").unwrap();
    let turned = b.node("turned", Op::Transpose(Transpose { permutation: vec![0, 2, 1] }), &[rows], "turned").unwrap();
    let cut = Slice { starts: vec![3], ends: vec![6], axes: vec![-1], steps: vec![1] };
    let cut = b.node("cut", Op::Slice(cut), &[turned], "cut").unwrap();
    let scores = Slice { starts: vec![4], ends: vec![6], axes: vec![2], steps: vec![1] };
    let scores = b.node("only", Op::Slice(scores), &[turned], "only").unwrap();
    let picked = b.node("picked", Op::Gather(Gather { axis: 2, indices: vec![5, 0] }), &[turned], "picked").unwrap();
    [cut, scores, picked].into_iter().for_each(|t| b.output(t));
    let g = b.finish().unwrap();
    let found = Parts::moved(&g);
    assert_eq!(parts(&g, &found, y), ["boxes: : 0..4 : :", "scores: : 4..6 : :"]);
    assert_eq!(parts(&g, &found, rows), ["boxes: : 0..4 :", "scores: : 4..6 :"]);
    assert_eq!(parts(&g, &found, turned), ["boxes: : : 0..4", "scores: : : 4..6"]);
    assert_eq!(parts(&g, &found, cut), ["boxes: : : 0..1", "scores: : : 1..3"]);
    assert_eq!(parts(&g, &found, scores), ["scores: : : :"]);
    assert_eq!(parts(&g, &found, picked), ["boxes: : : 1..2", "scores: : : 0..1"]);
}

#[test]
fn joins_of_joins_have_the_innermost_parts() {
    let (mut b, y) = joined();
    let z = b.input("more", &[6, 3, 5]);
    let z = b.node("both", Op::Concat(Concat { axis: 2 }), &[y, z], "both").unwrap();
    let rows = b.node("rows", infer(6), &[z], "rows").unwrap();
    b.output(rows);
    let g = b.finish().unwrap();
    let found = Parts::moved(&g);
    assert_eq!(parts(&g, &found, z), ["boxes: : 0..4 0..3 :", "scores: : 4..6 0..3 :", "more: : : 3..6 :"]);
    // Rows and columns in one axis: the outermost of them is cut.
    assert_eq!(parts(&g, &found, rows), ["boxes: : 0..4 0..15", "scores: : 4..6 0..15", "more: : : 15..30"]);
}

#[test]
fn what_mixes_regions_is_a_tensor_of_its_own() {
    let (mut b, y) = joined();
    let turned = b.node("turned", Op::Transpose(Transpose { permutation: vec![0, 2, 3, 1] }), &[y], "turned").unwrap();
    let flat = b.node("flat", Op::Flatten(Flatten { axis: 1 }), &[turned], "flat").unwrap();
    let in_order = b.node("in_order", Op::Flatten(Flatten { axis: 1 }), &[y], "in_order").unwrap();
    let pool = b.node("pool", Op::MaxPool(MaxPool { window: Window::new([3, 5]) }), &[y], "pool").unwrap();
    [flat, in_order, pool].into_iter().for_each(|t| b.output(t));
    let g = b.finish().unwrap();
    let found = Parts::moved(&g);
    assert_eq!(parts(&g, &found, flat), ["flat: : :"]);
    assert_eq!(parts(&g, &found, in_order), ["boxes: : 0..60", "scores: : 60..90"]);
    assert_eq!(parts(&g, &found, pool), ["boxes: : 0..4 : :", "scores: : 4..6 : :"]);
}

#[test]
fn functions_of_each_element_keep_names_where_they_are_wanted() {
    let (mut b, y) = joined();
    let y = b.node("sigmoid", Op::Activation(Activation::Sigmoid), &[y], "sigmoid").unwrap();
    let factor = b.constant("factor", &[1], vec![2.0]).unwrap();
    let y = b.node("scaled", Op::Binary(Binary::Mul), &[factor, y], "scaled").unwrap();
    b.output(y);
    let g = b.finish().unwrap();
    assert_eq!(parts(&g, &Parts::moved(&g), y), ["scaled: : : : :"]);
    assert_eq!(parts(&g, &Parts::computed(&g), y), ["boxes: : 0..4 : :", "scores: : 4..6 : :"]);
}

#[test]
fn tensors_that_zeros_surround_are_joined_by_a_sum() {
    let mut b = GraphBuilder::new("g");
    let (boxes, scores) = (b.input("boxes", &[4, 3, 5]), b.input("scores", &[2, 3, 5]));
    let channels = |before, after| Op::Pad(Pad { pads: vec![0, before, 0, 0, 0, after, 0, 0], mode: PadMode::Constant(0.0) });
    let first = b.node("first", channels(0, 2), &[boxes], "first").unwrap();
    let second = b.node("second", channels(4, 0), &[scores], "second").unwrap();
    let over = b.node("over", channels(3, 1), &[scores], "over").unwrap();
    let y = b.add("y", first, second).unwrap();
    let mean = b.node("mean", Op::Reduce(Reduce::mean(&[2, 3], false)), &[y], "mean").unwrap();
    let mixed = b.add("mixed", first, over).unwrap();
    [mean, mixed].into_iter().for_each(|t| b.output(t));
    let g = b.finish().unwrap();
    let found = Parts::moved(&g);
    assert_eq!(parts(&g, &found, y), ["boxes: : 0..4 : :", "scores: : 4..6 : :"]);
    assert_eq!(parts(&g, &found, mixed), ["mixed: : : : :"]);
    assert_eq!(parts(&g, &found, mean), ["mean: : :"]);
    assert_eq!(parts(&g, &Parts::computed(&g), mean), ["boxes: : 0..4", "scores: : 4..6"]);
}
