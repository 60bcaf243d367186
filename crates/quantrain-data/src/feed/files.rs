//! Files of arrays: NumPy's `.npz` and `.npy`, and columns of numbers in `.csv` and parquet files

use std::path::{Path, PathBuf};

use super::array::{Array, NumberKind};
use crate::reader::{self, NumberColumns, NumpyArchive, Table};
use crate::{DataError, ReadOptions};

/// The kinds of files with arrays, in a few words.
pub const ARRAY_FILES: &str = ".npz, .npy, .csv or parquet";

/// The arrays of a path: of one file, or of several whose rows follow each other.
pub(super) struct Files {
    path: PathBuf,
    parts: Vec<Part>,
    /// The rows that are wanted.
    rows: Option<std::ops::Range<usize>>,
}

enum Part {
    Npz(NumpyArchive),
    Npy { file: PathBuf, bytes: Vec<u8> },
    Csv(Table),
    Parquet(NumberColumns),
}

/// The files of a path, read once.
pub(super) fn opened<'f>(opened: &'f mut Vec<(PathBuf, Files)>, path: &Path, options: &ReadOptions) -> Result<&'f mut Files, DataError> {
    let at = match opened.iter().position(|(known, _)| known == path) {
        Some(at) => at,
        None => {
            opened.push((path.to_owned(), Files::open(path, options)?));
            opened.len() - 1
        }
    };
    Ok(&mut opened[at].1)
}

/// The names of the arrays of numbers that a path has; none where it is no file of arrays.
///
/// # Errors
/// A file is missing or damaged.
pub fn array_names(path: &Path, options: &ReadOptions) -> Result<Vec<String>, DataError> {
    match Files::open(path, options) {
        Ok(files) => Ok(files.names()),
        Err(DataError::NoArrays { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Files {
    fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let (plain, rows) = match reader::rows(path)? {
            Some((file, rows)) => (file, Some(rows)),
            None => (path, None),
        };
        let files = reader::expand(plain)?;
        let parts = files.iter().map(|file| Part::open(file, options)).collect::<Result<_, _>>()?;
        Ok(Files { path: path.into(), parts, rows })
    }

    /// The names of the arrays in the first file.
    fn names(&self) -> Vec<String> {
        self.parts.first().map(Part::names).unwrap_or_default()
    }

    /// The name of the array, where there is one only.
    pub fn only_array(&self) -> Option<String> {
        match &self.parts.first()? {
            Part::Npy { .. } => self.names().into_iter().next(),
            _ => None,
        }
    }

    /// The array of a name; `None` where there is none.
    pub fn array(&mut self, name: &str) -> Result<Option<Array>, DataError> {
        let mut all: Option<Array> = None;
        for part in &mut self.parts {
            let Some(array) = part.array(name)? else { return Ok(None) };
            all = Some(match all {
                None => array,
                Some(before) => {
                    let (place, expected) = (array.place("rows behind others"), before.shape());
                    let found = format!("{} of {}", array.kind.name(), array.shape());
                    let expected = format!("{} of {expected} but for the rows, as in the file before", before.kind.name());
                    before.joined(array).ok_or_else(|| DataError::ArrayShape { place, found, expected })?
                }
            });
        }
        Ok(match &self.rows {
            Some(rows) => all.map(|array| array.cut(rows.clone())),
            None => all,
        })
    }

    /// The error for an array that is not there.
    pub fn no_array(&self, name: &str, role: &str) -> DataError {
        DataError::NoArray { file: self.path.clone(), array: name.into(), role: role.into(), found: self.names() }
    }
}

impl Part {
    fn open(file: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match ending {
            "npz" if file.is_file() => Ok(Part::Npz(NumpyArchive::open(file, options)?)),
            "npy" if file.is_file() => Ok(Part::Npy { file: file.into(), bytes: reader::bytes_of(file)? }),
            "csv" | "tsv" if file.is_file() => Ok(Part::Csv(Table::open(file, &reader::bytes_of(file)?)?)),
            "parquet" if file.is_file() => Ok(Part::Parquet(NumberColumns::open(file, options)?)),
            _ => Err(DataError::NoArrays { path: file.into() }),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Part::Npz(archive) => archive.names(),
            Part::Npy { file, .. } => vec![stem(file)],
            Part::Csv(table) => table.names(),
            Part::Parquet(columns) => columns.names(),
        }
    }

    fn array(&mut self, name: &str) -> Result<Option<Array>, DataError> {
        match self {
            Part::Npz(archive) => {
                let Some(bytes) = archive.entry(name)? else { return Ok(None) };
                numpy(archive.file(), name, bytes).map(Some)
            }
            Part::Npy { file, bytes } if stem(file) == name => numpy(file, name, bytes.clone()).map(Some),
            Part::Npy { .. } => Ok(None),
            Part::Csv(table) => table.array(name),
            Part::Parquet(columns) => columns.array(name),
        }
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// An array of NumPy's.
fn numpy(file: &Path, name: &str, bytes: Vec<u8>) -> Result<Array, DataError> {
    let wrong = |reason: String| DataError::NotNpz { file: file.into(), reason: format!("array `{name}`: {reason}") };
    let (descr, shape, bytes) = reader::parse_numpy(bytes).map_err(wrong)?;
    let kind = NumberKind::named(&descr).ok_or_else(|| {
        wrong(format!("type {descr} found, little-endian floats of 2 to 8 bytes, integers or bool expected; convert it (astype)"))
    })?;
    let Some((&rows, extents)) = shape.split_first() else {
        return Err(wrong("a single number found, a row for each sample expected".into()));
    };
    Ok(Array { file: file.into(), name: name.into(), kind, rows, extents: extents.to_vec(), bytes })
}
