use std::fmt::Debug;
use std::fs;

use super::*;
use crate::CheckError;

fn parse_text(text: &str) -> Result<RecipeFile, RecipeError> {
    parse::parse(Path::new("recipe.toml"), text)
}

fn recipe(text: &str) -> Result<Recipe, CheckError> {
    Recipe::try_from(parse_text(text).unwrap())
}

/// The first line of what went wrong, and that it is the only one.
fn message(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, text).unwrap();
    let error = Recipe::load(Some(&path), Overrides::default()).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(&format!("{}/", folder.path().display()), "")
}

/// A key, keys beside it without which it has no effect, a value that is not the default, and what it changes.
type Row = (&'static str, &'static str, &'static str, fn(&Recipe) -> String);

fn show(value: impl Debug) -> String {
    format!("{value:?}")
}

const ROWS: &[Row] = &[
    ("model", "", "'other.onnx'", |r| show(r.model())),
    ("input-shape", "", "['x=Nx3x8x8']", |r| show(r.read_options())),
    ("target", "", "'tidl-pow2'", |r| show(r.target())),
    ("out", "", "'elsewhere'", |r| show(r.out())),
    ("seed", "", "7", |r| show(r.seed())),
    ("threads", "", "3", |r| show(r.threads())),
    ("memory-limit", "", "64", |r| show(r.memory_limit())),
    ("device", "", "'cuda'", |r| show(r.device())),
    ("explicit", "seed = 0", "['model']", |r| show(r.explicit())),
    ("quantization.enabled", "", "false", |r| show(r.quantization().enabled)),
    ("quantization.weight-bits", "", "4", |r| show(r.settings().weight_bits)),
    ("quantization.activation-bits", "", "4", |r| show(r.settings().activation_bits)),
    ("quantization.edge-bits", "", "16", |r| show(r.settings().edge_bits)),
    ("quantization.per-channel", "", "false", |r| show(r.settings().per_channel)),
    ("quantization.quantize-output", "", "false", |r| show(r.settings().quantize_output)),
    ("quantization.bias-limit", "", "'reduce-weight-scale'", |r| show(r.settings().bias_limit)),
    ("quantization.clip-weights", "", "'devkit'", |r| show(r.quantization().clip_weights)),
    ("quantization.gradient-path", "", "'float'", |r| show(r.quantization().gradient_path)),
    ("quantization.batch-norm", "", "'frozen'", |r| show(r.quantization().batch_norm)),
    ("quantization.restore-batch-norm", "", "false", |r| show(r.quantization().restore_batch_norm)),
    ("quantization.observer", "", "'pact2'", |r| show(r.quantization().observer.kind)),
    ("quantization.train-observer", "", "'none'", |r| show(r.quantization().train_observer)),
    ("quantization.percentile", "", "99.0", |r| show(r.quantization().observer.percentile)),
    ("quantization.moving-average-rate", "", "0.5", |r| show(r.quantization().train_observer.map(|o| o.moving_average_rate))),
    ("quantization.learn-ranges", "", "'lsq'", |r| show(r.quantization().learn_ranges)),
    ("quantization.learn-weight-ranges", "learn-ranges = 'lsq'", "false", |r| show(r.quantization().learn_ranges)),
    ("quantization.range-rate", "learn-ranges = 'pact'", "0.5", |r| show(r.quantization().learn_ranges)),
    ("quantization.layer", "", "[{ name = 'a' }]", |r| show(r.settings().layers)),
    ("quantization.tensor", "", "[{ name = 'a' }]", |r| show(r.settings().tensors)),
    ("quantization.layer.name", "", "'b'", |r| show(&r.settings().layers[0].pattern)),
    ("quantization.layer.weight-bits", "name = 'a'", "4", |r| show(r.settings().layers[0].weight_bits)),
    ("quantization.layer.activation-bits", "name = 'a'", "4", |r| show(r.settings().layers[0].activation_bits)),
    ("quantization.layer.per-channel", "name = 'a'", "true", |r| show(r.settings().layers[0].per_channel)),
    ("quantization.layer.float", "name = 'a'", "true", |r| show(r.settings().layers[0].float)),
    ("quantization.tensor.name", "", "'b'", |r| show(&r.settings().tensors[0].pattern)),
    ("quantization.tensor.range", "name = 'a'", "[-1, 2.5]", |r| show(r.settings().tensors[0].range)),
    ("quantization.tensor.bits", "name = 'a'", "16", |r| show(r.settings().tensors[0].bits)),
    ("quantization.tensor.float", "name = 'a'", "true", |r| show(r.settings().tensors[0].float)),
    ("data.train", "", "'train.parquet'", |r| show(&r.data().train)),
    ("data.eval", "", "'test.parquet'", |r| show(&r.data().eval)),
    ("data.calibration", "train = 'train.parquet'", "'few.parquet'", |r| show(&r.data().calibration)),
    ("data.image-column", "", "'picture'", |r| show(&r.data().read.columns.image)),
    ("data.label-column", "", "'kind'", |r| show(&r.data().read.columns.label)),
    ("data.mask-column", "", "'mask'", |r| show(&r.data().read.columns.mask)),
    ("data.ignored-label", "", "11", |r| show((&r.train().losses, r.data().ignored_label, r.augmentation().padding_class))),
    ("data.classes", "", "['cat', 'dog']", |r| show(&r.data().classes)),
    ("data.exif", "", "'ignore'", |r| show(r.data().read.exif)),
    ("data.on-bad-sample", "", "'skip'", |r| show(r.data().on_bad_sample)),
    ("data.unpack-limit", "", "100", |r| show(r.data().read.unpack_limit)),
    ("data.range", "", "255", |r| show(r.data().preprocess(3).range)),
    ("data.mean", "", "[0.5, 0.5, 0.5]", |r| show(r.data().preprocess(3).mean)),
    ("data.std", "", "[0.25]", |r| show(r.data().preprocess(3).std)),
    ("data.resize", "", "256", |r| show(r.data().preprocess(3).resize)),
    ("data.resize-mode", "resize = 256", "'letterbox'", |r| show(r.data().resize)),
    ("data.letterbox-fill", "resize = 256\nresize-mode = 'letterbox'", "0", |r| show(r.data().resize)),
    ("data.interpolation", "", "'bicubic'", |r| show(r.data().scaling.filter)),
    ("data.antialias", "", "false", |r| show(r.data().scaling.antialias)),
    ("data.channel-order", "", "'bgr'", |r| show(r.data().channel_order)),
    ("data.crop", "", "[176, 240]", |r| show(r.data().preprocess(3).crop)),
    ("data.channels", "", "1", |r| show(r.data().preprocess(3).channels)),
    ("data.calibration-images", "", "100", |r| show(r.data().calibration_images)),
    ("data.train-images", "", "100", |r| show(r.data().train_images)),
    ("data.eval-images", "", "100", |r| show(r.data().eval_images)),
    ("data.loader-threads", "", "1", |r| show(r.data().loader_threads)),
    ("data.input", "", "{ a = { column = 'b' } }", |r| show(&r.data().inputs)),
    ("data.label", "", "{ a = { column = 'b' } }", |r| show(&r.data().labels)),
    ("data.input.NAME.kind", "", "'image'", |r| show(r.data().inputs[0].kind)),
    ("data.input.NAME.column", "", "'b'", |r| show(&r.data().inputs[0].column)),
    ("data.input.NAME.train", "", "'a.npy'", |r| show(&r.data().inputs[0].files)),
    ("data.input.NAME.eval", "", "'a.npy'", |r| show(&r.data().inputs[0].files)),
    ("data.input.NAME.calibration", "", "'a.npy'", |r| show(&r.data().inputs[0].files)),
    ("data.input.NAME.padding-mask", "", "true", |r| show(r.data().inputs[0].padding_mask)),
    ("data.input.NAME.mean", "", "0.5", |r| show(&r.data().inputs[0].mean)),
    ("data.input.NAME.std", "", "[2.0]", |r| show(&r.data().inputs[0].std)),
    ("data.input.NAME.range", "kind = 'image'", "255", |r| show(r.data().inputs[0].images.range)),
    ("data.input.NAME.resize", "kind = 'image'", "64", |r| show(r.data().inputs[0].images.resize)),
    ("data.input.NAME.crop", "kind = 'image'", "32", |r| show(r.data().inputs[0].images.crop)),
    ("data.input.NAME.channels", "kind = 'image'", "1", |r| show(r.data().inputs[0].images.channels)),
    ("data.label.NAME.kind", "", "'values'", |r| show(r.data().labels[0].kind)),
    ("data.label.NAME.column", "", "'b'", |r| show(&r.data().labels[0].column)),
    ("data.label.NAME.train", "", "'a.npy'", |r| show(&r.data().labels[0].files)),
    ("data.label.NAME.eval", "", "'a.npy'", |r| show(&r.data().labels[0].files)),
    ("refine.steps", "", "['adaround']", |r| show(&r.refine().steps)),
    ("refine.held-out", "", "0.5", |r| show(r.refine().held_out)),
    ("refine.bias-epochs", "", "2", |r| show(r.refine().bias_epochs)),
    ("refine.bias-rate", "", "0.1", |r| show(r.refine().bias_rate)),
    ("refine.rounding-iterations", "", "9", |r| show(r.refine().rounding)),
    ("refine.rounding-rate", "", "0.1", |r| show(r.refine().rounding)),
    ("refine.rounding-strength", "", "0.1", |r| show(r.refine().rounding)),
    ("augmentation.flip", "", "true", |r| show(r.augmentation().flip)),
    ("augmentation.scale", "", "[0.5, 2.0]", |r| show(r.augmentation().scale)),
    ("augmentation.padding", "", "124", |r| show(r.augmentation().padding)),
    ("augmentation.padded-crop", "", "4", |r| show(r.augmentation().padded_crop)),
    ("augmentation.resized-crop", "", "[0.5, 1.0]", |r| show(r.augmentation().resized_crop)),
    ("augmentation.color", "", "0.4", |r| show(r.augmentation().color)),
    ("train.initialization", "", "'he'", |r| show(r.train().initialization)),
    ("train.epochs", "", "10", |r| show((r.train().epochs, r.train().freeze, r.train().rate_schedule(9).total_steps))),
    ("train.batch-size", "", "16", |r| show(r.train().batch_size)),
    ("train.micro-batch", "", "16", |r| show(r.train().micro_batch)),
    ("train.last-batch", "", "'keep'", |r| show(r.train().drop_last)),
    ("train.shuffle", "", "false", |r| show(r.train().shuffle)),
    ("train.optimizer", "", "'adamw'", |r| show(r.train().optimizer())),
    ("train.learning-rate", "", "0.5", |r| show(r.train().rate_schedule(9).rate_at(0))),
    ("train.momentum", "", "0.5", |r| show(r.train().optimizer())),
    ("train.weight-decay", "", "0.5", |r| show(r.train().optimizer())),
    ("train.schedule", "", "'constant'", |r| show(r.train().rate_schedule(9).rate_at(20))),
    ("train.milestones", "schedule = 'step'", "[1, 2.5]", |r| show(r.train().rate_schedule(10).rate_at(25))),
    ("train.gamma", "schedule = 'step'\nmilestones = [1]", "0.5", |r| show(r.train().rate_schedule(10).rate_at(10))),
    ("train.final-rate-fraction", "", "0.5", |r| show(r.train().rate_schedule(10).rate_at(50))),
    ("train.warmup-steps", "", "5", |r| show(r.train().rate_schedule(10).rate_at(0))),
    ("train.gradient-clip", "", "1", |r| show(r.train().optimizer())),
    ("train.ema-decay", "", "0.99", |r| show(r.train().ema_decay)),
    ("train.patience", "", "3", |r| show(r.train().patience)),
    ("train.label-smoothing", "", "0.1", |r| show(&r.train().losses)),
    ("train.class-weights", "", "[1, 2.5]", |r| show(&r.train().losses)),
    ("train.loss", "", "'cosine'", |r| show(&r.train().losses)),
    ("train.distillation-weight", "loss = 'distillation'", "0.5", |r| show(&r.train().losses)),
    ("train.temperature", "loss = 'distillation'", "4", |r| show(&r.train().losses)),
    ("train.huber-delta", "loss = 'huber'", "2", |r| show(&r.train().losses)),
    ("train.step-down", "", "[8, 6]", |r| show(&r.train().step_down)),
    ("train.oscillation-damping", "", "0.1", |r| show(r.train().oscillation)),
    ("train.oscillation-freezing", "", "0.1", |r| show(r.train().oscillation)),
    ("train.oscillation-freezing-start", "oscillation-freezing = 0.1", "0.2", |r| show(r.train().oscillation)),
    ("train.oscillation-momentum", "oscillation-freezing = 0.1", "0.1", |r| show(r.train().oscillation)),
    ("train.freeze-batch-norm-epoch", "", "4", |r| show(r.train().freeze.batch_norm)),
    ("train.freeze-ranges-epoch", "", "4", |r| show(r.train().freeze.ranges)),
    ("train.log-every", "", "1", |r| show(r.train().log_every)),
    ("train.checkpoint-every", "", "0", |r| show(r.train().checkpoint_every)),
    ("train.output", "loss = 'cosine'", "[{ name = 'a' }]", |r| show(&r.train().losses.outputs)),
    ("train.output.name", "", "'b'", |r| show(&r.train().losses.outputs[0].name)),
    ("train.output.loss", "name = 'a'", "'mean-squared-error'", |r| show(r.train().losses.outputs[0].distance)),
    ("train.output.weight", "name = 'a'", "2", |r| show(r.train().losses.outputs[0].weight)),
    ("export.style", "", "'clip'", |r| show(r.export().style)),
    ("export.checkpoint", "", "'last'", |r| show(r.export().checkpoint)),
    ("export.quantized-weights", "", "true", |r| show(r.export().quantized_weights)),
    ("export.encodings", "", "true", |r| show(r.export().encodings)),
    ("export.opset", "", "21", |r| show(r.export().opset)),
    ("export.int4", "", "true", |r| show(r.export().int4)),
    ("export.uint8", "", "true", |r| show(r.export().uint8)),
    ("export.check", "", "false", |r| show(r.export().check)),
];

/// The text of a recipe with some lines in a table.
fn with_lines(table: &str, lines: &str) -> String {
    match table {
        "" if lines.starts_with("model") => lines.to_owned(),
        "" => format!("model = 'model.onnx'\n{lines}\n"),
        "quantization.layer" | "quantization.tensor" => format!("model = 'model.onnx'\n[[{table}]]\n{lines}\n"),
        "train.output" => format!("model = 'model.onnx'\n[train]\nloss = 'cosine'\n[[{table}]]\n{lines}\n"),
        table => format!("model = 'model.onnx'\n[{table}]\n{lines}\n"),
    }
}

#[test]
fn every_key_changes_something() {
    let known: Vec<String> = TABLES.iter().flat_map(|t| t.keys.iter().map(|k| qualified(t, k))).collect();
    let rows: Vec<&str> = ROWS.iter().map(|r| r.0).collect();
    assert_eq!(rows, known, "a row for each key, in order");
    for &(key, beside, value, changed) in ROWS {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let before = recipe(&with_lines(table, if key.ends_with(".name") { "name = 'a'" } else { beside })).unwrap();
        let after = recipe(&with_lines(table, &format!("{name} = {value}\n{beside}")));
        match after {
            Ok(after) => assert_ne!(changed(&before), changed(&after), "{key}"),
            Err(error) => assert_eq!((key, error.key()), ("device", Some("device")), "{error}"),
        }
    }
}

fn qualified(table: &Table, key: &Key) -> String {
    table.qualified(key.name)
}

#[test]
fn the_text_of_init_is_the_defaults() {
    let model = RecipeFile { model: Some("my net.onnx".into()), ..RecipeFile::default() };
    let text = model.commented();
    assert_eq!(parse_text(&text).unwrap(), model.clone().or(RecipeFile::standard()));
    for table in TABLES {
        for key in table.values() {
            let set = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{} = ", key.name)));
            assert!(set, "{} is missing", qualified(table, key));
        }
    }
    let mut known = model;
    known.data.mean = Some(PerChannel(vec![0.286]));
    known.quantization.weight_bits = Some(4);
    known.quantization.layer = Some(vec![LayerFile { name: Some("a*".into()), float: Some(true), ..LayerFile::default() }]);
    let input = InputFile { column: Some("b".into()), mean: Some(PerChannel(vec![0.5])), ..InputFile::default() };
    known.data.input = Some(Inputs([("x:0".to_owned(), input)].into()));
    known.train.output = Some(vec![OutputFile { name: Some("y".into()), weight: Some(2.0), ..OutputFile::default() }]);
    assert_eq!(parse_text(&known.commented()).unwrap(), known.or(RecipeFile::standard()));
}

#[test]
fn paths_are_seen_from_a_folder() {
    let text = "model = '/work/net.onnx'\nout = '/work/runs/a'\n[data]\ntrain = '/work/data/a.parquet, /other/b.parquet'\n";
    let seen = parse_text(text).unwrap().seen_from(Path::new("/work"));
    assert_eq!((seen.model, seen.out), (Some("net.onnx".into()), Some("runs/a".into())));
    assert_eq!(seen.data.train, Some("data/a.parquet,/other/b.parquet".into()));
}

#[test]
fn examples_of_keys_that_are_not_set_are_values_they_take() {
    for table in TABLES.iter() {
        for key in table.keys {
            if let Default::Words { example, .. } = key.default {
                let extra = match key.name {
                    "resize-mode" => "resize = 256\n",
                    "oscillation-freezing-start" => "oscillation-freezing = 0.02\n",
                    "range" | "resize" | "crop" | "channels" if table.by_name().is_some() => "kind = 'image'\n",
                    name if table.is_list() && table.by_name().is_none() && name != "name" => "name = 'a'\n",
                    _ => "",
                };
                assert!(recipe(&with_lines(table.name, &format!("{} = {example}\n{extra}", key.name))).is_ok(), "{}", key.name);
            }
        }
    }
}

#[test]
fn the_text_of_a_key_has_all_its_choices() {
    for table in TABLES.iter() {
        for key in table.keys {
            let words: Vec<&str> = key.doc.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
            for choice in key.choices {
                assert!(words.contains(choice), "{}: {choice} is missing in\n{}", qualified(table, key), key.doc);
            }
        }
    }
    let chosen = TABLES.iter().flat_map(|t| t.keys).filter(|key| !key.choices.is_empty()).count();
    assert!(chosen >= 20, "{chosen} keys are a choice of names");
    let doc = TABLES[0].keys.iter().find(|key| key.name == "target").unwrap().doc;
    assert!(Target::names().all(|name| doc.contains(&format!("{name},"))), "{doc}");
}

#[test]
fn the_page_of_keys_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipe.md");
    let page = fs::read_to_string(path).unwrap();
    assert!(page == reference(), "run `cargo run -p quantrain --example recipe_reference > docs/recipe.md`");
}

