//! Runs that are killed or stopped, and resumed: they end in the bits of a run left alone.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, text};

/// Long enough to be hit: 240 steps with a checkpoint after each.
const AUGMENTED: &str = "[augmentation]\nflip = true\npadded-crop = 1\n[quantization]\nbatch-norm = 'corrected'\n[train]\nepochs = 20\n\
                         batch-size = 8\nlearning-rate = 0.01\ncheckpoint-every = 1\nlog-every = 3\n";

/// The same with other observers, another optimizer, a teacher and few checkpoints.
const TAUGHT: &str = "[quantization]\ngradient-path = 'float'\nobserver = 'pact2'\ntrain-observer = 'pact2'\n[train]\nepochs = 20\nbatch-size = 8\n\
                      optimizer = 'adamw'\nloss = 'distillation'\ndistillation-weight = 0.5\ncheckpoint-every = 7\nlog-every = 3\n";

/// Refined, with learned ranges, a wider first epoch, and oscillating weights damped and frozen.
const LEARNED: &str = "[quantization]\nlearn-ranges = 'lsq-plus'\nweight-bits = 3\n[refine]\nsteps = ['equalization', 'bias-correction']\n\
                       [train]\nepochs = 20\nbatch-size = 8\nloss = 'distillation'\nlearning-rate = 0.001\ncheckpoint-every = 7\nlog-every = 3\n\
                       freeze-ranges-epoch = 15\nstep-down = [8, 5]\noscillation-damping = 0.01\noscillation-freezing = 0.02\n\
                       oscillation-freezing-start = 0.04\n";

/// What a run must have to the bit.
const FILES: [&str; 4] = ["export/model.qdq.onnx", "checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.jsonl"];

