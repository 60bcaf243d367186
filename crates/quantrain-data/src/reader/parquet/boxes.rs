//! Boxes: a list of coordinates and a list of classes for each row

use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;

use super::Leaf;
use crate::{BoundingBox, BoxForm, DataError};

/// The values of a nested column in one row, each with its repetition level: 0 or 1 begins an element of the outer list.
pub(super) type Values = Vec<(i16, f64)>;

/// Reads the rows of a numeric column chunk, one more than `limit` at most; entries below the definition level `levels` are
/// empty lists.
pub(super) fn read_values(reader: ColumnReader, levels: i16, limit: usize, out: &mut Vec<Values>) -> Result<(), ParquetError> {
    match reader {
        ColumnReader::FloatColumnReader(reader) => read(reader, levels, limit, out, f64::from),
        ColumnReader::DoubleColumnReader(reader) => read(reader, levels, limit, out, |v| v),
        ColumnReader::Int32ColumnReader(reader) => read(reader, levels, limit, out, f64::from),
        // Coordinates and classes stay far below 2^53.
        ColumnReader::Int64ColumnReader(reader) => read(reader, levels, limit, out, |v| v as f64),
        _ => Err(ParquetError::General("not a column of numbers".into())),
    }
}

fn read<D: DataType>(
    mut reader: ColumnReaderImpl<D>,
    levels: i16,
    limit: usize,
    out: &mut Vec<Values>,
    convert: impl Fn(D::T) -> f64,
) -> Result<(), ParquetError> {
    let end = out.len() + limit;
    while out.len() <= end {
        let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let wanted = (end + 1 - out.len()).min(1024);
        let (records, _, _) = reader.read_records(wanted, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if records == 0 {
            break;
        }
        let mut values = values.into_iter().map(&convert);
        for (&definition, &repetition) in definitions.iter().zip(&repetitions) {
            if repetition == 0 {
                out.push(Values::new());
            }
            let value = if definition == levels { values.next() } else { None };
            if let (Some(row), Some(value)) = (out.last_mut(), value) {
                row.push((repetition, value));
            }
        }
    }
    Ok(())
}

/// The columns of a file's boxes.
pub(super) struct Boxes {
    pub name: String,
    pub form: BoxForm,
    pub coordinates: Vec<Values>,
    /// Absent: every class is 0.
    pub classes: Option<Vec<Values>>,
}

/// The leaves of them.
#[derive(Clone)]
pub(super) struct BoxLeaves {
    pub coordinates: Leaf,
    pub classes: Option<Leaf>,
}

impl Boxes {
    /// The boxes of a row.
    pub(super) fn of_row(&self, file: &Path, row: usize) -> Result<Vec<BoundingBox>, DataError> {
        let values = self.coordinates.get(row).map_or(&[][..], Vec::as_slice);
        let wrong = |found: String, expected| DataError::BadBox { file: file.into(), row, column: self.name.clone(), found, expected };
        let begins = |at: usize| at.is_multiple_of(4);
        if !values.len().is_multiple_of(4) || values.iter().enumerate().any(|(at, (repetition, _))| (*repetition < 2) != begins(at)) {
            return Err(wrong(format!("{} coordinates", values.len()), "four for each box"));
        }
        let classes = self.classes.as_ref().and_then(|classes| classes.get(row));
        let count = values.len() / 4;
        if let Some(classes) = classes.filter(|classes| classes.len() != count) {
            return Err(wrong(format!("{} classes for {count} boxes", classes.len()), "one for each box"));
        }
        let mut boxes = Vec::with_capacity(count);
        for (at, corner) in values.chunks_exact(4).enumerate() {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| corner[i].1 as f32);
            let (right, bottom) = match self.form {
                BoxForm::Corners => (c, d),
                BoxForm::Size => (a + c, b + d),
            };
            if !(a < right && b < bottom && [a, b, right, bottom].iter().all(|x| x.is_finite())) {
                return Err(wrong(format!("box {a}, {b}, {c}, {d}"), "finite numbers and an area"));
            }
            let class = classes.and_then(|classes| classes.get(at)).map_or(0, |(_, class)| *class as i64);
            boxes.push(BoundingBox { left: a, top: b, right, bottom, class });
        }
        Ok(boxes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(coordinates: Values, classes: Option<Values>, form: BoxForm) -> Result<Vec<BoundingBox>, DataError> {
        let boxes = Boxes { name: "objects".into(), form, coordinates: vec![coordinates], classes: classes.map(|c| vec![c]) };
        boxes.of_row(Path::new("a.parquet"), 0)
    }

    #[test]
    fn both_forms_give_corners() {
        let values = || vec![(0, 1.0), (2, 2.0), (2, 5.0), (2, 9.0)];
        let found = boxes(values(), Some(vec![(0, 3.0)]), BoxForm::Corners).expect("a box");
        assert_eq!(found, [BoundingBox { left: 1.0, top: 2.0, right: 5.0, bottom: 9.0, class: 3 }]);
        let found = boxes(values(), None, BoxForm::Size).expect("a box");
        assert_eq!(found, [BoundingBox { left: 1.0, top: 2.0, right: 6.0, bottom: 11.0, class: 0 }]);
        assert_eq!(boxes(Vec::new(), Some(Vec::new()), BoxForm::Corners).expect("no box"), []);
    }

    #[test]
    fn what_is_no_box_is_an_error() {
        let good = || vec![(0, 1.0), (2, 2.0), (2, 5.0), (2, 9.0)];
        for (coordinates, classes) in [
            (vec![(0, 1.0), (2, 2.0), (2, 5.0)], None),
            (vec![(0, 1.0), (1, 2.0), (2, 5.0), (2, 9.0)], None),
            (vec![(0, 1.0), (2, 2.0), (2, 1.0), (2, 9.0)], None),
            (vec![(0, f64::NAN), (2, 2.0), (2, 1.0), (2, 9.0)], None),
            (good(), Some(vec![])),
        ] {
            assert!(
                matches!(boxes(coordinates.clone(), classes, BoxForm::Corners), Err(DataError::BadBox { row: 0, .. })),
                "{coordinates:?}"
            );
        }
    }
}
