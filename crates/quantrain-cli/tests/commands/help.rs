//! The help of each command, against `golden/`. `QUANTRAIN_BLESS=1 cargo test -p quantrain-cli` writes it anew.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, text};

#[test]
fn the_help_is_the_golden_one() {
    let fixture = Fixture::new();
    for command in ["", "inspect", "init", "quantize", "train", "evaluate", "export", "verify", "sensitivity", "report"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|a| !a.is_empty()).collect();
        let output = fixture.run(&arguments);
        assert!(output.status.success());
        let help = text(&output.stdout);
        let name = if command.is_empty() { "quantrain" } else { command };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/commands/golden/{name}.txt"));
        if std::env::var_os("QUANTRAIN_BLESS").is_some() {
            fs::write(&path, &help).unwrap();
        }
        assert_eq!(help, fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}

#[test]
fn lists_of_choices_are_complete() {
    let fixture = Fixture::new();
    let help = |command: &str| text(&fixture.run(&[command, "--help"]).stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let train = help("train");
    for names in [&quantrain::observe::ObserverKind::NAMES[..], quantrain::recipe::Interpolation::NAMES, quantrain::recipe::LossName::NAMES]
    {
        assert!(train.contains(&format!("[possible values: {}]", names.join(", "))), "{names:?}: {train}");
    }
    let targets = quantrain_graph::Target::names().collect::<Vec<_>>().join(", ");
    for command in ["train", "verify", "export", "inspect"] {
        assert!(help(command).contains(&format!("{targets}, or a target file")), "{command}");
    }
    for command in ["train", "verify", "evaluate"] {
        assert!(help(command).contains(quantrain_data::KINDS), "{command}");
    }
}

#[test]
fn every_command_has_a_line_in_the_help() {
    let help = text(&Fixture::new().run(&["--help"]).stdout);
    for command in ["inspect", "init", "quantize", "train", "evaluate", "export", "verify", "sensitivity", "report"] {
        assert!(help.lines().any(|l| l.trim_start().starts_with(command)), "{command}");
    }
}
