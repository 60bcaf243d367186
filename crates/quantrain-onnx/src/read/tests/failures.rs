//! Every failure, made to happen.

use quantrain_graph::GraphError;

use crate::fixture::{ModelFixture, float, int, ints, tensor, tensor_attribute, text};
use crate::proto::{StringStringEntryProto, data_type};
use crate::{NodeError, ReadError, TensorError, read, read_bytes};

fn image(opset: i64) -> ModelFixture {
    ModelFixture::new(opset, &[0, 3, 8, 8])
}

/// The error of the node that cannot be read.
fn node_error(model: ModelFixture) -> NodeError {
    let single = |error| if let ReadError::FixedBatch { source, .. } = error { *source } else { error };
    match model.read().map_err(single) {
        Err(ReadError::Node { source, .. }) => *source,
        other => panic!("a node error was expected, found {other:?}"),
    }
}

macro_rules! refuses {
    ($($name:ident: $model:expr => $pattern:pat),* $(,)?) => {
        $(#[test]
        fn $name() {
            let found = node_error($model);
            assert!(matches!(found, $pattern), "{found:?}");
        })*
    };
}

refuses! {
    an_attribute_left_unread: image(13).node("Relu", &["x"], "y", vec![int("spin", 1)]) => NodeError::AttributeUnread { .. },
    an_attribute_of_another_type: image(13).node("LeakyRelu", &["x"], "y", vec![int("alpha", 1)])
        => NodeError::AttributeType { attribute: "alpha", .. },
    a_missing_attribute: image(13).node("MaxPool", &["x"], "y", vec![]) => NodeError::AttributeMissing { attribute: "kernel_shape" },
    a_value_that_is_not_supported: image(13).node("Pad", &["x"], "y", vec![text("mode", "wrap")]) => NodeError::Value { what: "mode", .. },
    a_flag_that_is_none: ModelFixture::new(13, &[0, 4]).floats("w", &[4, 4], &[0.0; 16])
        .node("Gemm", &["x", "w"], "y", vec![int("transB", 2)]) => NodeError::Value { what: "transB", .. },
    batch_norm_in_training: ["g", "b", "m", "v"].iter().fold(image(14), |m, n| m.floats(n, &[3], &[1.0; 3]))
        .node("BatchNormalization", &["x", "g", "b", "m", "v"], "y", vec![int("training_mode", 1)])
        => NodeError::Value { what: "training_mode", .. },
    limits_in_the_wrong_order: image(9).node("Clip", &["x"], "y", vec![float("min", 1.0), float("max", 0.0)])
        => NodeError::Value { what: "min", .. },
    limits_that_are_nan: image(9).node("Clip", &["x"], "y", vec![float("min", f32::NAN)]) => NodeError::Value { what: "min", .. },
    a_window_in_one_dimension: image(13).node("MaxPool", &["x"], "y", vec![ints("kernel_shape", &[3])])
        => NodeError::Value { what: "kernel_shape", .. },
    a_window_of_nothing: image(13).node("MaxPool", &["x"], "y", vec![ints("kernel_shape", &[0, 3])])
        => NodeError::Value { what: "kernel_shape", .. },
    negative_padding: image(13).node("MaxPool", &["x"], "y", vec![ints("kernel_shape", &[2, 2]), ints("pads", &[-1, 0, 0, 0])])
        => NodeError::Value { what: "pads", .. },
    a_window_beyond_its_input: image(13).node("MaxPool", &["x"], "y", vec![ints("kernel_shape", &[9, 9])])
        => NodeError::Graph(GraphError::Shape { .. }),
    cropping: image(13).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Resize", &["x", "", "s"], "y", vec![text("coordinate_transformation_mode", "tf_crop_and_resize")])
        => NodeError::Value { what: "coordinate_transformation_mode", .. },
    parts_that_are_not_the_whole: image(13).ints("s", &[1, 1]).node("Split", &["x", "s"], "y", vec![int("axis", 1)])
        => NodeError::Value { what: "split", .. },
    parts_of_the_batch: image(13).node("Split", &["x"], "y", vec![]) => NodeError::Graph(GraphError::Shape { .. }),
    another_padding: image(13).floats("w", &[3, 2, 3, 3], &[0.5; 54]).node("ConvTranspose", &["x", "w"], "y", vec![text("auto_pad", "SAME")])
        => NodeError::Value { what: "auto_pad", .. },
    more_padding_than_there_is: image(13).floats("w", &[3, 2, 1, 1], &[0.5; 6])
        .node("ConvTranspose", &["x", "w"], "y", vec![ints("pads", &[4, 0, 4, 0])]) => NodeError::Graph(GraphError::Shape { .. }),
    groups_that_do_not_divide: image(21).floats("s", &[3], &[1.0; 3])
        .node("GroupNormalization", &["x", "s", "s"], "y", vec![int("num_groups", 2)]) => NodeError::Value { what: "num_groups", .. },
    resizing_channels: image(13).floats("s", &[4], &[1.0, 2.0, 2.0, 2.0]).node("Resize", &["x", "", "s"], "y", vec![])
        => NodeError::Value { what: "scales", .. },
    resizing_to_nothing: image(13).node("Resize", &["x"], "y", vec![]) => NodeError::Value { what: "scales", .. },
    shrinking_before_it_was_defined: image(10).floats("s", &[4], &[1.0, 1.0, 0.5, 0.5]).node("Resize", &["x", "s"], "y", vec![])
        => NodeError::Value { what: "scales", .. },
    averaging_over_the_batch: image(13).node("ReduceMean", &["x"], "y", vec![]) => NodeError::Value { what: "axes", .. },
    the_index_of_a_sample: image(13).node("ArgMax", &["x"], "y", vec![]) => NodeError::Value { what: "axis", .. },
    a_softmax_over_the_batch: image(13).node("Softmax", &["x"], "y", vec![int("axis", 0)]) => NodeError::Value { what: "axis", .. },
    a_missing_input: image(13).node("Add", &["x"], "y", vec![]) => NodeError::InputMissing { position: 1 },
    an_input_too_many: image(13).node("Relu", &["x", "x"], "y", vec![]) => NodeError::InputUnread { position: 1, .. },
    an_operand_too_many: image(13).node("Add", &["x", "x", "x"], "y", vec![]) => NodeError::InputUnread { position: 2, .. },
    a_node_without_output: {
        let mut model = image(13).node("Relu", &["x"], "", vec![]);
        model.graph().node[0].output.push("y".into());
        model
    } => NodeError::OutputMissing,
    an_input_that_nothing_defines: image(13).node("Relu", &["nothing"], "y", vec![]) => NodeError::NotDefined { .. },
    a_cycle: image(13).node("Add", &["x", "y"], "a", vec![]).node("Relu", &["a"], "y", vec![]) => NodeError::NotDefined { .. },
    weights_that_are_computed: image(13).node("Relu", &["x"], "w", vec![]).node("Conv", &["x", "w"], "y", vec![])
        => NodeError::Graph(GraphError::NotConstant { .. } | GraphError::Shape { .. }),
    a_target_that_is_computed: image(13).node("Reshape", &["x", "x"], "y", vec![]) => NodeError::NotConstant { .. },
    integers_in_a_float_operator: image(13).ints("n", &[1]).node("Add", &["x", "n"], "y", vec![]) => NodeError::NotFloat { .. },
    floats_as_a_target: image(13).floats("f", &[1], &[1.0]).node("Reshape", &["x", "f"], "y", vec![]) => NodeError::NotInteger { .. },
    gathering_samples: image(13).ints("n", &[0]).node("Gather", &["x", "n"], "y", vec![]) => NodeError::Graph(GraphError::Shape { .. }),
    gathering_what_is_not_there: image(13).ints("n", &[3]).node("Gather", &["x", "n"], "y", vec![int("axis", 1)])
        => NodeError::Value { what: "indices", .. },
    casting_to_text: image(13).node("Cast", &["x"], "y", vec![int("to", 8)]) => NodeError::Value { what: "to", .. },
    an_index_that_its_type_does_not_hold: ModelFixture::new(13, &[0, 257]).node("ArgMax", &["x"], "i", vec![int("axis", 1)])
        .node("Cast", &["i"], "y", vec![int("to", 2)]) => NodeError::Value { what: "to", .. },
    half_a_batch_as_an_extent: image(13).floats("half", &[], &[0.5]).node("Shape", &["x"], "s", vec![]).node("Cast", &["s"], "f", vec![int("to", 1)])
        .node("Mul", &["f", "half"], "h", vec![]).node("Cast", &["h"], "t", vec![int("to", 7)]).node("Reshape", &["x", "t"], "y", vec![])
        => NodeError::BatchArithmetic { .. },
    blocks_of_nothing: image(13).node("SpaceToDepth", &["x"], "y", vec![int("blocksize", 0)]) => NodeError::Value { what: "blocksize", .. },
    blocks_that_do_not_divide: image(13).node("SpaceToDepth", &["x"], "y", vec![int("blocksize", 3)])
        => NodeError::Graph(GraphError::Shape { .. }),
    repeating_samples: image(13).ints("n", &[2, 1, 1, 1]).node("Tile", &["x", "n"], "y", vec![]) => NodeError::Graph(GraphError::Shape { .. }),
    an_operator_on_constants_alone: image(18).floats("k", &[1], &[1.0]).node("Mish", &["k"], "y", vec![]) => NodeError::NotFolded,
    extents_that_are_no_multiple_of_the_batch: image(13).node("Shape", &["x"], "s", vec![]).ints("one", &[1])
        .node("Add", &["s", "one"], "t", vec![]).node("Reshape", &["x", "t"], "y", vec![]) => NodeError::BatchArithmetic { .. },
    division_by_zero: image(13).ints("a", &[1]).ints("b", &[0]).node("Div", &["a", "b"], "y", vec![]) => NodeError::Overflow { .. },
    a_constant_that_explodes: image(13).ints("n", &[1 << 30, 1 << 30]).node("ConstantOfShape", &["n"], "y", vec![])
        => NodeError::TooLarge { .. },
    constants_that_double_and_double: (0..40).fold(image(13).floats("c0", &[1024], &[0.0; 1024]), |m, i| {
        let (from, to) = (format!("c{i}"), if i == 39 { "y".into() } else { format!("c{}", i + 1) });
        m.node("Concat", &[&from, &from], &to, vec![int("axis", 0)])
    }) => NodeError::TooLarge { .. },
    activations_that_explode: (0..8).fold(image(13).ints("p", &[0, 0, 0, 0, 0, 0, 1 << 30, 1 << 30]).node("Relu", &["x"], "a0", vec![]), |m, i| {
        let (from, to) = (format!("a{i}"), if i == 7 { "y".into() } else { format!("a{}", i + 1) });
        m.node("Pad", &[&from, "p"], &to, vec![])
    }) => NodeError::Graph(GraphError::TooManyElements { .. }),
    a_pair_of_other_scales: image(13).floats("s", &[], &[0.5]).floats("t", &[], &[0.25]).node("QuantizeLinear", &["x", "s"], "q", vec![])
        .node("DequantizeLinear", &["q", "t"], "y", vec![]) => NodeError::PairMismatch,
    codes_in_a_float_operator: image(13).floats("s", &[], &[0.5]).node("QuantizeLinear", &["x", "s"], "q", vec![])
        .node("Sigmoid", &["q"], "y", vec![]) => NodeError::NotFloat { .. },
    floats_of_8_bits_as_codes: image(19).floats("s", &[], &[0.5]).raw("z", &[], 17, vec![0]).node("QuantizeLinear", &["x", "s", "z"], "q", vec![])
        .node("DequantizeLinear", &["q", "s", "z"], "y", vec![]) => NodeError::CodeType { .. },
    floats_of_8_bits_as_weights: image(19).floats("s", &[], &[0.5]).raw("q", &[1], 17, vec![0]).node("DequantizeLinear", &["q", "s"], "w", vec![])
        .node("Mul", &["x", "w"], "y", vec![]) => NodeError::CodeType { .. },
    a_type_of_8_bit_floats: image(19).floats("s", &[], &[0.5]).node("QuantizeLinear", &["x", "s"], "y", vec![int("output_dtype", 17)])
        => NodeError::CodeType { .. },
    a_scale_of_zero: image(13).floats("s", &[], &[0.0]).node("QuantizeLinear", &["x", "s"], "y", vec![]) => NodeError::Quantizer(_),
    quantization_in_blocks: image(21).floats("s", &[], &[0.5]).node("QuantizeLinear", &["x", "s"], "y", vec![int("block_size", 2)])
        => NodeError::Value { what: "block_size", .. },
    a_broken_constant_attribute: image(13).node("Constant", &[], "y", vec![tensor_attribute("value", tensor("", &[2], data_type::FLOAT, vec![0; 4]))])
        => NodeError::Tensor { source: TensorError::Length { .. }, .. },
    floats_of_a_byte: image(13).raw("k", &[1], 17, vec![0]).node("Mul", &["x", "k"], "y", vec![])
        => NodeError::Tensor { source: TensorError::Type { .. }, .. },
    weights_that_are_nan: image(13).floats("k", &[1], &[f32::NAN]).node("Mul", &["x", "k"], "y", vec![])
        => NodeError::Graph(GraphError::NotFinite { index: 0, .. }),
    a_second_definition: image(13).node("Relu", &["x"], "y", vec![]).node("Relu", &["x"], "y", vec![])
        => NodeError::Graph(GraphError::DefinedTwice { .. }),
    indices_of_a_pool: {
        let mut model = image(13).node("MaxPool", &["x"], "p", vec![ints("kernel_shape", &[2, 2])]);
        model.graph().node[0].output.push("indices".into());
        model.node("Relu", &["indices"], "y", vec![])
    } => NodeError::NotDefined { .. },
}

