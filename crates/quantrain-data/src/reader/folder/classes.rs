//! A folder for each class, its images anywhere below it

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{name_of, read_error};
use super::listing::{LeftOut, look_into};
use super::{Found, Known};
use crate::DataError;

/// Names of folders that are parts of a dataset rather than classes.
const PARTS: &[&str] = &["train", "training", "val", "valid", "validation", "test", "testing", "eval"];

/// The classes of a folder, numbered by name, empty ones too; images without classes where no folder in it holds any.
pub(super) fn find(path: &Path, direct: Vec<PathBuf>, folders: Vec<PathBuf>, left_out: &mut LeftOut) -> Result<Found, DataError> {
    let mut images = Vec::new();
    for (class, folder) in (0..).zip(&folders) {
        let mut walk = Walk { images: Vec::new(), left_out, above: Vec::new() };
        walk.enter(folder)?;
        images.extend(walk.images.into_iter().map(|file| (file, Known::Class(class))));
    }
    if images.is_empty() {
        let images = direct.into_iter().map(|file| (file, Known::Nothing)).collect();
        return Ok(Found { images, classes: Vec::new(), annotated: "no classes".into() });
    }
    if !direct.is_empty() {
        return Err(DataError::MixedFolder { folder: path.into() });
    }
    let classes: Vec<String> = folders.iter().map(|folder| name_of(folder)).collect();
    if classes.iter().all(|name| PARTS.contains(&name.to_ascii_lowercase().as_str())) {
        return Err(DataError::SeveralDatasets { folder: path.into(), files: classes });
    }
    let annotated = format!("{} classes, a folder each", classes.len());
    Ok(Found { images, classes, annotated })
}

/// Goes through a class and the folders in it.
struct Walk<'w> {
    images: Vec<PathBuf>,
    left_out: &'w mut LeftOut,
    /// The folders on the way here, without symbolic links.
    above: Vec<PathBuf>,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path) -> Result<(), DataError> {
        let place = fs::canonicalize(folder).map_err(|source| read_error(folder, source))?;
        // A link to where the walk came from would never end.
        if self.above.iter().any(|above| above.starts_with(&place)) {
            return Ok(());
        }
        self.above.push(place);
        let (images, folders) = look_into(folder, self.left_out)?;
        self.images.extend(images);
        folders.iter().try_for_each(|below| self.enter(below))?;
        self.above.pop();
        Ok(())
    }
}
