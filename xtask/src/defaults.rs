//! `cargo xtask defaults`: what `quantrain quantize` might do where nothing is said, compared over disjoint folds of the data: networks × targets ×
//! ways, each calibrated on one fold and judged on the next.
//!
//! Where a network's images for judging are others than those it was trained on, folds of both are taken. A run that is there already is not
//! repeated.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::training;

/// A network with its data.
struct Network {
    name: &'static str,
    model: &'static str,
    /// Images that calibrate, and images that judge; the same file where there is one only.
    data: [&'static str; 2],
    flags: &'static [&'static str],
}

const NORMAL: [&str; 4] = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"];

const NETWORKS: [Network; 4] = [
    Network {
        name: "resnet20",
        model: "../shared/models/resnet20_cifar10.onnx",
        data: ["../shared/data/cifar10_train.parquet", "../shared/data/cifar10_test.parquet"],
        flags: &NORMAL,
    },
    Network {
        name: "fashion_mobilenet",
        model: "examples/fashion-mnist/fashion_mobilenet.onnx",
        data: ["examples/fashion-mnist/train-images-idx3-ubyte.gz", "examples/fashion-mnist/t10k-images-idx3-ubyte.gz"],
        flags: &["--mean", "0.286", "--std", "0.353"],
    },
    Network {
        name: "efficientnet_lite0",
        model: "../shared/models/efficientnet_lite0.onnx",
        data: ["../shared/data/imagenet_sample_500.parquet"; 2],
        flags: &["--crop", "224", "--range", "255", "--mean", "127", "--std", "128"],
    },
    Network {
        name: "camvid_mobile_unet",
        model: "../shared/models/camvid_mobile_unet.onnx",
        data: ["../shared/data/camvid_train.parquet", "../shared/data/camvid_val.parquet"],
        flags: &["--crop", "176x240", "--ignored-label", "11", NORMAL[0], NORMAL[1], NORMAL[2], NORMAL[3]],
    },
];

const TARGETS: [&str; 2] = ["onnxruntime", "tidl-pow2"];

/// What may be done where nothing is said, and the flags that say it.
const WAYS: [(&str, &[&str]); 9] = [
    ("default", &[]),
    ("plain", &["--plain"]),
    ("min-max", &["--plain", "--observer", "min-max"]),
    ("percentile", &["--plain", "--observer", "percentile"]),
    ("mean-squared-error", &["--plain", "--observer", "mean-squared-error"]),
    ("bias-correction", &["--set", "refine.steps=[\"bias-correction\"]"]),
    ("clipping", &["--set", "refine.steps=[\"weight-clipping\",\"bias-correction\"]"]),
    ("equalization", &["--set", "refine.steps=[\"equalization\",\"weight-clipping\",\"bias-correction\"]"]),
    ("adaround", &["--set", "refine.steps=[\"equalization\",\"weight-clipping\",\"bias-correction\",\"adaround\"]"]),
];

#[derive(Debug, PartialEq)]
struct Options<'a> {
    folds: usize,
    /// Images that calibrate, and as many that judge.
    images: usize,
    networks: Vec<&'a str>,
    targets: Vec<&'a str>,
    ways: Vec<&'a str>,
}

/// What a run gave.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    /// Output SQNR in dB.
    sqnr: f64,
    /// Points below the float network.
    loss: f64,
    seconds: f64,
}

/// Runs what is missing and prints the table.
pub fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let options = parse(arguments)?;
    training::build(root)?;
    println!("{} folds, {} images of one calibrate, as many of the next judge; mean (lowest to highest)\n", options.folds, options.images);
    println!("| network | target | way | output SQNR, dB | points below float | s |\n|---|---|---|---|---|---|");
    for network in NETWORKS.iter().filter(|n| options.networks.contains(&n.name)) {
        for target in &options.targets {
            for (way, flags) in WAYS.iter().filter(|(way, _)| options.ways.contains(way)) {
                let figures: Vec<Figures> = (0..options.folds)
                    .map(|fold| figures(root, network, target, (way, flags), fold, &options))
                    .collect::<Result<_, _>>()?;
                println!("{}", row(&[network.name, target, way], &figures));
            }
        }
    }
    Ok(())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Options<'a>, String> {
    let mut options = Options { folds: 5, images: 100, networks: Vec::new(), targets: Vec::new(), ways: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{flag}: a value expected"))?;
        let number =
            |least: usize| value.parse().ok().filter(|n| *n >= least).ok_or(format!("{flag}: a number, {least} or more, expected"));
        match *flag {
            "--folds" => options.folds = number(2)?,
            "--images" => options.images = number(2)?,
            "--network" => options.networks.push(known(value, NETWORKS.iter().map(|n| n.name))?),
            "--target" => options.targets.push(value),
            "--way" => options.ways.push(known(value, WAYS.iter().map(|(way, _)| *way))?),
            other => return Err(format!("`{other}` is not known")),
        }
    }
    if options.networks.is_empty() {
        options.networks.extend(NETWORKS.iter().map(|n| n.name));
    }
    if options.targets.is_empty() {
        options.targets.extend(TARGETS);
    }
    if options.ways.is_empty() {
        options.ways.extend(WAYS.iter().map(|(way, _)| *way));
    }
    Ok(options)
}

