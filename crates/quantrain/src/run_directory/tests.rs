use serde_json::json;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_new_folder_is_made_with_its_parents() {
    let folder = folder();
    let path = folder.path().join("a/b");
    let run = RunDirectory::create(&path).unwrap();
    run.write_recipe("model = 'm'\n").unwrap();
    run.write_summary("fine\n", &json!({ "top1": 88.57 })).unwrap();
    fs::write(run.export("m.onnx"), "model").unwrap();
    fs::write(run.last_checkpoint(), "last").unwrap();
    fs::write(run.best_checkpoint(), "best").unwrap();
    assert_eq!(fs::read_to_string(path.join("recipe.toml")).unwrap(), "model = 'm'\n");
    assert_eq!(fs::read_to_string(path.join("summary.txt")).unwrap(), "fine\n");
    assert_eq!(fs::read_to_string(path.join("summary.json")).unwrap(), "{\n  \"top1\": 88.57\n}\n");
    assert_eq!(RunDirectory::open(&path), Ok(run));
}

#[test]
fn an_empty_folder_is_taken_and_a_foreign_one_is_not() {
    let folder = folder();
    assert!(RunDirectory::create(folder.path()).is_ok());
    let foreign = folder.path().join("export");
    fs::write(foreign.join("thesis.tex"), "years of work").unwrap();
    let error = RunDirectory::create(&foreign).unwrap_err();
    assert_eq!(error, RunDirectoryError::Foreign { path: foreign.clone(), entry: "thesis.tex".into() });
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
    assert_eq!(RunDirectory::open(&foreign), Err(RunDirectoryError::NotARun { path: foreign }));
}

#[test]
fn a_run_that_was_there_makes_room_and_other_files_stay() {
    let folder = folder();
    let run = RunDirectory::create(folder.path()).unwrap();
    run.write_recipe("old").unwrap();
    run.start_metrics().unwrap().append(&json!({ "step": 1 })).unwrap();
    fs::write(run.best_checkpoint(), "old").unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let run = RunDirectory::create(folder.path()).unwrap();
    assert!(!run.recipe().exists() && !run.metrics().exists() && !run.best_checkpoint().exists());
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
}

#[test]
fn a_file_is_no_folder() {
    let folder = folder();
    let path = folder.path().join("run");
    fs::write(&path, "a file").unwrap();
    assert_eq!(RunDirectory::create(&path), Err(RunDirectoryError::NotADirectory { path: path.clone() }));
    assert_eq!(RunDirectory::create(&path.join("deeper")), Err(RunDirectoryError::NotADirectory { path: path.join("deeper") }));
    assert!(matches!(RunDirectory::open(&path), Err(RunDirectoryError::NotARun { .. })));
}

#[test]
fn a_resumed_log_ends_at_the_checkpoint() {
    let folder = folder();
    let run = RunDirectory::create(folder.path()).unwrap();
    let mut log = run.start_metrics().unwrap();
    let mut lengths = Vec::new();
    for step in [10, 20, 20, 30] {
        log.append(&json!({ "step": step })).unwrap();
        lengths.push(log.length());
    }
    drop(log);
    let text = fs::read_to_string(run.metrics()).unwrap();
    assert_eq!(text.len() as u64, lengths[3]);
    // A kill in the middle of a line.
    fs::write(run.metrics(), format!("{text}{{\"kind\":\"step\",\"st")).unwrap();
    run.resume_metrics(lengths[3]).unwrap();
    assert_eq!(fs::read_to_string(run.metrics()).unwrap(), text);
    let mut log = run.resume_metrics(lengths[1]).unwrap();
    log.append(&json!({ "step": 25 })).unwrap();
    let expected = "{\"step\":10}\n{\"step\":20}\n{\"step\":25}\n";
    assert_eq!(fs::read_to_string(run.metrics()).unwrap(), expected);
    // A power failure took the end.
    fs::write(run.metrics(), &expected[..expected.len() - 3]).unwrap();
    assert_eq!(run.resume_metrics(expected.len() as u64).unwrap().length(), lengths[1]);
    fs::remove_file(run.metrics()).unwrap();
    run.resume_metrics(7).unwrap().append(&json!({ "step": 1 })).unwrap();
    assert_eq!(fs::read_to_string(run.metrics()).unwrap(), "{\"step\":1}\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let folder = folder();
    let run = RunDirectory::create(folder.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", run.metrics()).unwrap();
    let error = run.start_metrics().unwrap().append(&json!({ "step": 1 })).unwrap_err();
    assert_eq!(error, FileError::DiskFull { path: run.metrics() });
    assert_eq!(error.to_string(), format!("{}: the disk is full; make room and resume the run", run.metrics().display()));
}

#[test]
fn each_refusal_of_the_system_has_its_error() {
    let error = |kind: io::ErrorKind| FileError::new(Path::new("a"), kind.into());
    assert!(matches!(error(io::ErrorKind::StorageFull), FileError::DiskFull { .. }));
    assert!(matches!(error(io::ErrorKind::QuotaExceeded), FileError::DiskFull { .. }));
    assert!(matches!(error(io::ErrorKind::PermissionDenied), FileError::Refused { .. }));
    assert!(matches!(error(io::ErrorKind::ReadOnlyFilesystem), FileError::Refused { .. }));
    assert!(matches!(error(io::ErrorKind::NotFound), FileError::Other { .. }));
}