#[test]
fn a_value_that_does_not_fit_its_type_is_refused() {
    let mut model = image(13).floats("s", &[], &[0.5]);
    let mut codes = tensor("q", &[1], data_type::INT8, vec![]);
    codes.int32_data = vec![300];
    model.graph().initializer.push(codes);
    let found = node_error(model.node("DequantizeLinear", &["q", "s"], "y", vec![]));
    assert!(matches!(found, NodeError::Tensor { source: TensorError::Value { value: 300 }, .. }), "{found:?}");
}

#[test]
fn broken_files_are_no_models() {
    let whole = image(13).node("Relu", &["x"], "y", vec![]).output("y").bytes();
    let error = |bytes: &[u8]| read_bytes("f.onnx", bytes).unwrap_err();
    assert!(matches!(error(&[]), ReadError::NotOnnx { .. }));
    assert!(matches!(error(b"#!/bin/sh\necho not a model\n"), ReadError::NotOnnx { .. }));
    assert!(matches!(error(&whole[..whole.len() / 2]), ReadError::NotOnnx { .. }));
    let mut model = image(13).node("Relu", &["x"], "y", vec![]);
    model.model.opset_import.clear();
    assert!(matches!(model.read(), Err(ReadError::NotOnnx { .. })));
    assert!(matches!(read("/no/such/file.onnx"), Err(ReadError::Io { .. })));
}

