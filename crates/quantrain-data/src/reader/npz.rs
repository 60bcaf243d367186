//! NumPy archives (`.npz`): images, with labels or masks

mod archive;
mod array;

use std::path::{Path, PathBuf};

use self::array::{Array, extents_of};
use super::{ReadOptions, file, name_of};
use crate::{Annotation, DataError, Dataset, Glance, Image, Sample};

/// An open archive, its arrays packed as they are.
pub(crate) struct NumpyArchive {
    file: PathBuf,
    bytes: Vec<u8>,
    entries: Vec<archive::Entry>,
}

impl NumpyArchive {
    /// Reads a file and its directory.
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let bytes = file::read(path)?;
        let entries = archive::entries(&bytes).map_err(|reason| DataError::NotNpz { file: path.into(), reason })?;
        let (claimed, limit) = (entries.iter().map(|entry| entry.size as u64).sum(), options.limit_of(bytes.len() as u64));
        if claimed > limit {
            return Err(DataError::Unpacks { file: path.into(), claimed, limit });
        }
        Ok(NumpyArchive { file: path.into(), bytes, entries })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The names of the arrays.
    pub(crate) fn names(&self) -> Vec<String> {
        self.entries.iter().map(|e| e.name.trim_end_matches(".npy").to_owned()).collect()
    }

    /// The file of an array, unpacked.
    pub(crate) fn entry(&self, name: &str) -> Result<Option<Vec<u8>>, DataError> {
        let entry = self.entries.iter().find(|e| e.name.trim_end_matches(".npy") == name);
        let not_npz = |reason: String| DataError::NotNpz { file: self.file.clone(), reason };
        entry.map(|entry| entry.read(&self.bytes).map_err(not_npz)).transpose()
    }
}

/// Type, shape and values of an array in C order, from the bytes of a `.npy` file.
pub(crate) fn parse_numpy(file: Vec<u8>) -> Result<(String, Vec<usize>, Vec<u8>), String> {
    let Array { kind, shape, bytes } = Array::parse(file)?;
    Ok((kind, shape, bytes))
}

/// `images`, bytes of `[N, H, W]` or `[N, H, W, 1 or 3]`, and `labels`, integers of `[N]`, or `masks`, bytes of `[N, H, W]`.
pub(super) struct Npz {
    path: PathBuf,
    size: [usize; 3],
    images: Vec<u8>,
    known: Known,
}

enum Known {
    Nothing,
    Labels(Vec<i64>),
    Masks(Vec<u8>),
}

impl Npz {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let archive = NumpyArchive::open(path, options)?;
        let not_npz = |reason: String| DataError::NotNpz { file: path.into(), reason };
        let find = |name: &str| archive.entry(name)?.map(|bytes| Array::parse(bytes).map_err(not_npz)).transpose();
        let images = find("images")?.ok_or_else(|| not_npz(format!("no array `images` among: {}", archive.names().join(", "))))?;
        let unfit = |name: &str, array: &Array, expected: &str| {
            not_npz(format!("`{name}` is an array of shape {} and type {}, {expected} expected", extents_of(&array.shape), array.kind))
        };
        let is_bytes = images.kind == "|u1" && !images.bytes.is_empty();
        let (count, size) = match images.shape[..] {
            [n, h, w] if is_bytes => (n, [h, w, 1]),
            [n, h, w, c @ (1 | 3)] if is_bytes => (n, [h, w, c]),
            _ => return Err(unfit("images", &images, "bytes (uint8) of [N, H, W] or [N, H, W, 1 or 3]")),
        };
        let known = match (find("masks")?, find("labels")?) {
            (Some(masks), _) if masks.kind == "|u1" && masks.shape == [count, size[0], size[1]] => Known::Masks(masks.bytes),
            (Some(masks), _) => return Err(unfit("masks", &masks, "bytes (uint8) of [N, H, W] as the images")),
            (None, Some(labels)) => match labels.integers().filter(|_| labels.shape == [count]) {
                Some(classes) => Known::Labels(classes),
                None => return Err(unfit("labels", &labels, "integers of [N] as the images")),
            },
            (None, None) => Known::Nothing,
        };
        Ok(Self { path: path.into(), size, images: images.bytes, known })
    }
}

impl Dataset for Npz {
    fn len(&self) -> usize {
        self.images.len() / self.size.iter().product::<usize>()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let [height, width, channels] = self.size;
        if index >= self.len() {
            return Err(DataError::OutOfRange { index, length: self.len() });
        }
        let image = |bytes: &[u8], channels: usize| {
            let size = height * width * channels;
            Image { height, width, channels, pixels: bytes[index * size..][..size].to_vec() }
        };
        let annotation = match &self.known {
            Known::Nothing => Annotation::None,
            Known::Labels(labels) => Annotation::Class(labels[index]),
            Known::Masks(masks) => Annotation::Mask(image(masks, 1)),
        };
        Ok(Sample { image: image(&self.images, channels), annotation })
    }

    fn describe(&self) -> String {
        let annotated = match &self.known {
            Known::Nothing => "no labels",
            Known::Labels(_) => "labels",
            Known::Masks(_) => "masks",
        };
        format!("{}: {} images, {annotated}", name_of(&self.path), self.len())
    }

    fn class(&self, index: usize) -> Option<i64> {
        match &self.known {
            Known::Labels(labels) => labels.get(index).copied(),
            _ => None,
        }
    }

    fn glance(&self, _: usize) -> Result<Glance, DataError> {
        let [height, width, _] = self.size;
        Ok(Glance { size: Some([height, width]), turned: false })
    }
}
