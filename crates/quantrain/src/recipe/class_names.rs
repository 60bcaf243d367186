//! The names of classes, as a list or as a file of them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::CheckError;

/// The names of all classes, in the order of the network's outputs: a list, or a file with one on each line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of names, or a file of them in quotes")]
pub enum ClassNames {
    /// Of a text file.
    File(PathBuf),
    /// As they are.
    Names(Vec<String>),
}

impl super::table::Choices for ClassNames {}

impl FromStr for ClassNames {
    type Err = Infallible;

    /// Names with commas between them, or a file.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.contains(',') {
            true => ClassNames::Names(text.split(',').map(|name| name.trim().to_owned()).collect()),
            false => ClassNames::File(text.into()),
        })
    }
}

impl ClassNames {
    /// The names.
    ///
    /// # Errors
    /// The file cannot be read, there are no names, or one is empty or there twice.
    pub(super) fn read(&self, key: &'static str) -> Result<Vec<String>, CheckError> {
        let names: Vec<String> = match self {
            ClassNames::Names(names) => names.clone(),
            ClassNames::File(file) => {
                let text = super::text_file::read(file).map_err(|source| CheckError::ClassFile { file: file.clone(), source })?;
                text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
            }
        };
        let wrong =
            |found: String| Err(CheckError::Value { key, found, expected: "the name of each class once, in the order of the outputs" });
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => wrong(format!("`{}` twice", pair[0])),
            None if names.is_empty() => wrong("no name".into()),
            None if names.iter().any(String::is_empty) => wrong("an empty name".into()),
            None => Ok(names),
        }
    }
}