#[test]
fn other_operator_sets_and_operators_are_named() {
    for found in [6, 26] {
        assert!(matches!(image(found).node("Relu", &["x"], "y", vec![]).read(), Err(ReadError::Opset { found: f, .. }) if f == found));
    }
    let error = image(13).node("NonMaxSuppression", &["x"], "y", vec![]).read().unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, ReadError::UnknownOperator { .. }));
    for part in ["test.onnx", "`y`", "NonMaxSuppression", "(operator set 13)", "docs/operators.md"] {
        assert!(message.contains(part), "{message}");
    }
    for (given, nearest) in [("Hardswish", "HardSwish"), ("LayerNormalisation", "LayerNormalization"), ("AvgPool", "")] {
        let message = image(20).node(given, &["x"], "y", vec![]).read().unwrap_err().to_string();
        assert!(message.contains(&format!("(ONNX has {nearest})")) || nearest.is_empty() && !message.contains("ONNX has"), "{message}");
    }
    let mut model = image(13).node("Relu", &["x"], "y", vec![]);
    model.graph().node[0].domain = Some("com.microsoft".into());
    assert!(model.read().unwrap_err().to_string().contains("com.microsoft.Relu"));
    let error = image(13).node("HardSwish", &["x"], "y", vec![]).read().unwrap_err();
    assert!(matches!(error, ReadError::OperatorOpset { operator: "HardSwish", first: 14, opset: 13, .. }));
}

