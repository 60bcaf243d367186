//! Tasks beyond classes: masks, several outputs, images without labels, networks without BatchNormalization.

use std::fs;

use quantrain_graph::{Graph, GraphBuilder, TensorId};
use serde_json::Value;

use crate::fixture::{Fixture, SIDE, text};

const IMAGES: usize = 48;

/// A convolution, BatchNormalization where it is wanted, and a Relu.
fn layer(b: &mut GraphBuilder, name: &str, x: TensorId, channels: [usize; 2], normalized: bool) -> TensorId {
    let weights = (0..9 * channels[0] * channels[1]).map(|i| ((i * i * 7 + i * 13) % 31) as f32 / 50.0 - 0.3).collect();
    let y = b.convolution(name, x, channels[1], [3, 3]).padding([1; 4]).weights(weights).bias(vec![0.1; channels[1]]).done().unwrap();
    let y = if normalized { b.batch_norm(&format!("{name}_norm"), y).unwrap() } else { y };
    b.relu(&format!("{name}_relu"), y).unwrap()
}

/// Two classes for each pixel of a gray image, and a second output where it is wanted.
fn network(normalized: bool, second: bool) -> Graph {
    let mut b = GraphBuilder::new("pixels");
    let x = b.input("image", &[1, SIDE, SIDE]);
    let y = layer(&mut b, "first", x, [1, 8], normalized);
    let y = layer(&mut b, "second", y, [8, 8], normalized);
    let weights = |n: usize| (0..8 * n).map(|i| (i % 5) as f32 / 10.0 - 0.2).collect();
    let pixels = b.convolution("pixels", y, 2, [1, 1]).weights(weights(2)).done().unwrap();
    b.output(pixels);
    if second {
        let size = b.convolution("size", y, 1, [1, 1]).weights(weights(1)).bias(vec![0.5]).done().unwrap();
        b.output(size);
    }
    b.finish().unwrap()
}

/// Images of noise with masks of what is bright; the border is ignored.
fn write_images(fixture: &Fixture, name: &str, masked: bool) {
    let pixels: Vec<u8> = (0..IMAGES * SIDE * SIDE).map(|i| ((i * 37 + i * i * 11 + (i / 64) * 91) % 251) as u8).collect();
    let border = |i: usize| [0, SIDE - 1].contains(&(i % SIDE));
    let classes = pixels.iter().enumerate().map(|(i, &p)| if border(i) { 9 } else { u8::from(p > 125) }).collect();
    let shape = [IMAGES, SIDE, SIDE];
    let masks = ("masks", &shape[..], classes);
    let images = ("images", &shape[..], pixels);
    fixture.write_npz(name, &if masked { vec![images, masks] } else { vec![images] });
}

fn recipe(fixture: &Fixture, model: &str, data: &str, more: &str) {
    let data = format!("train = '{data}'\neval = '{data}'\nmean = [0.5]\nstd = [0.3]\nignored-label = 9");
    fs::write(fixture.path("recipe.toml"), format!("model = '{model}'\nout = 'run'\nthreads = 1\n[data]\n{data}\n{more}")).unwrap();
}