#[test]
fn the_example_on_the_page_is_a_recipe() {
    let page = reference();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(recipe(example).unwrap().train().epochs, 2);
}

#[test]
fn an_effective_recipe_is_read_back_as_itself() {
    let text = "model = '/models/a.onnx'\nout = '/run'\n[quantization]\nweight-bits = 4\n[[quantization.layer]]\nname = 'x*'\nfloat = true\n\
                [data]\ntrain = '/a.parquet'\ncrop = 32\n[train]\nlearning-rate = 0.1\n";
    let first = recipe(text).unwrap();
    let effective = first.to_toml();
    assert!(effective.contains("learning-rate = 0.1\n"), "{effective}");
    let second = recipe(&effective).unwrap();
    assert_eq!(first, second);
    assert_eq!(effective, second.to_toml());
}

/// The recipe that a run keeps of this one, with flags over it.
fn kept(text: &str, flags: Overrides) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, recipe(text).unwrap().to_toml()).unwrap();
    Recipe::load(Some(&path), flags).unwrap()
}

#[test]
fn what_was_filled_in_follows_another_target_and_what_was_chosen_stays() {
    let tidl = || Overrides { target: Some("tidl-pow2".into()), ..Overrides::default() };
    for text in ["model = '/m'\n", "model = '/m'\n[quantization]\nactivation-bits = 6\n[train]\nepochs = 9\n"] {
        let direct = recipe(&format!("target = 'tidl-pow2'\n{text}")).unwrap();
        let later = kept(text, tidl());
        // The run directory was filled in, as an absolute path.
        assert_eq!(later.explicit().iter().filter(|key| *key != "out").collect::<Vec<_>>(), direct.explicit().iter().collect::<Vec<_>>());
        assert_eq!((later.settings(), later.quantization(), later.train()), (direct.settings(), direct.quantization(), direct.train()));
        assert_eq!(recipe(text).unwrap().for_target("tidl-pow2").unwrap(), direct);
    }
    let narrow = kept("model = '/m'\n[quantization]\nweight-bits = 7\n", tidl());
    assert_eq!(narrow.settings().weight_bits, Some(7), "fewer than the target has");
    assert_eq!(kept("model = '/m'\n", tidl()).settings().weight_bits, Some(8));
}

