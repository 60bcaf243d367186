//! Outputs that nothing computes: constants, and inputs as they come. Nothing runs for them, and an exported file has them unchanged.

use crate::graph::{ElementType, TensorId};

/// An output that is handed out as it is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOutput {
    /// Its position among all outputs of the file.
    pub position: usize,
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub kind: ElementType,
    /// What it is.
    pub value: Passed,
}

/// Where the elements of a [`PassedOutput`] are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// An input.
    Input(TensorId),
    /// The file itself.
    Constant {
        /// The extents.
        shape: Vec<usize>,
        /// Row-major elements, little-endian.
        bytes: Vec<u8>,
    },
}
