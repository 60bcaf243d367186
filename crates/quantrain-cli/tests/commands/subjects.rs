//! A model, a recipe or a run directory is taken wherever one is meant.

use std::fs;

use serde_json::Value;

use crate::fixture::{Fixture, text};

const DATA: [&str; 4] = ["--data", "train-images-idx3-ubyte", "--eval-data", "test-images-idx3-ubyte"];

const TRAIN: &str = "[train]\nepochs = 2\nbatch-size = 16\nlearning-rate = 0.05\n";

#[test]
fn a_model_is_quantized_without_a_recipe() {
    let fixture = Fixture::new();
    let by_flag = fixture.json(&[&["quantize", "--model", "net.onnx", "--out", "flag"], &DATA[..]].concat());
    let by_name = fixture.json(&[&["quantize", "net.onnx", "--out", "name"], &DATA[..]].concat());
    assert_eq!(by_name["ptq"], by_flag["ptq"]);
    fixture.json(&[&["sensitivity", "net.onnx", "--images", "4"], &DATA[..]].concat());
}

#[test]
fn a_run_that_was_moved_goes_on_where_it_lies() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    let trained = fixture.json(&["train", "recipe.toml"]);
    fs::rename(fixture.path("run"), fixture.path("moved")).unwrap();
    let again = fixture.json(&["train", "moved", "--resume"]);
    assert_eq!((&again["steps"], &again["qat"]), (&0.into(), &trained["qat"]));
    assert!(!fixture.path("run").exists());
    let message = text(&fixture.run(&["train", "moved"]).stderr);
    assert!(message.contains("moved: a trained run found") && message.contains("train --resume"), "{message}");
}

#[test]
fn a_run_is_evaluated_verified_inspected_and_exported() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    let trained = fixture.json(&["train", "recipe.toml"]);
    let exported = &trained["exported"]["score"]["top1"];
    for arguments in [&["evaluate", "run"][..], &["evaluate", "run/export/model.qdq.onnx", "--recipe", "run"]] {
        assert_eq!(&fixture.json(arguments)["top1"], exported);
    }
    let beside = fixture.json(&["evaluate", "run", "--against", "net.onnx"]);
    assert!(beside["sqnr"].is_array() && beside["top1"].is_null(), "labels or not: {beside}");
    let verified = fixture.json(&["verify", "run"]);
    assert_eq!((&verified["differ_integer"], &verified["top1_simulated"]), (&0.into(), exported));
    let of_run = fixture.json(&["sensitivity", "run", "--images", "8"]);
    let of_file = fixture.json(&["sensitivity", "recipe.toml", "--images", "8"]);
    assert_ne!(of_run["quantized"], of_file["quantized"], "the trained network is another");
    assert_eq!(fixture.json(&["export", "recipe.toml", "--out", "again"])["step"], 12);
    let [a, b] = ["run/export/model.qdq.onnx", "again/model.qdq.onnx"].map(|file| fs::read(fixture.path(file)).unwrap());
    assert!(a == b);
    let units = |arguments: &[&str]| fixture.json(arguments)["units"].as_array().unwrap().len();
    assert_eq!(units(&["inspect", "recipe.toml"]), units(&["inspect", "run"]));
}

#[test]
fn the_model_of_a_recipe_is_evaluated() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    let by_file = fixture.json(&["evaluate", "net.onnx", "--recipe", "recipe.toml"]);
    assert_eq!(fixture.json(&["evaluate", "recipe.toml"])["top1"], by_file["top1"]);
}

#[test]
fn what_does_not_fit_is_named() {
    let fixture = Fixture::new();
    fs::write(fixture.path("net.pt"), b"PK\x03\x04 and so on").unwrap();
    fs::create_dir(fixture.path("folder")).unwrap();
    fixture.recipe("recipe.toml", "run", "");
    fixture.json(&["quantize", "recipe.toml"]);
    fs::remove_file(fixture.path("run/export/model.qdq.onnx")).unwrap();
    let rows: &[(&[&str], &str)] = &[
        (
            &["quantize", "net.pt"],
            "net.pt: a zip archive (PyTorch's, NumPy's?) found; a network in ONNX, a recipe or a run directory expected",
        ),
        (&["inspect", "folder"], "folder: a folder that is no run's found; a network in ONNX"),
        (&["evaluate", "run"], "run: no exported model found, run/export/model.qdq.onnx expected"),
        (&["export", "net.onnx"], "net.onnx: a model found, a run directory"),
    ];
    for (arguments, expected) in rows {
        let output = fixture.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn a_recipe_is_written_with_paths_that_hold() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("recipes")).unwrap();
    let write = [&["init", "net.onnx", "--mean", "0.3", "--std", "0.25", "--write", "recipes/mine.toml"], &DATA[..]].concat();
    assert_eq!(text(&fixture.run(&write).stdout), "recipe written to recipes/mine.toml\n");
    let elsewhere = fixture.path("recipes");
    let output = fixture.command(&["quantize", "mine.toml", "--json"]).current_dir(&elsewhere).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["run"].as_str(), Some("run"), "the default lies in the recipe's folder");
    // Beside the network, its path is its name.
    fixture.run(&[&["init", "net.onnx", "--write", "beside.toml"], &DATA[..]].concat());
    let beside = fs::read_to_string(fixture.path("beside.toml")).unwrap();
    assert!(beside.contains("\nmodel = \"net.onnx\"\n") && beside.contains("\ntrain = \"train-images-idx3-ubyte\"\n"), "{beside}");
}

#[test]
fn init_keeps_the_choices_of_a_run() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[[quantization.layer]]\nname = 'classifier'\nfloat = true\n");
    fixture.json(&["quantize", "recipe.toml"]);
    let recipe = text(&fixture.run(&["init", "run", "--weight-bits", "5"]).stdout);
    assert!(recipe.contains("\nweight-bits = 5\n") && recipe.contains("\n# activation-bits = 8\n"), "{recipe}");
    fs::write(fixture.path("again.toml"), recipe).unwrap();
    let again = fixture.json(&["quantize", "again.toml", "--out", "again"]);
    assert_eq!(again["quantized"]["float"][0]["node"], "classifier");
}