#[test]
fn a_bare_network_learns_masks_in_float_and_is_quantized() {
    let fixture = Fixture::new();
    fixture.write_graph("net.onnx", &network(true, false));
    write_images(&fixture, "masked.npz", true);
    let augmentation = "[augmentation]\nflip = true\nscale = [0.8, 1.3]\npadding = 128\n";
    let train = "[train]\ninitialization = 'he'\nepochs = 8\nbatch-size = 8\nlearning-rate = 0.1\nclass-weights = [1.0, 1.5]\n";
    recipe(&fixture, "net.onnx", "masked.npz", &format!("{augmentation}{train}"));
    let report = fixture.json(&["train", "recipe.toml", "--float"]);
    let iou = |score: &Value| score["mean_iou"].as_f64().unwrap();
    assert!(iou(&report["trained_float"]) > 85.0 && iou(&report["trained_float"]) > iou(&report["float"]), "{report}");
    assert_eq!(report["trained_float"]["class_iou"].as_array().unwrap().len(), 2);
    let log = fs::read_to_string(fixture.path("run/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["score"], report["trained_float"]);
    let summary = fs::read_to_string(fixture.path("run/summary.txt")).unwrap();
    assert!(summary.contains("mean IoU  pixel accuracy  images"), "{summary}");

    let exported = "run/export/model.float.onnx";
    let graph = quantrain_onnx::read(fixture.path(exported)).unwrap();
    assert!(graph.nodes().iter().any(|n| n.op.name() == "BatchNormalization"), "BatchNormalization is kept");
    let evaluated = fixture.json(&["evaluate", exported, "--recipe", "run/recipe.toml"]);
    assert_eq!(evaluated["mean_iou"], report["exported"]["score"]["mean_iou"]);
    recipe(&fixture, exported, "masked.npz", "");
    let quantized = fixture.json(&["quantize", "recipe.toml", "--out", "ptq"]);
    assert!(iou(&quantized["float"]) - iou(&quantized["ptq"]) < 3.0, "{quantized}");
}

#[test]
fn masks_of_another_size_than_the_output_are_refused() {
    let fixture = Fixture::new();
    let mut b = GraphBuilder::new("coarse");
    let x = b.input("image", &[1, SIDE, SIDE]);
    let y = b.convolution("coarse", x, 2, [2, 2]).strides([2, 2]).weights(vec![0.5; 8]).done().unwrap();
    b.output(y);
    fixture.write_graph("net.onnx", &b.finish().unwrap());
    write_images(&fixture, "masked.npz", true);
    recipe(&fixture, "net.onnx", "masked.npz", "[train]\nbatch-size = 8\n");
    let output = fixture.run(&["train", "recipe.toml", "--float"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("output `coarse` of shape 1x4x4x2"), "{}", text(&output.stderr));
}

#[test]
fn without_labels_all_outputs_are_taught_and_their_distance_is_told() {
    let fixture = Fixture::new();
    fixture.write_graph("net.onnx", &network(true, true));
    write_images(&fixture, "bare.npz", false);
    let train = "[train]\nepochs = 6\nbatch-size = 8\nlearning-rate = 0.02\nloss = 'mean-squared-error'\n";
    let quantization = "[quantization]\nweight-bits = 3\nactivation-bits = 4\nedge-bits = 4\nbatch-norm = 'frozen'\n";
    let outputs = "[[train.output]]\nname = 'size'\nweight = 2\n";
    recipe(&fixture, "net.onnx", "bare.npz", &format!("{quantization}{train}{outputs}"));
    let report = fixture.json(&["train", "recipe.toml"]);
    let decibels = |score: &Value| -> Vec<f64> {
        score["sqnr"].as_array().unwrap().iter().map(|o| o["decibels"].as_f64().unwrap_or(f64::INFINITY)).collect()
    };
    assert_eq!(report["float"]["sqnr"][1]["output"], "size");
    assert_eq!(decibels(&report["float"]), [f64::INFINITY; 2], "the float network is what is compared with");
    let (ptq, qat) = (decibels(&report["ptq"]), decibels(&report["qat"]));
    assert!(ptq.iter().zip(&qat).all(|(ptq, qat)| ptq < qat), "{ptq:?} {qat:?}");
    let summary = fs::read_to_string(fixture.path("run/summary.txt")).unwrap();
    assert!(summary.contains("SQNR of pixels  SQNR of size  images") && summary.contains("equal"), "{summary}");

    let model = "run/export/model.qdq.onnx";
    let against = fixture.json(&["evaluate", model, "--recipe", "run/recipe.toml", "--against", "net.onnx"]);
    assert!(decibels(&against).iter().zip(&qat).all(|(file, simulated)| (file - simulated).abs() < 0.5), "{against} {qat:?}");
    let alone = fixture.run(&["evaluate", model, "--recipe", "run/recipe.toml"]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(text(&alone.stderr).contains("--against"), "{}", text(&alone.stderr));
}

#[test]
fn an_output_that_is_not_there_is_refused_before_any_work() {
    let fixture = Fixture::new();
    fixture.write_graph("net.onnx", &network(true, true));
    write_images(&fixture, "bare.npz", false);
    recipe(&fixture, "net.onnx", "bare.npz", "[train]\nloss = 'cosine'\n[[train.output]]\nname = 'heat'\n");
    let output = fixture.run(&["train", "recipe.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`heat` found, one of pixels, size expected"), "{}", text(&output.stderr));
    assert!(!fixture.path("run").exists());
}

#[test]
fn batch_normalization_is_restored_for_training_and_leaves_no_trace() {
    let fixture = Fixture::new();
    fixture.write_graph("net.onnx", &network(false, false));
    write_images(&fixture, "masked.npz", true);
    let train = "[train]\nepochs = 2\nbatch-size = 8\nlearning-rate = 0.05\n";
    recipe(&fixture, "net.onnx", "masked.npz", train);
    let report = fixture.json(&["train", "recipe.toml"]);
    assert_eq!(report["restored_batch_norm"], 2);
    assert!(text(&fixture.run(&["train", "recipe.toml", "--overwrite"]).stdout).contains("2 layers without BatchNormalization got one"));
    let again = fixture.json(&["export", "run", "--out", "again"]);
    assert_eq!(again["step"].as_u64().unwrap() / 6, report["best"].as_u64().unwrap(), "six steps an epoch");
    let read = |name: &str| fs::read(fixture.path(name)).unwrap();
    assert_eq!(read("again/model.qdq.onnx"), read("run/export/model.qdq.onnx"), "a checkpoint brings what was restored");

    recipe(&fixture, "net.onnx", "masked.npz", &format!("[quantization]\nrestore-batch-norm = false\n{train}"));
    let plain = fixture.json(&["train", "recipe.toml", "--out", "plain"]);
    assert_eq!(plain["restored_batch_norm"], Value::Null);
    let iou = |report: &Value| report["ptq"]["mean_iou"].as_f64().unwrap();
    assert!((iou(&plain) - iou(&report)).abs() < 1.0, "before training the network is the same: {plain} {report}");
    assert_ne!(read("plain/export/model.qdq.onnx"), read("run/export/model.qdq.onnx"));
}
