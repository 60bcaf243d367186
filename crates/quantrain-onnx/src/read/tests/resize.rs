//! Sizes that keep an aspect ratio, and sizes that no factor gives.

use quantrain_graph::op::{PadMode, ResizeTo, Slice};
use quantrain_graph::{Op, Shape};

use super::operators::output_shape;
use crate::fixture::{ModelFixture, int, ints, text};
use crate::write_float;

fn kept(extents: &[i64], policy: &str, sizes: [i64; 2]) -> ModelFixture {
    let attributes = vec![text("mode", "linear"), text("keep_aspect_ratio_policy", policy), ints("axes", &[2, 3])];
    ModelFixture::new(18, extents).ints("sizes", &sizes).node("Resize", &["x", "", "", "sizes"], "y", attributes)
}

#[test]
fn one_factor_keeps_the_aspect_ratio() {
    for (policy, factor) in [("not_larger", 1.25), ("not_smaller", 1.5)] {
        let graph = kept(&[0, 3, 8, 8], policy, [12, 10]).read().unwrap();
        let Op::Resize(resize) = &graph.nodes()[0].op else { panic!("a Resize was written") };
        assert_eq!(resize.to, ResizeTo::Scales([factor; 2]));
    }
}

#[test]
fn an_extent_that_is_rounded_up_is_cut_out_of_a_larger_one() {
    // 5 rows by 1.5 are 7.5, of which 8 are meant; 4 columns are 6.
    let graph = kept(&[0, 3, 5, 4], "not_larger", [100, 6]).read().unwrap();
    assert_eq!(output_shape(&graph), Shape::batched(&[3, 8, 6]));
    let ops: Vec<&Op> = graph.nodes().iter().map(|n| &n.op).collect();
    let [Op::Pad(pad), Op::Resize(resize), Op::Slice(slice)] = ops[..] else { panic!("{ops:?}") };
    assert_eq!((&pad.pads[..], pad.mode), (&[0, 0, 0, 0, 0, 0, 1, 0][..], PadMode::Edge));
    assert_eq!(resize.to, ResizeTo::Scales([1.5; 2]));
    assert_eq!(*slice, Slice { starts: vec![0, 0], ends: vec![8, 6], axes: vec![2, 3], steps: vec![1, 1] });
}

#[test]
fn sizes_that_no_factor_gives_are_written_for_all_axes() {
    let free = |model: ModelFixture| {
        let model = model.ints("to", &[7, 7]).ints("zero", &[0]).ints("two", &[2]).node("Shape", &["x"], "shape", vec![]);
        let model = model.node("Slice", &["shape", "zero", "two"], "leading", vec![]);
        model.node("Concat", &["leading", "to"], "sizes", vec![int("axis", 0)])
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    for model in [free(ModelFixture::new(13, &[0, 3, 3, 3])), ModelFixture::new(13, &[2, 3, 3, 3]).ints("sizes", &[2, 3, 7, 7])] {
        let graph = model.node("Resize", &["x", "", "", "sizes"], "y", vec![]).read().unwrap();
        let Op::Resize(resize) = &graph.nodes()[0].op else { panic!("a Resize was written") };
        // 3 by the nearest factor of 7/3 in f32 is below 7.
        assert_eq!(resize.to, ResizeTo::Sizes([7, 7]));
        write_float(&graph, &path).unwrap();
        assert_eq!(crate::read(&path).unwrap().nodes(), graph.nodes());
    }
}
