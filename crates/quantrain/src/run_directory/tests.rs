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
    assert_eq!(RunDirectory::open(&path).unwrap().path(), run.path());
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
    assert_eq!(RunDirectory::open(&foreign).unwrap_err(), RunDirectoryError::NotARun { path: foreign });
}

#[test]
fn a_run_that_was_there_makes_room_and_other_files_stay() {
    let folder = folder();
    let run = RunDirectory::create(folder.path()).unwrap();
    run.write_recipe("old").unwrap();
    run.start_metrics().unwrap().append(&json!({ "step": 1 })).unwrap();
    let exported = [run.export("model.qdq.onnx"), run.export("tidl-pow2/model.clip.onnx")];
    fs::create_dir(run.export("tidl-pow2")).unwrap();
    for file in exported.iter().chain(&[run.best_checkpoint(), run.last_checkpoint(), run.previous_checkpoint()]) {
        fs::write(file, "old").unwrap();
    }
    run.note_exports(&exported).unwrap();
    let strangers = ["notes.txt", "export/mine.onnx", "checkpoints/mine.safetensors", "export/mine/model.qdq.onnx"];
    fs::create_dir(run.export("mine")).unwrap();
    for stranger in strangers {
        fs::write(folder.path().join(stranger), "mine").unwrap();
    }
    drop(run);
    let run = RunDirectory::create(folder.path()).unwrap();
    assert!(![run.recipe(), run.metrics(), run.best_checkpoint(), run.previous_checkpoint()].iter().chain(&exported).any(|f| f.exists()));
    assert!(!run.export("tidl-pow2").exists());
    for stranger in strangers {
        assert_eq!(fs::read_to_string(folder.path().join(stranger)).unwrap(), "mine", "{stranger}");
    }
}

/// A folder that came from somewhere may hold a marker that names files elsewhere.
#[test]
fn a_marker_leads_to_no_file_outside_the_folder() {
    let outside = folder();
    let precious = outside.path().join("model.qdq.onnx");
    fs::write(&precious, "years of training").unwrap();
    let folder = folder();
    drop(RunDirectory::create(folder.path()).unwrap());
    let marker = folder.path().join(".quantrain-run");
    let up = format!("../{}/model.qdq.onnx", outside.path().file_name().unwrap().to_string_lossy());
    let text = format!("exported {}\nexported {up}\nexported export/linked/model.qdq.onnx\n", precious.display());
    fs::write(&marker, text).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), folder.path().join("export/linked")).unwrap();
    RunDirectory::create(folder.path()).unwrap().remove().unwrap();
    assert!(precious.exists());
    #[cfg(unix)]
    {
        fs::remove_file(&marker).ok();
        fs::create_dir_all(folder.path()).unwrap();
        std::os::unix::fs::symlink(&precious, &marker).unwrap();
        assert!(matches!(RunDirectory::create(folder.path()), Err(RunDirectoryError::Foreign { .. })));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "years of training");
    }
}

#[test]
fn one_run_at_a_time_has_a_folder() {
    let folder = folder();
    let run = RunDirectory::create(folder.path()).unwrap();
    run.write_recipe("first").unwrap();
    let in_use = RunDirectoryError::InUse { path: folder.path().into(), process: std::process::id().to_string() };
    assert_eq!(RunDirectory::create(folder.path()).unwrap_err(), in_use);
    assert_eq!(RunDirectory::resume(folder.path()).unwrap_err(), in_use);
    assert_eq!(RunDirectory::open(folder.path()).unwrap().check_free().unwrap_err(), in_use);
    assert_eq!(fs::read_to_string(run.recipe()).unwrap(), "first");
    let clone = run.clone();
    drop(run);
    assert_eq!(RunDirectory::resume(folder.path()).unwrap_err(), in_use);
    drop(clone);
    assert_eq!(fs::read_to_string(RunDirectory::resume(folder.path()).unwrap().recipe()).unwrap(), "first");
}

#[test]
fn the_checkpoint_before_the_newest_is_kept() {
    let folder = folder();
    let run = RunDirectory::create(folder.path()).unwrap();
    run.keep_previous_checkpoint().unwrap();
    assert!(!run.previous_checkpoint().exists());
    for text in ["one", "two", "three"] {
        run.keep_previous_checkpoint().unwrap();
        write_whole(&run.last_checkpoint(), text.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(run.previous_checkpoint()).unwrap(), "two");
    assert_eq!(fs::read_to_string(run.last_checkpoint()).unwrap(), "three");
}

#[test]
fn a_file_is_no_folder() {
    let folder = folder();
    let path = folder.path().join("run");
    fs::write(&path, "a file").unwrap();
    assert_eq!(RunDirectory::create(&path).unwrap_err(), RunDirectoryError::NotADirectory { path: path.clone() });
    assert_eq!(RunDirectory::create(&path.join("deeper")).unwrap_err(), RunDirectoryError::NotADirectory { path: path.join("deeper") });
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
