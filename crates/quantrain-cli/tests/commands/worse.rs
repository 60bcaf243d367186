//! Training that makes a network worse, images that say nothing, batches of one: nothing of it goes unsaid, and the best network is exported.

use std::fs;

use quantrain_graph::op::Activation;
use quantrain_graph::{GraphBuilder, Op};
use serde_json::{Value, json};

use crate::fixture::{CLASSES, Fixture, SIDE, text};

/// Learns the classes of the fixture in float, so that there is something to lose; gives the report.
fn learn(fixture: &Fixture) -> Value {
    fixture.recipe("learn.toml", "learned", "[train]\nepochs = 8\nbatch-size = 16\nlearning-rate = 0.05\n");
    fixture.json(&["train", "learn.toml", "--float"])
}

fn recipe(fixture: &Fixture, more: &str) {
    fixture.recipe("recipe.toml", "run", more);
    let recipe = fs::read_to_string(fixture.path("recipe.toml")).unwrap();
    fs::write(fixture.path("recipe.toml"), recipe.replace("net.onnx", "learned/export/model.float.onnx")).unwrap();
}

/// Steps long enough to forget what was learned.
const RUINOUS: &str = "[train]\nepochs = 3\nbatch-size = 16\nlearning-rate = 0.05\n";

/// Gives the training images the labels of others.
fn mislabel(fixture: &Fixture) {
    fixture.write_images("train", 96, |i| ((i + 1) % CLASSES) as u8);
}

#[test]
fn a_ruined_network_is_not_exported() {
    let fixture = Fixture::new();
    assert!(learn(&fixture)["exported"]["score"]["top1"].as_f64().unwrap() > 90.0);
    mislabel(&fixture);
    recipe(&fixture, RUINOUS);
    let report = fixture.json(&["train", "recipe.toml"]);
    let top1 = |score: &Value| score["top1"].as_f64().unwrap();
    assert!(top1(&report["ptq"]) > 90.0 && top1(&report["qat"]) < 80.0, "{report}");
    assert_eq!((&report["best"], &report["exported"]["network"]), (&json!(0), &json!("calibrated")));
    assert_eq!(report["exported"]["score"], report["ptq"]);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("training made the network worse") && warnings.contains("lower train.learning-rate (it is 0.05; try 0.005)"));
    let evaluated = fixture.json(&["evaluate", "run/export/model.qdq.onnx", "--recipe", "run/recipe.toml"]);
    assert_eq!(evaluated["top1"], report["ptq"]["top1"]);
    let summary = fs::read_to_string(fixture.path("run/summary.txt")).unwrap();
    for row in ["float", "calibrated", "epoch 1", "epoch 3", "exported: calibrated", "warning: training made"] {
        assert!(summary.lines().any(|line| line.starts_with(row)), "{row}: {summary}");
    }
    let mut told = summary.lines().skip_while(|line| !line.starts_with("network")).take_while(|line| !line.starts_with("written to"));
    assert!(told.all(|line| line.chars().count() <= 80), "{summary}");

    let bits = fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap();
    let again = fixture.json(&["train", "run/recipe.toml", "--resume"]);
    assert_eq!((&again["exported"], &again["warnings"], &again["course"]), (&report["exported"], &report["warnings"], &report["course"]));
    assert!(fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap() == bits);
    fixture.json(&["export", "run", "--out", "best"]);
    assert!(fs::read(fixture.path("best/model.qdq.onnx")).unwrap() == bits, "the best is what a run exports");
}

#[test]
fn the_last_network_is_exported_where_the_recipe_says_so_and_a_warning_with_it() {
    let fixture = Fixture::new();
    learn(&fixture);
    mislabel(&fixture);
    recipe(&fixture, &format!("{RUINOUS}[export]\ncheckpoint = 'last'\n"));
    let report = fixture.json(&["train", "recipe.toml"]);
    assert_eq!(report["exported"], json!({ "network": "epoch 3", "score": report["qat"] }));
    assert!(report["warnings"].to_string().contains("what is exported is worse than what was calibrated"), "{report}");
}

