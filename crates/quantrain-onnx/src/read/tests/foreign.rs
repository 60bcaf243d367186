//! What other exporters write: fixed batches, weights of other types or in other files, names left out.

use std::fs;

use quantrain_graph::op::{Extent, Pad, PadMode};
use quantrain_graph::{Dim, Graph, Op, Shape};

use crate::fixture::{ModelFixture, int, ints, tensor, value_info};
use crate::proto::{OperatorSetIdProto, StringStringEntryProto, data_type};
use crate::{InputShape, ReadError, ReadOptions, TensorError, read, read_with};

/// Reads a model, its output being `y`, with shapes of inputs that go before its own.
fn read_shaped(model: ModelFixture, shapes: &[&str]) -> Result<Graph, ReadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    fs::write(&path, model.output("y").bytes()).unwrap();
    let input_shapes = shapes.iter().map(|s| s.parse::<InputShape>().unwrap()).collect();
    read_with(&path, &ReadOptions { input_shapes, ..ReadOptions::default() })
}

fn output(graph: &Graph) -> &Shape {
    &graph.tensor(graph.outputs()[0]).shape
}

#[test]
fn a_given_shape_goes_before_that_of_the_file() {
    let model = |extents: &[i64]| ModelFixture::new(13, extents).node("Relu", &["x"], "y", vec![]);
    for (extents, given) in [([0, 3, 0, 0], "Nx3x8x6"), ([10, 3, 32, 32], "x=Nx3x8x6"), ([-1, 3, 8, 0], "Nx3x8x6")] {
        assert_eq!(output(&read_shaped(model(&extents), &[given]).unwrap()), &Shape::batched(&[3, 8, 6]));
    }
    assert_eq!(output(&read_shaped(model(&[0, 3, 4, 4]), &["2x3x4x4", "x=1x3x4x4"]).unwrap()), &Shape::fixed(&[1, 3, 4, 4]));
    assert!(matches!(read_shaped(model(&[0, 3, 4, 4]), &["Nx3x4"]), Err(ReadError::InputRank { found: 4, .. })));
    let error = read_shaped(model(&[0, 3, 4, 4]), &["image=Nx3x4x4"]).unwrap_err();
    assert!(matches!(error, ReadError::InputUnknown { .. }) && error.to_string().contains("`x`"), "{error}");
}

#[test]
fn targets_of_the_files_batch_follow_the_given_one() {
    let model = || {
        ModelFixture::new(13, &[1, 4, 8, 8])
            .ints("sizes", &[1, 4, 16, 16])
            .ints("flat", &[1, 512, 2])
            .node("Resize", &["x", "", "", "sizes"], "r", vec![])
            .node("Reshape", &["r", "flat"], "y", vec![])
    };
    assert_eq!(output(&read_shaped(model(), &[]).unwrap()), &Shape::fixed(&[1, 512, 2]));
    let graph = read_shaped(model(), &["Nx4x8x8"]).unwrap();
    assert_eq!(output(&graph), &Shape::batched(&[512, 2]));
    let Op::Reshape(reshape) = &graph.nodes()[1].op else { panic!("a Reshape was expected") };
    assert_eq!(reshape.extents[0], Extent::Copy);
}

#[test]
fn concatenated_constants_of_one_value_are_padding() {
    let model = |values: [f32; 2], order: [&str; 2]| {
        let zeros: Vec<f32> = (0..128).map(|i| values[i / 64]).collect();
        ModelFixture::new(12, &[1, 3, 8, 8]).floats("k", &[1, 2, 8, 8], &zeros).node("Concat", &order, "y", vec![int("axis", 1)])
    };
    for (order, pads) in [(["x", "k"], vec![0, 0, 0, 0, 0, 2, 0, 0]), (["k", "x"], vec![0, 2, 0, 0, 0, 0, 0, 0])] {
        for shapes in [&[][..], &["Nx3x8x8"]] {
            let graph = read_shaped(model([0.0; 2], order), shapes).unwrap();
            assert_eq!(graph.nodes()[0].op, Op::Pad(Pad { pads: pads.clone(), mode: PadMode::Constant(0.0) }));
            assert_eq!(output(&graph).0[1], Dim::Fixed(5));
        }
    }
    let graph = read_shaped(model([0.0, 1.0], ["x", "k"]), &[]).unwrap();
    assert!(matches!(graph.nodes()[1].op, Op::Concat(_)));
}

