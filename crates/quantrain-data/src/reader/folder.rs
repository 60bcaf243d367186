//! Folders of images: one class a folder, a mask beside each image, or neither

use std::path::{Path, PathBuf};

use self::listing::{LeftOut, look_into};
use super::{file, name_of};
use crate::classes::some_of;
use crate::{Annotation, DataError, Dataset, Exif, Glance, Sample, decode};

mod classes;
mod listing;
mod masks;

/// The paths of all images, with what is known of each.
pub(super) struct Folder {
    path: PathBuf,
    exif: Exif,
    found: Found,
    left_out: LeftOut,
}

/// What a folder holds.
struct Found {
    images: Vec<(PathBuf, Known)>,
    /// The names of classes, by number.
    classes: Vec<String>,
    /// For people.
    annotated: String,
}

enum Known {
    Nothing,
    Class(i64),
    /// The file of its mask.
    Mask(PathBuf),
}

impl Folder {
    pub(super) fn open(path: &Path, exif: Exif) -> Result<Self, DataError> {
        let mut left_out = LeftOut::default();
        let (direct, folders) = look_into(path, &mut left_out)?;
        let found = match masks::find(&direct, &folders, &mut left_out)? {
            Some(found) => found,
            None => classes::find(path, direct, folders, &mut left_out)?,
        };
        if found.images.is_empty() {
            return Err(match left_out.is_empty() {
                true => DataError::NoFiles { path: path.into() },
                false => DataError::NoImages { folder: path.into(), left_out: left_out.to_string() },
            });
        }
        Ok(Self { path: path.into(), exif, found, left_out })
    }

    fn image(&self, index: usize) -> Result<&(PathBuf, Known), DataError> {
        self.found.images.get(index).ok_or(DataError::OutOfRange { index, length: self.len() })
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.found.images.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let (path, known) = self.image(index)?;
        let (image, orientation) = file::image(path, index, self.exif)?;
        let annotation = match known {
            Known::Nothing => Annotation::None,
            Known::Class(class) => Annotation::Class(*class),
            Known::Mask(mask) => {
                let decoded = decode::mask(&file::encoded(mask)?);
                Annotation::Mask(decoded.map_err(|source| DataError::Undecodable { file: mask.clone(), row: index, source })?)
            }
        };
        Ok(Sample { image, annotation }.upright(orientation))
    }

    fn describe(&self) -> String {
        format!("{}: {} images, {}", name_of(&self.path), self.len(), self.found.annotated)
    }

    fn class(&self, index: usize) -> Option<i64> {
        match self.found.images.get(index) {
            Some((_, Known::Class(class))) => Some(*class),
            _ => None,
        }
    }

    fn class_names(&self) -> &[String] {
        &self.found.classes
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        let (path, _) = self.image(index)?;
        Ok(file::header(path, index)?.glance(self.exif))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.left_out.is_empty() {
            notes.push(format!("{}: left out: {}; JPEG and PNG files are read", self.path.display(), self.left_out));
        }
        let mut has_images = vec![false; self.found.classes.len()];
        for class in (0..self.len()).filter_map(|index| self.class(index)) {
            has_images[class as usize] = true;
        }
        let names = self.found.classes.iter().zip(has_images);
        let empty: Vec<&str> = names.filter(|(_, has_images)| !has_images).map(|(name, _)| name.as_str()).collect();
        if !empty.is_empty() {
            notes.push(format!("{}: no images in the class folders {}", self.path.display(), some_of(&empty)));
        }
        notes
    }
}
