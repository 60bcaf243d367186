//! One input: where its values come from, what it takes, and how a row becomes it

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::array::Array;
use crate::preprocess::Pipeline;
use crate::random::Random;
use crate::reader::Columns;
use crate::{Annotation, DataError, Dataset, Image, Preprocess, ReadOptions};

/// Whole numbers up to here are floats of 32 bits, which networks compute in.
const LARGEST_WHOLE: f64 = (1 << 24) as f64;

/// What an input takes, and where that is.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Its name in the network.
    pub name: String,
    /// Extents of a sample, as in ONNX.
    pub extents: Vec<usize>,
    /// The axes of a sample in the order that the network has in memory.
    pub order: Vec<usize>,
    /// The name of its type.
    pub kind: &'static str,
    /// What it takes besides finite numbers; `None` where it is no type of integers.
    pub range: Option<Range>,
    /// Where its values are.
    pub source: InputSource,
    /// Subtracted from the numbers of an array: one, or one for each index of the first axis of a sample.
    pub mean: Vec<f32>,
    /// The numbers of an array are divided by it, after the mean: as many.
    pub std: Vec<f32>,
    /// Whether it says which positions are padding: those where it is 0.
    pub padding_mask: bool,
}

/// Whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// What the limits are of, in words.
    pub of: &'static str,
}

/// Where the values of an input are.
#[derive(Clone, Debug, PartialEq)]
pub enum InputSource {
    /// In an array of a file; by default of the data's file and the input's name.
    Array {
        /// The file.
        file: Option<PathBuf>,
        /// The name of the array.
        name: Option<String>,
    },
    /// In images.
    Images(ImageSource),
}

/// Images, and what is made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSource {
    /// The file or folder; by default the data's.
    pub file: Option<PathBuf>,
    /// The column in parquet files.
    pub column: Option<String>,
    /// How they become the input.
    pub preprocess: Preprocess,
    /// Height, width and channels that they must have then.
    pub size: [usize; 3],
}

impl InputSpec {
    /// What it is, for messages.
    pub(super) fn role(&self) -> String {
        format!("input `{}`", self.name)
    }
}

/// An input with its values.
#[derive(Clone)]
pub(super) struct Input {
    values: Values,
    what: String,
}

/// How numbers are scaled.
#[derive(Clone)]
struct Scale {
    /// Mean and standard deviation: one of each, or one for each index of the first axis.
    pairs: Arc<[(f32, f32)]>,
    /// Numbers that follow each other and share one.
    run: usize,
}

#[derive(Clone)]
enum Values {
    Array {
        array: Arc<Array>,
        /// Of each place in memory the place in a row, where they differ.
        places: Option<Arc<[usize]>>,
        scale: Option<Scale>,
    },
    Images {
        images: Arc<dyn Dataset>,
        pipeline: Arc<Pipeline>,
        size: [usize; 3],
        /// Whether their classes are labels.
        has_classes: bool,
    },
}

impl Input {
    pub fn of_array(spec: &InputSpec, array: Array) -> Result<Self, DataError> {
        check_shape(&spec.role(), &spec.extents, &array)?;
        check_values(spec, &array)?;
        let scale = scale(spec)?;
        let what = format!("`{}` from {} {}", spec.name, array.kind.name(), array.shape());
        let places = places(&spec.extents, &spec.order);
        Ok(Input { values: Values::Array { array: Arc::new(array), places, scale }, what })
    }

    pub fn of_images(spec: &InputSpec, source: &ImageSource, default: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let columns = Columns { image: source.column.clone().or(options.columns.image.clone()), ..options.columns.clone() };
        let path = source.file.as_deref().unwrap_or(default);
        let images: Arc<dyn Dataset> = Arc::from(crate::open(path, &ReadOptions { columns, ..options.clone() })?);
        let pipeline = Arc::new(Pipeline::new(&source.preprocess, None)?);
        let what = format!("`{}` from {}", spec.name, images.describe());
        let has_classes = images.class(0).is_some();
        Ok(Input { values: Values::Images { images, pipeline, size: source.size, has_classes }, what })
    }

