//! What the commands answer, as JSON and as text, and which files they leave.

use std::fs;

use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{GraphBuilder, Op};
use serde_json::{Value, json};

use crate::fixture::{Fixture, text};

const TRAIN: &str = "[train]\nepochs = 2\nbatch-size = 16\nlearning-rate = 0.05\n";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn assert_accuracy(value: &Value) {
    assert_eq!(keys(value), ["images", "top1", "top1_interval", "top5", "top5_interval"]);
    assert_eq!(value["images"], 40);
    let top1 = value["top1"].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&top1) && (top1 / 2.5).fract() == 0.0, "{top1} percent of 40 images");
}

#[test]
fn evaluate_gives_accuracies_in_percent() {
    let fixture = Fixture::new();
    let arguments = ["evaluate", "net.onnx", "--data", "test-images-idx3-ubyte", "--mean", "0.3", "--std", "0.25"];
    let report = fixture.json(&arguments);
    assert_eq!(
        keys(&report),
        ["data", "execution", "images", "model", "seconds", "top1", "top1_interval", "top5", "top5_interval", "warnings"]
    );
    assert!(report["warnings"][0].as_str().unwrap().contains("near that of guessing, 25.00 %"), "the weights are random: {report}");
    assert_eq!(report["top5"], 100.0, "there are four classes");
    assert_eq!(report["execution"], "float");
    assert_eq!(report["images"], 40);
    let table = text(&fixture.run(&arguments).stdout);
    assert!(table.contains(&format!("top-1 {:.2} ± ", report["top1"].as_f64().unwrap())), "{table}");
    fixture.recipe("recipe.toml", "run", "");
    let by_recipe = fixture.json(&["evaluate", "net.onnx", "--recipe", "recipe.toml"]);
    assert_eq!(by_recipe["top1"], report["top1"]);
    assert_eq!(fixture.json(&[&arguments[..], &["--images", "10"]].concat())["images"], 10);
}

#[test]
fn quantize_writes_a_run_and_its_file_has_the_simulated_accuracy() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[export]\nencodings = true\n");
    let report = fixture.json(&["quantize", "recipe.toml"]);
    let expected = "calibration_images execution exported files float input judged_on model onnxruntime percentile ptq quantized run seconds sqnr warnings";
    assert_eq!(keys(&report), expected.split(' ').collect::<Vec<_>>());
    assert_eq!(report["exported"], json!({ "network": "calibrated", "score": report["ptq"] }));
    assert_eq!(report["judged_on"], "evaluation");
    // Where ONNX Runtime is found, it has run what was exported.
    let check = &report["onnxruntime"];
    assert!(check["state"] == "opened" && check["library"].is_string() || check["state"] == "not-found", "{check}");
    assert_accuracy(&report["float"]);
    assert_accuracy(&report["ptq"]);
    assert!(report["sqnr"].as_f64().unwrap() > 10.0, "dB of 8-bit activations and weights: {report}");
    assert_eq!(report["calibration_images"], 64);
    let layers: u64 = report["quantized"]["weights"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(layers, 4);
    assert_eq!(report["quantized"]["float"], json!([]));
    assert_eq!(report["files"].as_array().unwrap().len(), 2);
    let stored: Value = serde_json::from_slice(&fs::read(fixture.path("run/summary.json")).unwrap()).unwrap();
    assert_eq!(stored, report, "the summary is the report");
    let summary = fs::read_to_string(fixture.path("run/summary.txt")).unwrap();
    assert!(summary.contains("10 of 10 operators quantized") && summary.contains("calibrated"), "{summary}");

    let evaluated = fixture.json(&["evaluate", "run/export/model.qdq.onnx", "--recipe", "run/recipe.toml"]);
    assert_eq!(evaluated["top1"], report["ptq"]["top1"]);
    assert_eq!((&evaluated["execution"], &report["execution"]), (&json!("integer-program"), &json!("integer-program")));
    let again = fixture.json(&["quantize", "recipe.toml"]);
    assert_eq!(again["ptq"], report["ptq"], "a run without training is replaced");
}

