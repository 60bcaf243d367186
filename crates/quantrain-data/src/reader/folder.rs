//! Folders of images: one class a folder, a mask beside each image, or neither

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{list, name_of, read_error};
use crate::{Annotation, DataError, Dataset, DecodeError, Image, Sample, decode};

/// The paths of all images, with what is known of each.
pub(super) struct Folder {
    path: PathBuf,
    images: Vec<(PathBuf, Known)>,
    annotated: String,
}

enum Known {
    Nothing,
    Class(i64),
    /// The file of its mask.
    Mask(PathBuf),
}

/// The folder of images beside one of masks.
const IMAGES: &str = "images";

/// Folders of masks, the first that is there.
const MASKS: &[&str] = &["masks", "annotations", "labels"];

/// What stands behind an image's name in that of its mask, in one folder.
const MASK_ENDINGS: &[&str] = &["_mask", ".mask"];

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let direct = images_in(path)?;
        let folders: Vec<PathBuf> = list(path)?.into_iter().filter(|path| path.is_dir()).collect();
        let named = |name: &str| folders.iter().find(|folder| name_of(folder) == name);
        let (images, annotated) = if let (Some(images), Some(masks)) = (named(IMAGES), MASKS.iter().find_map(|name| named(name))) {
            (paired(images_in(images)?, images_in(masks)?)?, format!("masks in `{}`", name_of(masks)))
        } else if direct.iter().any(|file| is_mask(file)) {
            let (masks, images) = direct.into_iter().partition(|file| is_mask(file));
            (paired(images, masks)?, "masks beside them".into())
        } else {
            classified(path, direct, folders)?
        };
        if images.is_empty() {
            return Err(DataError::NoFiles { path: path.into() });
        }
        Ok(Self { path: path.into(), images, annotated })
    }

    fn decode(&self, index: usize, file: &Path, decode: fn(&[u8]) -> Result<Image, DecodeError>) -> Result<Image, DataError> {
        let bytes = fs::read(file).map_err(|source| read_error(file, source))?;
        decode(&bytes).map_err(|source| DataError::Undecodable { file: file.into(), row: index, source })
    }
}

/// Images without classes, or those of a folder for each class.
fn classified(path: &Path, direct: Vec<PathBuf>, folders: Vec<PathBuf>) -> Result<(Vec<(PathBuf, Known)>, String), DataError> {
    let mut classes = Vec::new();
    for folder in folders {
        let found = images_in(&folder)?;
        if !found.is_empty() {
            classes.push(found);
        }
    }
    if classes.is_empty() {
        return Ok((direct.into_iter().map(|file| (file, Known::Nothing)).collect(), "no classes".into()));
    }
    if !direct.is_empty() {
        return Err(DataError::MixedFolder { folder: path.into() });
    }
    let annotated = format!("{} classes, a folder each", classes.len());
    let images = (0..).zip(classes).flat_map(|(class, found)| found.into_iter().map(move |file| (file, Known::Class(class))));
    Ok((images.collect(), annotated))
}

/// Each image with the mask of its name.
fn paired(images: Vec<PathBuf>, masks: Vec<PathBuf>) -> Result<Vec<(PathBuf, Known)>, DataError> {
    let mut masks: BTreeMap<String, PathBuf> = masks.into_iter().map(|mask| (image_of(&mask), mask)).collect();
    let pair = |image: PathBuf| match masks.remove(&stem(&image)) {
        Some(mask) => Ok((image, Known::Mask(mask))),
        None => Err(DataError::NoMask { image }),
    };
    images.into_iter().map(pair).collect()
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name, without ending, of the image that a mask belongs to.
fn image_of(mask: &Path) -> String {
    let stem = stem(mask);
    MASK_ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending)).unwrap_or(&stem).to_owned()
}

fn is_mask(file: &Path) -> bool {
    name_of(file).to_ascii_lowercase().ends_with(".png") && image_of(file) != stem(file)
}

/// The images directly in a folder, by name.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_image = |path: &PathBuf| {
        let name = name_of(path).to_ascii_lowercase();
        [".jpg", ".jpeg", ".png"].iter().any(|ending| name.ends_with(ending))
    };
    Ok(list(folder)?.into_iter().filter(is_image).collect())
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let out_of_range = || DataError::OutOfRange { index, length: self.len() };
        let (file, known) = self.images.get(index).ok_or_else(out_of_range)?;
        let image = self.decode(index, file, decode::image)?;
        let annotation = match known {
            Known::Nothing => Annotation::None,
            Known::Class(class) => Annotation::Class(*class),
            Known::Mask(mask) => Annotation::Mask(self.decode(index, mask, decode::mask)?),
        };
        Ok(Sample { image, annotation })
    }

    fn describe(&self) -> String {
        format!("{}: {} images, {}", name_of(&self.path), self.len(), self.annotated)
    }
}