#[test]
fn weights_of_two_or_eight_bytes_become_float32() {
    let values = [1.0f64, -2.5];
    let double = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let half = [0x3c00u16, 0xc100].iter().flat_map(|v| v.to_le_bytes()).collect();
    let brain = [0x3f80u16, 0xc020].iter().flat_map(|v| v.to_le_bytes()).collect();
    for (kind, raw) in [(data_type::DOUBLE, double), (data_type::FLOAT16, half), (data_type::BFLOAT16, brain)] {
        let mut model = ModelFixture::new(13, &[0, 2]).raw("k", &[2], kind, raw).node("Mul", &["x", "k"], "y", vec![]);
        let tensor_type = model.graph().input[0].r#type.as_mut().and_then(|t| t.tensor_type.as_mut()).unwrap();
        tensor_type.elem_type = Some(kind);
        let graph = model.read().unwrap();
        assert_eq!(graph.constant(graph.find("k").unwrap()), Some(&[1.0f32, -2.5][..]));
    }
    let mut listed = tensor("k", &[2], data_type::FLOAT16, vec![]);
    listed.int32_data = vec![0x3c00, 0xc100];
    let mut model = ModelFixture::new(13, &[0, 2]).node("Mul", &["x", "k"], "y", vec![]);
    model.graph().initializer.push(listed);
    let graph = model.read().unwrap();
    assert_eq!(graph.constant(graph.find("k").unwrap()), Some(&[1.0f32, -2.5][..]));
}

