//! A column of encoded images: their bytes, or the files that they lie in

use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use parquet::data_type::ByteArray;

use super::super::file;
use crate::decode::header::{self, Header};
use crate::{DataError, DecodeError};

/// A struct of `bytes` and `path` for each row.
pub(super) struct Stored {
    pub name: String,
    pub bytes: Vec<Option<ByteArray>>,
    /// Read only where a row has no bytes.
    pub paths: Vec<Option<ByteArray>>,
}

/// Where the bytes of a row are.
enum Place<'s> {
    Here(&'s [u8]),
    /// In a file beside that of the table.
    File(PathBuf),
}

impl Stored {
    fn place(&self, table: &Path, row: usize) -> Result<Place<'_>, DataError> {
        let length = self.bytes.len();
        let bytes = self.bytes.get(row).ok_or(DataError::OutOfRange { index: row, length })?;
        let missing = || DataError::ImageMissing { file: table.into(), row, column: self.name.clone() };
        if let Some(bytes) = bytes {
            return Ok(Place::Here(bytes.data()));
        }
        let path = self.paths.get(row).and_then(Option::as_ref).ok_or_else(missing)?;
        let path = std::str::from_utf8(path.data()).ok().filter(|path| !path.is_empty()).ok_or_else(missing)?;
        Ok(Place::File(table.parent().unwrap_or(Path::new("")).join(path)))
    }

    /// Lets go of all other rows. Those that stay are copied: they are slices of pages, which hold others too.
    pub(super) fn keep_only(&mut self, rows: &Range<usize>) {
        if *rows == (0..self.bytes.len()) {
            return;
        }
        for values in [&mut self.bytes, &mut self.paths] {
            for (row, value) in values.iter_mut().enumerate() {
                *value = value.take().filter(|_| rows.contains(&row)).map(|value| ByteArray::from(value.data().to_vec()));
            }
        }
    }

    /// What `decode` makes of a row.
    pub(super) fn decode<T>(&self, table: &Path, row: usize, decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>) -> Result<T, DataError> {
        let (decoded, file) = match self.place(table, row)? {
            Place::Here(bytes) => (decode(bytes), table.to_owned()),
            Place::File(path) => (decode(&file::encoded(&path)?), path),
        };
        decoded.map_err(|source| DataError::Undecodable { file, row, source })
    }

    /// What the header of a row's image says.
    pub(super) fn header(&self, table: &Path, row: usize) -> Result<Header, DataError> {
        match self.place(table, row)? {
            Place::Here(bytes) => {
                header::read(Cursor::new(bytes)).map_err(|source| DataError::Undecodable { file: table.into(), row, source })
            }
            Place::File(path) => file::header(&path, row),
        }
    }
}
