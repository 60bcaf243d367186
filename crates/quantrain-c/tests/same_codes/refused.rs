//! What has no C form.

use quantrain_c::{CError, CFiles, print};
use quantrain_graph::op::Softmax;
use quantrain_graph::{Graph, Op, Settings};
use quantrain_integer::IntegerProgram;

use crate::draft::{Draft, quantized, window};

fn printed(graph: &Graph, settings: &Settings) -> Result<CFiles, CError> {
    print(&IntegerProgram::lower(&quantized(graph, "onnxruntime", settings)).unwrap(), "net")
}

fn small(op: Option<Op>) -> Graph {
    let mut d = Draft::new();
    let x = d.b.input("x", &[3, 4, 4]);
    let mut y = d.convolution(x, 4, 1, window([3, 3], [1, 1], [1; 4]));
    if let Some(op) = op {
        y = d.node(op, &[y]);
    }
    let y = d.convolution(y, 2, 1, window([1, 1], [1, 1], [0; 4]));
    d.finish(&[y])
}

#[test]
fn a_node_without_a_form_is_named_with_the_reason() {
    let error = printed(&small(Some(Op::Softmax(Softmax::along(1)))), &Settings::default()).unwrap_err().to_string();
    assert!(error.starts_with("node `Softmax2` (Softmax) cannot be written as C: "), "{error}");
}

#[test]
fn wide_codes_are_refused() {
    let settings = Settings { activation_bits: Some(16), ..Settings::default() };
    assert!(matches!(printed(&small(None), &settings), Err(CError::Border { what: "input", .. })));
    let settings = Settings { weight_bits: Some(16), ..Settings::default() };
    let error = printed(&small(None), &settings).unwrap_err();
    assert!(matches!(&error, CError::Node { operator: "Conv", .. }), "{error}");
}

#[test]
fn float_inputs_are_refused_and_float_outputs_written() {
    let settings = Settings { quantize_output: Some(false), ..Settings::default() };
    let files = printed(&small(None), &settings).unwrap();
    assert!(files.header.contains("float *"), "{}", files.header);
}

#[test]
fn a_residual_takes_two_tensors_and_not_three() {
    let mut d = Draft::new();
    let x = d.b.input("x", &[3, 8, 8]);
    let first = d.convolution(x, 16, 1, window([1, 1], [1, 1], [0; 4]));
    let between = d.convolution(first, 16, 1, window([1, 1], [1, 1], [0; 4]));
    let inner = d.convolution(between, 16, 1, window([1, 1], [1, 1], [0; 4]));
    let sum = d.b.add("sum", first, inner).unwrap();
    let y = d.convolution(sum, 2, 1, window([1, 1], [1, 1], [0; 4]));
    let footprint = printed(&d.finish(&[y]), &Settings::default()).unwrap().footprint;
    assert_eq!((footprint.ram, footprint.ram_bound), (2 * 16 * 64, 2 * 16 * 64));
}
