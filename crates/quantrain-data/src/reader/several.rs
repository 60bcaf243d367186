//! Datasets one after the other

use crate::classes::number_by_name;
use crate::{DataError, Dataset, Glance, Sample};

/// Parts that are one dataset.
pub(super) struct Several {
    parts: Vec<Box<dyn Dataset>>,
    /// The index at which each part ends.
    ends: Vec<usize>,
    names: Vec<String>,
}

impl Several {
    /// Where all parts have named classes, a name has one number in all of them.
    pub(super) fn new(mut parts: Vec<Box<dyn Dataset>>) -> Result<Self, DataError> {
        let mut names = Vec::new();
        if parts.iter().all(|part| !part.class_names().is_empty()) {
            names = parts.iter().flat_map(|part| part.class_names().iter().cloned()).collect();
            names.sort();
            names.dedup();
            parts = parts.into_iter().map(|part| number_by_name(part, &names)).collect::<Result<_, _>>()?;
        }
        let mut end = 0;
        let ends = parts.iter().map(|part| {
            end += part.len();
            end
        });
        Ok(Self { ends: ends.collect(), parts, names })
    }

    /// The part that holds a sample, and the sample's index there.
    fn part(&self, index: usize) -> Result<(&dyn Dataset, usize), DataError> {
        let part = self.ends.partition_point(|&end| end <= index);
        match self.parts.get(part) {
            Some(found) => Ok((&**found, index - (self.ends[part] - found.len()))),
            None => Err(DataError::OutOfRange { index, length: self.len() }),
        }
    }
}

impl Dataset for Several {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let (part, index) = self.part(index)?;
        part.sample(index)
    }

    fn describe(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| part.describe()).collect();
        format!("{} samples of {} files: {}", self.len(), parts.len(), parts.join("; "))
    }

    fn class(&self, index: usize) -> Option<i64> {
        let (part, index) = self.part(index).ok()?;
        part.class(index)
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        let (part, index) = self.part(index)?;
        part.glance(index)
    }

    fn notes(&self) -> Vec<String> {
        self.parts.iter().flat_map(|part| part.notes()).collect()
    }
}
