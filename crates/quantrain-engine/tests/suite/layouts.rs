//! Parameters in ONNX's order: as the graph has them.

use quantrain_engine::{Network, ParameterLayout};
use quantrain_graph::op::{ConvTranspose, Convolution, Window};
use quantrain_graph::{GraphBuilder, Op, QuantGraph};

fn numbered(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

/// The layout of the weights of one operator, and what the network has in memory.
fn layout_of(op: Op, input: &[usize], weight: &[usize]) -> (ParameterLayout, Vec<f32>) {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", input);
    let w = b.constant("w", weight, numbered(weight.iter().product())).unwrap();
    let y = b.node("y", op, &[x, w], "y").unwrap();
    b.output(y);
    let mut network = Network::new(QuantGraph::float(b.finish().unwrap()));
    let layout = network.parameter_layouts().remove(0);
    let values = network.parameters().remove(0).value.to_vec();
    (layout, values)
}

fn check(op: Op, input: &[usize], weight: &[usize], has_strides: bool) {
    let (layout, values) = layout_of(op, input, weight);
    assert_eq!(layout.shape, weight);
    assert_eq!(layout.to_onnx_order(&values), numbered(values.len()), "{weight:?}");
    let mut written = vec![0.0; values.len()];
    layout.write_onnx_order(&numbered(values.len()), &mut written);
    assert_eq!(written, values, "there and back");
    assert_eq!(layout.strides.is_some(), has_strides, "{weight:?}");
    let Some(strides) = layout.strides else { return };
    for i in 0..values.len() {
        let (mut rest, mut at) = (i, 0);
        for (extent, stride) in weight.iter().zip(&strides).rev() {
            at += rest % extent * stride;
            rest /= extent;
        }
        assert_eq!(values[at], i as f32, "element {i} of {weight:?} by its strides {strides:?}");
    }
}

#[test]
fn weights_are_seen_in_the_order_of_the_file() {
    let convolution = |groups| Op::Convolution(Convolution { window: Window::new([3, 2]), groups });
    check(convolution(1), &[4, 5, 5], &[6, 4, 3, 2], true);
    check(convolution(4), &[4, 5, 5], &[8, 1, 3, 2], true);
    let transposed = |groups| Op::ConvTranspose(ConvTranspose { window: Window::new([3, 2]), output_padding: [0; 2], groups });
    check(transposed(1), &[4, 5, 5], &[4, 6, 3, 2], true);
    check(transposed(4), &[4, 5, 5], &[4, 2, 3, 2], true);
    check(transposed(2), &[4, 5, 5], &[4, 3, 3, 2], false);
}

#[test]
fn so_are_the_weights_of_products_and_what_has_one_axis() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3]);
    let y = b.gemm("gemm", x, 2, numbered(6), vec![7.0, 8.0]).unwrap();
    b.output(y);
    let mut network = Network::new(QuantGraph::float(b.finish().unwrap()));
    let layouts = network.parameter_layouts();
    let parameters = network.parameters();
    assert_eq!(layouts.len(), parameters.len());
    for (layout, parameter) in layouts.iter().zip(parameters) {
        assert_eq!(layout.name, parameter.name);
        let expected = if layout.shape.len() == 2 { numbered(6) } else { vec![7.0, 8.0] };
        assert_eq!(layout.to_onnx_order(parameter.value), expected, "{}", layout.name);
    }
}