#[test]
fn what_is_only_quantized_is_refined_where_a_layer_shares_a_power_of_two() {
    let steps = |text: &str| recipe(&format!("model = '/m'\n{text}")).unwrap().refined_as_usual().refine().steps.clone();
    let all = [RefineStep::Equalization, RefineStep::WeightClipping, RefineStep::BiasCorrection, RefineStep::AdaRound];
    assert_eq!(steps("target = 'tidl-pow2'\n"), all);
    for other in [
        "",
        "target = 'tidl-pow2'\n[quantization]\nweight-bits = 4\n",
        "target = 'tidl-pow2'\n[quantization]\nper-channel = true\n",
        "target = 'tidl-pow2'\n[refine]\nsteps = []\n",
    ] {
        assert_eq!(steps(other), [], "{other}");
    }
    assert_eq!(steps("target = 'tidl-pow2'\n[refine]\nsteps = ['adaround']\n"), [RefineStep::AdaRound]);
    let usual = recipe("model = '/m'\ntarget = 'tidl-pow2'\n").unwrap().refined_as_usual();
    assert_eq!(usual.without_refinement().refine().steps, []);
    // What a run keeps of it says what was done, and that nobody chose it.
    assert!(usual.to_toml().contains("\"adaround\"") && !usual.to_toml().contains("\"refine.steps\""), "{}", usual.to_toml());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, usual.to_toml()).unwrap();
    let other = Overrides { target: Some("onnxruntime".into()), ..Overrides::default() };
    assert_eq!(Recipe::load(Some(&path), other).unwrap().refined_as_usual().refine().steps, []);
    assert_eq!(Recipe::load(Some(&path), Overrides::default()).unwrap().refined_as_usual().refine(), usual.refine());
}

