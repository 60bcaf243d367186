//! Every flag reaches the effective recipe.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, text};

/// Flag, value, and the lines that the effective recipe then has.
const ROWS: &[(&str, &str, &str)] = &[
    ("--target", "tidl-pow2", "target = \"tidl-pow2\""),
    ("--input-shape", "Nx1x8x8", "input-shape = [\"Nx1x8x8\"]"),
    ("--seed", "7", "seed = 7"),
    ("--threads", "2", "threads = 2"),
    ("--device", "cpu", "device = \"cpu\""),
    ("--weight-bits", "4", "weight-bits = 4"),
    ("--activation-bits", "6", "activation-bits = 6"),
    ("--edge-bits", "7", "edge-bits = 7"),
    ("--gradient-path", "float", "gradient-path = \"float\""),
    ("--observer", "min-max", "observer = \"min-max\""),
    ("--calibration-data", "test-images-idx3-ubyte", "calibration = \"{folder}/test-images-idx3-ubyte\""),
    ("--range", "255", "range = 255"),
    ("--mean", "100", "mean = [100.0]"),
    ("--std", "60.5", "std = [60.5]"),
    ("--resize", "8", "resize = 8"),
    ("--resize-mode", "letterbox", "resize-mode = \"letterbox\""),
    ("--letterbox-fill", "7", "letterbox-fill = 7"),
    ("--interpolation", "bicubic", "interpolation = \"bicubic\""),
    ("--antialias", "false", "antialias = false"),
    ("--crop", "8x8", "crop = [8, 8]"),
    ("--channels", "1", "channels = 1"),
    ("--ignored-label", "-1", "ignored-label = -1"),
    ("--image-column", "picture", "image-column = \"picture\""),
    ("--label-column", "kind", "label-column = \"kind\""),
    ("--mask-column", "outline", "mask-column = \"outline\""),
    ("--exif", "ignore", "exif = \"ignore\""),
    ("--on-bad-sample", "skip", "on-bad-sample = \"skip\""),
    ("--unpack-limit", "100", "unpack-limit = 100"),
    ("--calibration-images", "16", "calibration-images = 16"),
    ("--train-images", "32", "train-images = 32"),
    ("--eval-images", "12", "eval-images = 12"),
    ("--epochs", "1", "epochs = 1"),
    ("--batch-size", "16", "batch-size = 16"),
    ("--optimizer", "adamw", "optimizer = \"adamw\""),
    ("--lr", "0.25", "learning-rate = 0.25"),
    ("--last-batch", "keep", "last-batch = \"keep\""),
    ("--loss", "distillation", "loss = \"distillation\""),
    ("--schedule", "constant", "schedule = \"constant\""),
    ("--weight-decay", "0.5", "weight-decay = 0.5"),
    ("--set", "train.momentum=0.25", "momentum = 0.25"),
    ("--set", "quantization.percentile = 99.5", "percentile = 99.5"),
    ("--set", "augmentation.scale=[0.5, 1.5]", "scale = [0.5, 1.5]"),
    ("--style", "clip", "style = \"clip\""),
    ("--opset", "21", "opset = 21"),
];

/// Flags without a value.
const SWITCHES: &[(&str, &str)] = &[
    ("--quantized-weights", "quantized-weights = true"),
    ("--encodings", "encodings = true"),
    ("--int4", "int4 = true"),
    ("--uint8", "uint8 = true"),
    ("--unchecked", "check = false"),
    ("--float", "enabled = false"),
];

const DATA: [&str; 6] = ["--model", "net.onnx", "--data", "train-images-idx3-ubyte", "--eval-data", "test-images-idx3-ubyte"];

fn effective(fixture: &Fixture, run: &str) -> String {
    fs::read_to_string(fixture.path(run).join("recipe.toml")).unwrap()
}

fn assert_lines(recipe: &str, folder: &Path, expected: impl Iterator<Item = &'static str>) {
    for line in expected {
        let line = line.replace("{folder}", folder.to_str().unwrap());
        assert!(recipe.lines().any(|l| l == line), "{line} is not in\n{recipe}");
    }
}

