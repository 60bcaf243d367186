//! Tables as text: `.csv` and `.tsv` files, a row for each sample

use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use quantrain_pattern::matches;

use crate::DataError;
use crate::feed::array::{Array, NumberKind};

/// The columns of a table.
pub(crate) struct Table {
    file: PathBuf,
    rows: usize,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    numbers: Vec<f64>,
    /// Whether every cell is a whole number.
    whole: bool,
    /// The first cell that is no finite number: its row, from 0, and what it holds.
    text: Option<(usize, String)>,
}

impl Table {
    /// Reads a table whose first line names its columns. Cells are separated by tabs in `.tsv` files, else by commas, or by semicolons where the
    /// first line has no comma. Text is an error only where it is wanted as numbers.
    ///
    /// # Errors
    /// No first line of names, names that are there twice, or rows of other lengths.
    pub fn open(file: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::NotCsv { file: file.into(), reason };
        // Spreadsheets write a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = ReaderBuilder::new().delimiter(separator(file, bytes)).trim(Trim::All).from_reader(bytes);
        let names = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
        if names.is_empty() || names.iter().any(|name| name.is_empty() || name.parse::<f64>().is_ok()) {
            return Err(wrong("the names of the columns expected in the first line".into()));
        }
        let mut columns: Vec<Column> = Vec::with_capacity(names.len());
        for name in &names {
            if columns.iter().any(|column| column.name == name) {
                return Err(wrong(format!("two columns are called `{name}`")));
            }
            columns.push(Column { name: name.into(), numbers: Vec::new(), whole: true, text: None });
        }
        let (mut record, mut rows) = (StringRecord::new(), 0);
        while reader.read_record(&mut record).map_err(|e| wrong(e.to_string()))? {
            columns.iter_mut().zip(&record).for_each(|(column, cell)| column.push(cell, rows));
            rows += 1;
        }
        Ok(Table { file: file.into(), rows, columns })
    }

    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// The column of a name; or several side by side, in the order of the table: names and patterns with commas between. `None` where one of them
    /// is not there.
    ///
    /// # Errors
    /// A cell holds no number.
    pub fn array(&self, name: &str) -> Result<Option<Array>, DataError> {
        let only = self.columns.iter().find(|column| column.name == name);
        if let Some(only) = only {
            return self.side_by_side(name, &[only], Vec::new()).map(Some);
        }
        let patterns: Vec<&str> = name.split(',').map(str::trim).collect();
        let fits = |column: &&Column| patterns.iter().any(|pattern| matches(pattern, &column.name));
        if patterns.iter().any(|pattern| !self.columns.iter().any(|column| matches(pattern, &column.name))) {
            return Ok(None);
        }
        let columns: Vec<&Column> = self.columns.iter().filter(fits).collect();
        self.side_by_side(name, &columns, vec![columns.len()]).map(Some)
    }

    fn side_by_side(&self, name: &str, columns: &[&Column], extents: Vec<usize>) -> Result<Array, DataError> {
        for column in columns {
            if let Some((row, found)) = &column.text {
                let reason = format!("column `{}`, row {row}: `{found}` found, a number expected", column.name);
                return Err(DataError::NotCsv { file: self.file.clone(), reason });
            }
        }
        let whole = columns.iter().all(|column| column.whole);
        let kind = if whole { NumberKind::Signed(8) } else { NumberKind::Float64 };
        let cells = (0..self.rows).flat_map(|row| columns.iter().filter_map(move |column| column.numbers.get(row)));
        let bytes = cells.flat_map(|number| if whole { (*number as i64).to_le_bytes() } else { number.to_le_bytes() }).collect();
        Ok(Array { file: self.file.clone(), name: name.into(), kind, rows: self.rows, extents, bytes })
    }
}

impl Column {
    fn push(&mut self, cell: &str, row: usize) {
        let number = cell.parse().ok().filter(|number: &f64| number.is_finite());
        if number.is_none() && self.text.is_none() {
            self.text = Some((row, cell.chars().take(40).collect()));
        }
        // Doubles hold whole numbers to 53 bits.
        self.whole &= cell.parse().is_ok_and(|whole: i64| whole.unsigned_abs() <= 1 << 53);
        self.numbers.push(number.unwrap_or_default());
    }
}

fn separator(file: &Path, bytes: &[u8]) -> u8 {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    match file.extension().is_some_and(|ending| ending == "tsv") {
        true => b'\t',
        false if !first.contains(&b',') && first.contains(&b';') => b';',
        false => b',',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, text: &str) -> Result<Table, String> {
        Table::open(Path::new(name), text.as_bytes()).map_err(|e| e.to_string())
    }

    fn numbers(array: &Array) -> Vec<Vec<f64>> {
        (0..array.rows).map(|row| array.numbers(row).collect()).collect()
    }

    #[test]
    fn columns_are_found_by_name_and_pattern_in_the_order_of_the_table() {
        for (name, text) in [
            ("t.csv", "\u{feff}f1, f0 ,y,who\r\n1,2.5,3,\"a, b\"\r\n-4,0,5,c\r\n"),
            ("t.csv", "f1;f0;y;who\n1;2.5;3;a, b\n-4;0;5;c"),
            ("t.tsv", "f1\tf0\ty\twho\n1\t2.5\t3\ta, b\n-4\t0\t5\tc\n"),
        ] {
            let table = table(name, text).unwrap();
            assert_eq!(table.names(), ["f1", "f0", "y", "who"]);
            let y = table.array("y").unwrap().unwrap();
            assert_eq!((y.kind, y.shape(), numbers(&y)), (NumberKind::Signed(8), "2".into(), vec![vec![3.0], vec![5.0]]));
            for wanted in ["f*", "f0, f1"] {
                let both = table.array(wanted).unwrap().unwrap();
                assert_eq!((both.kind, both.shape()), (NumberKind::Float64, "2x2".into()));
                assert_eq!(numbers(&both), [[1.0, 2.5], [-4.0, 0.0]]);
            }
            assert!(table.array("f2").unwrap().is_none() && table.array("f1,g*").unwrap().is_none());
            let error = table.array("who").unwrap_err().to_string();
            assert_eq!(error, format!("{name}: column `who`, row 0: `a, b` found, a number expected"));
        }
    }

    #[test]
    fn tables_that_would_be_misread_are_refused() {
        for (text, expected) in [
            ("1,2\n3,4\n", "the names of the columns expected in the first line"),
            ("", "the names of the columns expected in the first line"),
            ("a,a\n1,2\n", "two columns are called `a`"),
            ("a,b\n1\n", "previous record has 2 fields"),
        ] {
            let error = table("t.csv", text).err().unwrap();
            assert!(error.starts_with("t.csv: ") && error.contains(expected), "{error}");
        }
        for cell in ["", "NaN", "inf", "1,5", "1.2.3"] {
            let table = table("t.csv", &format!("a,b\n1,\"{cell}\"\n")).unwrap();
            assert!(table.array("a").unwrap().is_some());
            assert!(table.array("b").unwrap_err().to_string().contains("column `b`, row 0: `"), "{cell}");
        }
    }
}
