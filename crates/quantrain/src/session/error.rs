//! What a session refuses.

use thiserror::Error;

/// A call does not fit a session's network, or the calls before it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// No input has this name.
    #[error("no input is named `{name}`, one of {} expected{}", inputs.join(", "), meant.as_ref().map_or(String::new(), |m| format!("; did you mean `{m}`?")))]
    UnknownInput {
        /// The name.
        name: String,
        /// The inputs there are.
        inputs: Vec<String>,
        /// The one most like it.
        meant: Option<String>,
    },
    /// An input is fed twice.
    #[error("input `{name}` is fed twice; feed each input once")]
    RepeatedInput {
        /// Its name.
        name: String,
    },
    /// An input is not fed.
    #[error("input `{name}` is not fed; feed every input by its name")]
    MissingInput {
        /// Its name.
        name: String,
    },
    /// Extents are not those of the network.
    #[error("{what}: shape {found:?} found, {expected} expected")]
    Shape {
        /// What has them.
        what: String,
        /// Extents found.
        found: Vec<usize>,
        /// Extents expected.
        expected: String,
    },
    /// There is not a gradient for each output.
    #[error("{found} gradients found, one for each of the {expected} outputs expected")]
    GradientCount {
        /// Gradients found.
        found: usize,
        /// Outputs of the network.
        expected: usize,
    },
    /// A gradient that is NaN or infinite.
    #[error("the gradient of output `{output}` holds NaN or an infinity; is the loss finite?")]
    NotFinite {
        /// The output.
        output: String,
    },
    /// Nothing to go back from.
    #[error(
        "backward without a forward in training before it: each forward has one backward, and no other forward, calibration or evaluation \
         between the two"
    )]
    NoForward,
    /// An optimizer's step without gradients.
    #[error("a step without a backward before it")]
    NoBackward,
    /// Parameters will change their place.
    #[error(
        "calibrate first: {layers} layers get a BatchNormalization then, which changes the parameters (restore-batch-norm = false leaves \
         them as they are)"
    )]
    NotRestored {
        /// Layers without BatchNormalization.
        layers: usize,
    },
    /// A calibration was not begun.
    #[error("no calibration was begun")]
    NoCalibration,
    /// No parameter or statistic has this name.
    #[error("no parameter or statistic is named `{name}`{}", meant.as_ref().map_or(String::new(), |m| format!("; did you mean `{m}`?")))]
    UnknownParameter {
        /// The name.
        name: String,
        /// The one most like it.
        meant: Option<String>,
    },
    /// An epoch past the last.
    #[error("epoch {epoch} of {of} found, one from 0 to below {of} expected")]
    Epoch {
        /// The epoch.
        epoch: u32,
        /// Number of epochs.
        of: u32,
    },
    /// The network is not quantized.
    #[error("the network is not quantized (quantization.enabled = false): there is nothing to {what}")]
    NotQuantized {
        /// What was asked.
        what: &'static str,
    },
    /// The number of threads cannot be had.
    #[error("threads: {message}; ask for fewer")]
    Threads {
        /// What the system says.
        message: String,
    },
}