    pub fn describe(&self) -> String {
        self.what.clone()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Array { array, .. } => array.rows,
            Values::Images { images, .. } => images.len(),
        }
    }

    /// Refuses another number of samples than the first input has.
    pub fn check_length(&self, role: &str, expected: usize, of: &str) -> Result<(), DataError> {
        let (found, expected) = (self.len(), expected);
        if found == expected {
            return Ok(());
        }
        Err(match &self.values {
            Values::Array { array, .. } => length_error(array, role, expected, of),
            Values::Images { images, .. } => {
                DataError::SampleCounts { what: format!("{role}: {}", images.describe()), found, expected, of: of.into() }
            }
        })
    }

    /// Whether its images have classes that are labels.
    pub fn has_classes(&self) -> bool {
        matches!(self.values, Values::Images { has_classes: true, .. })
    }

    pub fn without_classes(&self) -> Self {
        let mut input = self.clone();
        if let Values::Images { has_classes, .. } = &mut input.values {
            *has_classes = false;
        }
        input
    }

    /// The class of a row, by its image.
    pub fn class(&self, row: usize) -> Option<i64> {
        match &self.values {
            Values::Images { images, has_classes: true, .. } => images.class(row),
            _ => None,
        }
    }

    /// Adds the values of a row, as the network has them in memory; gives what is known of an image.
    pub fn read(&self, row: usize, random: &mut Random, to: &mut Vec<f32>) -> Result<Annotation, DataError> {
        match &self.values {
            Values::Array { array, places, scale } => {
                let first = to.len();
                match places {
                    None => to.extend(array.numbers(row).map(|v| v as f32)),
                    Some(places) => {
                        let numbers: Vec<f32> = array.numbers(row).map(|v| v as f32).collect();
                        to.extend(places.iter().filter_map(|&at| numbers.get(at)));
                    }
                }
                if let Some(Scale { pairs, run }) = scale {
                    let place = |i: usize| places.as_ref().map_or(i, |places| places[i]);
                    for (i, v) in to[first..].iter_mut().enumerate() {
                        let (mean, std) = pairs[place(i) / run % pairs.len()];
                        *v = (*v - mean) / std;
                    }
                }
                Ok(Annotation::None)
            }
            Values::Images { images, pipeline, size, has_classes } => {
                let sample = pipeline.prepare(row, images.sample(row)?, random)?;
                let Image { height, width, channels, ref pixels } = sample.image;
                let found = [height, width, channels];
                if found != *size {
                    return Err(DataError::OtherSize { found, expected: *size });
                }
                let first = to.len();
                to.resize(first + pixels.len(), 0.0);
                pipeline.values(&sample.image, &mut to[first..]);
                Ok(if *has_classes { sample.annotation } else { Annotation::None })
            }
        }
    }
}

/// Refuses rows of other extents; those of 1 may be missing.
pub(super) fn check_shape(role: &str, extents: &[usize], array: &Array) -> Result<(), DataError> {
    let longer = |extents: &[usize]| extents.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    if longer(extents) == longer(&array.extents) {
        return Ok(());
    }
    let expected = std::iter::once("N".to_owned()).chain(extents.iter().map(usize::to_string)).collect::<Vec<_>>().join("x");
    Err(DataError::ArrayShape { place: array.place(role), found: array.shape(), expected: format!("{expected}, a row for each sample,") })
}

/// The error for another number of rows.
pub(super) fn length_error(array: &Array, role: &str, expected: usize, of: &str) -> DataError {
    let what = format!("{}: array `{}` for {role}", array.file.display(), array.name);
    DataError::SampleCounts { what, found: array.rows, expected, of: of.into() }
}

fn check_values(spec: &InputSpec, array: &Array) -> Result<(), DataError> {
    if spec.range.is_some() && array.kind.is_float() {
        return Err(DataError::ArrayType {
            place: array.place(&spec.role()),
            found: array.kind.name(),
            expected: format!("integers or bool, as the input is {},", spec.kind),
        });
    }
    let wrong = |row, found: f64, expected: String| DataError::ArrayValue { place: array.place(&spec.role()), row, found, expected };
    for row in 0..array.rows {
        for v in array.numbers(row) {
            match spec.range {
                None if !(v as f32).is_finite() => return Err(wrong(row, v, "a finite number of 32 bits".into())),
                Some(range) if !(range.least..=range.greatest).contains(&v) => {
                    return Err(wrong(row, v, format!("{} to {} ({})", range.least, range.greatest, range.of)));
                }
                Some(_) if v.abs() > LARGEST_WHOLE => {
                    return Err(wrong(row, v, "a whole number up to 16777216, as networks compute in float32".into()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What the numbers are shifted and divided by.
fn scale(spec: &InputSpec) -> Result<Option<Scale>, DataError> {
    if spec.mean == [0.0] && spec.std == [1.0] {
        return Ok(None);
    }
    let first = spec.extents.first().copied().unwrap_or(1);
    let count = spec.mean.len().max(spec.std.len());
    let at = |values: &[f32], i: usize| if values.len() == 1 { values[0] } else { values[i] };
    let fits = |values: &[f32]| values.len() == 1 || values.len() == first;
    if !fits(&spec.mean) || !fits(&spec.std) {
        return Err(DataError::ScaleCount { input: spec.name.clone(), found: count, expected: first });
    }
    let pairs = (0..count).map(|i| (at(&spec.mean, i), at(&spec.std, i))).collect();
    let run = if count == 1 { 1 } else { spec.extents.iter().skip(1).product::<usize>().max(1) };
    Ok(Some(Scale { pairs, run }))
}

/// Of each place in memory the place in a row; `None` where all are the same.
pub(super) fn places(extents: &[usize], order: &[usize]) -> Option<Arc<[usize]>> {
    if order.is_sorted() || order.len() != extents.len() {
        return None;
    }
    let stride = |axis: usize| extents[axis + 1..].iter().product::<usize>();
    let mut places = vec![0];
    for &axis in order {
        places = places.iter().flat_map(|&at| (0..extents[axis]).map(move |i| at + i * stride(axis))).collect();
    }
    Some(places.into())
}
