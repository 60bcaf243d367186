//! Every failure of this crate, one documented variant each.

use thiserror::Error;

/// A loss could not be computed.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LossError {
    /// A label is not the number of a class.
    #[error(
        "label {label} found at position {position} of the batch, one in 0..{classes} expected; does the data set belong to this network?"
    )]
    Label {
        /// The label.
        label: i64,
        /// Its row in the batch.
        position: usize,
        /// Number of classes of the network.
        classes: usize,
    },
    /// A slice is empty or not made of whole rows.
    #[error("{what}: {values} values found, whole rows of {width} expected")]
    Rows {
        /// The slice.
        what: &'static str,
        /// Its length.
        values: usize,
        /// Length of a row.
        width: usize,
    },
    /// Two slices that belong together have different lengths.
    #[error("{what}: {found} found, {expected} expected")]
    Length {
        /// The slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length expected.
        expected: usize,
    },
    /// The loss is NaN or infinite.
    #[error("the loss is {loss}; lower the learning rate, clip the gradient, or look for broken inputs")]
    NotFinite {
        /// The loss.
        loss: f32,
    },
}
