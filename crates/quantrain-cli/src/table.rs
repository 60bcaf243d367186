//! Tables of text: columns as wide as their widest cell.

use std::borrow::Cow;
use std::fmt;

/// Characters of a cell that are shown; of a longer one the middle is left out.
const LONGEST: usize = 100;

/// Which side of a column its cells lean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Spaces between two columns.
const GAP: usize = 2;

/// Rows under a heading.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows yet.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Table { columns: columns.iter().map(|&(name, align)| (name.to_owned(), align)).collect(), rows: Vec::new() }
    }

    /// Characters of the widest line.
    pub fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    /// Of each column.
    fn widths(&self) -> Vec<usize> {
        let of = |c: usize, heading: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(c)).map(|cell| shortened(cell).chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(|(c, (heading, _))| of(c, heading)).collect()
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = self.columns.iter().map(|(name, _)| Cow::from(name)).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| shortened(cell)).collect());
        let lines: Vec<Vec<Cow<'_, str>>> = std::iter::once(heading).chain(rows).collect();
        let widths = self.widths();
        for row in &lines {
            let mut line = String::new();
            for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                line += &match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                };
                line += &" ".repeat(GAP);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A cell of at most [`LONGEST`] characters: its beginning and its end.
fn shortened(cell: &str) -> Cow<'_, str> {
    let length = cell.chars().count();
    if length <= LONGEST {
        return Cow::Borrowed(cell);
    }
    let (before, behind) = (LONGEST / 2, LONGEST - 1 - LONGEST / 2);
    Cow::Owned(cell.chars().take(before).chain(['…']).chain(cell.chars().skip(length - behind)).collect())
}

/// 1234567 as 1,234,567.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right), ("why", Align::Left)]);
        table.row(vec!["σ".into(), grouped(1234567), String::new()]);
        table.row(vec!["longer name".into(), grouped(12), "x".into()]);
        let expected = "name                 n  why\n\
                        σ            1,234,567\n\
                        longer name         12  x\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_long_cell_shows_its_ends() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        let name = format!("first{}last", "σ".repeat(70_000));
        table.row(vec![name, "1".into()]);
        let text = table.to_string();
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("firstσ") && line.contains("σ…σ") && line.ends_with("σlast  1"), "{line}");
        assert_eq!(line.chars().count(), LONGEST + 3);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 123456].map(grouped), ["0", "999", "1,000", "123,456"]);
    }
}