#[test]
fn a_rate_far_too_high_ends_training_at_its_step_and_exports_the_best() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[train]\nbatch-size = 16\n");
    for (mode, exported, file) in [(&[][..], "calibrated", "model.qdq.onnx"), (&["--float"][..], "float", "model.float.onnx")] {
        let train = [&["train", "recipe.toml", "--lr", "1e20", "--json", "--overwrite"], mode].concat();
        let output = fixture.run(&train);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""), "{mode:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let step = report["diverged"]["step"].as_u64().unwrap();
        assert!(step >= 2, "{report}");
        assert_eq!((&report["exported"]["network"], &report["best"]), (&json!(exported), &json!(0)), "{report}");
        let before = if mode.is_empty() { &report["ptq"] } else { &report["float"] };
        assert_eq!(&report["exported"]["score"], before);
        let warnings = report["warnings"].to_string();
        let expected = format!("training diverged at step {step} and ended: lower train.learning-rate (it is 1e20; try 1e19); ");
        assert!(warnings.contains(&expected) && warnings.contains("; exported is the one before training"), "{warnings}");
        let file = format!("run/export/{file}");
        let evaluated = fixture.json(&["evaluate", &file, "--recipe", "run/recipe.toml"]);
        assert_eq!(evaluated["top1"], before["top1"], "{mode:?}");
        let summary = fs::read_to_string(fixture.path("run/summary.txt")).unwrap();
        assert!(summary.contains(&format!("exported: {exported}")) && summary.contains("training diverged at step"), "{summary}");
    }
}

#[test]
fn a_teacher_whose_output_is_infinite_is_named_and_the_calibrated_network_exported() {
    let fixture = Fixture::new();
    let mut b = GraphBuilder::new("logarithm");
    let x = b.input("image", &[1, SIDE, SIDE]);
    let y = b.convolution("conv", x, 4, [8, 8]).weights((0..256).map(|i| (i % 7) as f32 * 0.1 - 0.3).collect()).done().unwrap();
    let y = b.relu("zeros", y).unwrap();
    let logarithm = b.node("log", Op::Activation(Activation::Log), &[y], "log").unwrap();
    b.output(logarithm);
    fixture.write_graph("net.onnx", &b.finish().unwrap());
    fixture.recipe("recipe.toml", "run", "[train]\nbatch-size = 16\nloss = 'mean-squared-error'\n");
    let output = fixture.run(&["train", "recipe.toml", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(output.status.code(), Some(1), "{report}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("training diverged at step 1 and ended: output `log` of the float network is not finite"), "{warnings}");
    assert!(!warnings.contains("lower train.learning-rate"), "{warnings}");
    assert_eq!(report["exported"]["network"], "calibrated");
    assert!(fixture.path("run/export/model.qdq.onnx").exists());
}

#[test]
fn images_that_say_nothing_are_refused() {
    let fixture = Fixture::new();
    fixture.write_npz("black.npz", &[("images", &[40, SIDE, SIDE], vec![0; 40 * SIDE * SIDE])]);
    let output = fixture.run(&["quantize", "--model", "net.onnx", "--data", "black.npz", "--mean", "0.5", "--std", "0.25"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("input `image` is the same in all 40 calibration images"), "{message}");
    assert!(!fixture.path("run").exists());
}

#[test]
fn tensors_and_channels_that_are_constant_are_named() {
    let fixture = Fixture::new();
    let mut b = GraphBuilder::new("dead");
    let x = b.input("image", &[3, SIDE, SIDE]);
    let y = b.convolution("dead", x, 4, [1, 1]).weights(vec![0.1; 12]).bias(vec![-1000.0; 4]).done().unwrap();
    let y = b.relu("nothing", y).unwrap();
    let z = b.convolution("live", x, 4, [1, 1]).weights((0..12).map(|i| i as f32 * 0.1 - 0.4).collect()).done().unwrap();
    let y = b.add("sum", y, z).unwrap();
    b.output(y);
    fixture.write_graph("net.onnx", &b.finish().unwrap());
    // Red and green of noise, no blue.
    let pixels = (0..20 * SIDE * SIDE * 3).map(|i| if i % 3 == 2 { 7 } else { (i * i * 31 % 251) as u8 }).collect();
    fixture.write_npz("few.npz", &[("images", &[20, SIDE, SIDE, 3], pixels)]);
    let report = fixture.json(&["quantize", "--model", "net.onnx", "--data", "few.npz"]);
    let warnings: Vec<&str> = report["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert!(warnings.iter().any(|w| w.contains("input `image` has one value in channel 2")), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("`nothing` had one value in all calibration images")), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("ranges are from 20 images")), "{warnings:?}");
}

#[test]
fn ranges_do_not_depend_on_the_batch_that_a_file_fixes() {
    for observer in ["measured", "min-max", "moving-average", "percentile", "pact2", "mean-squared-error", "entropy"] {
        let fixture = Fixture::new();
        let encodings = |batch: &str| {
            fixture.recipe("recipe.toml", "run", "[export]\nencodings = true\n");
            let shape = format!("image={batch}x1x{SIDE}x{SIDE}");
            let report = fixture.json(&["quantize", "recipe.toml", "--observer", observer, "--input-shape", &shape]);
            assert_eq!(report["calibration_images"], 64);
            fs::read_to_string(fixture.path("run/export/encodings.json")).unwrap()
        };
        let free = encodings("N");
        for fixed in ["1", "4", "8"] {
            assert!(encodings(fixed) == free, "{observer}, batches of {fixed}");
        }
    }
}
