//! What an output should be: classes, numbers, or truths

use std::path::PathBuf;
use std::sync::Arc;

use super::InputSpec;
use super::array::Array;
use super::files::Files;
use super::input::{check_shape, length_error, places};
use crate::DataError;

/// What labels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// The class of a sample, an integer from 0.
    Class,
    /// The numbers that the output should have.
    Values,
    /// Of each element of the output whether it is to be true: 0 or 1.
    Truths,
}

/// Which labels an output has.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSpec {
    /// The position of the output.
    pub output: usize,
    /// Its name.
    pub name: String,
    /// Extents of a sample, as in ONNX.
    pub extents: Vec<usize>,
    /// The axes of a sample in the order that the network has in memory.
    pub order: Vec<usize>,
    /// What the labels are; by default what their type and shape say.
    pub kind: Option<LabelKind>,
    /// Their file; by default the data's.
    pub file: Option<PathBuf>,
    /// The name of their array, which must be there; by default one of `names`, where there is one.
    pub column: Option<String>,
    /// Usual names.
    pub names: Vec<String>,
    /// A class that does not count.
    pub ignored: Option<i64>,
}

impl LabelSpec {
    /// What they are, for messages.
    pub(super) fn role(&self) -> String {
        format!("labels of output `{}`", self.name)
    }

    /// The name of the array that is looked for first.
    pub(super) fn wanted(&self) -> &str {
        self.column.as_deref().unwrap_or(&self.name)
    }
}

/// The labels of one output for a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The position of the output.
    pub output: usize,
    /// What it should be.
    pub values: TargetValues,
}

/// Labels of a batch, as the network has its output in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetValues {
    /// A class for each sample.
    Classes(Vec<i64>),
    /// A number for each element.
    Values(Vec<f32>),
    /// 1 for each element that is to be true, 0 for the others.
    Truths(Vec<f32>),
}

impl TargetValues {
    /// What they are.
    pub fn kind(&self) -> LabelKind {
        match self {
            TargetValues::Classes(_) => LabelKind::Class,
            TargetValues::Values(_) => LabelKind::Values,
            TargetValues::Truths(_) => LabelKind::Truths,
        }
    }
}

/// The labels of an output.
#[derive(Clone)]
pub(super) struct Label {
    array: Arc<Array>,
    output: usize,
    name: String,
    kind: LabelKind,
    places: Option<Arc<[usize]>>,
}

impl Label {
    /// The labels of a spec, where there are any.
    pub fn find(spec: &LabelSpec, files: &mut Files, inputs: &[InputSpec]) -> Result<Option<Self>, DataError> {
        let role = spec.role();
        let is_input = |name: &str| inputs.iter().any(|input| input.name == name);
        let usual = spec.names.iter().filter(|name| !is_input(name)).cloned();
        let only = files.only_array().filter(|_| spec.file.is_some());
        let names: Vec<String> = spec.column.as_ref().map_or_else(|| usual.chain(only).collect(), |name| vec![name.clone()]);
        let mut array = None;
        for name in names {
            array = files.array(&name)?;
            if array.is_some() {
                break;
            }
        }
        let Some(array) = array else { return Ok(None) };
        let kind = spec.kind.unwrap_or_else(|| kind_of(spec, &array));
        match kind {
            LabelKind::Class => check_classes(spec, &role, &array)?,
            LabelKind::Values => check_numbers(spec, &role, &array, "a finite number", |v| (v as f32).is_finite())?,
            LabelKind::Truths => check_numbers(spec, &role, &array, "0 or 1", |v| v == 0.0 || v == 1.0)?,
        }
        let places = places(&spec.extents, &spec.order);
        Ok(Some(Label { array: Arc::new(array), output: spec.output, name: spec.name.clone(), kind, places }))
    }

    pub fn check_length(&self, expected: usize, of: &str) -> Result<(), DataError> {
        if self.array.rows == expected {
            return Ok(());
        }
        Err(length_error(&self.array, &format!("labels of output `{}`", self.name), expected, of))
    }

    pub fn describe(&self) -> String {
        let what = match self.kind {
            LabelKind::Class => "classes",
            LabelKind::Values => "values",
            LabelKind::Truths => "truths",
        };
        format!("{what} of `{}` from `{}`", self.name, self.array.name)
    }

    /// The class of a row, where these are classes of the first output.
    pub fn class(&self, row: usize) -> Option<i64> {
        let is_class = self.output == 0 && self.kind == LabelKind::Class;
        if is_class { self.array.numbers(row).next().map(|v| v as i64) } else { None }
    }

    /// The labels of some rows.
    pub fn read(&self, rows: &[usize]) -> Target {
        let values = match self.kind {
            LabelKind::Class => {
                TargetValues::Classes(rows.iter().filter_map(|&row| self.array.numbers(row).next()).map(|v| v as i64).collect())
            }
            LabelKind::Values => TargetValues::Values(self.elements(rows)),
            LabelKind::Truths => TargetValues::Truths(self.elements(rows)),
        };
        Target { output: self.output, values }
    }

    fn elements(&self, rows: &[usize]) -> Vec<f32> {
        let mut all = Vec::with_capacity(rows.len() * self.array.elements());
        for &row in rows {
            let first = all.len();
            all.extend(self.array.numbers(row).map(|v| v as f32));
            if let Some(places) = &self.places {
                let numbers = all.split_off(first);
                all.extend(places.iter().filter_map(|&at| numbers.get(at)));
            }
        }
        all
    }
}

/// What the type and shape of labels say: one integer for several scores is a class, 0 and 1 are truths, all else are numbers.
fn kind_of(spec: &LabelSpec, array: &Array) -> LabelKind {
    let scores: usize = spec.extents.iter().product();
    let truths = || (0..array.rows).all(|row| array.numbers(row).all(|v| v == 0.0 || v == 1.0));
    match array.kind.is_float() {
        true => LabelKind::Values,
        false if array.elements() == 1 && scores > 1 => LabelKind::Class,
        false if truths() => LabelKind::Truths,
        false => LabelKind::Values,
    }
}

fn check_classes(spec: &LabelSpec, role: &str, array: &Array) -> Result<(), DataError> {
    let classes: usize = spec.extents.iter().product();
    if array.kind.is_float() || array.elements() != 1 {
        let (found, expected) = (format!("{} of {}", array.kind.name(), array.shape()), "an integer for each sample".into());
        return Err(DataError::ArrayShape { place: array.place(role), found, expected });
    }
    let is_class = |v: f64| (0.0..classes as f64).contains(&v) || spec.ignored.is_some_and(|ignored| ignored as f64 == v);
    for row in 0..array.rows {
        if let Some(found) = array.numbers(row).find(|&v| !is_class(v)) {
            let expected = format!("a class from 0 to {}", classes.saturating_sub(1));
            return Err(DataError::ArrayValue { place: array.place(role), row, found, expected });
        }
    }
    Ok(())
}

fn check_numbers(spec: &LabelSpec, role: &str, array: &Array, expected: &str, fits: impl Fn(f64) -> bool) -> Result<(), DataError> {
    check_shape(role, &spec.extents, array)?;
    for row in 0..array.rows {
        if let Some(found) = array.numbers(row).find(|&v| !fits(v)) {
            return Err(DataError::ArrayValue { place: array.place(role), row, found, expected: expected.into() });
        }
    }
    Ok(())
}
