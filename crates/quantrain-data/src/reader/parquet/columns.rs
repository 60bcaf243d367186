//! Which columns hold images, labels and masks

use std::path::Path;

use parquet::basic::Type;
use parquet::schema::types::SchemaDescriptor;

use super::{Columns, Leaf};
use crate::DataError;

const IMAGE: &[&str] = &["image", "img"];
const LABEL: &[&str] = &["label", "labels", "fine_label", "class", "target"];
const MASK: &[&str] = &["mask", "annotation", "segmentation", "label"];

/// The columns of a file by what they can be.
pub(super) struct Leaves {
    /// All top-level names, for messages.
    names: Vec<String>,
    /// `bytes` of a struct, under the struct's name.
    images: Vec<Leaf>,
    /// Integers.
    integers: Vec<Leaf>,
}

impl Leaves {
    pub(super) fn new(schema: &SchemaDescriptor) -> Self {
        let fields = schema.root_schema().get_fields();
        let names = fields.iter().map(|field| field.name().to_owned()).collect();
        let (mut images, mut integers) = (Vec::new(), Vec::new());
        for (index, column) in schema.columns().iter().enumerate() {
            let kind = column.physical_type();
            // A value for each row: nothing within lists.
            match column.path().parts() {
                _ if column.max_rep_level() > 0 => {}
                [name, bytes] if bytes == "bytes" && kind == Type::BYTE_ARRAY => {
                    images.push(Leaf { index, name: name.clone() });
                }
                [name] if matches!(kind, Type::INT32 | Type::INT64) => {
                    integers.push(Leaf { index, name: name.clone() });
                }
                _ => {}
            }
        }
        Self { names, images, integers }
    }
}

/// The columns to read.
pub(super) struct Picked {
    pub image: Leaf,
    pub label: Option<Leaf>,
    pub mask: Option<Leaf>,
}

impl Picked {
    pub(super) fn new(file: &Path, leaves: &Leaves, columns: &Columns) -> Result<Self, DataError> {
        if let (Some(label), Some(mask)) = (&columns.label, &columns.mask) {
            let (label, mask) = (label.clone(), mask.clone());
            return Err(DataError::TwoAnnotations { file: file.into(), label, mask });
        }
        let missing = |column: &String, expected| DataError::NoColumn {
            file: file.into(),
            column: column.clone(),
            expected,
            columns: leaves.names.clone(),
        };
        let named = |name: &String, among: &[Leaf], expected| {
            let found = among.iter().find(|leaf| leaf.name == *name).cloned();
            found.ok_or_else(|| missing(name, expected))
        };
        let image = match &columns.image {
            Some(name) => named(name, &leaves.images, "a struct with `bytes`")?,
            None => find_image(file, leaves)?,
        };
        let masks: Vec<Leaf> = leaves.images.iter().filter(|leaf| **leaf != image).cloned().collect();
        let mask = match (&columns.mask, &columns.label) {
            (Some(name), _) => Some(named(name, &masks, "a struct with `bytes`")?),
            (None, Some(_)) => None,
            (None, None) => first(MASK, &masks),
        };
        let label = match &columns.label {
            Some(name) => Some(named(name, &leaves.integers, "integers")?),
            None if mask.is_some() => None,
            None => first(LABEL, &leaves.integers),
        };
        Ok(Self { image, label, mask })
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        [Some(&self.image), self.label.as_ref(), self.mask.as_ref()].into_iter().flatten()
    }
}

/// The first of the usual names that is there.
fn first(names: &[&str], among: &[Leaf]) -> Option<Leaf> {
    names.iter().find_map(|name| among.iter().find(|leaf| leaf.name == *name)).cloned()
}

fn find_image(file: &Path, leaves: &Leaves) -> Result<Leaf, DataError> {
    if let Some(leaf) = first(IMAGE, &leaves.images) {
        return Ok(leaf);
    }
    match leaves.images.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(DataError::NoImageColumn { file: file.into(), columns: leaves.names.clone() }),
        several => {
            Err(DataError::SeveralImageColumns { file: file.into(), columns: several.iter().map(|leaf| leaf.name.clone()).collect() })
        }
    }
}
