//! From a path to a dataset

mod folder;
mod idx;
mod npz;
mod parquet;
mod rows;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{DataError, Dataset, Sample};

/// The columns of a parquet file, where their names do not say enough. Other datasets have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// A struct with a binary `bytes`. Default: the only one, or the one named `image` or `img`.
    pub image: Option<String>,
    /// Integers. Default: `label`, `labels`, `fine_label`, `class` or `target`, if there is one.
    pub label: Option<String>,
    /// A struct with a binary `bytes`, PNG of one byte a pixel. Default: `mask`, `annotation`,
    /// `segmentation` or `label`, if there is one; it goes before labels.
    pub mask: Option<String>,
    /// A struct of lists, `bbox` of four coordinates each and, if there is one, `category` of
    /// integers. Default: `objects`, if there is neither mask nor label.
    pub boxes: Option<String>,
    /// What the coordinates of boxes are.
    pub box_form: BoxForm,
}

/// What the four coordinates of a box are, in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BoxForm {
    /// Left, top, right, bottom.
    #[default]
    Corners,
    /// Left, top, width, height.
    Size,
}

/// Opens a dataset by the kind of its path:
///
/// - `*.parquet`, in the Hugging Face layout: a struct column of encoded `bytes` and `path`;
/// - `*-images-idx3-ubyte`, also `.gz`: IDX, with the labels beside it if they are there;
/// - `*.npz`: arrays `images` (bytes of `[N, H, W]` or `[N, H, W, C]`) and, if they are there, `labels`
///   (`[N]`) or `masks` (bytes of `[N, H, W]`);
/// - a folder of parquet shards, in the order of their names;
/// - a folder of one IDX dataset (of several, name the images' file);
/// - a folder of images, or of a folder of images for each class, classes numbered by name;
/// - a folder of the folders `images` and `masks` (or `annotations`, `labels`), whose PNG masks have the
///   images' names; or of images with their masks beside them, as `NAME_mask.png` or `NAME.mask.png`;
/// - several of these, separated by commas, or `*` in a file's name: one after the other;
/// - any of these with `#START..END` behind it: only those samples.
///
/// # Errors
/// A path that is missing or of no known kind, damaged files, and datasets without samples.
pub fn open(path: &Path, columns: &Columns) -> Result<Box<dyn Dataset>, DataError> {
    if let Some((file, rows)) = rows::split(path)? {
        let some = rows::Rows::new(open(file, columns)?, rows);
        return if some.is_empty() { Err(DataError::Empty { path: path.into() }) } else { Ok(Box::new(some)) };
    }
    let paths = expand(path)?;
    let mut parts = Vec::with_capacity(paths.len());
    for path in &paths {
        let part = open_one(path, columns)?;
        if part.is_empty() {
            return Err(DataError::Empty { path: path.clone() });
        }
        parts.push(part);
    }
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        Some(last) => {
            parts.push(last);
            Ok(Box::new(Several::new(parts)))
        }
        None => Err(DataError::NoFiles { path: path.into() }),
    }
}

fn open_one(path: &Path, columns: &Columns) -> Result<Box<dyn Dataset>, DataError> {
    if path.is_dir() {
        return Ok(Box::new(folder::Folder::open(path)?));
    }
    if !path.exists() {
        return Err(DataError::NotFound { path: path.into() });
    }
    let name = name_of(path);
    if name.ends_with(".parquet") {
        Ok(Box::new(parquet::Parquet::open(path, columns)?))
    } else if idx::is_images(&name) {
        Ok(Box::new(idx::Idx::open(path)?))
    } else if name.ends_with(".npz") {
        Ok(Box::new(npz::Npz::open(path)?))
    } else {
        Err(DataError::UnknownKind { path: path.into() })
    }
}

/// Resolves commas, `*` and folders of datasets to single datasets.
fn expand(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let text = path.to_string_lossy();
    if path.is_dir() {
        return expand_folder(path);
    }
    if path.exists() {
        return Ok(vec![path.into()]);
    }
    if text.contains(',') {
        let parts: Result<Vec<_>, _> = text.split(',').map(|p| expand(Path::new(p.trim()))).collect();
        return Ok(parts?.concat());
    }
    if !name_of(path).contains('*') {
        return Err(DataError::NotFound { path: path.into() });
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let pattern = name_of(path);
    let found = list(folder)?.into_iter().filter(|path| matches(&pattern, &name_of(path)));
    let found: Vec<PathBuf> = found.collect();
    if found.is_empty() { Err(DataError::NoFiles { path: path.into() }) } else { Ok(found) }
}

/// A folder's parquet shards, its one IDX dataset, or itself, a folder of images.
fn expand_folder(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let files = list(folder)?;
    let shards: Vec<_> = files.iter().filter(|p| name_of(p).ends_with(".parquet")).cloned().collect();
    if !shards.is_empty() {
        return Ok(shards);
    }
    let mut images: Vec<_> = files.into_iter().filter(|p| idx::is_images(&name_of(p))).collect();
    if images.len() > 1 {
        let files = images.iter().map(|path| name_of(path)).collect();
        return Err(DataError::SeveralDatasets { folder: folder.into(), files });
    }
    Ok(vec![images.pop().unwrap_or_else(|| folder.into())])
}

/// The entries of a folder, by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    let mut entries = entries.map_err(|source| read_error(folder, source))?;
    entries.sort();
    Ok(entries)
}

/// The last part of a path, for matching and for people.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_error(path: &Path, source: io::Error) -> DataError {
    let path = path.into();
    match source.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { path },
        _ => DataError::Read { path, source },
    }
}

/// Whether `name` is `pattern`, in which each `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
}

/// Datasets one after the other.
struct Several {
    parts: Vec<Box<dyn Dataset>>,
    /// The index at which each part ends.
    ends: Vec<usize>,
}

impl Several {
    fn new(parts: Vec<Box<dyn Dataset>>) -> Self {
        let mut end = 0;
        let ends = parts.iter().map(|part| {
            end += part.len();
            end
        });
        Self { ends: ends.collect(), parts }
    }
}

impl Dataset for Several {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let part = self.ends.partition_point(|&end| end <= index);
        match self.parts.get(part) {
            Some(found) => found.sample(index - (self.ends[part] - found.len())),
            None => Err(DataError::OutOfRange { index, length: self.len() }),
        }
    }

    fn describe(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| part.describe()).collect();
        format!("{} samples of {} files: {}", self.len(), parts.len(), parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("train-*.parquet", "train-00000-of-00002.parquet", true),
            ("train-*.parquet", "test-00000-of-00002.parquet", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("plain", "plain", true),
            ("é*", "éé", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