#[test]
fn what_a_hand_changed_in_a_kept_recipe_counts_as_chosen() {
    let effective = recipe("model = '/m'\n").unwrap().to_toml();
    assert!(effective.contains("explicit = [\"model\"]\n"), "{effective}");
    assert!(effective.contains("weight-bits = 8\n") && effective.contains("epochs = 5\n"), "{effective}");
    let changed = recipe(&effective.replace("weight-bits = 8\n", "weight-bits = 5\n").replace("epochs = 5\n", "epochs = 6\n")).unwrap();
    assert_eq!((changed.settings().weight_bits, changed.train().epochs), (Some(5), 6));
    assert!(["quantization.weight-bits", "train.epochs"].iter().all(|key| changed.explicit().iter().any(|k| k == key)), "{changed:?}");
    // What follows the number of epochs does not change with it where it is written.
    assert_eq!(changed.train().freeze, recipe("model = '/m'\n").unwrap().train().freeze);
    assert_eq!(recipe(&effective.replace("\"model\"]", "\"modle\"]")).unwrap_err().key(), Some("explicit"));
}

#[test]
fn the_keys_that_differ_are_those_that_a_result_depends_on() {
    let first = recipe("model = '/m'\n[data]\ntrain = '/t'\n").unwrap();
    let second = recipe("model = '/m'\nout = 'x'\nthreads = 3\n[train]\nepochs = 9\nlog-every = 10\n[export]\nint4 = true\n").unwrap();
    let expected = ["data.train", "data.calibration", "train.epochs", "train.freeze-batch-norm-epoch", "train.freeze-ranges-epoch"];
    assert_eq!(first.differences(&second), expected);
    assert_eq!((first.differences(&first), second.differences(&first).len()), (Vec::new(), expected.len()));
}

