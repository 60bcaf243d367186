//! Every failure of this crate, one documented variant each.

use thiserror::Error;

use crate::observe::ObserverKind;

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

/// An optimizer could not make a step or take up a state.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OptimizerError {
    /// A gradient holds NaN or infinity.
    #[error("the gradient of `{parameter}` is not finite; lower the learning rate, clip the gradient, or look for broken inputs")]
    NotFinite {
        /// The parameter.
        parameter: String,
    },
    /// Gradient or moments of a parameter have another length than its values.
    #[error(
        "parameter `{parameter}`: {found} gradients or moments found, {expected} expected; does the checkpoint belong to this network?"
    )]
    Length {
        /// The parameter.
        parameter: String,
        /// The length found.
        found: usize,
        /// Number of its values.
        expected: usize,
    },
    /// More or fewer parameters than in the steps before or in the checkpoint.
    #[error("{found} parameters found, {expected} expected; does the checkpoint belong to this network?")]
    ParameterCount {
        /// Parameters found.
        found: usize,
        /// Parameters expected.
        expected: usize,
    },
    /// A parameter is not the one that was at its place before.
    #[error("parameter `{found}` found, `{expected}` expected; does the checkpoint belong to this network?")]
    ParameterName {
        /// The parameter found.
        found: String,
        /// The parameter expected.
        expected: String,
    },
    /// A stored tensor is not a moment of this optimizer.
    #[error(
        "stored tensor `{tensor}` found, the moment `{moment}` of a parameter expected; was the checkpoint written with another optimizer?"
    )]
    StateTensor {
        /// The tensor, or the parameter that lacks the moment.
        tensor: String,
        /// The moment expected.
        moment: &'static str,
    },
}

/// An observer has no range to give, or does not take up a state.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ObserveError {
    /// Not one value was observed.
    #[error("no value was observed, at least one batch is needed")]
    Nothing,
    /// A value was NaN.
    #[error("NaN found among the values; look for broken weights or inputs")]
    Nan,
    /// A value was infinite.
    #[error("an infinite value found; look for broken weights or inputs")]
    Infinite,
    /// A stored state is another observer's.
    #[error("the state of a {found} observer found, of a {expected} observer expected; was the checkpoint written with another recipe?")]
    State {
        /// Whose state it is.
        found: ObserverKind,
        /// The observer that was to take it up.
        expected: ObserverKind,
    },
    /// No observer has this name.
    #[error("observer `{name}` is not known; one of min-max, moving-average, percentile, pact2, mean-squared-error expected")]
    Unknown {
        /// The name.
        name: String,
    },
}
