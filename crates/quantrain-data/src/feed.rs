//! What networks of any inputs are fed with: arrays by the names of inputs, images for those inputs that are images, and labels by output
//!
//! Files are read and checked once, when [`Feeds::open`] is called; a row of every array is a sample.

pub(crate) mod array;
mod files;
mod input;
mod label;
mod padding;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::files::{ARRAY_FILES, array_names};
pub use self::input::{ImageSource, InputSource, InputSpec, Range};
pub use self::label::{LabelKind, LabelSpec, Target, TargetValues};

use self::files::Files;
use self::input::Input;
use self::label::Label;
use self::padding::Padding;
use crate::random::Random;
use crate::{Annotation, Batch, DataError, ReadOptions};

/// Samples with a value for every input of a network.
#[derive(Clone)]
pub struct Feeds {
    inputs: Vec<Input>,
    labels: Vec<Label>,
    padding: Vec<Padding>,
    /// Whether hidden positions hold what visible ones do.
    fills: bool,
    /// The rows that are samples.
    rows: Arc<[usize]>,
    what: String,
}

impl Feeds {
    /// Reads what `inputs` want of their sources, and the labels that are there: of the sources' files, or those that a label names.
    ///
    /// # Errors
    /// A file cannot be read or lacks an array; an array has another shape, type or number of rows, or a value that the input cannot take.
    pub fn open(inputs: &[InputSpec], labels: &[LabelSpec], default: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let mut opened: Vec<(PathBuf, Files)> = Vec::new();
        let mut found = Vec::with_capacity(inputs.len());
        for spec in inputs {
            found.push(match &spec.source {
                InputSource::Array { file, name } => {
                    let files = files::opened(&mut opened, file.as_deref().unwrap_or(default), options)?;
                    let name = name.as_deref().unwrap_or(&spec.name);
                    let mut array = files.array(name)?;
                    // A .npy file has one array, whatever it is called.
                    if let (None, Some(only), true) = (&array, files.only_array(), file.is_some() || inputs.len() == 1) {
                        array = files.array(&only)?;
                    }
                    Input::of_array(spec, array.ok_or_else(|| files.no_array(name, &spec.role()))?)?
                }
                InputSource::Images(images) => Input::of_images(spec, images, default, options)?,
            });
        }
        let mut known = Vec::new();
        for spec in labels {
            known.extend(find_label(spec, inputs, default, &mut opened, options)?);
        }
        let length = found.first().map_or(0, Input::len);
        for (input, spec) in found.iter().zip(inputs) {
            input.check_length(&spec.role(), length, &inputs[0].role())?;
        }
        known.iter().try_for_each(|label| label.check_length(length, &inputs[0].role()))?;
        if length == 0 {
            return Err(DataError::Empty { path: default.into() });
        }
        let what = found.iter().map(Input::describe).chain(known.iter().map(Label::describe)).collect::<Vec<_>>().join(", ");
        Ok(Feeds { inputs: found, labels: known, padding: Padding::of(inputs), fills: false, rows: (0..length).collect(), what })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The samples of these indices.
    #[must_use]
    pub fn select(&self, indices: impl Iterator<Item = usize>) -> Self {
        let rows = indices.filter_map(|i| self.rows.get(i).copied()).collect();
        Feeds { rows, ..self.clone() }
    }

    /// The same samples without their labels.
    #[must_use]
    pub fn without_labels(&self) -> Self {
        let inputs = self.inputs.iter().map(Input::without_classes).collect();
        Feeds { labels: Vec::new(), inputs, ..self.clone() }
    }

    /// The same samples, where positions that a padding mask hides hold what visible ones of the sample hold: so they widen no range.
    #[must_use]
    pub fn filling_padding(&self) -> Self {
        Feeds { fills: true, ..self.clone() }
    }

    /// Whether there are labels.
    pub fn has_labels(&self) -> bool {
        !self.labels.is_empty() || self.inputs.iter().any(Input::has_classes)
    }

    /// One line for people: which arrays, of what shape, and which labels.
    pub fn describe(&self) -> String {
        format!("{} samples: {}", self.len(), self.what)
    }

    /// The class of a sample by the first output's labels, where they are classes.
    pub(crate) fn class(&self, index: usize) -> Option<i64> {
        let row = *self.rows.get(index)?;
        self.labels.iter().find_map(|label| label.class(row)).or_else(|| self.inputs.iter().find_map(|input| input.class(row)))
    }

    /// Makes a batch of the samples in `batch.indices`, in the buffers that it has.
    pub(crate) fn fill(&self, batch: &mut Batch, random: impl Fn(usize) -> Random) -> Result<(), DataError> {
        let rows: Vec<usize> = batch.indices.iter().filter_map(|&i| self.rows.get(i).copied()).collect();
        batch.feeds.resize_with(self.inputs.len(), Vec::new);
        for (input, values) in self.inputs.iter().zip(&mut batch.feeds) {
            values.clear();
            for &row in &rows {
                let annotation = input.read(row, &mut random(row), values)?;
                if let (Annotation::Class(class), true) = (annotation, self.labels.is_empty()) {
                    batch.labels.push(class);
                }
            }
        }
        for padding in self.padding.iter().filter(|_| self.fills) {
            let mask = std::mem::take(&mut batch.feeds[padding.mask]);
            let values = &mut batch.feeds[padding.input];
            let (of_mask, of_values) = (mask.len() / rows.len().max(1), values.len() / rows.len().max(1));
            for (mask, values) in mask.chunks_exact(of_mask.max(1)).zip(values.chunks_exact_mut(of_values.max(1))) {
                padding.fill(mask, values);
            }
            batch.feeds[padding.mask] = mask;
        }
        batch.targets.clear();
        for label in &self.labels {
            match label.read(&rows) {
                Target { output: 0, values: TargetValues::Classes(classes) } => batch.labels = classes,
                target => batch.targets.push(target),
            }
        }
        Ok(())
    }
}

/// The labels of an output: in their own file, or in one of the others.
fn find_label(
    spec: &LabelSpec,
    inputs: &[InputSpec],
    default: &Path,
    opened: &mut Vec<(PathBuf, Files)>,
    options: &ReadOptions,
) -> Result<Option<Label>, DataError> {
    if let Some(file) = &spec.file {
        let files = files::opened(opened, file, options)?;
        let label = Label::find(spec, files, inputs)?;
        return label.map_or_else(|| Err(files.no_array(spec.wanted(), &spec.role())), |label| Ok(Some(label)));
    }
    match files::opened(opened, default, options) {
        // Images have their classes with them.
        Ok(_) | Err(DataError::NoArrays { .. }) => {}
        Err(error) => return Err(error),
    }
    for (_, files) in opened.iter_mut() {
        if let Some(label) = Label::find(spec, files, inputs)? {
            return Ok(Some(label));
        }
    }
    match (&spec.column, opened.first()) {
        (None, _) => Ok(None),
        (Some(name), Some((_, files))) => Err(files.no_array(name, &spec.role())),
        (Some(_), None) => Err(DataError::NoArrays { path: default.into() }),
    }
}

#[cfg(test)]
mod tests;