#[test]
fn how_ranges_were_learned_does_not_bind_another_target() {
    let learned = recipe("model = 'm'\n[quantization]\nlearn-ranges = 'lsq'\nlearn-weight-ranges = true\n").unwrap();
    let other = learned.for_target("tidl-pow2").unwrap();
    assert_eq!((other.quantization().learn_ranges, other.settings().weight_bits), (None, Some(8)));
}

#[test]
fn defaults_follow_the_target_and_the_width() {
    let kinds = |text: &str| {
        let q = recipe(&format!("model = 'm'\n{text}")).unwrap().quantization;
        (
            q.observer.kind.name(),
            q.train_observer.map(|o| o.kind.name()),
            q.settings.edge_bits,
            q.settings.per_channel.map(|scales| scales == quantrain_graph::ChannelScales::All),
        )
    };
    assert_eq!(kinds(""), ("measured", Some("moving-average"), None, Some(true)));
    assert_eq!(kinds("[quantization]\npercentile = 99.9").0, "percentile");
    assert_eq!(kinds("target = 'tidl-pow2'"), ("pact2", Some("pact2"), None, Some(false)));
    assert_eq!(kinds("[quantization]\nactivation-bits = 4"), ("mean-squared-error", None, Some(8), Some(true)));
    assert_eq!(kinds("[quantization]\nweight-bits = 4\nedge-bits = 4").2, Some(4));
}

