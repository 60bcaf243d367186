//! Parquet files in the Hugging Face layout: a struct column of encoded `bytes` and `path`
//!
//! The encoded bytes are read once and held: a shuffled epoch touches every row group all the time,
//! so a cache of a few row groups would decompress a whole one for each image. The values are
//! slices of the decompressed pages, so nothing is copied, and a file costs about its own size.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

pub(crate) use self::arrays::NumberColumns;
use self::boxes::{BoxLeaves, Boxes, read_values};
use self::columns::{ImageLeaf, Leaves, Picked};
use self::pages::Checked;
use self::stored::Stored;
use super::{Columns, ReadOptions, file, name_of, read_error};
use crate::{Annotation, BoxForm, DataError, Dataset, Exif, Glance, Sample, decode};

mod arrays;
mod boxes;
mod columns;
mod headers;
mod pages;
mod stored;

/// The columns of one file that matter, a value for each row.
pub(super) struct Parquet {
    path: PathBuf,
    exif: Exif,
    image: Stored,
    label: Option<Column<i64>>,
    mask: Option<Stored>,
    boxes: Option<Boxes>,
}

/// A value for each row, `None` for null.
struct Column<T> {
    name: String,
    rows: Vec<Option<T>>,
}

impl Parquet {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let file = file::open(path)?;
        let length = file.metadata().map_err(|source| read_error(path, source))?.len();
        let not_parquet = |source| DataError::NotParquet { file: path.into(), source };
        let pages = file.try_clone().map_err(|source| read_error(path, source))?;
        let reader = SerializedFileReader::new(file).map_err(not_parquet)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let picked = Picked::new(path, &Leaves::new(schema), &options.columns)?;
        let source = Source { path, reader: &reader };
        source.check_size(&picked.leaves().collect::<Vec<_>>(), pages, length, options)?;
        Ok(Self {
            path: path.into(),
            exif: options.exif,
            image: source.images(picked.image)?,
            label: picked.label.map(|leaf| source.labels(leaf)).transpose()?,
            mask: picked.mask.map(|leaf| source.images(leaf)).transpose()?,
            boxes: picked.boxes.map(|leaves| source.boxes(leaves, options.columns.box_form)).transpose()?,
        })
    }
}

impl Dataset for Parquet {
    fn len(&self) -> usize {
        self.image.bytes.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let (image, orientation) = self.image.decode(&self.path, index, |bytes| decode::oriented(bytes, self.exif))?;
        let annotation = match (&self.mask, &self.label) {
            (None, None) => match &self.boxes {
                Some(boxes) => Annotation::Boxes(boxes.of_row(&self.path, index)?),
                None => Annotation::None,
            },
            (Some(mask), _) => Annotation::Mask(mask.decode(&self.path, index, decode::mask)?),
            (None, Some(label)) => {
                let class = label.rows.get(index).copied().flatten();
                Annotation::Class(class.ok_or_else(|| DataError::LabelMissing {
                    file: self.path.clone(),
                    row: index,
                    column: label.name.clone(),
                })?)
            }
        };
        Ok(Sample { image, annotation }.upright(orientation))
    }

    fn describe(&self) -> String {
        let annotated = match (&self.mask, &self.label) {
            (Some(mask), _) => format!("masks in `{}`", mask.name),
            (None, Some(label)) => format!("labels in `{}`", label.name),
            (None, None) => self.boxes.as_ref().map_or("no labels".into(), |boxes| format!("boxes in `{}`", boxes.name)),
        };
        let (file, image) = (name_of(&self.path), &self.image.name);
        format!("{file}: {} images in `{image}`, {annotated}", self.len())
    }

    fn class(&self, index: usize) -> Option<i64> {
        self.label.as_ref().filter(|_| self.mask.is_none())?.rows.get(index).copied().flatten()
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        Ok(self.image.header(&self.path, index)?.glance(self.exif))
    }

    fn keep_only(&mut self, rows: Range<usize>) {
        self.image.keep_only(&rows);
        self.mask.iter_mut().for_each(|mask| mask.keep_only(&rows));
    }
}

/// A column of a file: its place among the leaves of the schema and its name for people.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    index: usize,
    name: String,
}

/// An open file.
struct Source<'a> {
    path: &'a Path,
    reader: &'a SerializedFileReader<File>,
}