#[test]
fn a_refinement_tells_what_each_step_did() {
    let fixture = Fixture::new();
    // Training would put BatchNormalization back first, and refine that.
    let steps = "[quantization]\nrestore-batch-norm = false\n[refine]\nsteps = ['equalization', 'bias-correction', 'adaround']\n\
                 rounding-iterations = 50\n";
    fixture.recipe("recipe.toml", "run", &format!("{steps}[train]\nepochs = 1\nloss = 'distillation'\n"));
    let report = fixture.json(&["quantize", "recipe.toml"]);
    let told = report["refinement"].as_array().unwrap();
    let names: Vec<_> = told.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["calibration", "equalization", "bias-correction", "adaround"]);
    assert!(told.iter().all(|step| step["sqnr"].is_number() && step["changed"].is_string()), "{report}");
    assert_eq!(report["calibration_images"], 51, "a fifth of 64 is held out");
    let table = text(&fixture.run(&["quantize", "recipe.toml"]).stdout);
    assert!(table.contains("output SQNR") && table.contains("refined") && table.contains(" dB"), "{table}");
    let trained = fixture.json(&["train", "recipe.toml"]);
    assert_eq!(trained["refinement"], report["refinement"], "training begins with the refined network");
    assert_eq!(trained["ptq"], report["ptq"]);
}

#[test]
fn sensitivity_lists_every_quantizer_and_its_mix_is_a_recipe() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    let search = ["sensitivity", "recipe.toml", "--images", "16", "--size", "70", "--rules", "mixed.toml"];
    let report = fixture.json(&search);
    let costs = report["costs"].as_array().unwrap();
    assert_eq!(costs.iter().filter(|c| c["kind"] == "weights").count(), 4);
    let alone = |c: &Value| c["alone_8"]["sqnr"].as_f64().unwrap();
    assert!(costs.windows(2).all(|c| alone(&c[0]) <= alone(&c[1])), "sorted by cost: {report}");
    assert!(costs.iter().all(|c| c["left_in_float"]["top1"].is_number() && c["alone_4"]["sqnr"].is_number()), "{report}");
    assert!(report["mix"]["size"].as_f64().unwrap() <= 0.7, "{report}");
    let widths: Vec<u64> = report["mix"]["choices"].as_array().unwrap().iter().map(|c| c["weight_bits"].as_u64().unwrap()).collect();
    assert!(widths.contains(&8) && widths.contains(&4), "{widths:?}");
    let quantized = fixture.json(&["quantize", "mixed.toml", "--out", "mixed"]);
    let layers: u64 = quantized["quantized"]["weights"].as_object().unwrap().iter().map(|(_, n)| n.as_u64().unwrap()).sum();
    assert_eq!(layers, 4);
    assert!(quantized["quantized"]["weights"].to_string().contains("int4"), "{quantized}");
    let table = text(&fixture.run(&["sensitivity", "recipe.toml", "--images", "4"]).stdout);
    assert!(table.contains("alone at 8 bits") && table.contains("classifier"), "{table}");
}

#[test]
fn verify_compares_every_code_of_what_quantize_wrote() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    let quantized = fixture.json(&["quantize", "recipe.toml"]);
    let arguments = ["verify", "run/export/model.qdq.onnx", "--recipe", "run/recipe.toml"];
    let report = fixture.json(&arguments);
    assert_eq!((&report["images"], &report["differ_integer"]), (&json!(40), &json!(0)));
    assert_eq!(report["target"], "onnxruntime", "as the file's metadata says");
    let tensors = report["tensors"].as_array().unwrap();
    assert_eq!(report["codes"], tensors.iter().map(|t| t["codes"].as_u64().unwrap()).sum::<u64>());
    assert!(tensors.iter().any(|t| t["operator"] == "input" && t["codes"] == 40 * 8 * 8));
    for way in ["top1_simulated", "top1_integer"] {
        assert_eq!(report[way], quantized["ptq"]["top1"], "{way}");
    }
    // Where Python's package is installed, the third way runs too.
    match report["onnxruntime"].as_str() {
        Some(_) => assert!(report["differ_onnxruntime"].is_u64() && report["top1_onnxruntime"].is_number(), "{report}"),
        None => assert!(report["differ_onnxruntime"].is_null() && report["without_onnxruntime"].is_string(), "{report}"),
    }
    let table = text(&fixture.run(&[&arguments[..], &["--all"]].concat()).stdout);
    assert!(table.contains("0 of ") && table.contains("Flatten"), "{table}");
}

