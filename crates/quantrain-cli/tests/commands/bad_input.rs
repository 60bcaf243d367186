//! Bad input: one line that names file and cause, exit code 2, nothing left behind.

use std::fs;
use std::process::Output;

use quantrain_graph::op::{AveragePool, Window};
use quantrain_graph::{GraphBuilder, Op};

use crate::fixture::{Fixture, text};

/// Runs the command and gives its one line; checks the exit code and that no file was made.
fn refused(fixture: &Fixture, arguments: &[&str]) -> String {
    let before = fixture.entries();
    let output = fixture.run(arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    assert_eq!(message.lines().count(), 1, "{arguments:?}: {message}");
    assert_eq!(fixture.entries(), before, "{arguments:?}: {message}");
    message.trim_end().to_owned()
}

/// The arguments of a training, with a flag of its own or another value for one.
fn train_with<'a>(flag: &'a str, value: &'a str) -> Vec<&'a str> {
    let mut flags = vec![("--model", "net.onnx"), ("--data", "train-images-idx3-ubyte"), ("--eval-data", "test-images-idx3-ubyte")];
    flags.retain(|(name, _)| *name != flag);
    flags.push((flag, value));
    ["train"].into_iter().chain(flags.into_iter().flat_map(|(name, value)| [name, value])).collect()
}

/// The bytes with every occurrence of some replaced by others.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|i| bytes[i..i + to.len()].copy_from_slice(to));
    bytes
}

/// The model with its first weight not a number.
fn with_a_nan(fixture: &Fixture, model: &[u8]) -> Vec<u8> {
    let graph = quantrain_onnx::read(fixture.path("net.onnx")).unwrap();
    let weights = graph.constant(graph.find("stem.weight").unwrap()).unwrap();
    let start: Vec<u8> = weights[..2].iter().flat_map(|w| w.to_le_bytes()).collect();
    replaced(model, &start, &f32::NAN.to_le_bytes())
}

#[test]
fn arguments_that_are_wrong() {
    let fixture = Fixture::new();
    let rows: &[(&[&str], &str)] = &[
        (&["trian"], "quantrain: unrecognized subcommand 'trian'; a similar subcommand exists: 'train'"),
        (&["train", "--epoch", "3"], "quantrain: unexpected argument '--epoch' found; a similar argument exists: '--epochs'"),
        (&["evaluate", "net.onnx"], "quantrain: no images for evaluation: set `data.eval` in the recipe or give --data"),
        (
            &["train", "--gradient-path", "qte"],
            "quantrain: invalid value 'qte' for '--gradient-path <PATH>' [possible values: float, quantized, devkit-qte]",
        ),
        (&["export", "net.onnx"], "net.onnx: a model found, a run directory, which `quantrain quantize` makes of a model, expected"),
        (&["evaluate", "net.onnx", "--recipe", "net.onnx"], "net.onnx: a model found, a recipe or a run directory expected"),
        (&["train", "net.onnx", "--model", "net.onnx"], "two models found, net.onnx and net.onnx, one expected"),
        (
            &["evaluate", "net.onnx", "test-images-idx3-ubyte"],
            "unexpected argument 'test-images-idx3-ubyte' found; images go behind --data",
        ),
        (&["init", "net.onnx", "--write", "net.onnx"], "net.onnx: a file found there; remove it, or choose another name"),
        (&["train", "net.onnx", "--set", "lr=1"], "flags: key `lr` is not known; did you mean `train.learning-rate`?"),
        (&["train"], "quantrain: nothing to work on found; name a network in ONNX, a recipe or a run directory"),
        (&["train", "--set", "train.epochs=3"], "quantrain: flags: model: nothing found; set it in the recipe or by its flag"),
        (&["train", "--model", "net.onnx"], "quantrain: no images for training: set `data.train` in the recipe or give --data"),
        (&["quantize", "--model", "net.onnx"], "quantrain: no images for calibration: set `data.train` in the recipe or give --data"),
        (&["inspect", "net.onnx", "--target", "tidl"], "flags: target: target `tidl` is not known; one of onnxruntime, "),
        (&["inspect", "net.onnx", "--weight-bits", "9"], "flags: quantization.weight-bits: target `onnxruntime`: 9-bit weights"),
        (&["train", "--model", "net.onnx", "--device", "cuda"], "flags: device: `cuda` found, only `cpu` is built in"),
        (&["quantize", "--model", "net.onnx", "--float"], "quantization.enabled: false found, true expected"),
    ];
    for (arguments, expected) in rows {
        let message = refused(&fixture, arguments);
        assert!(message.contains(expected), "{message}");
    }
    assert!(refused(&fixture, &[]).contains("requires a subcommand"));
}

