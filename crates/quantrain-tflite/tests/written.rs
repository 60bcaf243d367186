//! What is written, and what is refused with node and reason.

use quantrain_graph::op::{AveragePool, MaxPool, PadMode, Softmax, Transpose, Window};
use quantrain_graph::{Graph, GraphBuilder, Op, QuantGraph, Range, Settings, Target, TensorId, op};
use quantrain_integer::IntegerProgram;
use quantrain_tflite::{TfliteError, write};

/// A convolution, what `f` makes of it, handed out.
fn network(f: impl Fn(&mut GraphBuilder, TensorId) -> TensorId) -> Graph {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", &[3, 8, 8]);
    let weights = (0..4 * 27).map(|i| (i % 7) as f32 * 0.1 - 0.3).collect();
    let x = b.convolution("first", x, 4, [3, 3]).padding([1, 1, 1, 1]).strides([2, 2]).weights(weights).done().unwrap();
    let y = f(&mut b, x);
    b.output(y);
    b.finish().unwrap()
}

fn written(target: &str, settings: &Settings, f: impl Fn(&mut GraphBuilder, TensorId) -> TensorId) -> Result<Vec<u8>, TfliteError> {
    let mut net = QuantGraph::prepare(network(f), Target::named(target).unwrap(), settings).unwrap();
    net.quantizers_mut().iter_mut().enumerate().for_each(|(i, q)| q.range = Some(Range::new(-1.0, 4.0 + i as f32)));
    write(&IntegerProgram::lower(&net).unwrap())
}

fn node(op: Op) -> impl Fn(&mut GraphBuilder, TensorId) -> TensorId {
    move |b, x| b.node("node", op.clone(), &[x], "y").unwrap()
}

/// Whether the list of operators' kinds has this one: version and number lie side by side, the greater ones of a table behind the byte.
fn has_operator(file: &[u8], version: i32, number: i32) -> bool {
    let pair = [version.to_le_bytes(), number.to_le_bytes()].concat();
    file.windows(8).any(|w| w == pair)
}

#[test]
fn operators_are_written_with_what_pads_before_them() {
    let settings = Settings::default();
    let same = written("tflite-micro", &settings, |b, x| b.relu("relu", x).unwrap()).unwrap();
    // One row in front of a convolution of stride 2 is a Pad of its own.
    assert!(has_operator(&same, 2, 34) && has_operator(&same, 3, 3));
    let pool = MaxPool { window: Window { pads: [1, 1, 1, 1], strides: [2, 2], ..Window::new([3, 3]) } };
    let pool = written("tflite-micro", &settings, node(Op::MaxPool(pool))).unwrap();
    assert!(has_operator(&pool, 2, 60) && has_operator(&pool, 2, 17));
    let average = AveragePool { window: Window { strides: [2, 2], ..Window::new([2, 2]) }, count_include_pad: false };
    assert!(has_operator(&written("tflite-micro", &settings, node(Op::AveragePool(average))).unwrap(), 2, 1));
    let turned = written("tflite-micro", &settings, node(Op::Transpose(Transpose { permutation: vec![0, 1, 3, 2] }))).unwrap();
    assert!(has_operator(&turned, 2, 39));
    let sum = written("tflite-micro", &settings, |b, x| b.add("sum", x, x).unwrap()).unwrap();
    assert!(has_operator(&sum, 2, 0));
    for target in ["tflite-micro", "litert"] {
        let mean = written(target, &settings, |b, x| b.global_average_pool("mean", x).unwrap()).unwrap();
        assert!(has_operator(&mean, 2, 40), "{target}");
    }
}

#[test]
fn what_has_no_form_is_refused_by_name() {
    let settings = Settings::default();
    assert!(matches!(written("onnxruntime", &settings, |_, x| x), Err(TfliteError::Target { .. })));
    let few_bits = Settings { activation_bits: Some(4), ..settings.clone() };
    assert!(matches!(written("tflite-micro", &few_bits, |_, x| x), Err(TfliteError::Tensor { tensor, .. }) if tensor == "x"));
    let softmax = written("tflite-micro", &settings, node(Op::Softmax(Softmax::along(1)))).unwrap_err();
    assert!(softmax.to_string().starts_with("node `node` (Softmax) cannot be written as TensorFlow Lite: "), "{softmax}");
    let clip = Op::Activation(op::Activation::Clip { min: -0.25, max: 2.5 });
    let clip = written("tflite-micro", &settings, node(clip)).unwrap_err();
    assert!(clip.to_string().contains("node `first` (Conv)") && clip.to_string().contains("Relu6"), "{clip}");
    let uneven = AveragePool { window: Window { pads: [1, 0, 0, 1], ..Window::new([2, 2]) }, count_include_pad: false };
    assert!(matches!(written("tflite-micro", &settings, node(Op::AveragePool(uneven))), Err(TfliteError::Node { .. })));
    let edge = Op::Pad(op::Pad { pads: vec![0, 0, 1, 1, 0, 0, 1, 1], mode: PadMode::Edge });
    assert!(matches!(written("tflite-micro", &settings, node(edge)), Err(TfliteError::Node { operator: "Pad", .. })));
}
