//! IDX files, the format of MNIST (<http://yann.lecun.com/exdb/mnist/>), plain or gzipped
//!
//! A header of big-endian numbers: 0, 0, 8 (unsigned bytes), the number of dimensions, then each
//! dimension in 32 bits; then the bytes. A gzipped file has no random access, so all bytes are held.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{ReadOptions, file, name_of, read_error};
use crate::{Annotation, DataError, Dataset, Glance, Image, Sample};

/// Gray images and, if a file of them lies beside it, labels.
pub(super) struct Idx {
    path: PathBuf,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
    labels: Option<Vec<u8>>,
}

/// Whether a file of this name holds images.
pub(super) fn is_images(name: &str) -> bool {
    name.contains("images") && name.contains("idx3")
}

impl Idx {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let ([count, height, width], pixels) = read::<3>(path, options)?;
        let labels = match labels_of(path) {
            None => None,
            Some(file) => {
                let ([found], labels) = read::<1>(&file, options)?;
                if found != count {
                    return Err(DataError::LabelCount { file, labels: found, images: count });
                }
                Some(labels)
            }
        };
        // Images of no pixels are no images.
        if pixels.is_empty() {
            return Err(DataError::Empty { path: path.into() });
        }
        Ok(Self { path: path.into(), height, width, pixels, labels })
    }
}

/// The file of labels that the usual naming puts beside a file of images.
pub(super) fn labels_of(images: &Path) -> Option<PathBuf> {
    let name = name_of(images).replace("images", "labels").replace("idx3", "idx1");
    let plain = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
    let gzipped = format!("{plain}.gz");
    [name, plain, gzipped].iter().map(|name| images.with_file_name(name)).find(|path| path.exists())
}

/// Reads a file of `N` dimensions: them, and their product in bytes.
fn read<const N: usize>(path: &Path, options: &ReadOptions) -> Result<([usize; N], Vec<u8>), DataError> {
    let mut start = [0; 2];
    let mut file = file::open(path)?;
    let length = file.metadata().map_err(|source| read_error(path, source))?.len();
    let found = fill(&mut file, &mut start).map_err(|source| read_error(path, source))?;
    let file = BufReader::new(io::Cursor::new(start).take(found as u64).chain(file));
    let limit = options.limit_of(length);
    if start == [0x1f, 0x8b] { read_plain(path, MultiGzDecoder::new(file), limit) } else { read_plain(path, file, u64::MAX) }
}

/// Reads what is unpacked, at most `limit` bytes of it.
fn read_plain<const N: usize>(path: &Path, mut reader: impl Read, limit: u64) -> Result<([usize; N], Vec<u8>), DataError> {
    let failed = |source| read_error(path, source);
    let dimensions = N as u8;
    let mut magic = [0; 4];
    let found = fill(&mut reader, &mut magic).map_err(failed)?;
    if magic != [0, 0, 8, dimensions] || found < magic.len() {
        return Err(DataError::NotIdx { file: path.into(), dimensions, found: magic[..found].into() });
    }
    let mut sizes = [0; N];
    let mut expected = 1u64;
    for (at, size) in sizes.iter_mut().enumerate() {
        let mut word = [0; 4];
        let found = fill(&mut reader, &mut word).map_err(failed)?;
        if found < word.len() {
            let (expected, found) = (4 * N as u64, (4 * at + found) as u64);
            return Err(DataError::IdxLength { file: path.into(), expected, found });
        }
        let word = u32::from_be_bytes(word);
        expected = expected.saturating_mul(word.into());
        *size = word as usize;
    }
    // What the header claims is not allocated ahead: the bytes grow as they come.
    let mut bytes = Vec::new();
    match reader.take(expected.min(limit).saturating_add(1)).read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(failed(error)),
        _ if bytes.len() as u64 > limit => Err(DataError::Unpacks { file: path.into(), claimed: expected, limit }),
        _ if bytes.len() as u64 == expected => {
            bytes.shrink_to_fit();
            Ok((sizes, bytes))
        }
        _ => Err(DataError::IdxLength { file: path.into(), expected, found: bytes.len() as u64 }),
    }
}

/// Reads until `buffer` is full or the input ends, even within a gzip stream; returns the bytes read.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Dataset for Idx {
    fn len(&self) -> usize {
        self.pixels.len() / (self.height * self.width)
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let size = self.height * self.width;
        let pixels = self.pixels.chunks_exact(size).nth(index);
        let pixels = pixels.ok_or(DataError::OutOfRange { index, length: self.len() })?.to_vec();
        let annotation = self.class(index).map_or(Annotation::None, Annotation::Class);
        let image = Image { height: self.height, width: self.width, channels: 1, pixels };
        Ok(Sample { image, annotation })
    }

    fn describe(&self) -> String {
        let labels = if self.labels.is_some() { "labels beside them" } else { "no labels" };
        let (height, width) = (self.height, self.width);
        format!("{}: {} images of {height} x {width}, {labels}", name_of(&self.path), self.len())
    }

    fn class(&self, index: usize) -> Option<i64> {
        self.labels.as_ref()?.get(index).copied().map(i64::from)
    }

    fn glance(&self, _: usize) -> Result<Glance, DataError> {
        Ok(Glance { size: Some([self.height, self.width]), turned: false })
    }
}