#[test]
fn models_that_cannot_be_read() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.path("net.onnx")).unwrap();
    fs::write(fixture.path("truncated.onnx"), &whole[..whole.len() / 2]).unwrap();
    fs::write(fixture.path("text.onnx"), "this is no model").unwrap();
    fs::write(fixture.path("unsupported.onnx"), replaced(&whole, b"Flatten", b"Flattex")).unwrap();
    fs::write(fixture.path("nan.onnx"), with_a_nan(&fixture, &whole)).unwrap();
    let rows: [(&str, &[&str]); 5] = [
        ("truncated.onnx", &["truncated.onnx: ", "is the file complete?"]),
        ("text.onnx", &["text.onnx: "]),
        ("absent.onnx", &["absent.onnx: No such file or directory"]),
        ("unsupported.onnx", &["unsupported.onnx: node `flat`: operator Flattex", "is not supported"]),
        ("nan.onnx", &["nan.onnx: ", "NaN"]),
    ];
    for (model, parts) in rows {
        for command in [
            &["inspect", model][..],
            &["init", model],
            &["evaluate", model, "--data", "test-images-idx3-ubyte"],
            &["quantize", "--model", model, "--data", "train-images-idx3-ubyte"],
            &["train", "--model", model, "--data", "train-images-idx3-ubyte"],
        ] {
            let message = refused(&fixture, command);
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}

#[test]
fn recipes_with_mistakes() {
    let fixture = Fixture::new();
    fixture.recipe("misspelt.toml", "run", "[train]\nepoch = 3\n");
    fixture.recipe("value.toml", "run", "[train]\nlearning-rate = nan\n");
    fixture.recipe("layer.toml", "run", "[[quantization.layer]]\nname = 'nowhere'\nfloat = true\n");
    let rows = [
        ("absent.toml", "absent.toml: No such file or directory"),
        ("misspelt.toml", "misspelt.toml:11: key `epoch` is not known; did you mean `epochs`?"),
        ("value.toml", "value.toml:11: train.learning-rate: NaN found"),
        ("layer.toml", "the pattern `nowhere` matches no layer"),
    ];
    for (recipe, expected) in rows {
        for command in ["quantize", "train"] {
            let message = refused(&fixture, &[command, recipe]);
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
fn images_that_do_not_fit() {
    let fixture = Fixture::new();
    fixture.write_images("empty", 0, |_| 0);
    fixture.write_images("labels", 96, |i| (i % 5) as u8);
    fs::write(fixture.path("short-images-idx3-ubyte"), &fs::read(fixture.path("test-images-idx3-ubyte")).unwrap()[..100]).unwrap();
    fs::copy(fixture.path("train-images-idx3-ubyte"), fixture.path("unlabelled-images-idx3-ubyte")).unwrap();
    fixture.recipe("channels.toml", "run", "channels = 3\n");
    let rows = [
        ("--data", "absent.parquet", "absent.parquet: "),
        ("--data", "empty-images-idx3-ubyte", "empty-images-idx3-ubyte: "),
        ("--data", "short-images-idx3-ubyte", "short-images-idx3-ubyte: the header says 2560 bytes, found 84"),
        ("--data", "labels-images-idx3-ubyte", "label 4 found, one in 0..4 expected"),
        ("--eval-data", "labels-images-idx3-ubyte", "label 4 found, one in 0..4 expected"),
        ("--data", "unlabelled-images-idx3-ubyte", "the data set has no labels"),
        ("--resize", "12", "images of 12x12x1 (height, width, channels) found, 8x8x1 expected by the network"),
        ("--crop", "9", "smaller than the crop 9 x 9"),
        ("--batch-size", "97", "96 samples do not fill one batch of 97"),
    ];
    for (flag, value, expected) in rows {
        let message = refused(&fixture, &train_with(flag, value));
        assert!(message.contains(expected), "{message}");
    }
    let message = refused(&fixture, &["train", "channels.toml"]);
    assert!(message.contains("images of 8x8x3 (height, width, channels) found, 8x8x1 expected"), "{message}");
    let message = refused(&fixture, &["evaluate", "net.onnx", "--data", "unlabelled-images-idx3-ubyte"]);
    assert!(message.contains("unlabelled-images-idx3-ubyte: the images have no labels"), "{message}");
}

#[test]
fn a_folder_that_is_no_run() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("mine")).unwrap();
    fs::write(fixture.path("mine/letter.txt"), "dear").unwrap();
    let message = refused(&fixture, &train_with("--out", "mine"));
    assert!(message.contains("mine: `letter.txt` found, an empty folder or one of a run expected"), "{message}");
    let message = refused(&fixture, &train_with("--out", "net.onnx"));
    assert!(message.contains("net.onnx: a file found"), "{message}");
    let message = refused(&fixture, &["export", "mine"]);
    assert!(
        message.contains("mine: a folder that is no run's found; a network in ONNX, a recipe or a run directory expected"),
        "{message}"
    );
    assert_eq!(fs::read(fixture.path("mine/letter.txt")).unwrap(), b"dear");
}

#[cfg(target_os = "linux")]
#[test]
fn folders_whose_names_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;

    let fixture = Fixture::new();
    let folder = fixture.path("").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).unwrap();
    for command in [&["train", "--model", "../net.onnx", "--data", "../train-images-idx3-ubyte"][..], &["init", "../net.onnx"]] {
        let output = fixture.command(command).current_dir(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("a path in UTF-8 expected"), "{}", text(&output.stderr));
    }
}