#[test]
fn flags_of_train_and_quantize_reach_the_effective_recipe() {
    let fixture = Fixture::new();
    let folder = fixture.path("").canonicalize().unwrap();
    let values = ROWS.iter().flat_map(|&(flag, value, _)| [flag, value]);
    let common: Vec<&str> = DATA.into_iter().chain(values).collect();
    let lines = || ROWS.iter().map(|row| row.2).chain(SWITCHES.iter().take(5).map(|row| row.1));
    for command in ["quantize", "train"] {
        let arguments =
            [&[command, "--out", command, "--quantized-weights", "--encodings", "--int4", "--uint8", "--unchecked"], &common[..]].concat();
        fixture.json(&arguments);
        let recipe = effective(&fixture, command);
        assert_lines(&recipe, &folder, lines());
        for (key, file) in [("model", "net.onnx"), ("train", DATA[3]), ("eval", DATA[5]), ("out", command)] {
            let line = format!("{key} = \"{}/{file}\"", folder.display());
            assert!(recipe.lines().any(|l| l == line), "{line} is not in\n{recipe}");
        }
    }
}

#[test]
fn each_switch_is_off_without_its_flag() {
    let fixture = Fixture::new();
    let base = [&["train", "--epochs", "1"], &DATA[..]].concat();
    fixture.json(&[&base[..], &["--out", "off"]].concat());
    fixture.json(&[&base[..], &["--out", "on", "--float"]].concat());
    let (off, on) = (effective(&fixture, "off"), effective(&fixture, "on"));
    for (flag, line) in SWITCHES {
        assert!(!off.contains(line), "{flag}");
    }
    assert!(on.contains("enabled = false"));
}

#[test]
fn flags_go_before_the_recipe() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[quantization]\nweight-bits = 4\n");
    fixture.json(&["quantize", "recipe.toml", "--weight-bits", "5", "--out", "other"]);
    assert!(!fixture.path("run").exists());
    assert!(effective(&fixture, "other").contains("weight-bits = 5"));
}

#[test]
fn every_command_that_takes_a_recipe_takes_any_key() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    fixture.json(&["quantize", "recipe.toml"]);
    // What each command makes of a key: a value that it refuses, in its own words.
    for command in [
        &["quantize", "recipe.toml"][..],
        &["train", "recipe.toml"],
        &["sensitivity", "recipe.toml"],
        &["inspect", "net.onnx"],
        &["init", "net.onnx"],
        &["evaluate", "net.onnx", "--recipe", "recipe.toml"],
        &["verify", "run"],
        &["export", "run"],
    ] {
        let output = fixture.run(&[command, &["--set", "data.range=7"]].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(text(&output.stderr).contains("data.range: 7 found, 1 or 255 expected"), "{command:?}: {}", text(&output.stderr));
    }
    let both = fixture.run(&["train", "recipe.toml", "--epochs", "3", "--set", "train.epochs=4"]);
    assert!(text(&both.stderr).contains("train.epochs: given by its flag and by --set"), "{}", text(&both.stderr));
}

#[test]
fn a_flag_of_another_tool_is_answered_with_the_key() {
    let fixture = Fixture::new();
    for (flag, key) in [("--momentum", "train.momentum"), ("--wd", "train.weight-decay"), ("--bits", "quantization.weight-bits")] {
        let output = fixture.run(&["train", "net.onnx", flag, "1"]);
        assert_eq!(output.status.code(), Some(2));
        let message = text(&output.stderr);
        assert!(message.contains(&format!("; --set {key}=VALUE")) || message.contains("a similar argument exists"), "{message}");
    }
    let message = text(&fixture.run(&["train", "net.onnx", "--momentum", "1"]).stderr);
    assert!(message.contains("; --set train.momentum=VALUE sets a key of the recipe"), "{message}");
}

#[test]
fn negative_numbers_are_values() {
    let fixture = Fixture::new();
    let rows = [
        ("--lr", "-1", "train.learning-rate: -1 found"),
        ("--lr", "-1e-3", "train.learning-rate: -0.001 found"),
        ("--mean", "-1", ""),
        ("--mean", "-1E-2", ""),
        ("--ignored-label", "-1", ""),
    ];
    for (flag, value, expected) in rows {
        let output = fixture.run(&[&["init", "net.onnx", flag, value], &DATA[2..]].concat());
        assert_eq!(output.status.success(), expected.is_empty(), "{flag}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn an_effective_recipe_makes_the_same_run() {
    let fixture = Fixture::new();
    fixture.json(&[&["quantize", "--mean", "0.3"], &DATA[..]].concat());
    fs::copy(fixture.path("run/recipe.toml"), fixture.path("copy.toml")).unwrap();
    let first = fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap();
    fixture.json(&["quantize", "copy.toml", "--out", "second"]);
    assert!(fs::read(fixture.path("second/export/model.qdq.onnx")).unwrap() == first);
}
