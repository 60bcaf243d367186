//! Tables of text: columns as wide as their widest cell.

use std::borrow::Cow;
use std::fmt;

/// Characters of a cell that are shown; of a longer one the middle is left out.
const LONGEST: usize = 100;

/// Characters that a column of words keeps where the line is short.
const SHORTEST: usize = 12;

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
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// Headings of the columns that a short line has no place for.
    left_out: Vec<String>,
}

/// What the cells of a column have in common.
#[derive(Clone, Debug)]
struct Column {
    heading: String,
    align: Align,
    /// Characters of a cell that are shown.
    longest: usize,
}

impl Table {
    /// A table without rows yet.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let column = |&(heading, align): &(&str, Align)| Column { heading: heading.to_owned(), align, longest: LONGEST };
        Table { columns: columns.iter().map(column).collect(), rows: Vec::new(), left_out: Vec::new() }
    }

    /// Characters of the widest line.
    pub fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    /// Of each column.
    fn widths(&self) -> Vec<usize> {
        let of = |(c, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count().min(column.longest));
            cells.chain([column.heading.chars().count()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(of).collect()
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The same table in lines of `width` characters, where that is given: words are shortened in the middle, the longest first.
    pub fn fitted(self, width: Option<usize>) -> Self {
        self.fitted_without(width, &[])
    }

    /// As [`Table::fitted`], but where shorter words do not do, these columns go first, and a last line says so.
    pub fn fitted_without(mut self, width: Option<usize>, optional: &[&str]) -> Self {
        let Some(width) = width else { return self };
        for heading in optional {
            if self.least_width() > width {
                self.leave_out(heading);
            }
        }
        loop {
            let widths = self.widths();
            let words = (0..widths.len()).filter(|&c| self.columns[c].align == Align::Left && widths[c] > self.least(c));
            let Some(longest) = words.max_by_key(|&c| widths[c]).filter(|_| self.width() > width) else { return self };
            self.columns[longest].longest = widths[longest] - 1;
        }
    }

    /// Characters of the widest line, were words as short as can be.
    fn least_width(&self) -> usize {
        let widths = self.widths();
        let least = |c: usize| if self.columns[c].align == Align::Left { widths[c].min(self.least(c)) } else { widths[c] };
        (0..widths.len()).map(least).sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    /// Characters that a column of words needs.
    fn least(&self, c: usize) -> usize {
        SHORTEST.max(self.columns[c].heading.chars().count())
    }

    fn leave_out(&mut self, heading: &str) {
        if let Some(c) = self.columns.iter().position(|column| column.heading == heading) {
            self.columns.remove(c);
            self.rows.iter_mut().for_each(|row| drop(row.remove(c)));
            self.left_out.push(heading.to_owned());
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = self.columns.iter().map(|column| Cow::from(&column.heading)).collect();
        let cells =
            |row: &'_ Vec<String>| row.iter().zip(&self.columns).map(|(cell, column)| shortened(cell, column.longest).into()).collect();
        let rows = self.rows.iter().map(cells);
        let lines: Vec<Vec<Cow<'_, str>>> = std::iter::once(heading).chain(rows).collect();
        let widths = self.widths();
        for row in &lines {
            let mut line = String::new();
            for ((cell, &width), column) in row.iter().zip(&widths).zip(&self.columns) {
                line += &match column.align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                };
                line += &" ".repeat(GAP);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        match self.left_out.as_slice() {
            [] => Ok(()),
            columns => writeln!(f, "(a wider terminal shows {} too)", columns.join(", ")),
        }
    }
}

/// A cell of at most `longest` characters: its beginning and its end.
fn shortened(cell: &str, longest: usize) -> String {
    let length = cell.chars().count();
    if length <= longest {
        return cell.to_owned();
    }
    let (before, behind) = (longest / 2, longest.saturating_sub(1 + longest / 2));
    cell.chars().take(before).chain(['…']).chain(cell.chars().skip(length - behind)).collect()
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
    fn a_short_line_takes_from_the_longest_words_first() {
        let mut table = Table::new(&[("node", Align::Left), ("kind", Align::Left), ("n", Align::Right)]);
        table.row(vec!["backbone/layer1/block0/conv1/Conv".into(), "Conv+BatchNormalization".into(), "1,234".into()]);
        let fitted = table.clone().fitted(Some(40));
        assert_eq!(fitted.width(), 40);
        let expected = "\
node              kind                 n
backbone…v1/Conv  Conv+Ba…ization  1,234
";
        assert_eq!(fitted.to_string(), expected);
        assert_eq!(table.clone().fitted(None).to_string(), table.to_string());
        assert_eq!(table.clone().fitted(Some(5)).width(), 12 + 12 + 5 + 4, "names that nobody knows again are none");
    }

    #[test]
    fn columns_that_are_optional_go_where_words_cannot_be_short_enough() {
        let mut table = Table::new(&[("node", Align::Left), ("n", Align::Right), ("kind", Align::Left)]);
        table.row(vec!["backbone/layer1".into(), "1,234".into(), "int8".into()]);
        assert_eq!(table.clone().fitted_without(Some(25), &["n"]).to_string(), "node              n  kind\nbackbo…ayer1  1,234  int8\n");
        assert_eq!(
            table.fitted_without(Some(18), &["n"]).to_string(),
            "node          kind\nbackbo…ayer1  int8\n(a wider terminal shows n too)\n"
        );
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 123456].map(grouped), ["0", "999", "1,000", "123,456"]);
    }
}
