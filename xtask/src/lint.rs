//! `cargo xtask lint`: everything but the tests, cheapest first.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{links, pictures};

/// Tests that compare a page in docs with what the program prints.
const GENERATED_PAGES: [&str; 2] = ["the_page_in_docs_is_fresh", "the_page_of_keys_is_fresh"];

/// Runs every check; the first that fails ends it.
pub fn run(root: &Path) -> Result<(), String> {
    cargo(root, "fmt --all --check", Stdio::inherit())?;
    step("links", || links::run(root))?;
    step("pictures", || pictures::run(root, true))?;
    cargo(root, "clippy --workspace --all-targets -- -D warnings", Stdio::inherit())?;
    cargo(root, "doc --workspace --no-deps", Stdio::inherit())?;
    // All libraries, though two are asked: one alone has other features, and would be compiled once more.
    let printed = cargo(root, &format!("test --workspace --lib -- {}", GENERATED_PAGES.join(" ")), Stdio::piped())?;
    for test in GENERATED_PAGES {
        // A name that matches no test is no failure to cargo.
        if !printed.contains(&format!("{test} ... ok")) {
            return Err(format!("no test {test} found"));
        }
    }
    Ok(())
}

/// Runs cargo and returns what it printed, where `stdout` is piped.
fn cargo(root: &Path, arguments: &str, stdout: Stdio) -> Result<String, String> {
    let name = format!("cargo {arguments}");
    step(&name, || {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments.split(' ')).env("RUSTDOCFLAGS", "-D warnings").current_dir(root);
        let output = command.stdout(stdout).stderr(Stdio::inherit()).output().map_err(|e| format!("{name}: {e}"))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(printed) } else { Err(format!("{printed}{name}: {}", output.status)) }
    })
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    eprintln!("lint: {name}");
    let started = Instant::now();
    let done = work()?;
    eprintln!("lint: {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(done)
}
