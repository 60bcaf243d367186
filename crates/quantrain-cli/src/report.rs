//! What reports share: scores and files.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use quantrain::metric::Score;
use quantrain::refine::StepReport;
use quantrain::{ClippedWeights, ExportCheck, InputStatistics, Job, Prepared};
use serde::Serialize;

use crate::coverage::{TakenOver, names_before};
use crate::error::CliError;
use crate::table::{Align, Table, grouped};

/// Why ONNX Runtime had no say, and what to do.
pub const WITHOUT_ONNXRUNTIME: &str = "ONNX Runtime was not found; \
    set ORT_DYLIB_PATH to the folder of Python's package onnxruntime or to its library, or activate the virtual environment it is in";

/// A report as it goes to standard output: the text, its tables as wide as the terminal, or the same as JSON.
pub fn render<R: Serialize + Display>(report: &R, json: bool) -> Result<String, CliError> {
    if !json {
        return Ok(match terminal_width() {
            Some(width) => format!("{report:width$}"),
            None => report.to_string(),
        });
    }
    let text = serde_json::to_string_pretty(report).map_err(|source| CliError::Json { source })?;
    Ok(text + "\n")
}

/// Characters of a line of the terminal that standard output is, if it is one. A width of a `format!` has 16 bits.
fn terminal_width() -> Option<usize> {
    let terminal = io::stdout();
    let size = terminal.is_terminal().then(|| terminal_size::terminal_size_of(terminal)).flatten();
    size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0)
}

/// What was exported, and what it is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// `calibrated`, `refined` or an epoch.
    pub network: String,
    /// What it is worth; `None` where nothing tells.
    pub score: Option<Score>,
}

/// What networks were judged on.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedOn {
    /// The images of `data.eval`.
    Evaluation,
    /// Images of the calibration that refinement and training leave out.
    HeldOut,
}

impl JudgedOn {
    /// Of a job.
    pub fn of(job: &Job) -> Self {
        if job.judges_on_held_out() { JudgedOn::HeldOut } else { JudgedOn::Evaluation }
    }
}

/// Widest line of a table.
const WIDTH: usize = 80;

/// Networks and their scores, as far as they are known, with what has to be said of them.
pub fn scores(f: &mut fmt::Formatter<'_>, rows: &[(String, Option<&Score>)], judged_on: JudgedOn) -> fmt::Result {
    let known: Vec<(&str, &Score)> = rows.iter().filter_map(|(name, score)| Some((name.as_str(), (*score)?))).collect();
    let (Some((_, first)), Some((_, last))) = (known.first(), known.last()) else { return Ok(()) };
    let table = score_table(&known);
    match (last, table.width() > WIDTH) {
        (Score::Sqnr(_), true) => {
            writeln!(f, "{}", summed_table(&known).fitted(f.width()))?;
            writeln!(f, "{}", output_table(&known[known.len().saturating_sub(3)..]).fitted(f.width()))?;
        }
        _ => writeln!(f, "{}", table.fitted(f.width()))?,
    }
    if let Score::Accuracy(_) = first {
        writeln!(f, "±: half of Wilson's interval at 95 %")?;
    }
    if let JudgedOn::HeldOut = judged_on {
        writeln!(f, "judged on calibration images that training leaves out, as there is no data.eval")?;
    }
    if matches!(first, Score::Accuracy(_)) || matches!(judged_on, JudgedOn::HeldOut) {
        writeln!(f)?;
    }
    Ok(())
}

/// The networks up to the one that is exported without training.
pub fn prepared_rows<'p>(prepared: &'p Prepared, taken_over: Option<&TakenOver>) -> Vec<(String, Option<&'p Score>)> {
    let (float, calibrated) = names_before(taken_over);
    let rows = [(float, &prepared.float), (calibrated, prepared.after_calibration()), ("refined", &prepared.refined)];
    rows.into_iter().map(|(name, score)| (name.to_owned(), score.as_ref())).collect()
}

/// What the network is called that is exported without training, or trained.
pub fn stage(prepared: &Prepared, taken_over: Option<&TakenOver>) -> &'static str {
    let (float, calibrated) = names_before(taken_over);
    match (prepared.is_refined(), prepared.calibration_images) {
        (true, _) => "refined",
        (false, Some(_)) => calibrated,
        (false, None) => float,
    }
}

/// A column for each figure.
fn score_table(rows: &[(&str, &Score)]) -> Table {
    let titles: Vec<String> = rows.first().map_or_else(Vec::new, |(_, score)| score.figures().into_iter().map(|f| f.0).collect());
    let mut columns = vec![("network", Align::Left)];
    columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
    columns.push(("images", Align::Right));
    let mut table = Table::new(&columns);
    for (name, score) in rows {
        let mut row = vec![(*name).to_owned()];
        row.extend(score.figures().into_iter().map(|f| f.1));
        row.push(grouped(score.images()));
        table.row(row);
    }
    table
}

/// All outputs in one figure, and the worst of them.
fn summed_table(rows: &[(&str, &Score)]) -> Table {
    let columns = [("network", Align::Left), ("output SQNR", Align::Right), ("lowest", Align::Right), ("images", Align::Right)];
    let mut table = Table::new(&columns);
    for (name, score) in rows {
        let lowest = match score {
            Score::Sqnr(sqnr) => sqnr.figures().into_iter().filter_map(|(_, decibels)| decibels).min_by(f64::total_cmp),
            _ => None,
        };
        let lowest = lowest.map_or_else(|| "equal".to_owned(), |decibels| format!("{decibels:.2} dB"));
        table.row(vec![(*name).to_owned(), format!("{:.2} dB", score.value()), lowest, grouped(score.images())]);
    }
    table
}

