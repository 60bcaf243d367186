//! `cargo xtask gradient-paths`: whether the backward through float or through quantized weights matters, measured.
//!
//! resnet20 on CIFAR-10 is trained at four widths, along the three gradient paths, with free scales and powers of two, from several seeds. A run
//! that is there already is not repeated, so a stopped command goes on where it was, and what time allows can be run at a time.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::training::{self, cells, top1};

/// Bits of weights and activations.
const WIDTHS: [u8; 4] = [8, 4, 3, 2];
const PATHS: [&str; 3] = ["float", "quantized", DEVKIT];
/// As its users ran it: BatchNormalization `running` and the biases it trains with where scales are powers of two, whatever the others have.
const DEVKIT: &str = "devkit-qte";
/// Nodes whose outputs no convolution reads: they have 8 bits, as nothing but the inputs and weights of convolutions has few in the papers.
const NOT_READ_BY_CONVOLUTIONS: [&str; 2] = ["*.conv2", "layer3.2.add"];

/// Scales, and the target that has them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scales {
    name: &'static str,
    target: &'static str,
}

const SCALES: [Scales; 2] = [Scales { name: "free", target: "onnxruntime-vnni" }, Scales { name: "power-of-two", target: "tidl-pow2" }];

/// How much is run.
struct Options {
    epochs: u32,
    seeds: u32,
    train_images: Option<u32>,
    eval_images: Option<u32>,
    batch_norm: &'static str,
    widths: Vec<u8>,
    scales: Vec<Scales>,
    out: PathBuf,
}

/// One training.
struct Case {
    bits: u8,
    path: &'static str,
    scales: Scales,
}

/// Trains what is missing and prints the table. `arguments`: see the usage of xtask.
pub fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let options = Options::parse(root, arguments)?;
    fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    training::build(root)?;
    let mut table = String::from("| widths | scales | gradient path | calibrated | trained: mean | lowest | highest | seeds |\n");
    table += "|---|---|---|---|---|---|---|---|\n";
    let mut float = None;
    for case in options.cases() {
        let (mut calibrated, mut trained) = (Vec::new(), Vec::new());
        for seed in 0..options.seeds {
            let summary = options.train(root, &case, seed)?;
            float = float.or(top1(&summary, "float"));
            calibrated.extend(top1(&summary, "ptq"));
            trained.extend(top1(&summary, "qat"));
        }
        let [calibrated, mean, lowest, highest, count] = cells(&calibrated, &trained);
        let (bits, scales, path) = (case.bits, case.scales.name, case.path);
        let _ = writeln!(table, "| W{bits}A{bits} | {scales} | {path} | {calibrated} | {mean} | {lowest} | {highest} | {count} |");
    }
    println!("top-1 in percent, as simulated; float {:.2}", float.unwrap_or(f64::NAN));
    println!("{} epochs, BatchNormalization {}\n", options.epochs, options.batch_norm);
    print!("{table}");
    Ok(())
}

impl Options {
    fn parse(root: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut options = Options {
            epochs: 10,
            seeds: 3,
            train_images: None,
            eval_images: None,
            batch_norm: "corrected",
            widths: WIDTHS.to_vec(),
            scales: SCALES.to_vec(),
            out: root.join("runs/gradient-paths"),
        };
        let mut rest = arguments;
        while let [name, after @ ..] = rest {
            rest = after;
            if *name == "--short" {
                (options.epochs, options.seeds) = (1, 1);
                (options.train_images, options.eval_images) = (Some(5_000), Some(2_000));
                continue;
            }
            let [value, after @ ..] = rest else { return Err(format!("{name}: a value expected")) };
            rest = after;
            let number = || value.parse::<u32>().ok().filter(|&n| n > 0).ok_or(format!("{name}: `{value}` found, 1 or more expected"));
            match *name {
                "--epochs" => options.epochs = number()?,
                "--seeds" => options.seeds = number()?,
                "--train-images" => options.train_images = Some(number()?),
                "--eval-images" => options.eval_images = Some(number()?),
                "--out" => options.out = PathBuf::from(value),
                "--bits" => {
                    let known = WIDTHS.into_iter().find(|w| w.to_string() == *value);
                    options.widths = vec![known.ok_or(format!("--bits: `{value}` found, 8, 4, 3 or 2 expected"))?];
                }
                "--scales" => {
                    let known = SCALES.into_iter().find(|s| s.name == *value);
                    options.scales = vec![known.ok_or(format!("--scales: `{value}` found, free or power-of-two expected"))?];
                }
                "--batch-norm" => {
                    let known = ["running", "corrected", "frozen"].into_iter().find(|known| known == value);
                    options.batch_norm = known.ok_or(format!("--batch-norm: `{value}` found, running, corrected or frozen expected"))?;
                }
                _ => return Err(format!("`{name}` is not known")),
            }
        }
        Ok(options)
    }

