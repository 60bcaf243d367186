//! Trainings by the release build, what their summaries say, and how runs from several seeds are told in a row.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program that trains.
pub fn build(root: &Path) -> Result<(), String> {
    let build = Command::new("cargo").args(["build", "--release", "--bin", "quantrain"]).current_dir(root).status();
    if build.is_ok_and(|status| status.success()) { Ok(()) } else { Err("the release build failed".into()) }
}

/// The summary of the training of `recipe` in `folder`: one that is there already is not repeated, one that was stopped goes on, and one
/// that another recipe or other flags have made is replaced.
pub fn summary(root: &Path, name: &str, recipe: &Path, folder: &Path, flags: &[&str]) -> Result<String, String> {
    let (summary, asked_before) = (folder.join("summary.json"), PathBuf::from(format!("{}.asked", folder.display())));
    let asked = fs::read_to_string(recipe).map_err(|e| format!("{}: {e}", recipe.display()))? + &flags.join(" ");
    let same = fs::read_to_string(&asked_before).is_ok_and(|before| before == asked);
    if let Some(text) = fs::read_to_string(&summary).ok().filter(|text| same && top1(text, "qat").is_some()) {
        return Ok(text);
    }
    eprintln!("{name}");
    if !same {
        // A run that stops before it has replaced these would be taken for what is asked now.
        let _ = (fs::remove_file(&summary), fs::remove_dir_all(folder.join("checkpoints")));
    }
    let written = folder.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&asked_before, asked));
    written.map_err(|e| format!("{}: {e}", asked_before.display()))?;
    let program = root.join("target/release/quantrain");
    let start = if same { "--resume" } else { "--overwrite" };
    let command = Command::new(&program).arg("train").arg(recipe).args([start, "--json", "--out"]).arg(folder).args(flags).output();
    let output = command.map_err(|e| format!("{}: {e}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    fs::read_to_string(&summary).map_err(|e| format!("{}: {e}", summary.display()))
}

/// The accuracy `key` of a summary; one that is `null` or not there is none.
pub fn top1(summary: &str, key: &str) -> Option<f64> {
    let object = summary.split_once(&format!("\"{key}\": {{"))?.1.split('}').next()?;
    let value = object.split_once("\"top1\":")?.1.split([',', '\n']).next()?;
    value.trim().parse().ok()
}

/// Mean of the calibrated, then mean, lowest and highest of the trained, and how many there are, as a table's cells.
pub fn cells(calibrated: &[f64], trained: &[f64]) -> [String; 5] {
    let percent = |value: f64| format!("{value:.2}");
    let mean = |values: &[f64]| if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 };
    let (lowest, highest) = trained.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    [percent(mean(calibrated)), percent(mean(trained)), percent(lowest), percent(highest), trained.len().to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_are_read_from_a_summary() {
        let summary = "{\n  \"float\": {\n    \"top1\": 88.57,\n    \"top5\": 99.0,\n    \"images\": 10\n  },\n  \"qat\": null\n}";
        assert_eq!((top1(summary, "float"), top1(summary, "qat"), top1(summary, "ptq")), (Some(88.57), None, None));
    }

    #[test]
    fn a_row_has_mean_and_spread() {
        assert_eq!(cells(&[1.0, 2.0], &[3.0, 5.0, 4.0]), ["1.50", "4.00", "3.00", "5.00", "3"]);
    }
}