#[test]
fn a_file_that_holds_for_one_image_says_what_to_give() {
    let reshaped = |to: &[i64]| image(13).ints("to", to).node("Reshape", &["x", "to"], "y", vec![]).read().unwrap_err().to_string();
    let message = reshaped(&[1, 64, 3, 1]);
    assert!(message.ends_with("with a batch of 1 it can be read: give --input-shape x=1x3x8x8"), "{message}");
    assert!(message.contains("node `y` (Reshape): shape [N, 3, 8, 8] cannot be reshaped to [1, 64, 3, 1]"), "{message}");
    // Advice is given where it helps.
    assert!(!reshaped(&[1, 65, 3, 1]).contains("--input-shape"));
    let volume = ModelFixture::new(13, &[0, 1, 4, 4, 4]).floats("w", &[2, 1, 3, 3, 3], &[0.0; 54]);
    let message = volume.node("Conv", &["x", "w"], "y", vec![ints("pads", &[1; 6])]).read().unwrap_err().to_string();
    assert!(message.contains("3 spatial axes are not supported"), "{message}");
}

#[test]
fn inputs_must_be_tensors_of_known_types_and_extents() {
    let relu = |model: ModelFixture| model.node("Relu", &["x"], "y", vec![]).read().unwrap_err();
    assert!(matches!(relu(ModelFixture::new(13, &[0, 3, 0, 8])), ReadError::InputExtent { axis: 2, .. }));
    assert!(matches!(relu(ModelFixture::new(13, &[0, 1 << 40])), ReadError::InputExtent { axis: 1, .. }));
    assert!(matches!(relu(ModelFixture::new(13, &[1 << 40, 3])), ReadError::InputExtent { axis: 0, .. }));
    let mut model = image(13);
    let tensor_type = |m: &mut ModelFixture| m.graph().input[0].r#type.as_mut().and_then(|t| t.tensor_type.take()).unwrap();
    let mut bytes = tensor_type(&mut model);
    assert!(matches!(relu(model), ReadError::InputType { .. }));
    bytes.elem_type = Some(data_type::UINT4);
    let mut model = image(13);
    model.graph().input[0].r#type = Some(crate::proto::TypeProto { tensor_type: Some(bytes) });
    assert!(relu(model).to_string().contains("UINT4"));
}

