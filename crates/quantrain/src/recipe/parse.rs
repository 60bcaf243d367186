//! From the text of a recipe to its keys, with errors that name line, key and what was meant.

use std::path::Path;

use super::suggestion::{nearest, synonym};
use super::{RecipeFile, TABLES};
use crate::RecipeError;
use crate::error::Location;

/// The keys of a recipe's text.
pub(super) fn parse(file: &Path, text: &str) -> Result<RecipeFile, RecipeError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let location = Location { file: file.into(), line: Some(before.matches('\n').count() + 1) };
        explain(location, error.message(), key_at(text, start))
    })
}

/// An error in serde's words (``unknown field `x`, expected one of `a`, `b` ``) as one of ours.
fn explain(location: Location, message: &str, key: String) -> RecipeError {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if let Some(found) = quoted.next() {
        let expected: Vec<&str> = quoted.collect();
        let found = found.to_owned();
        let meant = nearest(&found, expected.iter().copied());
        if message.starts_with("unknown field") {
            let other = synonym(&found);
            let meant = other.filter(|name| expected.contains(name)).or(meant);
            let hint = match (meant, table_of(&found), other.and_then(|name| Some((name, table_of(name)?)))) {
                (Some(meant), ..) => format!("did you mean `{meant}`?"),
                (None, Some(table), _) => format!("it belongs {table}"),
                (None, None, Some((name, table))) => format!("did you mean `{name}`? it belongs {table}"),
                (None, None, None) => format!("one of {} expected", expected.join(", ")),
            };
            return RecipeError::UnknownKey { location, key: found, hint };
        }
        if message.starts_with("unknown variant") {
            let hint = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            let expected = format!("one of {} expected{hint}", expected.join(", "));
            return RecipeError::UnknownValue { location, key, found, expected };
        }
    }
    let message = match in_words(message) {
        Some(words) => words,
        None if is_expectation(message) => format!("{message} expected"),
        None => message.lines().collect::<Vec<_>>().join(", "),
    };
    if key.is_empty() { RecipeError::Syntax { location, message } } else { RecipeError::InvalidValue { location, key, message } }
}

/// What serde says where a value has one of several forms: these alone.
fn is_expectation(message: &str) -> bool {
    message.starts_with("a ") && !message.contains(':')
}

/// A value of the wrong type, which serde tells as ``invalid type: string "two", expected u32``, or `invalid length 3, expected …`.
fn in_words(message: &str) -> Option<String> {
    let (kind, rest) = match message.strip_prefix("invalid length ") {
        Some(rest) => ("invalid length", rest),
        None => message.split_once(": ").filter(|(kind, _)| matches!(*kind, "invalid type" | "invalid value"))?,
    };
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        list if list.starts_with("struct ") => "a table",
        array if array.starts_with("an array of length") => array.trim_start_matches("an array of length "),
        words => words,
    };
    let found = match found.split_once(' ') {
        Some(("string" | "character", text)) => text.to_owned(),
        Some(("integer" | "boolean" | "float", value)) => value.trim_matches('`').to_owned(),
        Some(("floating", value)) => value.trim_start_matches("point ").trim_matches('`').to_owned(),
        _ if kind == "invalid length" => format!("a list of {found}"),
        _ => match found {
            "sequence" => "a list".to_owned(),
            "map" => "a table".to_owned(),
            other => other.to_owned(),
        },
    };
    let entries = if kind == "invalid length" && expected.chars().all(|c| c.is_ascii_digit()) { " entries" } else { "" };
    Some(format!("{found} found, {expected}{entries} expected"))
}

/// Where a key would have been right, in words.
fn table_of(key: &str) -> Option<String> {
    let table = TABLES.iter().find(|t| t.keys.iter().any(|k| k.name == key))?;
    Some(if table.name.is_empty() { "before the first table".into() } else { format!("into the table [{}]", table.name) })
}

/// The key whose value holds a position: that of the last line with an assignment, up to the position's line.
fn key_at(text: &str, position: usize) -> String {
    let end = text.get(position..).and_then(|rest| rest.find('\n')).map_or(text.len(), |i| position + i);
    let lines = text.get(..end).unwrap_or(text).lines().rev();
    let mut keys = lines.take_while(|line| !line.trim_start().starts_with('[')).filter_map(assigned_key);
    keys.next().unwrap_or_default().to_owned()
}

/// The key of a line `key = …`.
fn assigned_key(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// The line, from 1, on which a text sets a key such as `train.epochs`.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = "";
    text.lines()
        .position(|line| {
            let line = line.trim();
            if line.starts_with('[') && !line.contains('=') {
                current = line.split(']').next().unwrap_or_default().trim_start_matches('[').trim();
            }
            current == table && assigned_key(line) == Some(name)
        })
        .map(|i| i + 1)
}
