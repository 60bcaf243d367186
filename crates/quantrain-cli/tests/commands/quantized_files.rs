//! A file that is quantized already: its quantizers are shown, taken over and trained on.

use std::fs;

use serde_json::Value;

use crate::fixture::{Fixture, text};

const IMAGES: [&str; 6] = ["--eval-data", "test-images-idx3-ubyte", "--mean", "0.3", "--std", "0.25"];

/// A folder in which the network is quantized; gives its file.
fn quantized(target: &str) -> (Fixture, &'static str) {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "first", "");
    fixture.json(&["quantize", "recipe.toml", "--target", target]);
    (fixture, "first/export/model.qdq.onnx")
}

fn of<'a>(command: &'a str, file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command, "--model", file], &IMAGES[..], more].concat()
}

#[test]
fn inspect_shows_the_quantizers_of_the_file() {
    let (fixture, file) = quantized("onnxruntime");
    let report = fixture.json(&["inspect", file]);
    let operators: Vec<&Value> = report["units"].as_array().unwrap().iter().flat_map(|u| u["operators"].as_array().unwrap()).collect();
    assert!(!operators.iter().any(|op| *op == "FakeQuantize"), "{operators:?}");
    assert_eq!(report["quantized"]["float"], serde_json::json!([]));
    assert_eq!(report["taken_over"]["constants"], 7, "weights of four layers, three with a bias");
    assert!(report["units"].as_array().unwrap().iter().all(|u| u["range"].is_array()), "{report}");
    assert!(text(&fixture.run(&["inspect", file]).stdout).contains("the file is quantized: its own quantizers of"));
}

#[test]
fn quantizing_a_quantized_file_changes_no_number() {
    for target in ["onnxruntime", "tidl-pow2"] {
        let (fixture, file) = quantized(target);
        let report = fixture.json(&of("quantize", file, &["--target", target, "--out", "second"]));
        assert_eq!(report["calibration_images"], 0, "and needs no image for it");
        assert!(report["taken_over"]["activations"].as_u64().unwrap() > 4);
        let numbers = |path: &str| {
            let net = quantrain_graph::QuantGraph::adopt(
                quantrain_onnx::read(fixture.path(path)).unwrap(),
                quantrain_graph::Target::onnxruntime(),
            );
            let net = net.unwrap();
            let blocks: Vec<_> = (0..net.units().len()).filter_map(|u| net.quantized_block(u).unwrap()).collect();
            (net.quantizers().iter().map(|q| q.fixed).collect::<Vec<_>>(), blocks)
        };
        assert_eq!(numbers(file), numbers("second/export/model.qdq.onnx"), "{target}");
        let summary = fs::read_to_string(fixture.path("second/summary.txt")).unwrap();
        assert!(summary.contains("without its quantizers") && summary.contains("ranges as the file has them"), "{summary}");
    }
}

#[test]
fn training_goes_on_from_the_quantizers_of_the_file() {
    let (fixture, file) = quantized("onnxruntime");
    let more = ["--data", "train-images-idx3-ubyte", "--epochs", "2", "--batch-size", "16", "--lr", "0.05", "--out", "second"];
    let report = fixture.json(&of("train", file, &more));
    assert_eq!(report["calibration_images"], 0);
    assert!(report["qat"]["top1"].as_f64().unwrap() >= report["ptq"]["top1"].as_f64().unwrap(), "{report}");
    let exported = fixture.json(&["evaluate", "second/export/model.qdq.onnx", "--recipe", "second/recipe.toml"]);
    assert_eq!(exported["top1"], report["qat"]["top1"]);
    let before = fs::read(fixture.path("second/export/model.qdq.onnx")).unwrap();
    fixture.json(&["export", "second", "--out", "again"]);
    assert!(fs::read(fixture.path("again/model.qdq.onnx")).unwrap() == before, "the checkpoint is the trained network");
}

#[test]
fn other_quantizers_than_the_files_are_refused() {
    let (fixture, file) = quantized("onnxruntime");
    let refused = |arguments: &[&str]| {
        let output = fixture.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        text(&output.stderr)
    };
    let error = refused(&of("quantize", file, &["--weight-bits", "4", "--activation-bits", "6"]));
    assert!(error.contains("quantization.weight-bits") && error.contains("quantization.activation-bits"), "{error}");
    let error = refused(&of("train", file, &["--data", "train-images-idx3-ubyte", "--float"]));
    assert!(error.contains("--float"), "{error}");
}