#[test]
fn broken_initializers_are_named() {
    let error = |t| {
        let mut model = image(13).node("Mul", &["x", "k"], "y", vec![]);
        model.graph().initializer.push(t);
        match model.read() {
            Err(ReadError::Initializer { tensor, source, .. }) => {
                assert_eq!(tensor, "k");
                source
            }
            other => panic!("an initializer error was expected, found {other:?}"),
        }
    };
    let float = |dims: &[i64], bytes: usize| tensor("k", dims, data_type::FLOAT, vec![0; bytes]);
    assert!(matches!(error(float(&[2], 7)), TensorError::Length { found: 7, unit: "bytes", expected: 8 }));
    assert!(matches!(error(float(&[-1], 4)), TensorError::Extents { .. }));
    assert!(matches!(error(float(&[1 << 40], 4)), TensorError::Extents { .. }));
    assert!(matches!(error(float(&[1 << 30, 1 << 30], 4)), TensorError::Extents { .. }));
    let mut listed = float(&[2], 0);
    listed.float_data = vec![1.0];
    assert!(matches!(error(listed), TensorError::Length { found: 1, unit: "values", expected: 2 }));
    let mut external = float(&[2], 0);
    external.data_location = Some(1);
    external.external_data = vec![StringStringEntryProto { key: Some("location".into()), value: Some("weights.bin".into()) }];
    assert!(matches!(error(external), TensorError::External { location, .. } if location == "weights.bin"));
}

#[test]
fn outputs_must_be_there() {
    let model = image(13).node("Relu", &["x"], "y", vec![]).output("k");
    assert!(matches!(model.read(), Err(ReadError::Output { output, .. }) if output == "k"));
    let model = image(13).node("Relu", &["x"], "y", vec![]).node("Shape", &["x"], "s", vec![]).output("s");
    let error = model.read().unwrap_err().to_string();
    assert!(error.contains("`s`") && error.contains("batch"), "{error}");
    let model = image(13).floats("k", &[], &[1.0]).node("QuantizeLinear", &["x", "k"], "q", vec![]).node("Relu", &["x"], "y", vec![]);
    assert!(model.output("q").read().unwrap_err().to_string().contains("QuantizeLinear"));
    let no_output = image(13).node("Relu", &["x"], "y", vec![]).bytes();
    assert!(matches!(read_bytes("f", &no_output), Err(ReadError::Graph { source, .. }) if matches!(*source, GraphError::Missing { .. })));
    let mut twice = image(13).node("Relu", &["x"], "y", vec![]);
    let input = twice.graph().input[0].clone();
    twice.graph().input.push(input);
    assert!(matches!(twice.read(), Err(ReadError::Graph { source, .. }) if matches!(*source, GraphError::DefinedTwice { .. })));
}

#[test]
fn damaged_files_give_errors_and_no_panics() {
    let model = image(13)
        .floats("w", &[4, 3, 3, 3], &[0.25; 108])
        .ints("to", &[0, -1])
        .node("Conv", &["x", "w"], "c", vec![ints("pads", &[1, 1, 1, 1])])
        .node("Shape", &["c"], "s", vec![])
        .node("MaxPool", &["c"], "p", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
        .node("Slice", &["p", "to", "to"], "sl", vec![])
        .node("Reshape", &["p", "to"], "y", vec![])
        .output("y")
        .bytes();
    let mut state = 1u64;
    let mut next = || {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        usize::try_from(state >> 33).expect("31 bits")
    };
    for cut in 0..model.len() {
        let _ = read_bytes("cut", &model[..cut]);
    }
    for _ in 0..20_000 {
        let mut damaged = model.clone();
        for _ in 0..1 + next() % 3 {
            let at = next() % damaged.len();
            damaged[at] = next().to_le_bytes()[0];
        }
        let _ = read_bytes("damaged", &damaged);
    }
}
