//! Names of classes, and datasets that are numbered by them

use crate::{Annotation, DataError, Dataset, Glance, Sample};

/// The number of each of a dataset's named classes.
pub(crate) struct Numbered {
    all: Box<dyn Dataset>,
    names: Vec<String>,
    /// By the dataset's own number.
    numbers: Vec<i64>,
}

/// The dataset with each class under the number that its name has in `names`.
///
/// # Errors
/// Images of a class that is not among `names`.
pub fn number_by_name(all: Box<dyn Dataset>, names: &[String]) -> Result<Box<dyn Dataset>, DataError> {
    if all.class_names() == names {
        return Ok(all);
    }
    let place = |name: &String| names.iter().position(|known| known == name);
    let numbers: Vec<Option<usize>> = all.class_names().iter().map(place).collect();
    let mut unknown: Vec<&str> = Vec::new();
    for index in 0..all.len() {
        let own = all.class(index).and_then(|class| usize::try_from(class).ok());
        match own.and_then(|own| Some((numbers.get(own)?, all.class_names().get(own)?))) {
            Some((None, name)) if !unknown.contains(&name.as_str()) => unknown.push(name),
            _ => {}
        }
    }
    if !unknown.is_empty() {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(DataError::UnknownClasses { data: all.describe(), unknown: some_of(&unknown), known: some_of(&known) });
    }
    // Classes without images need no number.
    let numbers = numbers.into_iter().map(|number| number.map_or(-1, |number| number as i64)).collect();
    Ok(Box::new(Numbered { all, names: names.to_vec(), numbers }))
}

/// The dataset with each class under the number that its name is, where all names are numbers below `count`.
///
/// # Errors
/// Gives the dataset back where they are not.
pub fn number_by_value(all: Box<dyn Dataset>, count: usize) -> Result<Box<dyn Dataset>, Box<dyn Dataset>> {
    let value = |name: &String| name.parse::<u32>().ok().map(|n| n as usize).filter(|n| *n < count);
    let Some(values) = all.class_names().iter().map(value).collect::<Option<Vec<usize>>>() else { return Err(all) };
    let mut names: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    for (value, name) in values.iter().zip(all.class_names()) {
        names[*value].clone_from(name);
    }
    let numbers = values.into_iter().map(|value| value as i64).collect();
    Ok(Box::new(Numbered { all, names, numbers }))
}

impl Dataset for Numbered {
    fn len(&self) -> usize {
        self.all.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let sample = self.all.sample(index)?;
        Ok(match sample.annotation {
            Annotation::Class(class) => Sample { annotation: Annotation::Class(self.number(class)), ..sample },
            _ => sample,
        })
    }

    fn describe(&self) -> String {
        self.all.describe()
    }

    fn class(&self, index: usize) -> Option<i64> {
        self.all.class(index).map(|class| self.number(class))
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        self.all.glance(index)
    }

    fn notes(&self) -> Vec<String> {
        self.all.notes()
    }
}

impl Numbered {
    fn number(&self, own: i64) -> i64 {
        usize::try_from(own).ok().and_then(|own| self.numbers.get(own)).copied().unwrap_or(-1)
    }
}

/// The first few of some names, and how many more there are.
pub(crate) fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