fn start(fixture: &Fixture, arguments: &[&str]) -> Child {
    fixture.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Where a run was killed after its first checkpoint.
fn killed() -> Fixture {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", AUGMENTED);
    let mut child = start(&fixture, &["train", "recipe.toml"]);
    wait_for_lines(&fixture, &mut child, 5);
    child.kill().unwrap();
    child.wait().unwrap();
    fixture
}

/// Waits until the metrics log of the run has so many lines; the process must still be at work then.
fn wait_for_lines(fixture: &Fixture, child: &mut Child, lines: usize) {
    let started = Instant::now();
    loop {
        let log = fs::read_to_string(fixture.path("run/metrics.jsonl")).unwrap_or_default();
        let checkpoint = fixture.path("run/checkpoints/last.safetensors").exists();
        assert_eq!(child.try_wait().unwrap(), None, "the run ended before it was interrupted");
        if checkpoint && log.lines().count() >= lines {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no line {lines} in a minute");
        sleep(Duration::from_millis(1));
    }
}

fn assert_same_bits(fixture: &Fixture) {
    for file in FILES {
        let [alone, resumed] = ["alone", "run"].map(|run| fs::read(fixture.path(run).join(file)).unwrap());
        assert!(alone == resumed, "{file} differs");
    }
}

/// A run that nobody disturbs.
fn leave_alone(fixture: &Fixture, train: &str) -> serde_json::Value {
    fixture.recipe("recipe.toml", "run", train);
    fixture.json(&["train", "recipe.toml", "--out", "alone"])
}

fn kill_and_resume(train: &str) {
    let fixture = Fixture::new();
    let alone = leave_alone(&fixture, train);
    let mut resume: &[&str] = &[];
    for lines in [0, 13, 40, 71] {
        let mut child = start(&fixture, &[&["train", "recipe.toml"], resume].concat());
        wait_for_lines(&fixture, &mut child, lines);
        child.kill().unwrap();
        child.wait().unwrap();
        resume = &["--resume"];
    }
    let resumed = fixture.json(&["train", "recipe.toml", "--resume"]);
    assert_same_bits(&fixture);
    for key in ["float", "ptq", "qat", "calibration_images"] {
        assert_eq!(alone[key], resumed[key], "{key}");
    }
    assert!(resumed["steps"].as_u64() < alone["steps"].as_u64());
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    kill_and_resume(AUGMENTED);
}

#[test]
fn a_killed_run_with_learned_ranges_resumes_to_the_same_bits() {
    kill_and_resume(LEARNED);
}

#[test]
fn a_killed_run_with_a_teacher_resumes_to_the_same_bits() {
    kill_and_resume(TAUGHT);
}

/// Kills at moments that know nothing of steps: amid a checkpoint, an evaluation, the start, twice in a row, and amid the export.
#[test]
fn a_run_killed_at_any_moment_resumes_to_the_same_bits() {
    let fixture = Fixture::new();
    let started = Instant::now();
    leave_alone(&fixture, AUGMENTED);
    let whole = started.elapsed();
    // Every second kill comes soon after the one before.
    let shares = [0.21, 0.002, 0.35, 0.01, 0.17, 0.05, 0.4, 0.001];
    for share in shares {
        let mut child = start(&fixture, &["train", "recipe.toml", "--resume"]);
        sleep(whole.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for pause in 0..4u32 {
        let mut child = start(&fixture, &["train", "recipe.toml", "--resume"]);
        let started = Instant::now();
        let exported = || fs::read_dir(fixture.path("run/export")).is_ok_and(|mut entries| entries.next().is_some());
        let _ = fs::remove_file(fixture.path("run/export/model.qdq.onnx"));
        while !exported() && child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_micros(100));
        }
        sleep(Duration::from_millis(pause.into()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(fixture.run(&["train", "recipe.toml", "--resume"]).status.success());
    assert_same_bits(&fixture);
    let left = |folder: &str| fs::read_dir(fixture.path(folder)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    for folder in ["run", "run/export", "run/checkpoints"] {
        assert!(!left(folder).any(|name| name.ends_with(".partial")), "{folder}: {:?}", left(folder).collect::<Vec<_>>());
    }
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_anew() {
    let fixture = Fixture::new();
    leave_alone(&fixture, AUGMENTED);
    let output = fixture.run(&["train", "recipe.toml", "--resume", "--quiet"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("run: no checkpoint found, starting anew"));
    assert_same_bits(&fixture);
}

#[test]
fn a_finished_run_resumes_to_itself() {
    let fixture = Fixture::new();
    let alone = leave_alone(&fixture, AUGMENTED);
    let before = FILES.map(|file| fs::read(fixture.path("alone").join(file)).unwrap());
    let again = fixture.json(&["train", "alone/recipe.toml", "--resume"]);
    assert_eq!((&again["qat"], &again["steps"]), (&alone["qat"], &0.into()));
    assert!(FILES.map(|file| fs::read(fixture.path("alone").join(file)).unwrap()) == before);
}

#[test]
fn ctrl_c_stops_with_a_checkpoint_and_says_how_to_go_on() {
    let fixture = Fixture::new();
    leave_alone(&fixture, AUGMENTED);
    for signal in ["INT", "TERM"] {
        let mut child = start(&fixture, &["train", "recipe.toml", "--resume", "--json"]);
        let lines = fs::read_to_string(fixture.path("run/metrics.jsonl")).unwrap_or_default().lines().count();
        wait_for_lines(&fixture, &mut child, lines + 7);
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(text(&output.stdout), "");
        let message = text(&output.stderr);
        let advice = "quantrain: stopped; `quantrain train run --resume` goes on from step ";
        assert!(message.lines().last().unwrap().contains(advice), "{message}");
    }
    let output = fixture.run(&["train", "run", "--resume", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_same_bits(&fixture);
}

#[test]
fn another_recipe_does_not_resume_a_run() {
    let fixture = Fixture::new();
    leave_alone(&fixture, AUGMENTED);
    let output = fixture.run(&["train", "recipe.toml", "--resume", "--out", "alone", "--lr", "0.02"]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("the checkpoint of another recipe found"), "{message}");
    assert!(message.trim_end().ends_with(": it differs in train.learning-rate"), "{message}");
    let output = fixture.run(&["train", "recipe.toml", "--resume", "--out", "alone", "--threads", "2"]);
    assert!(output.status.success(), "threads do not change a result: {}", text(&output.stderr));
}

#[test]
fn a_run_does_not_go_on_with_other_data() {
    let fixture = killed();
    let images = fs::read(fixture.path("train-images-idx3-ubyte")).unwrap();
    let labels = fs::read(fixture.path("train-labels-idx1-ubyte")).unwrap();
    let changed = |file: &str, at: usize| {
        let mut bytes = fs::read(fixture.path(file)).unwrap();
        bytes[at] ^= 3;
        fs::write(fixture.path(file), bytes).unwrap();
        let output = fixture.run(&["train", "recipe.toml", "--resume"]);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    let message = changed("train-images-idx3-ubyte", 500);
    assert!(message.contains("`data.train` is not what the training began with: the contents of"), "{message}");
    assert!(message.contains("train-images-idx3-ubyte` are others; bring the data back"), "{message}");
    fs::write(fixture.path("train-images-idx3-ubyte"), images).unwrap();
    let message = changed("train-labels-idx1-ubyte", 60);
    assert!(message.contains("train-labels-idx1-ubyte` are others"), "{message}");
    fs::write(fixture.path("train-labels-idx1-ubyte"), labels).unwrap();
    let message = changed("test-images-idx3-ubyte", 100);
    assert!(message.contains("`data.eval` is not what the training began with"), "{message}");
}

#[test]
fn a_run_that_goes_on_with_other_instructions_is_told_so() {
    let fixture = killed();
    let output = fixture.command(&["train", "recipe.toml", "--resume", "--quiet"]).env("QUANTRAIN_SIMD", "portable").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    if quantrain_kernels::simd().name() == "portable" {
        eprintln!("skipped: a_run_that_goes_on_with_other_instructions_is_told_so: a machine with more than one path");
        return;
    }
    assert!(text(&output.stderr).contains("this process has `portable`"), "{}", text(&output.stderr));
}
