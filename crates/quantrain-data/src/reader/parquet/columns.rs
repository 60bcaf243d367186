//! Which columns hold images, labels, masks and boxes

use std::path::Path;

use parquet::basic::Type;
use parquet::schema::types::SchemaDescriptor;

use super::boxes::BoxLeaves;
use super::{Columns, Leaf};
use crate::DataError;

const IMAGE: &[&str] = &["image", "img"];
const LABEL: &[&str] = &["label", "labels", "fine_label", "class", "target"];
const MASK: &[&str] = &["mask", "annotation", "segmentation", "label"];

const BOXES: &[&str] = &["objects"];
const COORDINATES: &str = "bbox";
const CLASSES: &[&str] = &["category", "categories", "label", "labels"];

/// A column of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageLeaf {
    pub bytes: Leaf,
    /// Of files with the images that have no bytes.
    pub path: Option<Leaf>,
}

impl Named for ImageLeaf {
    fn name(&self) -> &str {
        &self.bytes.name
    }
}

impl Named for Leaf {
    fn name(&self) -> &str {
        &self.name
    }
}

/// What has a name in the table.
trait Named: Clone {
    fn name(&self) -> &str;
}

/// The columns of a file by what they can be.
pub(super) struct Leaves {
    /// All top-level names, for messages.
    names: Vec<String>,
    /// Structs with `bytes`, under the struct's name.
    images: Vec<ImageLeaf>,
    /// Integers.
    integers: Vec<Leaf>,
    /// Lists of lists named `bbox` in a struct, under the struct's name, with the lists of classes beside them.
    boxes: Vec<BoxLeaves>,
}

impl Leaves {
    pub(super) fn new(schema: &SchemaDescriptor) -> Self {
        let fields = schema.root_schema().get_fields();
        let names = fields.iter().map(|field| field.name().to_owned()).collect();
        let (mut images, mut integers, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for (index, column) in schema.columns().iter().enumerate() {
            let kind = column.physical_type();
            // A value for each row: nothing within lists.
            match column.path().parts() {
                _ if column.max_rep_level() > 0 => {}
                [name, bytes] if bytes == "bytes" && kind == Type::BYTE_ARRAY => {
                    images.push(ImageLeaf { bytes: Leaf { index, name: name.clone() }, path: None });
                }
                [name, path] if path == "path" && kind == Type::BYTE_ARRAY => {
                    paths.push(Leaf { index, name: name.clone() });
                }
                [name] if matches!(kind, Type::INT32 | Type::INT64) => {
                    integers.push(Leaf { index, name: name.clone() });
                }
                _ => {}
            }
        }
        for image in &mut images {
            image.path = paths.iter().find(|path| path.name == image.bytes.name).cloned();
        }
        Self { names, images, integers, boxes: boxes(schema) }
    }
}

/// Whatever the lists between are called: a list of structs has the same leaves as a struct of lists.
fn boxes(schema: &SchemaDescriptor) -> Vec<BoxLeaves> {
    let nested = |names: &[&str], depth: i16, kinds: &[Type]| {
        let columns = schema.columns().iter().enumerate();
        let found = columns.filter(|(_, column)| {
            let within = column.path().parts().iter().skip(1).any(|part| names.contains(&part.as_str()));
            within && column.max_rep_level() == depth && kinds.contains(&column.physical_type())
        });
        found.map(|(index, column)| Leaf { index, name: column.path().parts()[0].clone() }).collect::<Vec<_>>()
    };
    let classes = nested(CLASSES, 1, &[Type::INT32, Type::INT64]);
    let coordinates = nested(&[COORDINATES], 2, &[Type::FLOAT, Type::DOUBLE, Type::INT32, Type::INT64]);
    let with_classes = |leaf: Leaf| BoxLeaves { classes: classes.iter().find(|c| c.name == leaf.name).cloned(), coordinates: leaf };
    coordinates.into_iter().map(with_classes).collect()
}

/// The columns to read.
pub(super) struct Picked {
    pub image: ImageLeaf,
    pub label: Option<Leaf>,
    pub mask: Option<ImageLeaf>,
    pub boxes: Option<BoxLeaves>,
}

impl Picked {
    pub(super) fn new(file: &Path, leaves: &Leaves, columns: &Columns) -> Result<Self, DataError> {
        if let (Some(label), Some(mask)) = (&columns.label, &columns.mask) {
            let (label, mask) = (label.clone(), mask.clone());
            return Err(DataError::TwoAnnotations { file: file.into(), label, mask });
        }
        let missing = |column: &str, expected| DataError::NoColumn {
            file: file.into(),
            column: column.into(),
            expected,
            columns: leaves.names.clone(),
        };
        let image = match &columns.image {
            Some(name) => named(name, &leaves.images).ok_or_else(|| missing(name, "a struct with `bytes`"))?,
            None => find_image(file, leaves)?,
        };
        let masks: Vec<ImageLeaf> = leaves.images.iter().filter(|leaf| **leaf != image).cloned().collect();
        let mask = match (&columns.mask, &columns.label) {
            (Some(name), _) => Some(named(name, &masks).ok_or_else(|| missing(name, "a struct with `bytes`"))?),
            (None, Some(_)) => None,
            (None, None) if columns.boxes.is_some() => None,
            (None, None) => first(MASK, &masks),
        };
        let label = match &columns.label {
            Some(name) => Some(named(name, &leaves.integers).ok_or_else(|| missing(name, "integers"))?),
            None if mask.is_some() => None,
            None if columns.boxes.is_some() => None,
            None => first(LABEL, &leaves.integers),
        };
        let of_name = |name: &str| leaves.boxes.iter().find(|b| b.coordinates.name == name).cloned();
        let boxes = match &columns.boxes {
            Some(name) => Some(of_name(name).ok_or_else(|| missing(name, "a struct of lists with `bbox`"))?),
            None if mask.is_some() || label.is_some() => None,
            None => BOXES.iter().find_map(|name| of_name(name)),
        };
        Ok(Self { image, label, mask, boxes })
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        let boxes = self.boxes.iter().flat_map(|boxes| [Some(&boxes.coordinates), boxes.classes.as_ref()]);
        let images = [Some(&self.image), self.mask.as_ref()].into_iter().flatten();
        images.flat_map(|image| [Some(&image.bytes), image.path.as_ref()]).flatten().chain(self.label.as_ref()).chain(boxes.flatten())
    }
}

fn named<L: Named>(name: &str, among: &[L]) -> Option<L> {
    among.iter().find(|leaf| leaf.name() == name).cloned()
}

/// The first of the usual names that is there.
fn first<L: Named>(names: &[&str], among: &[L]) -> Option<L> {
    names.iter().find_map(|name| named(name, among))
}

fn find_image(file: &Path, leaves: &Leaves) -> Result<ImageLeaf, DataError> {
    if let Some(leaf) = first(IMAGE, &leaves.images) {
        return Ok(leaf);
    }
    match leaves.images.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(DataError::NoImageColumn { file: file.into(), columns: leaves.names.clone() }),
        several => {
            Err(DataError::SeveralImageColumns { file: file.into(), columns: several.iter().map(|leaf| leaf.bytes.name.clone()).collect() })
        }
    }
}
