//! From a path to a dataset

mod csv;
mod file;
mod folder;
mod idx;
mod npz;
mod options;
mod parquet;
mod rows;
mod several;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quantrain_pattern::matches;

use self::several::Several;
use crate::{DataError, Dataset};

pub(crate) use csv::Table;
pub(crate) use npz::{NumpyArchive, parse_numpy};
pub use options::{BoxForm, Columns, ReadOptions};
pub(crate) use parquet::NumberColumns;

/// The kinds of datasets that [`open`] knows, in a few words.
pub const KINDS: &str = "parquet, .npz, IDX or a folder";

/// Opens a dataset by the kind of its path:
///
/// - `*.parquet`, in the Hugging Face layout: a struct column of encoded `bytes` and `path`;
/// - `*-images-idx3-ubyte`, also `.gz`: IDX, with the labels beside it if they are there;
/// - `*.npz`: arrays `images` (bytes of `[N, H, W]` or `[N, H, W, C]`) and, if they are there, `labels`
///   (`[N]`) or `masks` (bytes of `[N, H, W]`);
/// - a folder of parquet shards, in the order of their names;
/// - a folder of one IDX dataset (of several, name the images' file);
/// - a folder of images, or of a folder of images for each class, classes numbered by name, hidden folders left out;
/// - a folder of the folders `images` and `masks` (or `annotations`, `labels`), whose PNG masks have the
///   images' names; or of images with their masks beside them, as `NAME_mask.png` or `NAME.mask.png`;
/// - several of these, separated by commas, or `*` in a file's name: one after the other;
/// - any of these with `#START..END` behind it: only those samples.
///
/// # Errors
/// A path that is missing or of no known kind, damaged files, and datasets without samples.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Box<dyn Dataset>, DataError> {
    if let Some((file, rows)) = rows::split(path)? {
        let some = rows::Rows::new(open(file, options)?, rows);
        return if some.is_empty() { Err(DataError::Empty { path: path.into() }) } else { Ok(Box::new(some)) };
    }
    let paths = expand(path)?;
    let mut parts = Vec::with_capacity(paths.len());
    for path in &paths {
        let part = open_one(path, options)?;
        if part.is_empty() {
            return Err(DataError::Empty { path: path.clone() });
        }
        parts.push(part);
    }
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        Some(last) => {
            parts.push(last);
            Ok(Box::new(Several::new(parts)?))
        }
        None => Err(DataError::NoFiles { path: path.into() }),
    }
}

/// The path before `#START..END` and the rows it names, where it has such.
pub(crate) fn rows(path: &Path) -> Result<Option<(&Path, std::ops::Range<usize>)>, DataError> {
    rows::split(path)
}

/// All bytes of a regular file.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, DataError> {
    file::read(path)
}

/// The files that a path as [`open`] takes it stands for, in one order; hidden ones and those behind links to folders left out.
///
/// # Errors
/// A path or a folder in it cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if let Some((file, _)) = rows::split(path)? {
        return files(file);
    }
    let mut found = Vec::new();
    for path in expand(path)? {
        if path.is_dir() {
            files_in(&path, &mut found)?;
        } else {
            found.extend(idx::labels_of(&path).filter(|_| idx::is_images(&name_of(&path))));
            found.push(path);
        }
    }
    Ok(found)
}

fn files_in(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for Entry { path, is_folder } in visible(folder)? {
        match is_folder {
            true if path.is_symlink() => {}
            true => files_in(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}

fn open_one(path: &Path, options: &ReadOptions) -> Result<Box<dyn Dataset>, DataError> {
    if path.is_dir() {
        return Ok(Box::new(folder::Folder::open(path, options.exif)?));
    }
    let name = name_of(path);
    if name.ends_with(".parquet") {
        Ok(Box::new(parquet::Parquet::open(path, options)?))
    } else if idx::is_images(&name) {
        Ok(Box::new(idx::Idx::open(path, options)?))
    } else if name.ends_with(".npz") {
        Ok(Box::new(npz::Npz::open(path, options)?))
    } else {
        Err(DataError::UnknownKind { path: path.into() })
    }
}

/// Resolves commas, `*` and folders of datasets to single datasets.
pub(crate) fn expand(path: &Path) -> Result<Vec<PathBuf>, DataError> {
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
    let found: Vec<PathBuf> = visible(folder)?.map(|entry| entry.path).filter(|path| matches(&pattern, &name_of(path))).collect();
    if found.is_empty() { Err(DataError::NoFiles { path: path.into() }) } else { Ok(found) }
}

/// A folder's parquet shards, its one IDX dataset, or itself, a folder of images.
fn expand_folder(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let files: Vec<PathBuf> = visible(folder)?.filter(|entry| !entry.is_folder).map(|entry| entry.path).collect();
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
fn list(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        Ok(Entry { is_folder: kind.is_dir() || kind.is_symlink() && path.is_dir(), path })
    };
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(entry).collect::<io::Result<Vec<_>>>());
    let mut entries = entries.map_err(|source| read_error(folder, source))?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// What lies in a folder.
struct Entry {
    path: PathBuf,
    /// Whether it is a folder, or a link to one.
    is_folder: bool,
}

/// What is not hidden in a folder.
fn visible(folder: &Path) -> Result<impl Iterator<Item = Entry>, DataError> {
    Ok(list(folder)?.into_iter().filter(|entry| !name_of(&entry.path).starts_with('.')))
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
