//! The keys of a recipe in print: the text of `quantrain init` and the page docs/recipe.md, both from one table.

use std::fmt::Write;

use super::file::{RecipeFile, TABLES};
use super::table::{Default, Key, Table};

const HEADER: &str = "\
# A recipe of quantrain. Keys are set to their defaults; those behind a # are not set.
# All keys: docs/recipe.md
";

const PAGE: &str = "\
# What can a recipe say?

A recipe is a TOML file that holds everything a run depends on. Only `model` must be given; `quantrain init model.onnx > recipe.toml` writes
one with every key. A misspelt key or value is an error that names the line and what may have been meant. Relative paths start at the
recipe's folder; flags go before the recipe, and their paths start at the current folder.

```toml
model = \"model.onnx\"
target = \"tidl-pow2\"

[data]
train = \"train.parquet\"
eval = \"test.parquet\"

[train]
epochs = 2
```

The run directory keeps the effective recipe, with every default filled in and a list, `explicit`, of what was chosen. This page is printed from the table that the program reads recipes
by: `cargo run -p quantrain --example recipe_reference > docs/recipe.md`.
";

/// The page docs/recipe.md.
pub fn reference() -> String {
    let mut page = PAGE.to_owned();
    for table in TABLES {
        let title = match table.name {
            "" => "Before the first table".to_owned(),
            _ => format!("`{}`", table.header()),
        };
        let _ = write!(page, "\n## {title}\n\n{}\n\n| key | default | what it does |\n|---|---|---|\n", one_line(table.doc));
        for key in table.values() {
            let default = match key.default {
                Default::Value(value) => format!("`{value}`"),
                Default::Words { words, .. } => words.to_owned(),
            };
            let _ = writeln!(page, "| `{}` | {default} | {} |", key.name, one_line(key.doc).replace('|', "\\|"));
        }
    }
    page
}

fn one_line(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

impl RecipeFile {
    /// A recipe with every key, its comment, and its value: that of `self` where it is set, else the default.
    pub fn commented(&self) -> String {
        let known = toml::Table::try_from(self).unwrap_or_default();
        let mut text = HEADER.to_owned();
        for table in TABLES {
            let list = table.is_list();
            text.push('\n');
            comment(&mut text, table.doc);
            let _ = match table.name {
                "" => Ok(()),
                _ if list => entries(&mut text, &known, table),
                name => writeln!(text, "[{name}]"),
            };
            for key in table.values() {
                text.push('\n');
                comment(&mut text, key.doc);
                if let Default::Words { words, .. } = key.default {
                    let _ = writeln!(text, "# Default: {words}.");
                }
                let _ = match (value(&known, table, key), key.default) {
                    (Some(value), _) => writeln!(text, "{} = {value}", key.name),
                    (None, Default::Value(value)) if !list => writeln!(text, "{} = {value}", key.name),
                    (None, Default::Value(value) | Default::Words { example: value, .. }) => writeln!(text, "# {} = {value}", key.name),
                };
            }
        }
        text
    }
}

/// The tables of a list or by name, and one with every key behind a `#`.
fn entries(text: &mut String, known: &toml::Table, table: &Table) -> std::fmt::Result {
    let name = table.name;
    let list = table.by_name().or(name.split_once('.')).and_then(|(table, key)| known.get(table)?.get(key));
    let listed = list.and_then(toml::Value::as_array).into_iter().flatten().map(|entry| (format!("[[{name}]]"), entry));
    let of_name = |(key, entry)| (format!("[{}.{}]", name.trim_end_matches(".NAME"), toml::Value::String(String::clone(key))), entry);
    let named = list.and_then(toml::Value::as_table).into_iter().flatten().map(of_name);
    for (header, entry) in listed.chain(named) {
        let Some(entry) = entry.as_table() else { continue };
        writeln!(text, "{header}")?;
        entry.iter().try_for_each(|(key, value)| writeln!(text, "{key} = {value}"))?;
        writeln!(text)?;
    }
    writeln!(text, "# {}", table.header())
}

fn comment(text: &mut String, doc: &str) {
    for line in doc.lines() {
        let _ = writeln!(text, "#{line}");
    }
}

/// The value of a key in a recipe, in TOML.
fn value(known: &toml::Table, table: &Table, key: &Key) -> Option<String> {
    let keys = if table.name.is_empty() { known } else { known.get(table.name)?.as_table()? };
    keys.get(key.name).map(ToString::to_string)
}
