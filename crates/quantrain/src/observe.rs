//! Observers: the range of a tensor from the values that pass by.
//!
//! An [`Observer`] streams: its memory does not grow with the number of samples, and its whole state is an [`ObserverState`] that a
//! checkpoint can hold. What it finds depends on the images and not on the batches they came in. Ranges are those of the values; that a range contains 0, or ends at a power of two, is the work of
//! [`quantrain_graph::Quantizer`]. A value that is NaN or infinite makes every later [`Observer::range`] an error.

mod average;
mod candidates;
mod entropy;
mod extrema;
mod histogram;
mod mean_squared_error;
mod min_max;
mod moving_average;
mod pact2;
mod percentile;

pub use entropy::Entropy;
pub use mean_squared_error::MeanSquaredError;
pub use min_max::MinMax;
pub use moving_average::MovingAverage;
pub use pact2::Pact2;
pub use percentile::Percentile;

use std::fmt;
use std::str::FromStr;

use quantrain_graph::{Range, Scheme};
use serde::{Deserialize, Serialize};

use crate::ObserveError;

/// Watches one tensor.
pub trait Observer: Send {
    /// Takes up the values of so many images, one image after the other; no values count for nothing.
    fn observe(&mut self, x: &[f32], images: usize);

    /// The range so far.
    ///
    /// # Errors
    /// Nothing was observed, or a value was NaN or infinite.
    fn range(&self) -> Result<Range, ObserveError>;

    /// Whether the extrema of the next so many images say as much as their values, so that a fused pass may spare these.
    fn needs_only_extrema(&self, _images: usize) -> bool {
        false
    }

    /// Takes up so many images by their smallest and largest value. Exact where [`Observer::needs_only_extrema`] says so; elsewhere the images
    /// count as these two values.
    fn observe_extrema(&mut self, extrema: Range, images: usize) {
        self.observe(&[extrema.min, extrema.max], images);
    }

    /// Goes on from a range that another observer found over so many images; nothing was observed here before.
    fn start_from(&mut self, range: Range, images: u64) {
        self.observe_extrema(range, usize::try_from(images).unwrap_or(usize::MAX));
    }

    /// All that the observer remembers.
    fn state(&self) -> ObserverState;

    /// Goes on where a state left off, with the parameters it was taken with.
    ///
    /// # Errors
    /// The state is another observer's; nothing changes then.
    fn restore(&mut self, state: ObserverState) -> Result<(), ObserveError>;
}

/// The state of an observer, of a size that does not depend on the values seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObserverState {
    /// Of a [`MinMax`].
    MinMax(MinMax),
    /// Of a [`MovingAverage`].
    MovingAverage(MovingAverage),
    /// Of a [`Percentile`].
    Percentile(Percentile),
    /// Of a [`Pact2`].
    Pact2(Pact2),
    /// Of a [`MeanSquaredError`].
    MeanSquaredError(MeanSquaredError),
    /// Of an [`Entropy`].
    Entropy(Entropy),
}

impl ObserverState {
    /// Whose state it is.
    pub fn kind(&self) -> ObserverKind {
        match self {
            ObserverState::MinMax(_) => ObserverKind::MinMax,
            ObserverState::MovingAverage(_) => ObserverKind::MovingAverage,
            ObserverState::Percentile(_) => ObserverKind::Percentile,
            ObserverState::Pact2(_) => ObserverKind::Pact2,
            ObserverState::MeanSquaredError(_) => ObserverKind::MeanSquaredError,
            ObserverState::Entropy(_) => ObserverKind::Entropy,
        }
    }
}

/// `state` and `restore` are the same for all: the struct is its own state.
macro_rules! state_is_self {
    ($kind:ident) => {
        fn state(&self) -> crate::observe::ObserverState {
            crate::observe::ObserverState::$kind(self.clone())
        }

        fn restore(&mut self, state: crate::observe::ObserverState) -> Result<(), crate::ObserveError> {
            match state {
                crate::observe::ObserverState::$kind(state) => *self = state,
                other => return Err(crate::ObserveError::State { found: other.kind(), expected: crate::observe::ObserverKind::$kind }),
            }
            Ok(())
        }
    };
}
use state_is_self;

/// The observers, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObserverKind {
    /// [`MinMax`].
    MinMax,
    /// [`MovingAverage`].
    MovingAverage,
    /// [`Percentile`].
    Percentile,
    /// [`Pact2`].
    Pact2,
    /// [`MeanSquaredError`].
    MeanSquaredError,
    /// [`Entropy`].
    Entropy,
    /// A [`Percentile`] that calibration chooses by what it does to the outputs.
    Measured,
}

impl ObserverKind {
    /// Every observer.
    pub const ALL: [ObserverKind; 7] = [
        ObserverKind::Measured,
        ObserverKind::MinMax,
        ObserverKind::MovingAverage,
        ObserverKind::Percentile,
        ObserverKind::Pact2,
        ObserverKind::MeanSquaredError,
        ObserverKind::Entropy,
    ];

    /// The names of all, in the same order.
    pub const NAMES: [&'static str; ObserverKind::ALL.len()] = {
        let mut names = [""; ObserverKind::ALL.len()];
        let mut i = 0;
        while i < names.len() {
            names[i] = ObserverKind::ALL[i].name();
            i += 1;
        }
        names
    };

    /// The name in recipes and flags.
    pub const fn name(self) -> &'static str {
        match self {
            ObserverKind::MinMax => "min-max",
            ObserverKind::MovingAverage => "moving-average",
            ObserverKind::Percentile => "percentile",
            ObserverKind::Pact2 => "pact2",
            ObserverKind::MeanSquaredError => "mean-squared-error",
            ObserverKind::Entropy => "entropy",
            ObserverKind::Measured => "measured",
        }
    }

    /// An observer with default parameters for a tensor of a scheme.
    pub fn build(self, scheme: &Scheme) -> Box<dyn Observer> {
        ObserverSettings::new(self).build(scheme)
    }
}

impl fmt::Display for ObserverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ObserverKind {
    type Err = ObserveError;

    fn from_str(name: &str) -> Result<Self, ObserveError> {
        ObserverKind::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| ObserveError::Unknown { name: name.into() })
    }
}

/// An observer and its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObserverSettings {
    /// Which observer.
    pub kind: ObserverKind,
    /// Percent of the values that [`Percentile`] keeps, above 50 to 100.
    pub percentile: f32,
    /// Share of 64 new images in [`MovingAverage`], above 0 to 1.
    pub moving_average_rate: f32,
}

impl ObserverSettings {
    /// Default parameters: 99.99 percent, a rate of 0.01.
    pub fn new(kind: ObserverKind) -> Self {
        ObserverSettings { kind, percentile: 99.99, moving_average_rate: 0.01 }
    }

    /// An observer for a tensor of a scheme; of what is measured one that remembers all there is to choose from.
    pub fn build(&self, scheme: &Scheme) -> Box<dyn Observer> {
        match self.kind {
            ObserverKind::MinMax => Box::new(MinMax::new()),
            ObserverKind::MovingAverage => Box::new(MovingAverage::new(self.moving_average_rate)),
            ObserverKind::Percentile | ObserverKind::Measured => Box::new(Percentile::new(self.percentile)),
            ObserverKind::Pact2 => Box::new(Pact2::new()),
            ObserverKind::MeanSquaredError => Box::new(MeanSquaredError::new(*scheme)),
            ObserverKind::Entropy => Box::new(Entropy::new(*scheme)),
        }
    }
}

#[cfg(test)]
mod tests;
