//! The file that marks the folder of a run: it says which process has the folder, and which files a run has exported there.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use crate::{FileError, RunDirectoryError};

pub(super) const NAME: &str = ".quantrain-run";
const TEXT: &str = "The folder of a run of quantrain. A new run into it removes what the run before has written.\n";
const PROCESS: &str = "process ";
const EXPORTED: &str = "exported ";

/// Whether a folder has a marker; a link to a file elsewhere is none.
pub(super) fn is_there(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(NAME)).is_ok_and(|found| found.is_file())
}

/// The marker of a folder that this process has to itself: an advisory lock, which ends with the process or with this value.
#[derive(Debug)]
pub(super) struct Marker {
    file: File,
    /// The files that runs before have exported, in the folder.
    pub exported: Vec<PathBuf>,
}

impl Marker {
    /// Takes a folder, marking it.
    ///
    /// # Errors
    /// Another process has it, or the marker cannot be written.
    pub fn take(folder: &Path) -> Result<Self, RunDirectoryError> {
        let path = folder.join(NAME);
        let failed = |source| FileError::new(&path, source);
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(RunDirectoryError::Foreign { path: folder.into(), entry: NAME.into() });
        }
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let locked = file.try_lock();
        let mut before = String::new();
        // A marker that is no text is written anew.
        let _ = file.read_to_string(&mut before);
        match locked {
            Err(TryLockError::WouldBlock) => {
                let process = lines(&before, PROCESS).last().unwrap_or("?").to_owned();
                return Err(RunDirectoryError::InUse { path: folder.into(), process });
            }
            // File systems without locks have to do without.
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => return Err(failed(error).into()),
            _ => {}
        }
        let exported = lines(&before, EXPORTED).map(PathBuf::from).filter(|file| lies_within(file)).collect();
        let marker = Marker { file, exported };
        marker.rewrite().map_err(failed)?;
        Ok(marker)
    }

    /// What runs before have exported is gone.
    pub fn forget_exports(&mut self) -> io::Result<()> {
        self.exported.clear();
        self.rewrite()
    }

    fn rewrite(&self) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        let exported: String = self.exported.iter().map(|file| format!("{EXPORTED}{}\n", file.display())).collect();
        file.write_all(format!("{TEXT}{PROCESS}{}\n{exported}", std::process::id()).as_bytes())
    }
}

/// Notes the files that are about to be exported into `folder`, relative to it.
pub(super) fn note_exports<'f>(folder: &Path, files: impl Iterator<Item = &'f Path>) -> io::Result<()> {
    let text: String = files.map(|file| format!("{EXPORTED}{}\n", file.display())).collect();
    File::options().append(true).open(folder.join(NAME))?.write_all(text.as_bytes())
}

fn lines<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.strip_prefix(word))
}

/// Whether a path leads nowhere but into the folder: markers come with folders from anywhere.
fn lies_within(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}
