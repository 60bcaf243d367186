//! The command in a folder that a stranger filled: what lies there is data, and nothing of it is run or loaded.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, text};

/// What a stranger leaves where Python, its packages and ONNX Runtime are looked for by the careless.
const PYTHONS: [&str; 4] = ["python3", ".venv/bin/python3", "venv/bin/python3", "bin/python3"];
const MODULES: [&str; 4] = ["onnxruntime/__init__.py", "importlib/__init__.py", "sitecustomize.py", "usercustomize.py"];
const LIBRARIES: [&str; 4] = [
    "libonnxruntime.so",
    "onnxruntime/capi/libonnxruntime.so.1.99.0",
    "capi/libonnxruntime.so",
    ".venv/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.99.0",
];

/// A fixture with all of that; what of it runs leaves a file named `ran`.
fn hostile() -> Fixture {
    let fixture = Fixture::new();
    let write = |name: &str, text: String| {
        let path = fixture.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        executable(&path);
    };
    let ran = fixture.path("ran");
    PYTHONS.iter().for_each(|name| write(name, format!("#!/bin/sh\ntouch '{}'\npwd\n", ran.display())));
    MODULES.iter().for_each(|name| write(name, format!("open('{}', 'w')\n", ran.display())));
    LIBRARIES.iter().for_each(|name| write(name, "no library".into()));
    fixture
}

#[cfg(unix)]
fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn executable(_: &Path) {}

#[test]
fn nothing_of_the_current_folder_is_run_or_loaded() {
    let fixture = hostile();
    fixture.recipe("recipe.toml", "run", "[train]\nepochs = 1\n");
    let search_path = std::env::var("PATH").unwrap_or_default();
    // The search paths of a careless user: empty entries and dots mean the current folder.
    let careless = [("PATH", format!(":.:bin:{search_path}")), ("PYTHONPATH", ".".into()), ("LD_LIBRARY_PATH", ":.".into())];
    let commands: [&[&str]; 4] = [
        &["quantize", "recipe.toml"],
        &["verify", "run/export/model.qdq.onnx", "--recipe", "recipe.toml"],
        &["train", "recipe.toml", "--out", "trained"],
        &["export", "trained"],
    ];
    let folder = fixture.path("").canonicalize().unwrap();
    for arguments in commands {
        let mut command = fixture.command(&[arguments, &["--json"]].concat());
        command.envs(careless.clone()).env("VIRTUAL_ENV", ".venv").env_remove("ORT_DYLIB_PATH");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert!(!fixture.path("ran").exists(), "{arguments:?} ran what lies in the folder");
        let report = text(&output.stdout);
        let loads = |line: &str| line.contains("libonnxruntime") && line.contains(folder.to_str().unwrap());
        assert!(!report.lines().any(loads), "{arguments:?}: {report}");
    }
    let mut relative = fixture.command(&["verify", "run/export/model.qdq.onnx", "--recipe", "recipe.toml"]);
    let output = relative.env("ORT_DYLIB_PATH", "libonnxruntime.so").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("ORT_DYLIB_PATH") && text(&output.stderr).contains("absolute"), "{}", text(&output.stderr));
}