#[test]
fn a_target_can_be_a_file_beside_the_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let built_in = include_str!("../../../quantrain-graph/targets/onnxruntime.toml");
    fs::write(folder.path().join("mine.toml"), built_in.replace("quantize_output = true", "quantize_output = false")).unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, "model = 'm.onnx'\ntarget = 'mine.toml'\n").unwrap();
    let recipe = Recipe::load(Some(&path), Overrides::default()).unwrap();
    assert_eq!((recipe.target().name(), recipe.settings().quantize_output), ("mine", Some(false)));
}

#[test]
fn paths_start_at_the_recipe_and_those_of_flags_at_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, "model = 'm.onnx'\n[data]\ntrain = 'a.parquet, /b.parquet'\neval = '/abs'\n").unwrap();
    let flags = Overrides { out: Some("here".into()), epochs: Some(9), data: None, ..Overrides::default() };
    let recipe = Recipe::load(Some(&path), flags).unwrap();
    assert_eq!(recipe.model(), folder.path().join("m.onnx"));
    assert_eq!(recipe.out(), Path::new("here"));
    assert_eq!(recipe.train().epochs, 9);
    assert_eq!(recipe.data().train, Some(format!("{}/a.parquet,/b.parquet", folder.path().display()).into()));
    assert_eq!(recipe.data().eval, Some("/abs".into()));
    let absolute = std::path::absolute("here").unwrap();
    assert!(recipe.to_toml().contains(&format!("out = \"{}\"", absolute.display())));
}

#[test]
fn flags_alone_make_a_recipe() {
    let flags = Overrides { model: Some("m.onnx".into()), target: Some("tidl-pow2".into()), weight_bits: Some(4), ..Overrides::default() };
    let recipe = Recipe::load(None, flags).unwrap();
    assert_eq!((recipe.target().name(), recipe.settings().weight_bits), ("tidl-pow2", Some(4)));
    let error = Recipe::load(None, Overrides::default()).unwrap_err();
    assert_eq!(error.to_string(), "flags: model: nothing found; set it in the recipe or by its flag");
}

