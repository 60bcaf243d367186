//! Tables by the names of a network's inputs and outputs: `[data.input.NAME]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Data;
use super::choice::InputKind;
use super::table::Choices;

/// A table for each name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs<T>(pub BTreeMap<String, T>);

impl<T> Choices for Inputs<T> {}

/// For what files of inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputFiles {
    /// Training.
    Training,
    /// Evaluation.
    Evaluation,
    /// Calibration, where its files are others than those of training.
    Calibration,
}

/// A table `[data.input.NAME]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedInput {
    /// The input.
    pub name: String,
    /// What it is made of.
    pub kind: InputKind,
    /// The array or column.
    pub column: Option<String>,
    /// Files of its own, for training, evaluation and calibration.
    pub files: [Option<PathBuf>; 3],
    /// Whether it says what is padding.
    pub padding_mask: bool,
    /// Subtracted from an array's numbers.
    pub mean: Vec<f32>,
    /// An array's numbers are divided by it.
    pub std: Vec<f32>,
    /// How images become it.
    pub images: Box<Data>,
}

impl NamedInput {
    /// Its own file.
    pub fn file(&self, files: InputFiles) -> Option<&Path> {
        let [train, eval, calibration] = &self.files;
        match files {
            InputFiles::Training => train.as_deref(),
            InputFiles::Evaluation => eval.as_deref(),
            InputFiles::Calibration => calibration.as_deref().or(train.as_deref()),
        }
    }
}

/// A table `[data.label.NAME]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedLabel {
    /// The output.
    pub name: String,
    /// What the labels are, where it is said.
    pub kind: Option<quantrain_data::LabelKind>,
    /// The array or column.
    pub column: Option<String>,
    /// Files of their own, for training and evaluation.
    pub files: [Option<PathBuf>; 2],
}

impl NamedLabel {
    /// Their own file.
    pub fn file(&self, files: InputFiles) -> Option<&Path> {
        let [train, eval] = &self.files;
        match files {
            InputFiles::Training | InputFiles::Calibration => train.as_deref(),
            InputFiles::Evaluation => eval.as_deref(),
        }
    }
}
