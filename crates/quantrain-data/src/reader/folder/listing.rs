//! The images of a folder, and what else lies there

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::super::{Entry, list};
use crate::DataError;

/// Endings of the images that are read, in lower case.
const READ: [&str; 3] = ["jpg", "jpeg", "png"];

/// How many files were left out, by ending.
#[derive(Default)]
pub(super) struct LeftOut(BTreeMap<String, usize>);

impl LeftOut {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, kind: String) {
        *self.0.entry(kind).or_default() += 1;
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// The images and the folders directly in a folder, by name. What is hidden, or of a kind that is not read, is counted.
pub(super) fn look_into(folder: &Path, left_out: &mut LeftOut) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let (mut images, mut folders) = (Vec::new(), Vec::new());
    for Entry { path, is_folder } in list(folder)? {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let is_image = ending.as_ref().is_some_and(|ending| READ.contains(&ending.as_str()));
        match (is_folder, hidden) {
            (true, false) => folders.push(path),
            (false, false) if is_image => images.push(path),
            (false, false) => left_out.add(ending.map_or("without an ending".into(), |ending| format!(".{ending}"))),
            (false, true) if is_image => left_out.add("hidden".into()),
            _ => {}
        }
    }
    Ok((images, folders))
}