#[test]
fn instructions_that_the_machine_does_not_have() {
    let fixture = Fixture::new();
    let output = fixture.command(&["inspect", "net.onnx"]).env("QUANTRAIN_SIMD", "avx9").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("quantrain: QUANTRAIN_SIMD: unknown value `avx9`"));
}

#[test]
fn a_loss_gone_nan_keeps_the_last_good_checkpoint() {
    let fixture = Fixture::new();
    fixture.recipe("recipe.toml", "run", "[train]\nbatch-size = 16\nlearning-rate = 1e30\ncheckpoint-every = 1\n");
    for (mode, expected) in [(&[][..], "are there NaN or infinite values in the network"), (&["--float"], "lower the learning rate")] {
        let train = [&["train", "recipe.toml", "--json"], mode].concat();
        let told = |output: Output| {
            assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            (report["diverged"].clone(), report["exported"].clone(), report["warnings"].clone())
        };
        let first = told(fixture.run(&[&train[..], &["--overwrite"]].concat()));
        assert_eq!(first.0["step"], 2, "{first:?}");
        assert!(first.0["cause"].as_str().unwrap().contains(expected), "{first:?}");
        let checkpoint = fs::read(fixture.path("run/checkpoints/last.safetensors")).unwrap();
        let again = told(fixture.run(&[&train[..], &["--resume"]].concat()));
        assert_eq!(again, first, "a resumed run goes the same way");
        assert!(fs::read(fixture.path("run/checkpoints/last.safetensors")).unwrap() == checkpoint);
    }
}

