//! Chores of this repository. It only starts other programs and reads pages, so it builds in a second.
#![forbid(unsafe_code)]

mod compare;
mod defaults;
mod gradient_paths;
mod links;
mod lint;
mod pictures;
mod seeds;
mod training;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  lint    format, links, clippy, documentation, generated pages; the first that fails ends it
  links   only the links and paths of the pages
  pictures [--check]
          draws docs/pictures from the tables of docs/results.md; --check only compares
  compare [--json] [--rounds N] [--net NAME]
          training steps beside PyTorch's, which it installs (5 GB); see docs/performance.md
  gradient-paths [--short] [--epochs N] [--seeds N] [--bits N] [--scales NAME] [--batch-norm NAME] [--train-images N] [--eval-images N]
          [--out DIR]
          resnet20 at W8A8 to W2A2 along both gradient paths, a table; hours, or minutes with --short; see docs/gradient-paths.md
  defaults [--folds N] [--images N] [--network NAME]... [--target NAME]... [--way NAME]...
          what quantize may do where nothing is said, over disjoint folds of the data, a table; see docs/defaults.md
  seeds RECIPE... [--seeds N]
          trains recipes from several seeds, a table of mean and spread";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The crate lies in a folder at the repository's root.
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let outcome = match arguments[..] {
        ["lint"] => lint::run(&root),
        ["links"] => links::run(&root),
        ["pictures"] => pictures::run(&root, false),
        ["pictures", "--check"] => pictures::run(&root, true),
        ["gradient-paths", ref options @ ..] => gradient_paths::run(&root, options),
        ["seeds", ref options @ ..] => seeds::run(&root, options),
        ["defaults", ref options @ ..] => defaults::run(&root, options),
        ["compare", ref options @ ..] => compare::run(&root, options),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
