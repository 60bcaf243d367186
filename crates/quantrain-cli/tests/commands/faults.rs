//! Processes beside each other, files that may not grow or be written, streams that are closed: an exit code, one line, and nothing of others
//! lost.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, text};

/// Files in a run directory that no run wrote.
const STRANGERS: [&str; 4] =
    ["run/notes.txt", "run/export/mine.onnx", "run/checkpoints/mine.safetensors", "run/checkpoints/.last.safetensors.mine"];

const TRAIN: &str = "[train]\nepochs = 1\nbatch-size = 16\n";

/// Runs a script for the shell in the folder of the fixture; the command is `"$QUANTRAIN"`.
fn shell(fixture: &Fixture, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(fixture.path("")).env("QUANTRAIN", env!("CARGO_BIN_EXE_quantrain"));
    command.output().unwrap()
}

fn assert_refused(output: &Output, expected: &str) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
}

#[test]
fn a_second_process_leaves_a_run_that_is_at_work_alone() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[train]\nepochs = 40\nbatch-size = 8\ncheckpoint-every = 1\n");
    let mut first = fixture.command(&["train", "recipe.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !fixture.path("run/checkpoints/last.safetensors").exists() {
        assert!(first.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(60), "the first did not begin");
        sleep(Duration::from_millis(1));
    }
    let in_use = format!("run: in use by process {}", first.id());
    for second in
        [&["train", "recipe.toml", "--overwrite"][..], &["train", "recipe.toml", "--resume"], &["quantize", "recipe.toml", "--overwrite"]]
    {
        let output = fixture.run(second);
        if first.try_wait().unwrap().is_none() {
            assert_refused(&output, &in_use);
        }
    }
    assert!(first.wait().unwrap().success());
    assert!(fixture.path("run/export/model.qdq.onnx").exists());
}

#[test]
fn a_file_that_may_not_grow_is_an_error_not_a_signal() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    for command in ["quantize", "train"] {
        // Blocks of 512 or 1024 bytes: no model and no checkpoint has room.
        let output = shell(&fixture, &format!("ulimit -f 3; \"$QUANTRAIN\" {command} recipe.toml --quiet"));
        assert_refused(&output, "run/");
        assert!(!fixture.path("run").exists(), "{command}");
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "closed/run", TRAIN);
    fs::create_dir(fixture.path("closed")).unwrap();
    let output = shell(&fixture, "chmod a-w closed; touch closed/probe 2>/dev/null && exit 77; \"$QUANTRAIN\" train recipe.toml --quiet");
    if output.status.code() == Some(77) {
        eprintln!("skipped: a_folder_that_may_not_be_written_is_named: another user than root");
        return;
    }
    assert_refused(&output, "closed/run");
}

#[test]
fn closed_streams_end_nothing() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    for script in [
        "\"$QUANTRAIN\" inspect net.onnx --plan >&-",
        "\"$QUANTRAIN\" inspect net.onnx --plan 2>&-",
        "\"$QUANTRAIN\" train recipe.toml --overwrite 2>/dev/full",
        "\"$QUANTRAIN\" train recipe.toml --overwrite >&- 2>&- <&-",
        "{ \"$QUANTRAIN\" inspect net.onnx --plan; echo $? > code; } | head -1 > /dev/null; exit $(cat code)",
        "{ \"$QUANTRAIN\" train --help; echo $? > code; } | head -1 > /dev/null; exit $(cat code)",
    ] {
        let output = shell(&fixture, script);
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
    }
    let output = shell(&fixture, "\"$QUANTRAIN\" inspect net.onnx > /dev/full");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    let output = shell(&fixture, "\"$QUANTRAIN\" inspect none.onnx 2>&-");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn files_of_others_stay_whatever_happens() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", TRAIN);
    assert!(fixture.run(&["train", "recipe.toml"]).status.success());
    for name in STRANGERS {
        fs::write(fixture.path(name), name).unwrap();
    }
    let stay = || {
        for name in STRANGERS {
            assert_eq!(fs::read_to_string(fixture.path(name)).unwrap(), name);
        }
    };
    assert!(fixture.run(&["train", "recipe.toml", "--overwrite"]).status.success());
    stay();
    assert_refused(&shell(&fixture, "ulimit -f 3; \"$QUANTRAIN\" train recipe.toml --overwrite --quiet"), "run");
    stay();
}
