//! Files as they may be read: regular ones, no pipes and devices, which may never end

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use super::read_error;
use crate::decode::header::{self, Header};
use crate::orientation::Orientation;
use crate::{DataError, Exif, Image, decode};

/// Bytes that an encoded image may have.
const LARGEST_IMAGE: u64 = 1 << 28;

/// Opens a regular file.
pub(super) fn open(path: &Path) -> Result<File, DataError> {
    let kind = fs::metadata(path).map_err(|source| read_error(path, source))?;
    if !kind.is_file() {
        return Err(DataError::NotAFile { path: path.into() });
    }
    File::open(path).map_err(|source| read_error(path, source))
}

/// All bytes of a regular file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    Ok(bytes)
}

/// The bytes of an encoded image.
pub(super) fn encoded(path: &Path) -> Result<Vec<u8>, DataError> {
    let file = open(path)?;
    let length = file.metadata().map_err(|source| read_error(path, source))?.len();
    if length > LARGEST_IMAGE {
        return Err(DataError::LargeImage { file: path.into(), length, limit: LARGEST_IMAGE });
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_IMAGE).read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    Ok(bytes)
}

/// The image in a file, the `row`th of its dataset.
pub(super) fn image(path: &Path, row: usize, exif: Exif) -> Result<(Image, Orientation), DataError> {
    decode::oriented(&encoded(path)?, exif).map_err(|source| DataError::Undecodable { file: path.into(), row, source })
}

/// What the header of an image in a file says.
pub(super) fn header(path: &Path, row: usize) -> Result<Header, DataError> {
    header::read(BufReader::new(open(path)?)).map_err(|source| DataError::Undecodable { file: path.into(), row, source })
}
