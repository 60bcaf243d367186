//! `cargo xtask pictures`: the README's picture, drawn from the first table of docs/results.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/results.md";
const PICTURE: &str = "docs/pictures/accuracy.svg";
/// The table's columns that are bars, in order, with the class that colours each.
const SERIES: [(&str, &str); 3] = [("float", "float"), ("calibrated", "calibrated"), ("trained", "trained")];

const ROW_HEIGHT: usize = 64;
const TOP: usize = 64;
const LABELS: usize = 220;
const BARS: usize = 440;
const WIDTH: usize = LABELS + BARS + 70;

/// One network with its accuracies, in percent.
struct Row {
    network: String,
    integers: String,
    percent: [f64; SERIES.len()],
}

/// Draws the picture; with `check`, only compares it with the file.
///
/// # Errors
/// The page has no such table, or the file differs.
pub fn run(root: &Path, check: bool) -> Result<(), String> {
    let page = fs::read_to_string(root.join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))?;
    let picture = draw(&rows(&page)?);
    let path = root.join(PICTURE);
    if !check {
        fs::create_dir_all(path.parent().unwrap_or(root)).map_err(|e| format!("{PICTURE}: {e}"))?;
        return fs::write(&path, picture).map_err(|e| format!("{PICTURE}: {e}"));
    }
    match fs::read_to_string(&path) {
        Ok(drawn) if drawn == picture => Ok(()),
        Ok(_) => Err(format!("{PICTURE} is not what {PAGE} says; run `cargo xtask pictures`")),
        Err(e) => Err(format!("{PICTURE}: {e}; run `cargo xtask pictures`")),
    }
}

/// The rows of the page's first table.
fn rows(page: &str) -> Result<Vec<Row>, String> {
    let mut lines = page.lines().enumerate().skip_while(|(_, line)| !line.starts_with('|'));
    let header = cells(lines.next().map_or("", |(_, line)| line));
    let column = |name: &str| {
        let found = header.iter().position(|cell| *cell == name);
        found.ok_or_else(|| format!("{PAGE}: the first table has no column `{name}`"))
    };
    let (network, integers) = (column("network")?, column("integers")?);
    let mut rows = Vec::new();
    for (number, line) in lines.skip(1).take_while(|(_, line)| line.starts_with('|')) {
        let cells = cells(line);
        let cell = |at: usize| cells.get(at).copied().ok_or_else(|| format!("{PAGE}:{}: the row is too short", number + 1));
        let mut percent = [0.0; SERIES.len()];
        for (value, (name, _)) in percent.iter_mut().zip(SERIES) {
            let text = cell(column(name)?)?;
            *value = text.parse().map_err(|_| format!("{PAGE}:{}: `{text}` is no number", number + 1))?;
        }
        rows.push(Row { network: cell(network)?.to_owned(), integers: cell(integers)?.to_owned(), percent });
    }
    if rows.is_empty() { Err(format!("{PAGE}: the first table has no rows")) } else { Ok(rows) }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Horizontal bars, three for each row, from 0 to 100 percent.
fn draw(rows: &[Row]) -> String {
    let height = TOP + rows.len() * ROW_HEIGHT + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Top-1 accuracy of float, calibrated and trained networks</title>\n\
         <style>text {{ fill: #222 }} .note {{ fill: #666 }} .grid {{ stroke: #ccc }} .float {{ fill: #9aa4b0 }} .calibrated {{ fill: #e08a3c }} \
         .trained {{ fill: #2b7fc4 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} .note {{ fill: #aaa }} .grid {{ stroke: #444 }} }}</style>\n"
    );
    let mut x = LABELS;
    for (name, class) in SERIES {
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"12\" width=\"12\" height=\"12\"/><text x=\"{}\" y=\"23\">{name}</text>",
            x + 18
        );
        x += 110;
    }
    let bottom = height - 10;
    for percent in [0, 25, 50, 75, 100] {
        let x = LABELS + BARS * percent / 100;
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x}\" y1=\"52\" x2=\"{x}\" y2=\"{bottom}\"/><text class=\"note\" x=\"{x}\" y=\"46\" text-anchor=\"middle\">{percent} %</text>"
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + index * ROW_HEIGHT;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", LABELS - 12, y + 20, escaped(&row.network));
        let _ = writeln!(
            svg,
            "<text class=\"note\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABELS - 12,
            y + 38,
            escaped(&row.integers)
        );
        for (bar, (percent, (_, class))) in row.percent.iter().zip(SERIES).enumerate() {
            let (y, width) = (y + bar * 16, BARS as f64 * percent / 100.0);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{y}\" width=\"{width:.1}\" height=\"13\"/><text x=\"{:.1}\" y=\"{}\" font-size=\"11\">{percent:.2}</text>",
                LABELS as f64 + width + 6.0,
                y + 11
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# page\n\n| network | integers | float | calibrated | trained |\n|---|---|---|---|---|\n| a & b | W4 | 90.00 | 45.00 | 80.5 |\n\nmore";

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let svg = draw(&rows(TABLE).unwrap());
        assert!(svg.contains("a &amp; b"));
        // 45 % of 440 units.
        assert!(svg.contains("class=\"calibrated\" x=\"220\" y=\"80\" width=\"198.0\""), "{svg}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = |page: &str| rows(page).err().unwrap();
        assert!(text("| network | integers |\n|---|---|\n| a | b |").contains("no column `float`"));
        assert!(text(&TABLE.replace("45.00", "x")).contains("docs/results.md:5: `x` is no number"));
        assert!(text("no table").contains("no column"));
    }
}