#[test]
fn each_mistake_names_file_line_key_and_what_was_meant() {
    let rows = [
        ("model = 'm'\n\n[train]\nepoch = 3\n", "recipe.toml:4: key `epoch` is not known; did you mean `epochs`?"),
        ("model = 'm'\n[trian]\nepochs = 3\n", "recipe.toml:2: key `trian` is not known; did you mean `train`?"),
        ("model = 'm'\nepochs = 3\n", "recipe.toml:2: key `epochs` is not known; it belongs into the table [train]"),
        ("model = 'm'\n[train]\nlr = 3\n", "recipe.toml:3: key `lr` is not known; did you mean `learning-rate`?"),
        ("model = 'm'\n[train]\nbatch = 3\n", "recipe.toml:3: key `batch` is not known; did you mean `batch-size`?"),
        (
            "model = 'm'\n[data]\nlr = 3\n",
            "recipe.toml:3: key `lr` is not known; did you mean `learning-rate`? it belongs into the table [train]",
        ),
        (
            "model = 'm'\n[augmentation]\nzoom = 3\n",
            "recipe.toml:3: key `zoom` is not known; one of flip, scale, padding, padded-crop, resized-crop, color expected",
        ),
        (
            "model = 'm'\n[train]\noptimizer = 'adan'\n",
            "recipe.toml:3: optimizer: `adan` found, one of sgd, adam, adamw expected; did you mean `adam`?",
        ),
        ("model = 'm'\n[export]\nstyle = 'onnx'\n", "recipe.toml:3: style: `onnx` found, one of qdq, clip, c, tflite expected"),
        ("model = 'm'\n[train]\nepochs = 'two'\n", "recipe.toml:3: epochs: \"two\" found, a whole number, 0 or more expected"),
        ("model = 'm'\n[data]\nmean = [\n  0.5,\n  'x',\n]\n", "recipe.toml:5: mean: \"x\" found, a number expected"),
        (
            "model = 'm'\n[data]\ncrop = 'x'\n",
            "recipe.toml:3: crop: \"x\" found, a side like 224 or a height and width like [176, 240] expected",
        ),
        ("model = 'm'\n[[quantization.layer]]\nnam = 'x'\n", "recipe.toml:3: key `nam` is not known; did you mean `name`?"),
        ("model = 3\n", "recipe.toml:1: model: 3 found, text in quotes expected"),
        ("model = 'm'\n[train]\nepochs = -1\n", "recipe.toml:3: epochs: -1 found, a whole number, 0 or more expected"),
        ("model = 'm'\n[train]\nepochs = 1.5\n", "recipe.toml:3: epochs: 1.5 found, a whole number, 0 or more expected"),
        ("model = 'm'\n[train]\nlearning-rate = [1]\n", "recipe.toml:3: learning-rate: a list found, a number expected"),
        (
            "model = 'm'\n[data]\ncrop = [1, 2, 3]\n",
            "recipe.toml:3: crop: a list of 3 found, a side like 224 or a height and width like [176, 240] expected",
        ),
        ("model = 'm'\n[data]\nclasses = 3\n", "recipe.toml:3: classes: a list of names, or a file of them in quotes expected"),
        ("model = 'm'\n[data]\nresize = 'x'\n", "recipe.toml:3: resize: a length like 256 or a height and width like [240, 320] expected"),
        ("model = 'm'\n[augmentation]\nscale = [1.0]\n", "recipe.toml:3: scale: a list of 1 found, 2 entries expected"),
        (
            "model = 'm'\n[data]\nmean = [nan]\n",
            "recipe.toml:3: data.mean: NaN found, finite numbers, one or one for each channel expected",
        ),
        ("[data]\nmean = [0.5]\n", "recipe.toml: model: nothing found; set it in the recipe or by its flag"),
        ("model = 'm'\n[train]\nepochs = 0\n", "recipe.toml:3: train.epochs: 0 found, 1 or more expected"),
        ("model = 'm'\ndevice = 'cuda'\n", "recipe.toml:2: device: `cuda` found, only `cpu` is built in; remove the key or the flag"),
        (
            "model = 'm'\ntarget = 'tild'\n",
            "recipe.toml:2: target: target `tild` is not known; one of onnxruntime, onnxruntime-vnni, tidl-pow2, tflite-micro, litert or the path of a target file expected",
        ),
        (
            "model = 'm'\n[quantization]\nweight-bits = 9\n",
            "recipe.toml:3: quantization.weight-bits: target `onnxruntime`: 9-bit weights are not supported, 2, 3, 4, 5, 6, 7, 8, 16 are",
        ),
        (
            "model = 'm'\n[[quantization.layer]]\nfloat = true\n",
            "recipe.toml: quantization.layer.name: nothing found; set it in the recipe or by its flag",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(message(text), expected);
    }
    assert!(message("model = 'm\n").starts_with("recipe.toml:1: "));
    assert!(message("model = 'm'\nmodel = 'n'\n").starts_with("recipe.toml:2: "));
    assert!(message("model = 'm'\ntarget = 'none.toml'\n").contains("none.toml: No such file"));
    let missing = Recipe::load(Some(Path::new("/nowhere/recipe.toml")), Overrides::default()).unwrap_err();
    assert_eq!(missing.to_string(), "/nowhere/recipe.toml: No such file or directory (os error 2); is the path right?");
}

#[test]
fn values_outside_their_range_are_refused_and_nan_with_them() {
    let rows: &[(&str, &[&str])] = &[
        ("quantization.percentile", &["50.0", "100.1", "nan"]),
        ("quantization.moving-average-rate", &["0.0", "1.1", "nan"]),
        ("quantization.learn-weight-ranges", &["true", "true\nlearn-ranges = 'pact'"]),
        ("quantization.learn-ranges", &["'tqt'", "'lsq'\ngradient-path = 'float'", "'lsq'\ntrain-observer = 'pact2'"]),
        ("quantization.range-rate", &["0.0", "nan", "inf"]),
        ("data.classes", &["[]", "['a', 'a']", "['a', '']"]),
        ("data.unpack-limit", &["0", "1048577"]),
        ("data.range", &["0", "256"]),
        ("data.mean", &["[]", "[0.1, 0.2]", "[nan]", "[inf]"]),
        ("data.std", &["[0.0]", "[-1.0]", "[nan]", "[1, 1, 1, 1]", "[1e-60]"]),
        ("data.resize", &["0", "16385", "[0, 5]", "[5, 16385]", "[5, 6]\nresize-mode = 'shorter-side'"]),
        ("data.resize-mode", &["'stretch'"]),
        ("data.crop", &["0", "[32, 0]", "16385"]),
        ("data.channels", &["2", "4"]),
        ("data.calibration-images", &["0"]),
        ("data.train-images", &["0"]),
        ("data.eval-images", &["0"]),
        ("data.loader-threads", &["0", "1025"]),
        ("threads", &["1025"]),
        ("memory-limit", &["0", "15", "16777217"]),
        ("model", &["''"]),
        ("refine.held-out", &["0.0", "1.0", "nan"]),
        ("refine.bias-epochs", &["0"]),
        ("refine.bias-rate", &["0.0", "1.1", "nan"]),
        ("refine.rounding-iterations", &["0"]),
        ("refine.rounding-rate", &["0.0", "nan", "inf"]),
        ("refine.rounding-strength", &["0.0", "nan", "inf"]),
        ("input-shape", &["['x=']", "['3xN']", "['1x-1']"]),
        ("augmentation.scale", &["[0.0, 1.0]", "[2, 1]", "[1, 17]", "[nan, 1]"]),
        ("augmentation.padded-crop", &["65537"]),
        ("augmentation.resized-crop", &["[0.0, 1.0]", "[0.5, 0.4]", "[0.5, 1.1]", "[nan, 1.0]"]),
        ("augmentation.color", &["-0.1", "1.1", "nan"]),
        ("train.batch-size", &["0", "65537"]),
        ("train.learning-rate", &["0.0", "-1.0", "nan", "inf", "1e-60", "1e60"]),
        ("train.momentum", &["1.0", "-0.1", "nan"]),
        ("train.weight-decay", &["-0.1", "nan", "inf"]),
        ("train.milestones", &["[-1]", "[nan]"]),
        ("train.gamma", &["0.0", "1.1", "nan"]),
        ("train.final-rate-fraction", &["-0.1", "1.1", "nan"]),
        ("train.gradient-clip", &["0.0", "nan", "inf"]),
        ("train.label-smoothing", &["1.0", "-0.1", "nan"]),
        ("train.distillation-weight", &["0.0", "1.1", "nan"]),
        ("train.temperature", &["0.0", "nan", "inf"]),
        ("train.step-down", &["[1]", "[8, 9]"]),
        ("train.oscillation-damping", &["-0.1", "nan", "inf"]),
        ("train.oscillation-freezing", &["0.0", "1.1", "nan"]),
        ("train.oscillation-freezing-start", &["0.0", "1.1", "nan"]),
        ("train.oscillation-momentum", &["0.0", "1.1", "nan"]),
        ("train.class-weights", &["[0]", "[1, -1]", "[nan]", "[inf]", "[1e-60]"]),
        ("train.output.weight", &["-1", "nan", "inf"]),
        ("train.log-every", &["0"]),
    ];
    for (key, values) in rows {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        for value in *values {
            let named = if table.contains('.') { "name = 'a'\n" } else { "" };
            let error = recipe(&with_lines(table, &format!("{named}{name} = {value}"))).expect_err(key);
            assert!(matches!(error, CheckError::Value { key: k, .. } if k == *key), "{key} = {value}: {error}");
        }
    }
}

#[test]
fn batch_norm_follows_the_gradient_path_by_default() {
    let of = |text: &str| recipe(&format!("model = 'm'\n[quantization]\n{text}")).unwrap().quantization().batch_norm;
    assert_eq!(of(""), BatchNorm::Corrected);
    assert_eq!(of("gradient-path = 'float'"), BatchNorm::Running);
    assert_eq!(of("enabled = false"), BatchNorm::Running);
    assert_eq!(of("gradient-path = 'float'\nbatch-norm = 'frozen'"), BatchNorm::Frozen);
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    let text = "model = 'm'\n[augmentation]\nscale = [0.5, 2]\nresized-crop = [0.5, 1]\n";
    assert!(matches!(recipe(text), Err(CheckError::Value { key: "augmentation.scale", .. })));
    let text = "model = 'm'\n[[train.output]]\nname = 'a'\nloss = 'cosine'\n";
    assert!(matches!(recipe(text), Err(CheckError::Value { key: "train.output.loss", .. })));
    let text = "model = 'm'\n[data.input.x]\ncrop = 32\n";
    assert!(matches!(recipe(text), Err(CheckError::Value { key: "data.input.NAME.kind", .. })));
    for end in ["", "oscillation-freezing = 0.2\n"] {
        let text = format!("model = 'm'\n[train]\noscillation-freezing-start = 0.1\n{end}");
        assert!(matches!(recipe(&text), Err(CheckError::Value { key: "train.oscillation-freezing-start", .. })));
    }
}

#[test]
fn an_output_has_its_own_distance_or_that_of_all() {
    let text = "model = 'm'\n[train]\nloss = 'cosine'\ndistillation-weight = 0.5\n[[train.output]]\nname = 'a'\nloss = \
                'mean-squared-error'\nweight = 4\n[[train.output]]\nname = 'c'\nweight = 0\n";
    let losses = recipe(text).unwrap().train().losses.clone();
    let found = losses.distances(&["a", "b", "c"]).unwrap();
    assert_eq!(found, [Some((2.0, Distillation::MeanSquaredError)), Some((0.5, Distillation::Cosine)), None]);
    assert!(matches!(losses.distances(&["a", "b"]), Err(RunError::NoOutput { name, .. }) if name == "c"));
}

#[test]
fn names_and_sizes_of_flags_are_read() {
    assert_eq!("quantized".parse::<GradientPath>().unwrap(), GradientPath::Quantized);
    assert_eq!("qte".parse::<GradientPath>().unwrap_err().to_string(), "`qte` found, float, quantized, devkit-qte expected");
    assert_eq!("176x240".parse::<Size>().unwrap(), Size([176, 240]));
    assert_eq!("224".parse::<Size>().unwrap(), Size([224, 224]));
    assert!("12y3".parse::<Size>().is_err());
}