    fn cases(&self) -> impl Iterator<Item = Case> {
        let scaled = self.widths.iter().flat_map(|&bits| self.scales.iter().map(move |&scales| (bits, scales)));
        scaled.flat_map(|(bits, scales)| PATHS.map(|path| Case { bits, path, scales }))
    }

    /// The summary of a run, which is trained where it is not there.
    fn train(&self, root: &Path, case: &Case, seed: u32) -> Result<String, String> {
        let share = |n: Option<u32>| n.map_or_else(|| "all".into(), |n| n.to_string());
        let images = format!("{}-{}", share(self.train_images), share(self.eval_images));
        let Case { bits, path, scales: Scales { target, .. } } = case;
        let name = format!("w{bits}-{target}-{path}-{}-{}-{images}-{seed}", self.batch_norm_of(path), self.epochs);
        let (folder, recipe) = (self.out.join(&name), self.out.join(format!("{name}.toml")));
        fs::write(&recipe, self.recipe(root, case, seed, &folder)).map_err(|e| format!("{}: {e}", recipe.display()))?;
        training::summary(root, &name, &recipe, &folder, &[])
    }

    fn batch_norm_of(&self, path: &str) -> &'static str {
        if path == DEVKIT { "running" } else { self.batch_norm }
    }

    fn recipe(&self, root: &Path, Case { bits, path, scales: Scales { target, .. } }: &Case, seed: u32, folder: &Path) -> String {
        let shared = std::path::absolute(root.join("../shared")).unwrap_or_else(|_| root.join("../shared"));
        let (shared, out) = (shared.display(), std::path::absolute(folder).unwrap_or_else(|_| folder.into()));
        let limit = |key: &str, n: Option<u32>| n.map_or_else(String::new, |n| format!("{key} = {n}\n"));
        let (batch_norm, epochs, out) = (self.batch_norm_of(path), self.epochs, out.display());
        let biases = if *path == DEVKIT && *target == "tidl-pow2" { "bias-limit = 'devkit-split'\n" } else { "" };
        // A short run would else be frozen from its first step on.
        let freeze = epochs.saturating_sub(1).max(1);
        let rule = |node: &str| format!("[[quantization.layer]]\nname = '{node}'\nactivation-bits = 8\n");
        let rules = NOT_READ_BY_CONVOLUTIONS.map(rule).concat();
        let limits = limit("train-images", self.train_images) + &limit("eval-images", self.eval_images);
        format!(
            "model = '{shared}/models/resnet20_cifar10.onnx'\ntarget = '{target}'\nout = '{out}'\nseed = {seed}\n\
             [quantization]\nweight-bits = {bits}\nactivation-bits = {bits}\nedge-bits = 8\n\
             gradient-path = '{path}'\nbatch-norm = '{batch_norm}'\n{biases}{rules}\
             [data]\ntrain = '{shared}/data/cifar10_train.parquet'\neval = '{shared}/data/cifar10_test.parquet'\n\
             mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n{limits}\
             [augmentation]\nflip = true\npadded-crop = 4\n\
             [train]\nepochs = {epochs}\nbatch-size = 128\nlearning-rate = 0.01\nloss = 'distillation'\ntemperature = 4.0\n\
             freeze-batch-norm-epoch = {freeze}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let parse = |arguments: &[&str]| Options::parse(Path::new("."), arguments);
        assert_eq!(parse(&["--short", "--seeds", "2"]).map(|o| (o.epochs, o.seeds)), Ok((1, 2)));
        for wrong in [&["--epochs", "0"][..], &["--bits", "5"], &["--batch-norm", "x"], &["--scales", "x"], &["--epochs"], &["--no", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parse(&[]).map(|o| o.cases().count()), Ok(24));
        assert_eq!(parse(&["--bits", "4", "--scales", "free"]).map(|o| o.cases().count()), Ok(3));
    }
}