#[test]
fn verify_wants_a_quantized_network_and_the_library_that_was_named() {
    let fixture = Fixture::new();
    let fails = |arguments: &[&str], word: &str| {
        let output = fixture.run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    };
    let verify = ["verify", "net.onnx", "--data", "test-images-idx3-ubyte"];
    fails(&verify, "QuantizeLinear");
    fails(&[&verify[..], &["--onnxruntime", "nowhere.so"]].concat(), "nowhere.so");
}

#[test]
fn verify_fails_where_onnx_runtime_is_there_and_refuses_the_file() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    fixture.json(&["quantize", "recipe.toml"]);
    let mut file = std::fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap();
    // The version of the file's format comes first: one that no release knows.
    assert_eq!(file[0], 8);
    file[1] = 99;
    std::fs::write(fixture.path("strange.onnx"), file).unwrap();
    let output = fixture.run(&["verify", "strange.onnx", "--recipe", "recipe.toml"]);
    match output.status.code() {
        Some(2) => assert!(text(&output.stderr).contains("strange.onnx: ONNX Runtime"), "{}", text(&output.stderr)),
        code => assert!(code == Some(0) && text(&output.stdout).contains("ONNX Runtime was not found"), "{}", text(&output.stdout)),
    }
}

#[test]
fn what_stays_in_float_is_told_with_its_reason() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[[quantization.layer]]\nname = 'classifier'\nfloat = true\n");
    let float = json!([{ "node": "classifier", "operator": "Gemm", "reason": "the recipe keeps it in float" }]);
    assert_eq!(fixture.json(&["quantize", "recipe.toml"])["quantized"]["float"], float);
    let inspected = fixture.json(&["inspect", "net.onnx", "--recipe", "recipe.toml"]);
    assert_eq!(inspected["quantized"]["float"], float);
    let table = text(&fixture.run(&["inspect", "net.onnx", "--recipe", "recipe.toml"]).stdout);
    assert!(table.contains("in float, as the recipe keeps it in float: classifier (Gemm)"), "{table}");
}

