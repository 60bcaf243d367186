//! One key from a command line: `train.epochs=3`.

use std::path::{Path, PathBuf};

use super::file::{RecipeFile, TABLES};
use super::parse::parse;
use super::suggestion::key_meant;
use crate::RecipeError;
use crate::error::Location;

impl RecipeFile {
    /// Sets a key by `KEY=VALUE`, such as `train.epochs=3`: the value in TOML, where words may go without quotes and numbers of a list without
    /// brackets. Of two that set one key the later counts.
    ///
    /// # Errors
    /// There is no such key, or it does not take the value.
    pub fn set(&mut self, assignment: &str) -> Result<(), RecipeError> {
        let location = Location { file: PathBuf::new(), line: None };
        let (key, value) =
            assignment.split_once('=').map(|(key, value)| (key.trim(), value.trim())).ok_or_else(|| RecipeError::Syntax {
                location: location.clone(),
                message: format!("`{assignment}` found, KEY=VALUE such as train.epochs=3 expected"),
            })?;
        if !TABLES.iter().any(|table| !table.is_list() && table.keys.iter().any(|k| table.qualified(k.name) == key)) {
            return Err(RecipeError::UnknownKey { location, key: key.into(), hint: hint(key) });
        }
        let mut first = None;
        for value in readings(value) {
            match parse(Path::new(""), &format!("{key} = {value}")) {
                Ok(file) => {
                    *self = file.or(std::mem::take(self));
                    return Ok(());
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(RecipeError::Syntax { location, message: format!("{key}: no value found") }))
    }
}

/// What a value may be in TOML: as it stands, a string, or the numbers of a list. What it is likeliest to be comes first.
fn readings(value: &str) -> Vec<String> {
    // A line of its own: a value is not to bring further keys along.
    let is_value = |text: &str| !text.contains('\n') && toml::from_str::<toml::Table>(&format!("v = {text}")).is_ok_and(|t| t.len() == 1);
    let string = toml::Value::String(value.to_owned()).to_string();
    let list = format!("[{value}]");
    let mut readings: Vec<String> = [value.to_owned(), list].into_iter().filter(|text| is_value(text)).collect();
    readings.insert(readings.len().min(usize::from(is_value(value))), string);
    readings
}

/// Which key was meant.
fn hint(key: &str) -> String {
    let list = TABLES.iter().find(|table| table.is_list() && key.strip_prefix(table.name).is_some_and(|rest| rest.starts_with('.')));
    match (list, key_meant(key)) {
        (Some(table), _) => format!("set the list: {}=[{{ name = \"…\", … }}]", table.name),
        (None, Some(meant)) => format!("did you mean `{meant}`?"),
        (None, None) => "`quantrain init MODEL` and docs/recipe.md have them all".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Default;
    use super::*;
    use crate::recipe::{ClassNames, Size};

    fn set(assignments: &[&str]) -> Result<RecipeFile, String> {
        let mut file = RecipeFile::default();
        assignments.iter().try_for_each(|text| file.set(text)).map_err(|error| error.to_string())?;
        Ok(file)
    }

    #[test]
    fn every_key_can_be_set() {
        for table in TABLES.iter().filter(|table| !table.is_list()) {
            for key in table.keys {
                let (Default::Value(value) | Default::Words { example: value, .. }) = key.default;
                let name = table.qualified(key.name);
                let file = set(&[&format!("{name}={value}")]).unwrap();
                assert_eq!(file.keys(), std::slice::from_ref(&name));
                let bare = value.trim_matches('"');
                assert_eq!(set(&[&format!("{name} = {bare}")]).unwrap(), file, "{name}: quotes may be left out");
                for choice in key.choices {
                    let value = if value.starts_with('[') { format!("['{choice}']") } else { (*choice).to_owned() };
                    assert_eq!(set(&[&format!("{name}={value}")]).unwrap().keys(), std::slice::from_ref(&name), "{choice}");
                }
            }
        }
    }

    #[test]
    fn values_need_no_quotes_and_no_brackets() {
        let file = set(&["data.mean=0.485,-0.456,0.406", "data.std=0.5", "out=7", "data.crop=176x240", "data.ignored-label=-1"]).unwrap();
        assert_eq!(file.data.mean.as_deref(), Some(&[0.485, -0.456, 0.406][..]));
        assert_eq!(file.data.std.as_deref(), Some(&[0.5][..]));
        assert_eq!((file.out, file.data.crop, file.data.ignored_label), (Some("7".into()), Some(Size([176, 240])), Some(-1)));
        let file =
            set(&["data.classes=['a', 'b']", "quantization.layer=[{ name = 'x', float = true }]", "train.epochs=2", "train.epochs=3"]);
        let file = file.unwrap();
        assert_eq!(file.data.classes, Some(ClassNames::Names(vec!["a".into(), "b".into()])));
        assert_eq!(file.quantization.layer.unwrap()[0].float, Some(true));
        assert_eq!(file.train.epochs, Some(3), "the later counts");
    }

    #[test]
    fn what_cannot_be_set_says_what_was_meant() {
        let rows = [
            ("epochs", "flags: `epochs` found, KEY=VALUE such as train.epochs=3 expected"),
            ("epochs=3", "flags: key `epochs` is not known; did you mean `train.epochs`?"),
            ("lr=0.1", "flags: key `lr` is not known; did you mean `train.learning-rate`?"),
            ("train.frobnicate=1", "flags: key `train.frobnicate` is not known; `quantrain init MODEL` and docs/recipe.md have them all"),
            (
                "quantization.layer.float=true",
                "flags: key `quantization.layer.float` is not known; set the list: quantization.layer=[{ name = \"…\", … }]",
            ),
            ("train.optimizer=adan", "flags: train.optimizer: `adan` found, one of sgd, adam, adamw expected; did you mean `adam`?"),
            ("train.epochs=two", "flags: train.epochs: \"two\" found, a whole number, 0 or more expected"),
            ("train.epochs=", "flags: train.epochs: \"\" found, a whole number, 0 or more expected"),
            ("train.epochs=3\nseed=4", "flags: train.epochs: \"3\\nseed=4\" found, a whole number, 0 or more expected"),
        ];
        for (assignment, expected) in rows {
            assert_eq!(set(&[assignment]).unwrap_err(), expected);
        }
    }
}
