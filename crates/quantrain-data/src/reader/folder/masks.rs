//! Images with a mask each: of the same name in another folder, or beside them

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::name_of;
use super::listing::{LeftOut, look_into};
use super::{Found, Known};
use crate::DataError;

/// The folder of images beside one of masks.
const IMAGES: &str = "images";

/// Folders of masks, the first that is there.
const MASKS: &[&str] = &["masks", "annotations", "labels"];

/// What stands behind an image's name in that of its mask, in one folder.
const MASK_ENDINGS: &[&str] = &["_mask", ".mask"];

/// The pairs of a folder; none where it holds no masks.
pub(super) fn find(direct: &[PathBuf], folders: &[PathBuf], left_out: &mut LeftOut) -> Result<Option<Found>, DataError> {
    let named = |name: &str| folders.iter().find(|folder| name_of(folder) == name);
    let (images, masks, annotated) = if let (Some(images), Some(masks)) = (named(IMAGES), MASKS.iter().find_map(|name| named(name))) {
        (look_into(images, left_out)?.0, look_into(masks, left_out)?.0, format!("masks in `{}`", name_of(masks)))
    } else if direct.iter().any(|file| is_mask(file)) {
        let (masks, images) = direct.iter().cloned().partition(|file| is_mask(file));
        (images, masks, "masks beside them".into())
    } else {
        return Ok(None);
    };
    Ok(Some(Found { images: paired(images, masks)?, classes: Vec::new(), annotated }))
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
