//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::FileError;

/// Writes a file: first to a hidden sibling, then, once that is on the disk, under its name. Whoever reads `path`, even after a crash, finds
/// the old contents or the new ones.
///
/// # Errors
/// The disk is full, the folder may not be written, or whatever else the system says; `path` is as before then, and no sibling is left.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let partial = partial(path);
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        sync_folder(path)
    };
    write().map_err(|source| {
        // The first error counts; the sibling may not even exist.
        let _ = fs::remove_file(&partial);
        FileError::new(path, source)
    })
}

/// `folder/.name.partial` for `folder/name`.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}

/// A rename is safe once its folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_replaces_the_one_before_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        // What a killed writer left behind.
        fs::write(partial(&path), "half").unwrap();
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(entries(folder.path()), ["a"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_whole(&path, b"old").unwrap();
        // The sibling opens as a device that is always full.
        std::os::unix::fs::symlink("/dev/full", partial(&path)).unwrap();
        let error = write_whole(&path, b"new").unwrap_err();
        assert!(matches!(&error, FileError::DiskFull { path: p } if *p == path), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(folder.path()), ["a"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").join("a");
        let error = write_whole(&path, b"new").unwrap_err();
        assert!(matches!(&error, FileError::Other { path: p, .. } if *p == path));
    }
}