/// A line for each output, a column for each network.
fn output_table(rows: &[(&str, &Score)]) -> Table {
    let mut columns = vec![("SQNR of", Align::Left)];
    columns.extend(rows.iter().map(|(name, _)| (*name, Align::Right)));
    let mut table = Table::new(&columns);
    let figures: Vec<Vec<(String, String)>> = rows.iter().map(|(_, score)| score.figures()).collect();
    for (i, (name, _)) in figures.first().into_iter().flatten().enumerate() {
        let mut row = vec![name.trim_start_matches("SQNR of ").to_owned()];
        row.extend(figures.iter().map(|of_network| of_network.get(i).map_or_else(String::new, |f| f.1.clone())));
        table.row(row);
    }
    table
}

/// What the user should know, wrapped.
pub fn warnings(f: &mut fmt::Formatter<'_>, warnings: &[String]) -> fmt::Result {
    warnings.iter().try_for_each(|warning| wrapped(f, "warning:", "        ", warning))?;
    if warnings.is_empty() { Ok(()) } else { writeln!(f) }
}

/// What stays on the line of its number.
const UNITS: [&str; 2] = ["%", "dB"];

/// A space that no line ends at.
const TIED: char = '\u{a0}';

/// A text behind its first words, its further lines indented.
pub fn wrapped(f: &mut fmt::Formatter<'_>, first: &str, indent: &str, text: &str) -> fmt::Result {
    let mut line = first.to_owned();
    let text = UNITS.iter().fold(text.to_owned(), |text, unit| text.replace(&format!(" {unit}"), &format!("{TIED}{unit}")));
    let spaced = |line: &str| line.replace(TIED, " ");
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", spaced(&line))?;
            line = indent.to_owned();
        }
        line += " ";
        line += word;
    }
    writeln!(f, "{}", spaced(&line))
}

/// What the steps of a refinement did; nothing where there were none.
pub fn refinement(f: &mut fmt::Formatter<'_>, steps: &[StepReport]) -> fmt::Result {
    if steps.is_empty() {
        return Ok(());
    }
    let columns = [("step", Align::Left), ("output SQNR", Align::Right), ("by", Align::Right), ("what changed", Align::Left)];
    let mut table = Table::new(&columns);
    for (i, step) in steps.iter().enumerate() {
        let by = i.checked_sub(1).map_or_else(String::new, |before| format!("{:+.2} dB", step.sqnr - steps[before].sqnr));
        table.row(vec![step.step.clone(), format!("{:.2} dB", step.sqnr), by, step.changed.clone()]);
    }
    writeln!(f, "{}", table.fitted(f.width()))
}

/// What the network is fed with and what there is to know of it, a line each.
pub fn data(f: &mut fmt::Formatter<'_>, input: Option<&InputStatistics>, notes: &[String]) -> fmt::Result {
    input.map_or(Ok(()), |input| writeln!(f, "  {input}"))?;
    notes.iter().try_for_each(|note| wrapped(f, " ", "   ", note))
}

/// The layers whose weights were clipped, the first few by name.
pub fn clipped_weights(f: &mut fmt::Formatter<'_>, layers: &[ClippedWeights]) -> fmt::Result {
    const NAMED: usize = 5;
    layers.iter().take(NAMED).try_for_each(|layer| wrapped(f, " ", "   ", &layer.to_string()))?;
    match layers.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(f, "  and weights of {more} more layers clipped"),
    }
}

/// A share in a sentence.
pub fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

/// The files written, one a line.
pub fn files<'p>(f: &mut fmt::Formatter<'_>, run: &Path, files: impl IntoIterator<Item = &'p PathBuf>) -> fmt::Result {
    writeln!(f, "written to {}:", run.display())?;
    files.into_iter().try_for_each(|file| writeln!(f, "  {}", file.strip_prefix(run).unwrap_or(file).display()))
}

/// What ONNX Runtime says of the files written.
pub fn export_check(f: &mut fmt::Formatter<'_>, check: &ExportCheck) -> fmt::Result {
    match check {
        ExportCheck::Opened { library } => {
            wrapped(f, "opened", "   ", &format!("in ONNX Runtime: outputs as the float network's ({})", library.display()))
        }
        ExportCheck::NotFound => wrapped(f, "not opened:", "   ", WITHOUT_ONNXRUNTIME),
        ExportCheck::NoModel => Ok(()),
        ExportCheck::LeftOut => writeln!(f, "not opened in ONNX Runtime, as export.check says"),
    }
}

/// A number of seconds that JSON readers need not round.
pub fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wrapped(&'static str);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            wrapped(f, "warning:", "        ", self.0)
        }
    }

    #[test]
    fn lines_break_between_words_and_not_before_a_unit() {
        let text = "the float network's accuracy, 22.22 %, is near that of guessing, 10.00 %: check mean";
        let expected = "warning: the float network's accuracy, 22.22 %, is near that of guessing,\n         10.00 %: check mean\n";
        assert_eq!(Wrapped(text).to_string(), expected);
    }
}
