//! Small networks of every form that is printed.

use quantrain_graph::op::{
    Activation, AveragePool, Binary, Concat, ConvTranspose, Coordinates, DepthOrder, DepthToSpace, GlobalAveragePool, Interpolation,
    MaxPool, NearestMode, Pad, PadMode, Resize, ResizeTo, Slice, Transpose, Window,
};
use quantrain_graph::{Op, TensorId};

use crate::compiled::compare;
use crate::draft::{Draft, spread, window};

#[test]
fn convolutions_and_products() {
    let mut d = Draft::new();
    let x = d.b.input("input", &[3, 9, 8]);
    let y = d.convolution(x, 10, 1, window([3, 3], [2, 1], [0, 1, 1, 1]));
    let y = d.node(Op::Activation(Activation::Relu), &[y]);
    let deep = d.convolution(y, 10, 10, window([3, 3], [1, 1], [1, 1, 1, 1]));
    let y = d.node(Op::Activation(Activation::Clip { min: 0.0, max: 0.9 }), &[deep]);
    let grouped = d.convolution(y, 6, 2, Window { dilations: [2, 1], ..window([2, 3], [1, 2], [1, 0, 1, 2]) });
    // More channels than sums that are made at once, and none of four.
    let y = d.convolution(grouped, 37, 1, window([1, 1], [1, 1], [0; 4]));
    let weights = spread(9, 37 * 5 * 4, -0.2, 0.2);
    let weights = d.b.constant("transposed.weight", &[37, 5, 2, 2], weights).unwrap();
    let op = ConvTranspose { window: window([2, 2], [2, 2], [0, 0, 0, 1]), output_padding: [0, 0], groups: 1 };
    let y = d.node(Op::ConvTranspose(op), &[y, weights]);
    let count = d.b.graph().tensor(y).shape.elements(1);
    let flat = d.b.flatten("flat", y).unwrap();
    let y = d.gemm(flat, count, 7);
    compare("convolutions_and_products", &d.finish(&[y, grouped]));
}

#[test]
fn additions_in_blocks_and_by_themselves() {
    let mut d = Draft::new();
    let (x, other) = (d.b.input("x", &[4, 6, 5]), d.b.input("other", &[4, 6, 5]));
    let same = || window([3, 3], [1, 1], [1; 4]);
    let first = d.convolution(x, 4, 1, same());
    let inner = d.convolution(first, 4, 1, same());
    // A block's last step, its operands in one order and the other.
    let sum = d.node(Op::Binary(Binary::Add), &[first, inner]);
    let sum = d.node(Op::Activation(Activation::Relu), &[sum]);
    let deep = d.convolution(sum, 4, 4, same());
    let inner = d.convolution(deep, 4, 1, same());
    let sum = d.node(Op::Binary(Binary::Add), &[inner, deep]);
    // By themselves: both read again, one an input of the network, one twice.
    let late = d.convolution(sum, 4, 1, same());
    let both = d.node(Op::Binary(Binary::Add), &[late, sum]);
    let given = d.node(Op::Binary(Binary::Add), &[both, other]);
    let twice = d.node(Op::Binary(Binary::Add), &[given, given]);
    let y = d.node(Op::Binary(Binary::Add), &[twice, sum]);
    compare("additions", &d.finish(&[y, late]));
}

#[test]
fn elements_that_move() {
    let mut d = Draft::new();
    let x = d.b.input("x", &[4, 8, 7]);
    let y = d.convolution(x, 8, 1, window([1, 1], [1, 1], [0; 4]));
    let every = Slice { starts: vec![0, 6], ends: vec![i64::MAX, i64::MIN], axes: vec![2, 3], steps: vec![2, -1] };
    let sliced = d.node(Op::Slice(every), &[y]);
    let padded = d.node(Op::Pad(Pad { pads: vec![0, 2, 1, 0, 0, 2, 0, 1], mode: PadMode::Constant(0.0) }), &[sliced]);
    let mirrored = d.node(Op::Pad(Pad { pads: vec![0, 0, 1, 1, 0, 0, 2, 1], mode: PadMode::Reflect }), &[sliced]);
    let largest = d.node(Op::MaxPool(MaxPool { window: window([3, 2], [2, 1], [1, 0, 1, 1]) }), &[padded]);
    let turned = d.node(Op::Transpose(Transpose { permutation: vec![0, 1, 3, 2] }), &[mirrored]);
    let spaced = d.node(Op::DepthToSpace(DepthToSpace { block: 2, order: DepthOrder::ChannelFirst }), &[turned]);
    let near = Interpolation::Nearest(NearestMode::Floor);
    let near = Resize { to: ResizeTo::Sizes([5, 11]), coordinates: Coordinates::Asymmetric, interpolation: near };
    let near = d.node(Op::Resize(near), &[largest]);
    let same = d.node(Op::Identity, &[near]);
    // Joined by one quantizer or by their own.
    let joined = d.node(Op::Concat(Concat { axis: 1 }), &[same, near]);
    let count = d.b.graph().tensor(spaced).shape.elements(1);
    let flat = d.b.flatten("flat", spaced).unwrap();
    let y = d.gemm(flat, count, 9);
    compare("moves", &d.finish(&[y, joined, turned]));
}

#[test]
fn means_and_neighbours() {
    let mut d = Draft::new();
    let x = d.b.input("x", &[5, 9, 10]);
    let y = d.convolution(x, 6, 1, window([3, 3], [1, 1], [1; 4]));
    let pool = |count_include_pad| Op::AveragePool(AveragePool { window: window([3, 2], [2, 2], [1, 0, 1, 1]), count_include_pad });
    let (counted, left_out) = (d.node(pool(true), &[y]), d.node(pool(false), &[y]));
    let linear = Resize { to: ResizeTo::Sizes([9, 7]), coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
    let linear = d.node(Op::Resize(linear), &[counted]);
    let curved = d.node(Op::Activation(Activation::HardSwish), &[linear]);
    let mean = d.node(Op::GlobalAveragePool(GlobalAveragePool), &[curved]);
    let flat = d.b.flatten("flat", mean).unwrap();
    let y = d.gemm(flat, 6, 12);
    compare("means", &d.finish(&[y, left_out, linear]));
}

#[test]
fn concatenations_of_other_units() {
    let mut d = Draft::new();
    let x = d.b.input("x", &[3, 6, 6]);
    let a = d.convolution(x, 4, 1, window([3, 3], [1, 1], [1; 4]));
    let b = d.convolution(a, 5, 1, window([1, 1], [1, 1], [0; 4]));
    let y = d.node(Op::Concat(Concat { axis: 1 }), &[a, x]);
    let z: TensorId = d.node(Op::Concat(Concat { axis: 2 }), &[b, b]);
    compare("concatenations", &d.finish(&[y, z]));
}