#[test]
fn inspect_refuses_what_quantize_will_refuse() {
    let fixture = Fixture::new();
    let write = |name: &str, build: &dyn Fn(&mut GraphBuilder)| {
        let mut b = GraphBuilder::new("g");
        build(&mut b);
        fixture.write_graph(name, &b.finish().unwrap());
    };
    write("two.onnx", &|b| {
        let (x, z) = (b.input("x", &[1, 8, 8]), b.input("z", &[1, 8, 8]));
        let y = b.add("y", x, z).unwrap();
        b.output(y);
    });
    write("row.onnx", &|b| {
        let x = b.input("x", &[64]);
        let y = b.gemm("y", x, 2, vec![0.5; 2 * 64], vec![0.0; 2]).unwrap();
        b.output(y);
    });
    write("dilated.onnx", &|b| {
        let x = b.input("x", &[1, 8, 8]);
        let window = Window { dilations: [2, 2], ..Window::new([2, 2]) };
        let y = b.node("pool", Op::AveragePool(AveragePool { window, count_include_pad: false }), &[x], "pool").unwrap();
        b.output(y);
    });
    write("channels.onnx", &|b| {
        let x = b.input("x", &[5, 8, 8]);
        let y = b.relu("y", x).unwrap();
        b.output(y);
    });
    fixture.recipe("set.toml", "run", "[export]\nopset = 13\n");
    fixture.recipe("layer.toml", "run", "[[quantization.layer]]\nname = 'nowhere'\nfloat = true\n");
    fixture.recipe("bits.toml", "run", "[quantization]\nweight-bits = 9\n");
    let rows: [(&str, Option<&str>, &str); 3] = [
        ("dilated.onnx", Some("set.toml"), "node `pool` (AveragePool) needs 19"),
        ("net.onnx", Some("layer.toml"), "matches no layer"),
        ("net.onnx", Some("bits.toml"), "9-bit weights"),
    ];
    for (model, recipe, expected) in rows {
        let with = |command: &[&str]| {
            let recipe = recipe.map(|recipe| if command[0] == "quantize" { vec![recipe] } else { vec!["--recipe", recipe] });
            let arguments: Vec<&str> = command.iter().copied().chain(recipe.into_iter().flatten()).collect();
            refused(&fixture, &arguments)
        };
        let inspected = with(&["inspect", model]);
        assert!(inspected.contains(expected), "{inspected}");
        assert_eq!(inspected, with(&["quantize", "--model", model, "--data", "train-images-idx3-ubyte"]), "{model}");
    }
    // Arrays feed these; images do not.
    for (model, expected) in [
        ("two.onnx", "train-images-idx3-ubyte: no file of arrays; expected .npz, .npy, .csv or parquet"),
        ("row.onnx", "train-images-idx3-ubyte: no file of arrays"),
        ("channels.onnx", "channels: 5, expected 1 or 3"),
    ] {
        assert!(fixture.run(&["inspect", model]).status.success(), "{model}");
        let message = refused(&fixture, &["quantize", "--model", model, "--data", "train-images-idx3-ubyte"]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn numbers_below_zero_are_values_and_not_flags() {
    let fixture = Fixture::new();
    for (flag, value, expected) in [
        ("--lr", "-1", "train.learning-rate: -1 found, a finite number above 0 expected"),
        ("--lr", "-0.001", "train.learning-rate: -0.001 found"),
        ("--epochs", "-1", "invalid value '-1' for '--epochs <N>': 0 to 4294967295 expected"),
        ("--batch-size", "-1", "invalid value '-1' for '--batch-size <N>': a whole number, 0 or more, expected"),
        ("--lr", "fast", "invalid value 'fast' for '--lr <RATE>': a number expected"),
    ] {
        let message = refused(&fixture, &train_with(flag, value));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_recipe_is_text() {
    let fixture = Fixture::new();
    fs::write(fixture.path("latin.toml"), b"model = 'net.onnx'\n# caf\xe9\n").unwrap();
    let message = refused(&fixture, &["quantize", "latin.toml"]);
    assert!(message.ends_with("latin.toml:2: not UTF-8 found here; save the recipe as text in UTF-8"), "{message}");
}
