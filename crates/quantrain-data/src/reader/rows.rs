//! Some rows of a dataset: `path#START..END`.

use std::ops::Range;
use std::path::Path;

use crate::{DataError, Dataset, Glance, Sample};

/// The path before `#START..END` and the rows it names; either end may be left out.
pub(super) fn split(path: &Path) -> Result<Option<(&Path, Range<usize>)>, DataError> {
    let Some((file, rows)) = path.to_str().filter(|_| !path.exists()).and_then(|text| text.rsplit_once('#')) else { return Ok(None) };
    let bad = || DataError::BadRows { path: path.into(), rows: rows.into() };
    let (start, end) = rows.split_once("..").ok_or_else(bad)?;
    let number = |text: &str, open| if text.is_empty() { Ok(open) } else { text.parse().map_err(|_| bad()) };
    let range = number(start, 0)?..number(end, usize::MAX)?;
    if range.is_empty() { Err(bad()) } else { Ok(Some((Path::new(file), range))) }
}

/// A dataset that shows only some rows of another.
pub(super) struct Rows {
    all: Box<dyn Dataset>,
    rows: Range<usize>,
}

impl Rows {
    pub(super) fn new(mut all: Box<dyn Dataset>, rows: Range<usize>) -> Self {
        let end = rows.end.min(all.len());
        let rows = rows.start.min(end)..end;
        all.keep_only(rows.clone());
        Self { rows, all }
    }

    /// The index in the whole dataset.
    fn place(&self, index: usize) -> Result<usize, DataError> {
        match index < self.len() {
            true => Ok(self.rows.start + index),
            false => Err(DataError::OutOfRange { index, length: self.len() }),
        }
    }
}

impl Dataset for Rows {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        self.all.sample(self.place(index)?)
    }

    fn describe(&self) -> String {
        format!("rows {}..{} of {}", self.rows.start, self.rows.end, self.all.describe())
    }

    fn class(&self, index: usize) -> Option<i64> {
        self.all.class(self.place(index).ok()?)
    }

    fn class_names(&self) -> &[String] {
        self.all.class_names()
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        self.all.glance(self.place(index)?)
    }

    fn notes(&self) -> Vec<String> {
        self.all.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_behind_a_hash() {
        let rows = |path| split(Path::new(path)).map(|found| found.map(|(file, rows)| (file.to_string_lossy().into_owned(), rows)));
        assert_eq!(rows("a.parquet#100..400").unwrap(), Some(("a.parquet".into(), 100..400)));
        assert_eq!(rows("a.parquet#..400").unwrap(), Some(("a.parquet".into(), 0..400)));
        assert_eq!(rows("a#b.parquet#7..").unwrap(), Some(("a#b.parquet".into(), 7..usize::MAX)));
        assert_eq!(rows("a.parquet").unwrap(), None);
    }

    #[test]
    fn rows_that_make_no_sense_are_refused() {
        for path in ["a.parquet#5", "a.parquet#5..5", "a.parquet#9..3", "a.parquet#x..3", "a.parquet#-1..3"] {
            assert!(matches!(split(Path::new(path)), Err(DataError::BadRows { .. })), "{path}");
        }
    }
}
