//! Folders of images: one class a folder, or no classes

use std::fs;
use std::path::{Path, PathBuf};

use super::{list, name_of, read_error};
use crate::{Annotation, DataError, Dataset, Sample, decode};

/// The paths of all images, and the number of classes (0: not classified).
pub(super) struct Folder {
    path: PathBuf,
    images: Vec<(PathBuf, i64)>,
    classes: usize,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let mut images = images_in(path)?;
        let folders: Vec<PathBuf> = list(path)?.into_iter().filter(|path| path.is_dir()).collect();
        let mut classes = Vec::new();
        for folder in folders {
            let found = images_in(&folder)?;
            if !found.is_empty() {
                classes.push(found);
            }
        }
        if !images.is_empty() && !classes.is_empty() {
            return Err(DataError::MixedFolder { folder: path.into() });
        }
        let count = classes.len();
        for (class, found) in (0..).zip(classes) {
            images.extend(found.into_iter().map(|(path, _)| (path, class)));
        }
        if images.is_empty() {
            return Err(DataError::NoFiles { path: path.into() });
        }
        Ok(Self { path: path.into(), images, classes: count })
    }
}

/// The images directly in a folder, by name, as class 0.
fn images_in(folder: &Path) -> Result<Vec<(PathBuf, i64)>, DataError> {
    let is_image = |path: &PathBuf| {
        let name = name_of(path).to_ascii_lowercase();
        [".jpg", ".jpeg", ".png"].iter().any(|ending| name.ends_with(ending))
    };
    Ok(list(folder)?.into_iter().filter(is_image).map(|path| (path, 0)).collect())
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let out_of_range = || DataError::OutOfRange { index, length: self.len() };
        let (file, class) = self.images.get(index).ok_or_else(out_of_range)?;
        let bytes = fs::read(file).map_err(|source| read_error(file, source))?;
        let image = decode::image(&bytes).map_err(|source| DataError::Undecodable { file: file.clone(), row: index, source })?;
        let classified = self.classes > 0;
        let annotation = if classified { Annotation::Class(*class) } else { Annotation::None };
        Ok(Sample { image, annotation })
    }

    fn describe(&self) -> String {
        let classes = match self.classes {
            0 => "no classes".into(),
            count => format!("{count} classes, a folder each"),
        };
        format!("{}: {} images, {classes}", name_of(&self.path), self.len())
    }
}