fn known(value: &str, mut names: impl Iterator<Item = &'static str> + Clone) -> Result<&str, String> {
    let all = names.clone().collect::<Vec<_>>().join(", ");
    names.any(|name| name == value).then_some(value).ok_or_else(|| format!("`{value}` is not known; one of {all} expected"))
}

/// Calibrates on a fold and judges on the next, unless that was done.
fn figures(root: &Path, network: &Network, target: &str, way: (&str, &[&str]), fold: usize, options: &Options) -> Result<Figures, String> {
    let rows = |fold: usize| format!("#{}..{}", fold * options.images, (fold + 1) * options.images);
    let [calibrates, judges] = [network.data[0].to_owned() + &rows(fold), network.data[1].to_owned() + &rows((fold + 1) % options.folds)];
    let name = format!("{}-{}-{}-{}-{fold}", network.name, target.replace(['/', '.'], "-"), way.0, options.images);
    let summary = root.join("runs/defaults").join(&name).join("summary.json");
    let read = || fs::read_to_string(&summary).map_err(|e| format!("{}: {e}", summary.display()));
    if let Some(figures) = read().ok().and_then(|text| of_summary(&text)) {
        return Ok(figures);
    }
    eprintln!("{name}");
    let program = root.join("target/release/quantrain");
    let images = options.images.to_string();
    let mut command = Command::new(&program);
    command.current_dir(root).args(["quantize", "--json", "--overwrite", "--model", network.model, "--target", target]);
    command.args(["--data", &calibrates, "--eval-data", &judges, "--calibration-images", &images, "--out"]).arg(summary.with_file_name(""));
    let output = command.args(network.flags).args(way.1).output().map_err(|e| format!("{}: {e}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    of_summary(&read()?).ok_or_else(|| format!("{}: no figures", summary.display()))
}

/// The figures of a run's summary; none where one is not there.
fn of_summary(summary: &str) -> Option<Figures> {
    let number = |text: &str, key: &str| text.split_once(key)?.1.split([',', '\n']).next()?.trim().parse::<f64>().ok();
    let score = |key: &str| {
        let object = summary.split_once(&format!("\n  \"{key}\": {{"))?.1.split('}').next()?;
        number(object, "\"top1\":").or_else(|| number(object, "\"mean_iou\":"))
    };
    // Keys of the outermost object stand behind two blanks.
    let outermost = |key: &str| number(summary, &format!("\n  \"{key}\":"));
    Some(Figures { sqnr: outermost("sqnr")?, loss: score("float")? - score("ptq")?, seconds: outermost("seconds")? })
}

fn row(words: &[&str], figures: &[Figures]) -> String {
    let cell = |of: fn(&Figures) -> f64| {
        let values: Vec<f64> = figures.iter().map(of).collect();
        let (lowest, highest) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        (values.iter().sum::<f64>() / values.len() as f64, lowest, highest)
    };
    let told = |(mean, lowest, highest): (f64, f64, f64)| format!("{mean:.2} ({lowest:.2} to {highest:.2})");
    let seconds = cell(|f| f.seconds).0;
    format!("| {} | {} | {} | {seconds:.0} |", words.join(" | "), told(cell(|f| f.sqnr)), told(cell(|f| f.loss)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_what_is_compared() {
        let all = parse(&[]).unwrap();
        assert_eq!((all.folds, all.images, all.networks.len(), all.ways.len()), (5, 100, NETWORKS.len(), WAYS.len()));
        let some = parse(&["--folds", "2", "--network", "resnet20", "--way", "plain", "--target", "mine.toml"]).unwrap();
        assert_eq!((some.folds, some.networks, some.targets, some.ways), (2, vec!["resnet20"], vec!["mine.toml"], vec!["plain"]));
        for wrong in [&["--folds", "1"][..], &["--network", "resnet"], &["--way"], &["--no", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn figures_are_read_from_a_summary_and_told_with_their_spread() {
        let summary = "{\n  \"refinement\": [\n    {\n      \"sqnr\": 9.0\n    }\n  ],\n  \"float\": {\n    \"top1\": 87.5,\n    \"images\": 4\n  },\n  \
                       \"ptq\": {\n    \"top1\": 87.0\n  },\n  \"sqnr\": 18.5,\n  \"seconds\": 12.4\n}";
        let found = of_summary(summary).unwrap();
        assert_eq!(found, Figures { sqnr: 18.5, loss: 0.5, seconds: 12.4 });
        let other = Figures { sqnr: 17.5, loss: -0.5, seconds: 13.6 };
        assert_eq!(row(&["net", "way"], &[found, other]), "| net | way | 18.00 (17.50 to 18.50) | 0.00 (-0.50 to 0.50) | 13 |");
        assert_eq!(of_summary("{\n  \"sqnr\": null\n}"), None);
    }
}
