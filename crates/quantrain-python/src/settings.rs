//! Keyword arguments as the keys of a recipe.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use quantrain::recipe::{Recipe, RecipeFile, TABLES};

use crate::failure::{Kind, of_recipe, raise};

/// Keys before the first table that are arguments of a network.
const GENERAL: [&str; 3] = ["target", "threads", "input-shape"];

/// Of every setting: the argument, what it does, and what holds without it.
#[pyfunction]
pub fn setting_names() -> Vec<(String, String, String)> {
    let of_table = |name: &'static str| TABLES.iter().filter(move |table| table.name == name).flat_map(|table| table.keys);
    let general = of_table("").filter(|key| GENERAL.contains(&key.name));
    let words = |key: &quantrain::recipe::Key| {
        let default = match key.default {
            quantrain::recipe::Default::Value(value) => value.to_owned(),
            quantrain::recipe::Default::Words { words, .. } => words.to_owned(),
        };
        (argument(key.name), key.doc.split_whitespace().collect::<Vec<_>>().join(" "), default)
    };
    general.chain(of_table("quantization")).map(words).collect()
}

/// A key as Python spells it.
fn argument(key: &str) -> String {
    key.replace('-', "_")
}

/// The recipe of a network: a recipe file, where one is given, with arguments over it.
pub fn recipe(model: Option<PathBuf>, file: Option<PathBuf>, settings: &Bound<'_, PyDict>) -> PyResult<Recipe> {
    let (mut general, mut quantization) = (toml::Table::new(), toml::Table::new());
    for (name, value) in settings {
        let name: String = name.extract()?;
        let key = name.replace('_', "-");
        let value = to_toml(&value, &name)?;
        if GENERAL.contains(&key.as_str()) {
            general.insert(key, value);
        } else if TABLES.iter().any(|table| table.name == "quantization" && table.keys.iter().any(|k| k.name == key)) {
            quantization.insert(key, value);
        } else {
            let all: Vec<String> = setting_names().into_iter().map(|(name, ..)| name).collect();
            let hint = match quantrain::recipe::nearest(&name, all.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("one of {} expected", all.join(", ")),
            };
            return Err(raise(Kind::Recipe, format!("unknown setting `{name}`: {hint}")));
        }
    }
    general.insert("quantization".into(), quantization.into());
    let given: RecipeFile = general.try_into().map_err(|error: toml::de::Error| {
        raise(Kind::Recipe, error.to_string().lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(", "))
    })?;
    let given = RecipeFile { model, ..given };
    Recipe::load(file.as_deref(), given).map_err(|error| of_recipe(&error))
}

fn to_toml(value: &Bound<'_, PyAny>, name: &str) -> PyResult<toml::Value> {
    // Before integers: True is one in Python.
    if value.is_instance_of::<PyBool>() {
        return Ok(toml::Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(toml::Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(toml::Value::Float(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(toml::Value::String(value.extract()?));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items = value.try_iter()?.map(|item| to_toml(&item?, name));
        return Ok(toml::Value::Array(items.collect::<PyResult<_>>()?));
    }
    if let Ok(table) = value.cast::<PyDict>() {
        let items = table.iter().map(|(key, value)| Ok((key.extract::<String>()?.replace('_', "-"), to_toml(&value, name)?)));
        return Ok(toml::Value::Table(items.collect::<PyResult<_>>()?));
    }
    if let Ok(path) = value.extract::<PathBuf>() {
        return Ok(toml::Value::String(path.display().to_string()));
    }
    let kind = value.get_type().name()?;
    Err(raise(Kind::Recipe, format!("`{name}`: {kind} found, a bool, a number, a string, a list or a dict expected")))
}
