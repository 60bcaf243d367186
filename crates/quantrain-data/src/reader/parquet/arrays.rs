//! Columns of numbers, of lists of one length, or of lists of such: arrays with a row for each row of the file

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{Leaf, Source};
use crate::DataError;
use crate::feed::array::{Array, NumberKind};
use crate::reader::{ReadOptions, file, read_error};

/// The values of a row, little-endian, and the repetition level of each.
struct Row {
    levels: Vec<i16>,
    bytes: Vec<u8>,
}

/// An open file, and its columns of numbers.
pub(crate) struct NumberColumns {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    columns: Vec<(Leaf, NumberKind)>,
    options: ReadOptions,
}

impl NumberColumns {
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let reader = SerializedFileReader::new(file::open(path)?);
        let reader = reader.map_err(|source| DataError::NotParquet { file: path.into(), source })?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let column = |(index, column): (usize, &parquet::schema::types::ColumnDescPtr)| {
            let kind = match column.physical_type() {
                Type::BOOLEAN => NumberKind::Bool,
                Type::INT32 => NumberKind::Signed(4),
                Type::INT64 => NumberKind::Signed(8),
                Type::FLOAT => NumberKind::Float32,
                Type::DOUBLE => NumberKind::Float64,
                Type::INT96 | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => return None,
            };
            // A struct has several leaves; only lists have one each.
            let name = column.path().parts().first()?.clone();
            let is_only = schema.columns().iter().filter(|other| other.path().parts().first() == Some(&name)).count() == 1;
            is_only.then_some((Leaf { index, name }, kind))
        };
        let columns = schema.columns().iter().enumerate().filter_map(column).collect();
        Ok(NumberColumns { path: path.into(), columns, reader, options: options.clone() })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(leaf, _)| leaf.name.clone()).collect()
    }

    /// The array of a column; `None` where there is no such column of numbers.
    pub(crate) fn array(&self, name: &str) -> Result<Option<Array>, DataError> {
        let Some((leaf, kind)) = self.columns.iter().find(|(leaf, _)| leaf.name == name) else { return Ok(None) };
        let file = file::open(&self.path)?;
        let length = file.metadata().map_err(|source| read_error(&self.path, source))?.len();
        let source = Source { path: &self.path, reader: &self.reader };
        source.check_size(&[leaf], file, length, &self.options)?;
        let rows = source.rows(leaf, read)?;
        let depth = self.reader.metadata().file_metadata().schema_descr().column(leaf.index).max_rep_level();
        let width = kind.width();
        let wrong = |row, found: String, expected: String| DataError::UnevenRow {
            file: self.path.clone(),
            column: name.into(),
            row,
            found,
            expected,
        };
        let Some(first) = rows.first() else { return Err(DataError::Empty { path: self.path.clone() }) };
        let extents = extents(first, depth).filter(|_| first.bytes.len() == first.levels.len() * width);
        let extents =
            extents.ok_or_else(|| wrong(0, "nothing, or lists of several lengths".into(), "numbers, or lists of one length".into()))?;
        let mut bytes = Vec::with_capacity(rows.len() * first.bytes.len());
        for (at, row) in rows.iter().enumerate() {
            if row.levels != first.levels || row.bytes.len() != first.bytes.len() {
                let found = format!("{} numbers", row.bytes.len() / width);
                return Err(wrong(at, found, format!("{} as in the first row, in lists of its lengths,", first.levels.len())));
            }
            bytes.extend_from_slice(&row.bytes);
        }
        Ok(Some(Array { file: self.path.clone(), name: name.into(), kind: *kind, rows: rows.len(), extents, bytes }))
    }
}

/// The lengths of lists in each other, outermost first; `None` where they differ.
fn extents(row: &Row, depth: i16) -> Option<Vec<usize>> {
    let mut extents = Vec::new();
    let mut inner = row.levels.len();
    for level in 1..=depth {
        // A list of this level begins wherever something further out does.
        let lists = row.levels.iter().filter(|&&l| l < level).count();
        let items = row.levels.iter().filter(|&&l| l <= level).count();
        let length = items.checked_div(lists).filter(|length| length * lists == items && *length > 0)?;
        extents.push(length);
        inner /= length;
    }
    // Regular lists begin at multiples of their length.
    let regular = (0..row.levels.len()).all(|at| {
        let mut size = row.levels.len();
        let begins = extents.iter().position(|&length| {
            let begins = at.is_multiple_of(size);
            size /= length;
            begins
        });
        usize::try_from(row.levels[at]).ok() == Some(begins.unwrap_or(extents.len()))
    });
    (regular && inner == 1).then_some(extents)
}

fn read(reader: ColumnReader, levels: i16, limit: usize, out: &mut Vec<Row>) -> Result<(), ParquetError> {
    match reader {
        ColumnReader::BoolColumnReader(reader) => typed(reader, levels, limit, out, |v, to| to.push(u8::from(v))),
        ColumnReader::Int32ColumnReader(reader) => typed(reader, levels, limit, out, |v, to| to.extend(v.to_le_bytes())),
        ColumnReader::Int64ColumnReader(reader) => typed(reader, levels, limit, out, |v, to| to.extend(v.to_le_bytes())),
        ColumnReader::FloatColumnReader(reader) => typed(reader, levels, limit, out, |v, to| to.extend(v.to_le_bytes())),
        ColumnReader::DoubleColumnReader(reader) => typed(reader, levels, limit, out, |v, to| to.extend(v.to_le_bytes())),
        _ => Err(ParquetError::General("not a column of numbers".into())),
    }
}

/// Appends the rows of a column chunk, one more than `limit` at most; what is null has a level but no value.
fn typed<D: DataType>(
    mut reader: parquet::column::reader::ColumnReaderImpl<D>,
    levels: i16,
    limit: usize,
    out: &mut Vec<Row>,
    write: impl Fn(D::T, &mut Vec<u8>),
) -> Result<(), ParquetError> {
    let end = out.len() + limit;
    while out.len() <= end {
        let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let wanted = (end + 1 - out.len()).min(1024);
        let (records, read, _) = reader.read_records(wanted, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if records == 0 {
            break;
        }
        definitions.resize(definitions.len().max(if levels == 0 { read } else { 0 }), levels);
        repetitions.resize(definitions.len().max(repetitions.len()), 0);
        let mut values = values.into_iter();
        for (&definition, &repetition) in definitions.iter().zip(&repetitions) {
            if repetition == 0 {
                out.push(Row { levels: Vec::new(), bytes: Vec::new() });
            }
            let Some(row) = out.last_mut() else { continue };
            row.levels.push(repetition);
            if definition == levels {
                values.next().into_iter().for_each(|v| write(v, &mut row.bytes));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_one_length_are_axes() {
        let of = |levels: &[i16], depth| extents(&Row { levels: levels.to_vec(), bytes: Vec::new() }, depth);
        assert_eq!(of(&[0], 0), Some(vec![]));
        assert_eq!(of(&[0, 1, 1], 1), Some(vec![3]));
        assert_eq!(of(&[0, 2, 1, 2, 1, 2], 2), Some(vec![3, 2]));
        assert_eq!(of(&[0, 2, 2, 1, 2, 1], 2), None, "lists of 3, 2 and 1");
        assert_eq!(of(&[0, 1, 2, 2, 2, 1], 2), None, "the same mean length");
    }
}