#[test]
fn train_writes_a_run() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    let report = fixture.json(&["train", "recipe.toml"]);
    for accuracy in ["float", "ptq", "qat"] {
        assert_accuracy(&report[accuracy]);
    }
    assert!(report["qat"]["top1"].as_f64() > report["float"]["top1"].as_f64(), "the weights were random: {report}");
    assert_eq!((&report["epochs"], &report["steps"], &report["calibration_images"]), (&json!(2), &json!(12), &json!(64)));
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    let evaluated = fixture.json(&["evaluate", "run/export/model.qdq.onnx", "--recipe", "run/recipe.toml"]);
    assert_eq!(evaluated["top1"], report["exported"]["score"]["top1"]);
    assert_eq!(report["course"].as_array().unwrap().len(), 2);
    assert_eq!(report["course"][1]["score"], report["qat"]);

    let mut files: Vec<_> = ["", "checkpoints", "export"].iter().flat_map(|f| fs::read_dir(fixture.path("run").join(f)).unwrap()).collect();
    files.sort_by_key(|f| f.as_ref().unwrap().file_name());
    let names: Vec<String> = files.into_iter().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    let expected = [
        ".quantrain-run",
        "best.safetensors",
        "checkpoints",
        "export",
        "last.safetensors",
        "metrics.jsonl",
        "model.qdq.onnx",
        "previous.safetensors",
        "recipe.toml",
        "report.html",
        "statistics.json",
        "summary.json",
        "summary.txt",
    ];
    assert_eq!(names, expected);
    let drawn: Value = serde_json::from_slice(&fs::read(fixture.path("run/statistics.json")).unwrap()).unwrap();
    let layers: Vec<&str> = drawn["layers"].as_array().unwrap().iter().map(|layer| layer["node"].as_str().unwrap()).collect();
    assert_eq!(layers, ["stem", "depthwise", "sum", "quarters", "flat", "classifier"]);
    let report_of_two = fixture.json(&["report", "run", "run", "--out", "both.html"]);
    let page = fs::read_to_string(fixture.path("both.html")).unwrap();
    assert_eq!(report_of_two["bytes"], page.len());
    let score = report["qat"]["top1"].to_string();
    assert!(page.contains(&format!("\"top1\":{score}")), "the page has the figures of the run");
    let metrics = fs::read_to_string(fixture.path("run/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["epoch", "step", "epoch"]);
    assert_eq!(lines[2]["score"], report["qat"]);
    let effective = fs::read_to_string(fixture.path("run/recipe.toml")).unwrap();
    assert!(effective.contains("learning-rate = 0.05") && effective.contains("observer = \"measured\""), "{effective}");
}

#[test]
fn a_trained_run_is_replaced_only_on_demand() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    fixture.json(&["train", "recipe.toml"]);
    for command in ["train", "quantize"] {
        let output = fixture.run(&[command, "recipe.toml"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("a trained run found"), "{}", text(&output.stderr));
    }
    fixture.json(&["quantize", "recipe.toml", "--overwrite"]);
    assert!(!fixture.path("run/checkpoints/last.safetensors").exists());
}

#[test]
fn without_quantization_the_float_network_is_trained() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    let report = fixture.json(&["train", "recipe.toml", "--float"]);
    assert_eq!((&report["ptq"], &report["qat"], &report["calibration_images"]), (&Value::Null, &Value::Null, &Value::Null));
    assert!(report["trained_float"]["top1"].as_f64() > report["float"]["top1"].as_f64());
    let evaluated = fixture.json(&["evaluate", "run/export/model.float.onnx", "--recipe", "run/recipe.toml"]);
    assert_eq!(evaluated["top1"], report["exported"]["score"]["top1"]);
}

#[test]
fn without_images_to_evaluate_some_are_held_out() {
    let fixture = Fixture::new();
    let report = fixture.json(&["quantize", "--model", "net.onnx", "--data", "train-images-idx3-ubyte"]);
    assert_eq!(report["judged_on"], "held-out");
    assert_eq!((&report["ptq"]["images"], &report["calibration_images"]), (&json!(19), &json!(96)), "a fifth of 96 judges, all calibrate");
    assert_eq!(report["exported"]["score"], report["ptq"]);
    let summary = fs::read_to_string(fixture.path("run/summary.txt")).unwrap();
    assert!(summary.contains("judged on calibration images that training leaves out"), "{summary}");

    fs::write(fixture.path("recipe.toml"), "model = 'net.onnx'\n[data]\ntrain = 'train-images-idx3-ubyte'\n[train]\nepochs = 2\nbatch-size = 16\nloss = 'mean-squared-error'\n").unwrap();
    let trained = fixture.json(&["train", "recipe.toml", "--out", "trained"]);
    assert_eq!(trained["steps"], 2 * (77 / 16));
    assert!(trained["exported"]["score"]["sqnr"].is_array(), "no label teaches, none judges: {trained}");
}