#[test]
fn weights_beside_the_model_are_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let bytes: Vec<u8> = [9.0f32, 1.0, -2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(folder.path().join("weights.bin"), &bytes).unwrap();
    let write = |entries: &[(&str, &str)]| {
        let mut stored = tensor("k", &[2], data_type::FLOAT, vec![]);
        stored.raw_data = None;
        stored.data_location = Some(1);
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        stored.external_data = entries.iter().map(entry).collect();
        let mut model = ModelFixture::new(13, &[0, 2]).node("Mul", &["x", "k"], "y", vec![]);
        model.graph().initializer.push(stored);
        fs::write(&path, model.output("y").bytes()).unwrap();
    };
    for entries in [&[("location", "weights.bin"), ("offset", "4"), ("length", "8")][..], &[("location", "./weights.bin"), ("offset", "4")]]
    {
        write(entries);
        let graph = read(&path).unwrap();
        assert_eq!(graph.constant(graph.find("k").unwrap()), Some(&[1.0f32, -2.5][..]));
    }
    for (entries, part) in [
        (&[("location", "nothing.bin")][..], "No such file"),
        (&[("location", "../weights.bin")], "not in the folder"),
        (&[("location", "/etc/hostname")], "not in the folder"),
        (&[("location", ".")], "regular file"),
        (&[], "not in the folder"),
        (&[("location", "weights.bin"), ("offset", "8"), ("length", "8")], "12 bytes"),
        (&[("location", "weights.bin"), ("offset", "18446744073709551615"), ("length", "8")], "12 bytes"),
        (&[("location", "weights.bin"), ("offset", "x")], "offset is `x`"),
    ] {
        write(entries);
        let error = read(&path).unwrap_err();
        assert!(matches!(error, ReadError::Initializer { source: TensorError::External { .. }, .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    write(&[("location", "weights.bin")]);
    assert!(matches!(read(&path), Err(ReadError::Initializer { source: TensorError::Length { .. }, .. })));
}

/// `folder/net.onnx`, which multiplies by two values of a file beside it.
#[cfg(unix)]
fn model_beside(location: &str) -> Vec<u8> {
    let mut stored = tensor("k", &[2], data_type::FLOAT, vec![]);
    (stored.raw_data, stored.data_location) = (None, Some(1));
    stored.external_data = vec![StringStringEntryProto { key: Some("location".into()), value: Some(location.into()) }];
    let mut model = ModelFixture::new(13, &[0, 2]).node("Mul", &["x", "k"], "y", vec![]);
    model.graph().initializer.push(stored);
    model.output("y").bytes()
}

#[cfg(unix)]
#[test]
fn links_lead_to_weights_only_where_the_model_lies() {
    use std::os::unix::fs::symlink;
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (inside, stored) = (|name: &str| folder.path().join(name), |name: &str| store.path().join(name));
    for file in [inside("here.bin"), stored("there.bin")] {
        fs::write(file, [1.0f32, -2.5].map(f32::to_le_bytes).concat()).unwrap();
    }
    symlink(inside("here.bin"), inside("link.bin")).unwrap();
    symlink(stored("there.bin"), inside("out.bin")).unwrap();
    fs::write(inside("net.onnx"), model_beside("link.bin")).unwrap();
    assert!(read(inside("net.onnx")).is_ok());
    fs::write(inside("net.onnx"), model_beside("out.bin")).unwrap();
    let error = read(inside("net.onnx")).unwrap_err();
    assert!(error.to_string().contains("a link to a file that is not in the folder"), "{error}");
    // As caches of downloads are: the model is a link into the same store.
    fs::rename(inside("net.onnx"), stored("net.onnx")).unwrap();
    symlink(stored("net.onnx"), inside("net.onnx")).unwrap();
    assert!(read(inside("net.onnx")).is_ok());
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_weights_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("weights.bin")).status();
    assert!(made.unwrap().success());
    fs::write(folder.path().join("net.onnx"), model_beside("weights.bin")).unwrap();
    let error = read(folder.path().join("net.onnx")).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn what_no_node_uses_does_no_harm() {
    let mut model = ModelFixture::new(13, &[0, 2]).floats("unused", &[3], &[f32::NAN; 3]).floats("k", &[2], &[1.0; 2]);
    model.model.opset_import.push(OperatorSetIdProto { domain: Some("Paddle".into()), version: Some(1) });
    // Older files list initializers as inputs; stated extents of outputs may be wrong.
    model.graph().input.push(value_info("k", &[2]));
    model.graph().output.push(value_info("a", &[7, 7, 7]));
    let mut model = model.node("Mul", &["x", "k"], "a", vec![]).node("Identity", &["a"], "y", vec![]);
    model.graph().node.iter_mut().for_each(|n| n.name = None);
    let graph = model.read().unwrap();
    assert_eq!(graph.find("unused"), None);
    assert_eq!(graph.inputs().len(), 1);
    assert_eq!(graph.nodes()[0].name, "a");
    assert_eq!(output(&graph), &Shape::batched(&[2]));
}

#[test]
fn nodes_may_share_a_name() {
    let mut model = ModelFixture::new(13, &[0, 2]).node("Relu", &["x"], "a", vec![]).node("Sigmoid", &["a"], "y", vec![]);
    model.graph().node.iter_mut().for_each(|n| n.name = Some("same".into()));
    assert_eq!(model.read().unwrap().nodes().len(), 2);
}

#[test]
fn old_and_new_operator_sets_are_read() {
    let norm = |opset: i64, spatial: i64| {
        let model = ["g", "b", "m", "v"].iter().fold(ModelFixture::new(opset, &[0, 3, 4, 4]), |m, n| m.floats(n, &[3], &[1.0; 3]));
        model.node("BatchNormalization", &["x", "g", "b", "m", "v"], "y", vec![int("spatial", spatial)]).read()
    };
    assert!(norm(7, 1).is_ok() && norm(8, 0).is_err());
    let pool = ModelFixture::new(23, &[0, 3, 4, 4]).node("MaxPool", &["x"], "y", vec![ints("kernel_shape", &[2, 2])]);
    assert_eq!(output(&pool.read().unwrap()), &Shape::batched(&[3, 3, 3]));
    let mut scales = crate::fixture::float("scales", 0.0);
    (scales.f, scales.floats, scales.r#type) = (None, vec![1.0, 1.0, 2.0, 2.0], Some(crate::proto::attribute_type::FLOATS));
    let up = ModelFixture::new(7, &[0, 3, 4, 4]).node("Upsample", &["x"], "y", vec![scales]);
    assert_eq!(output(&up.read().unwrap()), &Shape::batched(&[3, 8, 8]));
}
