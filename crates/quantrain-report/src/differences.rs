//! What differs between the recipes of several runs.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use crate::{ReportError, Run};

/// A key that the recipes do not agree on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The key with its table, `train.epochs`.
    pub key: String,
    /// Its value in each run; `None` where a recipe does not have it.
    pub values: Vec<Option<String>>,
}

/// The keys whose values differ, in order of their names; where runs lie goes without saying.
///
/// # Errors
/// A recipe is no TOML.
pub fn differences(runs: &[Run]) -> Result<Vec<Difference>, ReportError> {
    let mut keys: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for (i, run) in runs.iter().enumerate() {
        let recipe: Table = run
            .recipe
            .parse()
            .map_err(|e: toml::de::Error| ReportError::Recipe { run: run.name.clone(), message: e.message().to_owned() })?;
        let mut flat = Vec::new();
        flatten("", &recipe, &mut flat);
        for (key, value) in flat {
            keys.entry(key).or_insert_with(|| vec![None; runs.len()])[i] = Some(value);
        }
    }
    let differs = |values: &[Option<String>]| values.windows(2).any(|pair| pair[0] != pair[1]);
    Ok(keys.into_iter().filter(|(key, values)| key != "out" && differs(values)).map(|(key, values)| Difference { key, values }).collect())
}

fn flatten(prefix: &str, table: &Table, flat: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, flat),
            Value::String(text) => flat.push((key, text.clone())),
            other => flat.push((key, other.to_string())),
        }
    }
}
