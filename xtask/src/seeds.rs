//! `cargo xtask seeds RECIPE...`: trains each recipe from several seeds and prints how far the results lie apart.
//!
//! A run that is there already is not repeated unless its recipe has changed, and one that was stopped goes on.

use std::path::{Path, PathBuf};

use crate::training::{self, cells, top1};

/// Trains what is missing and prints the table. `arguments`: recipes, and `--seeds N`.
pub fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let (recipes, seeds) = parse(arguments)?;
    training::build(root)?;
    println!("top-1 in percent, as simulated\n");
    println!("| recipe | float | calibrated | trained: mean | lowest | highest | seeds |");
    println!("|---|---|---|---|---|---|---|");
    for recipe in recipes {
        let (mut float, mut calibrated, mut trained) = (f64::NAN, Vec::new(), Vec::new());
        for seed in 0..seeds {
            let summary = train(root, &recipe, seed)?;
            float = top1(&summary, "float").unwrap_or(float);
            calibrated.extend(top1(&summary, "ptq"));
            trained.extend(top1(&summary, "qat"));
        }
        println!("| `{}` | {float:.2} | {} |", recipe.display(), cells(&calibrated, &trained).join(" | "));
    }
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<(Vec<PathBuf>, u32), String> {
    let (mut recipes, mut seeds) = (Vec::new(), 3);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--seeds" => {
                let count = rest.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                seeds = count.ok_or("--seeds: a number, 1 or more, expected")?;
            }
            other if other.starts_with('-') => return Err(format!("`{other}` is not known")),
            recipe => recipes.push(recipe.into()),
        }
    }
    if recipes.is_empty() { Err("recipes expected".into()) } else { Ok((recipes, seeds)) }
}

/// The summary of a run, which is trained where it is not there.
fn train(root: &Path, recipe: &Path, seed: u32) -> Result<String, String> {
    let name = format!("{}-{seed}", recipe.with_extension("").display().to_string().replace(['/', '\\'], "-"));
    let folder = root.join("runs/seeds").join(&name);
    training::summary(root, &name, recipe, &folder, &["--seed", &seed.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_and_seeds_are_read() {
        assert_eq!(parse(&["a.toml", "--seeds", "2", "b.toml"]), Ok((vec!["a.toml".into(), "b.toml".into()], 2)));
        for wrong in [&[][..], &["a.toml", "--seeds"], &["a.toml", "--seeds", "0"], &["--no"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