impl Source<'_> {
    /// The bytes of images and, where some have none, the paths beside them.
    fn images(&self, leaf: ImageLeaf) -> Result<Stored, DataError> {
        let bytes = self.bytes(leaf.bytes)?;
        let paths = leaf.path.filter(|_| bytes.rows.iter().any(Option::is_none));
        let paths = paths.map_or(Ok(Vec::new()), |leaf| self.bytes(leaf).map(|column| column.rows))?;
        Ok(Stored { name: bytes.name, bytes: bytes.rows, paths })
    }

    fn bytes(&self, leaf: Leaf) -> Result<Column<ByteArray>, DataError> {
        self.column(leaf, |reader, levels, limit, out| match reader {
            ColumnReader::ByteArrayColumnReader(reader) => read(reader, levels, limit, out, |v| v),
            _ => Err(ParquetError::General("not of type BYTE_ARRAY".into())),
        })
    }

    fn labels(&self, leaf: Leaf) -> Result<Column<i64>, DataError> {
        self.column(leaf, |reader, levels, limit, out| match reader {
            ColumnReader::Int64ColumnReader(reader) => read(reader, levels, limit, out, |v| v),
            ColumnReader::Int32ColumnReader(reader) => read(reader, levels, limit, out, i64::from),
            _ => Err(ParquetError::General("not of type INT32 or INT64".into())),
        })
    }

    fn boxes(&self, leaves: BoxLeaves, form: BoxForm) -> Result<Boxes, DataError> {
        let name = leaves.coordinates.name.clone();
        let coordinates = self.rows(&leaves.coordinates, read_values)?;
        let classes = leaves.classes.map(|leaf| self.rows(&leaf, read_values)).transpose()?;
        Ok(Boxes { name, form, coordinates, classes })
    }

    fn column<T>(
        &self,
        leaf: Leaf,
        read: impl Fn(ColumnReader, i16, usize, &mut Vec<Option<T>>) -> Result<(), ParquetError>,
    ) -> Result<Column<T>, DataError> {
        Ok(Column { rows: self.rows(&leaf, read)?, name: leaf.name })
    }

    /// Reads a column, row group by row group, and checks the number of rows of each.
    fn rows<R>(
        &self,
        leaf: &Leaf,
        read: impl Fn(ColumnReader, i16, usize, &mut Vec<R>) -> Result<(), ParquetError>,
    ) -> Result<Vec<R>, DataError> {
        let metadata = self.reader.metadata();
        let descriptor = metadata.file_metadata().schema_descr().column(leaf.index);
        let (levels, kind) = (descriptor.max_def_level(), descriptor.physical_type());
        let checked = |pages| {
            let pages = Checked { pages, kind, nullable: levels > 0 };
            get_column_reader(descriptor.clone(), Box::new(pages))
        };
        let (mut rows, mut expected) = (Vec::new(), 0);
        for group in 0..metadata.num_row_groups() {
            let count = usize::try_from(metadata.row_group(group).num_rows()).unwrap_or(0);
            expected += count;
            self.reader
                .get_row_group(group)
                .and_then(|group| group.get_column_page_reader(leaf.index))
                .and_then(|pages| read(checked(pages), levels, count, &mut rows))
                .map_err(|source| DataError::Column { file: self.path.into(), column: leaf.name.clone(), source })?;
            if rows.len() != expected {
                return Err(DataError::Rows { file: self.path.into(), column: leaf.name.clone(), found: rows.len(), expected });
            }
        }
        rows.shrink_to_fit();
        Ok(rows)
    }

    /// Refuses a file that claims or unpacks to more than it may, before allocating it, and places
    /// outside the file, on which the parquet crate panics.
    fn check_size(&self, leaves: &[&Leaf], pages: File, length: u64, options: &ReadOptions) -> Result<(), DataError> {
        let slot = size_of::<Option<ByteArray>>() as u64;
        let (mut claimed, limit) = (0u64, options.limit_of(length));
        for group in self.reader.metadata().row_groups() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
            for leaf in leaves {
                let chunk = group.columns().get(leaf.index).filter(|chunk| lies_within(chunk, length));
                let failed = |source| DataError::Column { file: self.path.into(), column: leaf.name.clone(), source };
                let chunk = chunk.ok_or_else(|| failed(ParquetError::General("its place is outside the file".into())))?;
                let bytes = u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX);
                claimed = claimed.saturating_add(rows.saturating_mul(slot));
                let left = limit.saturating_sub(claimed);
                let (start, packed) = place(chunk).ok_or_else(|| failed(ParquetError::General("its place is outside the file".into())))?;
                let gzip = matches!(chunk.compression(), Compression::GZIP(_));
                let unpacked =
                    headers::unpacked(&pages, start, packed, gzip, left).map_err(|e| failed(ParquetError::General(e.to_string())))?;
                claimed = claimed.saturating_add(bytes.max(unpacked));
            }
        }
        if claimed > limit {
            return Err(DataError::Unpacks { file: self.path.into(), claimed, limit });
        }
        Ok(())
    }
}

/// Whether a column chunk starts and ends within a file of `length` bytes.
fn lies_within(chunk: &ColumnChunkMetaData, length: u64) -> bool {
    place(chunk).and_then(|(start, size)| start.checked_add(size)).is_some_and(|end| end <= length)
}

/// Where the pages of a column chunk begin, and how many bytes they have.
fn place(chunk: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    Some((u64::try_from(start).ok()?, u64::try_from(chunk.compressed_size()).ok()?))
}

/// Appends the rows of a column chunk, one more than `limit` at most; nulls are those whose
/// definition level is below `levels`.
fn read<D: DataType, T>(
    mut reader: ColumnReaderImpl<D>,
    levels: i16,
    limit: usize,
    out: &mut Vec<Option<T>>,
    convert: impl Fn(D::T) -> T,
) -> Result<(), ParquetError> {
    let end = out.len() + limit;
    while out.len() <= end {
        let (mut definitions, mut values) = (Vec::new(), Vec::new());
        let wanted = (end + 1 - out.len()).min(1024);
        let (records, _, _) = reader.read_records(wanted, Some(&mut definitions), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut values = values.into_iter().map(&convert);
        if levels == 0 {
            out.extend(values.map(Some));
        } else {
            out.extend(definitions.iter().map(|&d| if d == levels { values.next() } else { None }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
