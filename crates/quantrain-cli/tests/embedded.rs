//! A training in this process, with a loss and a listener of the caller's.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex};

use quantrain::data::Batch;
use quantrain::loss::{CrossEntropy, Loss};
use quantrain::metric::Output;
use quantrain::{LogLine, RunError};
use quantrain_cli::embedded::{Parts, train};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/fashion-mnist");

/// The recipe's own loss, by another way.
struct Own;

impl Loss for Own {
    fn loss(&mut self, batch: &Batch, outputs: &[Output<'_>], gradients: &mut [Vec<f32>]) -> Result<f32, RunError> {
        Ok(CrossEntropy::default().loss_and_gradient(outputs[0].values, &batch.labels, 10, &mut gradients[0])?)
    }
}

fn arguments(run: &Path) -> Vec<OsString> {
    let data = |name: &str| format!("{EXAMPLE}/{name}-images-idx3-ubyte.gz");
    let keys =
        ["--epochs", "2", "--train-images", "128", "--eval-images", "64", "--batch-size", "32", "--set", "data.calibration-images=64"];
    let mut all: Vec<OsString> =
        ["quantrain", "train", "--quiet", "--target", "tidl-pow2", "--set", "export.check=false", "--model"].map(Into::into).into();
    all.push(format!("{EXAMPLE}/fashion_mobilenet.onnx").into());
    all.extend(["--data".into(), data("train").into(), "--eval-data".into(), data("t10k").into()]);
    all.extend(keys.map(Into::into));
    all.extend(["--out".into(), run.into()]);
    all
}

#[test]
fn a_loss_of_the_callers_takes_the_place_of_the_recipes() {
    let folder = tempfile::tempdir().unwrap();
    let [theirs, ours] = ["theirs", "ours"].map(|name| folder.path().join(name));
    train(arguments(&theirs), Parts::default()).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let epochs = Arc::clone(&heard);
    let on_epoch = move |line: &LogLine| {
        epochs.lock().unwrap().push(serde_json::to_value(line).unwrap()["epoch"].as_u64());
        Ok(())
    };
    let parts = Parts { loss: Some(Box::new(Own)), on_epoch: Some(Box::new(on_epoch)), ..Parts::default() };
    let report: serde_json::Value = serde_json::from_str(&train(arguments(&ours), parts).unwrap()).unwrap();
    assert_eq!(report["course"].as_array().unwrap().len(), 2);
    assert_eq!(*heard.lock().unwrap(), [Some(0), Some(1)]);
    let checkpoint = |run: &Path| std::fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    assert!(checkpoint(&theirs) == checkpoint(&ours), "the same bits");
}

#[test]
fn failures_have_the_commands_words_and_codes() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let with = |more: &[&str]| arguments(&run).into_iter().chain(more.iter().map(OsString::from)).collect::<Vec<_>>();
    let failure = train(with(&["--set", "train.momentum=2"]), Parts::default()).unwrap_err();
    assert_eq!(failure.exit_code, 2);
    assert!(failure.message.contains("train.momentum"), "{}", failure.message);
    let failure = train(["quantrain", "inspect", "model.onnx"].map(OsString::from), Parts::default()).unwrap_err();
    assert!(failure.message.contains("`train` expected"), "{}", failure.message);
    let refuse = |_: &LogLine| Err(RunError::Metric { message: "enough".into() });
    let failure = train(with(&[]), Parts { on_epoch: Some(Box::new(refuse)), ..Parts::default() }).unwrap_err();
    assert!(failure.message.contains("enough"), "{}", failure.message);
}
