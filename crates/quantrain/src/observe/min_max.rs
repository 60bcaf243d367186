//! The extrema of everything seen.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::extrema::Seen;
use crate::ObserveError;

/// Smallest and largest value of all images. One outlier widens the range for good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MinMax {
    seen: Seen,
}

impl MinMax {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        MinMax::default()
    }
}

impl Observer for MinMax {
    fn observe(&mut self, x: &[f32], _: usize) {
        self.seen.observe(x);
    }

    fn range(&self) -> Result<Range, ObserveError> {
        self.seen.range()
    }

    fn needs_only_extrema(&self, _: usize) -> bool {
        true
    }

    fn observe_extrema(&mut self, extrema: Range, _: usize) {
        self.seen.observe_range(extrema);
    }

    super::state_is_self!(MinMax);
}
