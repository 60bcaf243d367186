//! How files are read

use crate::Exif;

/// How files of data are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// The columns of parquet files.
    pub columns: Columns,
    /// What is done with the orientation in JPEG and PNG files.
    pub exif: Exif,
    /// Bytes that a file may unpack to, beyond eight times its own size: of gzip, .npz and parquet.
    pub unpack_limit: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { columns: Columns::default(), exif: Exif::default(), unpack_limit: 1 << 29 }
    }
}

/// How many times its size a file unpacks to without a thought: what noise, images and text do.
const USUAL: u64 = 8;

impl ReadOptions {
    /// Bytes that a file of this size may unpack to.
    pub(super) fn limit_of(&self, file: u64) -> u64 {
        self.unpack_limit.max(file.saturating_mul(USUAL))
    }
}

/// The columns of a parquet file, where their names do not say enough. Other datasets have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// A struct with a binary `bytes`. Default: the only one, or the one named `image` or `img`.
    pub image: Option<String>,
    /// Integers. Default: `label`, `labels`, `fine_label`, `class` or `target`, if there is one.
    pub label: Option<String>,
    /// A struct with a binary `bytes`, PNG of one byte a pixel. Default: `mask`, `annotation`,
    /// `segmentation` or `label`, if there is one; it goes before labels.
    pub mask: Option<String>,
    /// A struct of lists, `bbox` of four coordinates each and, if there is one, `category` of
    /// integers. Default: `objects`, if there is neither mask nor label.
    pub boxes: Option<String>,
    /// What the coordinates of boxes are.
    pub box_form: BoxForm,
}

/// What the four coordinates of a box are, in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BoxForm {
    /// Left, top, right, bottom.
    #[default]
    Corners,
    /// Left, top, width, height.
    Size,
}