#[test]
fn export_writes_other_forms_and_targets() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", &format!("{TRAIN}[export]\ncheckpoint = 'last'\n"));
    fixture.json(&["train", "recipe.toml"]);
    let trained = fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap();
    fs::remove_file(fixture.path("run/export/model.qdq.onnx")).unwrap();

    let report = fixture.json(&["export", "run"]);
    let expected = "calibration_images files judged_on onnxruntime quantized run score seconds step";
    assert_eq!(keys(&report), expected.split(' ').collect::<Vec<_>>());
    assert_eq!((&report["step"], &report["calibration_images"]), (&json!(12), &Value::Null));
    assert_accuracy(&report["score"]);
    let evaluated = fixture.json(&["evaluate", "run"]);
    assert_eq!(evaluated["top1"], report["score"]["top1"], "what is told is what the file is worth");
    assert!(fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap() == trained, "the checkpoint is the trained network");

    fixture.json(&["export", "run", "--style", "clip", "--encodings", "--checkpoint", "best", "--out", "clips"]);
    for file in ["model.clip.onnx", "tidl-import.txt", "encodings.json"] {
        assert!(fixture.path("clips").join(file).exists(), "{file}");
    }
    let float_weights = fs::read(fixture.path("clips/model.clip.onnx")).unwrap();
    fixture.json(&["export", "run", "--style", "clip", "--quantized-weights", "--out", "clips"]);
    assert!(fs::read(fixture.path("clips/model.clip.onnx")).unwrap() != float_weights);

    let report = fixture.json(&["export", "run", "--style", "c", "--out", "c"]);
    let [source, header] = ["net.c", "net.h"].map(|file| fs::read_to_string(fixture.path("c").join(file)).unwrap());
    assert!(source.contains("int net_run(") && header.contains(&format!("#define NET_RAM {}\n", report["c"]["ram"])), "{header}");
    assert_eq!(report["onnxruntime"]["state"], "no-model");
    assert_eq!(fixture.json(&["inspect", "run"])["c"], report["c"], "what is told of a run is what its file takes");
    let summary = text(&fixture.run(&["export", "run", "--style", "c", "--out", "c"]).stdout);
    assert!(summary.contains("as C:") && summary.contains("bytes of RAM"), "{summary}");

    let output = fixture.run(&["export", "run", "--style", "c", "--set", "quantization.activation-bits=16", "--out", "wide"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("cannot be handed over in C") && !fixture.path("wide").exists(), "{}", text(&output.stderr));

    let output = fixture.run(&["export", "run", "--style", "tflite", "--out", "lite"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    let reason = "target `onnxruntime` does not compute as TensorFlow Lite does";
    assert!(text(&output.stderr).contains(reason) && !fixture.path("lite").exists(), "{}", text(&output.stderr));
    let output = fixture.run(&["export", "run", "--style", "tflite", "--target", "tflite-micro", "--out", "lite"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(fixture.path("lite/net.tflite")).unwrap()[4..8], *b"TFL3");

    let output = fixture.run(&["export", "run", "--target", "tidl-pow2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("placing quantizers for tidl-pow2 and calibrating them"));
    let summary = text(&output.stdout);
    assert!(summary.contains("int8 power of two") && summary.contains("ranges from 64 images, calibrated for this export"), "{summary}");
    assert!(fixture.path("run/export/tidl-pow2/model.qdq.onnx").exists());
}

#[test]
fn a_run_without_training_is_exported_with_its_ranges() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    fixture.json(&["quantize", "recipe.toml"]);
    let first = fs::read(fixture.path("run/export/model.qdq.onnx")).unwrap();
    let report = fixture.json(&["export", "run", "--out", "again"]);
    assert_eq!((&report["step"], &report["calibration_images"]), (&Value::Null, &json!(64)));
    assert!(fs::read(fixture.path("again/model.qdq.onnx")).unwrap() == first);
}

#[test]
fn an_export_for_another_target_is_that_of_a_run_for_it() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "");
    fixture.json(&["quantize", "recipe.toml"]);
    let direct = fixture.json(&["quantize", "recipe.toml", "--target", "tidl-pow2", "--plain", "--out", "direct"]);
    let output = fixture.run(&["export", "run", "--target", "tidl-pow2", "--json"]);
    let later: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(later["quantized"]["weights"].to_string().contains("int8 power of two"), "the target's own width: {later}");
    assert_eq!(later["score"], direct["ptq"]);
    let [a, b] = ["direct/export/model.qdq.onnx", "run/export/tidl-pow2/model.qdq.onnx"].map(|file| fs::read(fixture.path(file)).unwrap());
    assert!(a == b, "the same bits");
    let page = text(&fixture.run(&["export", "run", "--target", "tidl-pow2"]).stdout);
    assert!(page.contains("  exported: top-1 ") && page.contains(", 40 images"), "{page}");

    // What was chosen stays.
    fixture.json(&["quantize", "recipe.toml", "--weight-bits", "6", "--out", "six"]);
    let six = text(&fixture.run(&["export", "six", "--target", "tidl-pow2"]).stdout);
    assert!(six.contains("int6 power of two"), "{six}");
}

#[test]
fn an_export_that_nothing_judges_says_so() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    fixture.json(&["train", "recipe.toml"]);
    fs::rename(fixture.path("train-images-idx3-ubyte"), fixture.path("elsewhere")).unwrap();
    fs::rename(fixture.path("test-images-idx3-ubyte"), fixture.path("elsewhere2")).unwrap();
    let page = text(&fixture.run(&["export", "run"]).stdout);
    assert!(page.contains("  exported: top-1 "), "training measured it: {page}");
    let output = fixture.run(&["export", "run", "--target", "tidl-pow2"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("quantizers for tidl-pow2 are to be calibrated, which the run was not: "), "{message}");
    assert!(message.contains("train-images-idx3-ubyte: no such file"), "{message}");
}

#[test]
fn inspect_shows_every_unit() {
    let fixture = Fixture::new();
    let report = fixture.json(&["inspect", "net.onnx", "--target", "tidl-pow2"]);
    assert_eq!(report["units"].as_array().unwrap().len(), 6);
    let stem = json!({
        "node": "stem", "operators": ["Conv", "BatchNormalization", "Relu"], "shape": ["N", 8, 8, 8], "parameters": 104,
        "multiply_accumulates": 4608, "batch_norm": "folded", "weights": "int8 power of two", "output": "8 bit power of two",
        "range": null, "float": null
    });
    assert_eq!(report["units"][0], stem);
    assert_eq!(report["batch_norms"], json!({ "folded": 2, "kept": 0 }));
    assert_eq!(report.get("plan"), None);
    let golden = "\
net.onnx (operator set 17)
input `image` [N, 1, 8, 8]: 8 bit power of two
output `classifier` [N, 4]: 8 bit power of two

node        operators                     output        parameters   MACs  BatchNorm  weights            activations
stem        Conv+BatchNormalization+Relu  [N, 8, 8, 8]         104  4,608  folded     int8 power of two  8 bit power of two
depthwise   Conv+BatchNormalization+Relu  [N, 8, 8, 8]         104  4,608  folded     int8 power of two  8 bit power of two
sum         Add                           [N, 8, 8, 8]           0      0                                8 bit power of two
quarters    Conv                          [N, 8, 2, 2]       1,024  4,096             int8 power of two  8 bit power of two
flat        Flatten                       [N, 32]                0      0                                as `quarters`
classifier  Gemm                          [N, 4]               132    128             int8 power of two  8 bit power of two

1,364 parameters, 13,440 multiply-accumulates an image
BatchNormalization: 2 folded into weights, 0 kept as operators
target tidl-pow2: 10 of 10 operators quantized
  4 layers with weights of int8 power of two
  6 activations of 8 bit power of two
as C: 1,024 bytes of RAM and 68 for inputs and outputs, 2,008 bytes of flash
  (1,296 of weights) and 2 to 8 KB of code, 13,440 multiply-accumulates, no
  floats
";
    assert_eq!(text(&fixture.run(&["inspect", "net.onnx", "--target", "tidl-pow2"]).stdout), golden);
}

#[test]
fn inspect_shows_the_ranges_of_a_run_and_of_its_file() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    let before = fixture.json(&["inspect", "net.onnx", "--recipe", "recipe.toml"]);
    fixture.json(&["train", "recipe.toml"]);
    let trained = fixture.json(&["inspect", "run"]);
    for kind in ["target", "weights", "activations", "float"] {
        assert_eq!(trained["quantized"][kind], before["quantized"][kind]);
    }
    assert_eq!(before["units"][0]["range"], Value::Null);
    let range = trained["units"][0]["range"].as_array().unwrap();
    assert!(range[0] == 0.0 && range[1].as_f64() > Some(0.0), "the stem ends in a Relu: {range:?}");
    let narrower = fixture.json(&["inspect", "run", "--weight-bits", "4"]);
    assert_eq!(narrower["units"][0]["range"], Value::Null, "the checkpoint is of other integers");

    let file = fixture.json(&["inspect", "run/export/model.qdq.onnx"]);
    assert_eq!(file["units"][0]["node"], "stem");
    assert_eq!(file["units"][0]["range"], trained["units"][0]["range"]);
}

#[test]
fn a_plan_says_what_backward_replays_and_skips() {
    let fixture = Fixture::new();
    let float = text(&fixture.run(&["inspect", "net.onnx", "--plan", "--gradient-path", "float", "--batch", "3"]).stdout);
    assert!(float.contains("batch 3, 6 units") && float.contains("(skips ŵ and its product); gradient to stem_relu"), "{float}");
    let quantized = fixture.json(&["inspect", "net.onnx", "--plan"])["plan"].as_str().unwrap().to_owned();
    assert!(quantized.contains("batch 64, 6 units") && quantized.contains("replays x̂, accumulator, ŵ"), "{quantized}");
}

#[test]
fn init_prints_a_recipe_that_runs() {
    let fixture = Fixture::new();
    let data = ["--data", "train-images-idx3-ubyte", "--eval-data", "test-images-idx3-ubyte", "--calibration-images", "32"];
    let output = fixture.run(&[&["init", "net.onnx", "--mean", "0.3", "--std", "0.25"], &data[..]].concat());
    let recipe = text(&output.stdout);
    assert!(output.status.success() && recipe.contains("\nmean = [0.3]\n") && recipe.contains("# Learning rate"), "{recipe}");
    fs::write(fixture.path("recipe.toml"), recipe).unwrap();
    assert_eq!(fixture.json(&["quantize", "recipe.toml"])["calibration_images"], 32);
}

#[test]
fn inspect_lists_activations_that_are_spelled_out() {
    let fixture = Fixture::new();
    let mut b = GraphBuilder::new("silu");
    let x = b.input("x", &[3, 4, 4]);
    let y = b.convolution("conv", x, 3, [1, 1]).weights(vec![0.5; 9]).done().unwrap();
    let gate = b.node("gate", Op::Activation(Activation::Sigmoid), &[y], "gate").unwrap();
    let y = b.node("silu", Op::Binary(Binary::Mul), &[y, gate], "silu").unwrap();
    // Handed out inside, so it stays.
    let open = b.node("open", Op::Activation(Activation::Sigmoid), &[y], "open").unwrap();
    let z = b.node("stays", Op::Binary(Binary::Mul), &[y, open], "stays").unwrap();
    [open, z].into_iter().for_each(|t| b.output(t));
    quantrain_onnx::write_float(&b.finish().unwrap(), fixture.path("silu.onnx")).unwrap();
    let report = fixture.json(&["inspect", "silu.onnx"]);
    let expected = json!([
        { "node": "silu", "operators": ["Sigmoid", "Mul"], "becomes": "Silu" },
        { "node": "stays", "operators": ["Sigmoid", "Mul"], "declined": "`open` inside is an output of the network" },
    ]);
    assert_eq!(report["fused"], expected);
    let operators = |unit: &Value| unit["operators"].clone();
    let units: Vec<Value> = report["units"].as_array().unwrap().iter().map(operators).collect();
    assert_eq!(units, [json!(["Conv"]), json!(["Silu"]), json!(["Sigmoid"]), json!(["Mul"])]);
    let page = text(&fixture.run(&["inspect", "silu.onnx"]).stdout);
    assert!(page.contains("`silu`: Sigmoid+Mul is one Silu") && page.contains("`stays`: Sigmoid+Mul stays, `open` inside"), "{page}");
}
