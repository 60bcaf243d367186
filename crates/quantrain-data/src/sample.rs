//! What a dataset gives: images and what is known about them

use std::ops::Range;
use std::sync::Arc;

use crate::DataError;

/// An image of 8-bit channels, rows top to bottom, pixels left to right, channels innermost (HWC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// `height · width · channels` bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// An image of zeros: black, or class 0 for a mask.
    pub(crate) fn black(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, pixels: vec![0; height * width * channels] }
    }

    /// Bytes a row.
    pub(crate) fn stride(&self) -> usize {
        self.width * self.channels
    }

    /// The bytes of row `y`.
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.stride()..][..self.stride()]
    }

    /// Whether the fields agree with each other, as a dataset from outside may get them wrong.
    pub(crate) fn is_consistent(&self) -> bool {
        let bytes = self.height.checked_mul(self.width).and_then(|n| n.checked_mul(self.channels));
        bytes == Some(self.pixels.len()) && !self.pixels.is_empty()
    }
}

/// A rectangle around something, in pixels from the image's upper left corner, with its class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Left edge.
    pub left: f32,
    /// Upper edge.
    pub top: f32,
    /// Right edge, beyond `left`.
    pub right: f32,
    /// Lower edge, beyond `top`.
    pub bottom: f32,
    /// What is in it.
    pub class: i64,
}

/// What is known about an image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Annotation {
    /// Nothing: enough for calibration.
    None,
    /// The class of the whole image.
    Class(i64),
    /// The class of each pixel: one channel, as high and wide as the image.
    Mask(Image),
    /// What is where; augmentation moves the boxes with their image and drops those that leave it.
    Boxes(Vec<BoundingBox>),
}

/// One image with its annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The image as stored.
    pub image: Image,
    /// What is known about it.
    pub annotation: Annotation,
}

/// Samples by index, decoded when asked for. Background threads share one dataset.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes sample `index`.
    ///
    /// # Errors
    /// An index past the end, or a stored image or annotation that is missing or damaged.
    fn sample(&self, index: usize) -> Result<Sample, DataError>;

    /// One line for people: where the samples come from, how many, annotated how.
    fn describe(&self) -> String;

    /// The class of a sample as a whole, where it is known without decoding.
    fn class(&self, index: usize) -> Option<i64> {
        let _ = index;
        None
    }

    /// The names of the classes, by number; none where classes are numbers only.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// What the header of a sample's image says, without decoding it.
    ///
    /// # Errors
    /// An index past the end, an image that is missing, damaged at its start or cut off.
    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        let _ = index;
        Ok(Glance::default())
    }

    /// What people should know of the files: what was left out, what is missing.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives memory back that only samples outside `rows` need; nobody asks for these any more.
    fn keep_only(&mut self, rows: Range<usize>) {
        let _ = rows;
    }
}

/// What an image's header says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glance {
    /// Height and width as [`Dataset::sample`] gives it; none where no header tells.
    pub size: Option<[usize; 2]>,
    /// Whether the image is turned upright by its EXIF orientation.
    pub turned: bool,
}

/// A dataset that is shared.
impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        (**self).sample(index)
    }

    fn describe(&self) -> String {
        (**self).describe()
    }

    fn class(&self, index: usize) -> Option<i64> {
        (**self).class(index)
    }

    fn class_names(&self) -> &[String] {
        (**self).class_names()
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        (**self).glance(index)
    }

    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }
}
