//! The order of weights: ONNX's `[O, I, kh, kw]`, the kernels' `[O, kh, kw, I]`.

use quantrain_graph::QuantGraph;
use quantrain_kernels::permute::permute;

/// Channels-first weights as the kernels read them: `[O, I, kh, kw]` as `[O, kh, kw, I]`.
pub(super) fn to_engine_order(net: &QuantGraph, u: usize, weights: &[f32]) -> Vec<f32> {
    reorder(weights, &weight_extents(net, u), &[0, 2, 3, 1])
}

/// The way back.
pub(super) fn to_onnx_order(net: &QuantGraph, u: usize, weights: &[f32]) -> Vec<f32> {
    let [o, i, h, w] = weight_extents(net, u);
    reorder(weights, &[o, h, w, i], &[0, 3, 1, 2])
}

fn reorder(weights: &[f32], shape: &[usize], permutation: &[usize]) -> Vec<f32> {
    let mut reordered = vec![0.0; weights.len()];
    permute(weights, shape, permutation, &mut reordered);
    reordered
}

/// `[O, I, kh, kw]`; a product has one pixel.
fn weight_extents(net: &QuantGraph, u: usize) -> [usize; 4] {
    let unit = net.units()[u];
    let block = unit.block(net.graph()).expect("only blocks have weights");
    let shape = net.graph().tensor(block.weight).shape.at(1);
    match shape[..] {
        [a, b, h, w] => [block.channels, a * b / block.channels, h, w],
        _ => [block.channels, shape.iter().product::<usize>() / block.channels, 1, 1],
    }
}
