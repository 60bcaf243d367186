//! A full disk: one line, and nothing half-written. Runs in a mount namespace of its own, where a small memory disk is mounted.

use std::process::{Command, Output};

use crate::fixture::{Fixture, text};

/// Runs a script beside a disk of `kilobytes` at `disk/`; `None` where this machine does not allow one.
fn on_a_small_disk(fixture: &Fixture, kilobytes: u32, script: &str) -> Option<Output> {
    std::fs::create_dir_all(fixture.path("disk")).unwrap();
    let mount = format!("mount -t tmpfs -o size={kilobytes}k tmpfs disk");
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).current_dir(fixture.path(""));
        command.env("QUANTRAIN", env!("CARGO_BIN_EXE_quantrain")).output()
    };
    unshare(&mount).ok().filter(|o| o.status.success())?;
    Some(unshare(&format!("{mount} && {script}")).unwrap())
}

#[test]
fn a_full_disk_leaves_no_run_behind() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "disk/run", "[train]\nepochs = 1\nbatch-size = 16\n");
    for command in ["quantize", "train"] {
        // What is left on the disk goes to standard output.
        let script = format!("\"$QUANTRAIN\" {command} recipe.toml --quiet; code=$?; ls -A disk; exit $code");
        let Some(output) = on_a_small_disk(&fixture, 16, &script) else {
            eprintln!("skipped: a_full_disk_leaves_no_run_behind: a mount namespace of one's own");
            return;
        };
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("the disk is full") && message.lines().count() == 1, "{message}");
        assert_eq!(text(&output.stdout), "", "{command}");
    }
}

#[test]
fn a_disk_that_fills_up_in_training_keeps_the_last_checkpoint() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "disk/run", "[train]\nepochs = 100\nbatch-size = 16\ncheckpoint-every = 1\n");
    // Once the first checkpoint is there, something else takes the room that is left.
    let script = "\"$QUANTRAIN\" train recipe.toml & pid=$!; until [ -e disk/run/checkpoints/last.safetensors ]; do sleep 0.001; done; \
                  head -c 100000000 /dev/zero > disk/other 2> /dev/null; wait $pid; code=$?; rm disk/other; ls -A disk/run/checkpoints; \
                  \"$QUANTRAIN\" train recipe.toml --resume > /dev/null && ls disk/run/export; exit $code";
    let Some(output) = on_a_small_disk(&fixture, 256, script) else {
        eprintln!("skipped: a_disk_that_fills_up_in_training_keeps_the_last_checkpoint: a mount namespace of one's own");
        return;
    };
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("the disk is full") && message.contains("; the checkpoint of step "), "{message}");
    let left = text(&output.stdout);
    assert!(left.contains("last.safetensors") && !left.contains(".partial") && left.contains("model.qdq.onnx"), "{left}");
}
