//! Smallest and largest value of a slice, and whether all are finite.

use quantrain_graph::Range;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ObserveError;

/// Why no range can be given any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A value was NaN.
    Nan,
    /// A value was infinite.
    Infinite,
}

/// The extrema of all values seen: what every observer starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub range: Option<Range>,
    fault: Option<Fault>,
}

impl Seen {
    /// Takes up a batch and returns its extrema; nothing for an empty batch, or once a value was not finite.
    pub fn observe(&mut self, x: &[f32]) -> Option<Range> {
        if x.is_empty() { None } else { self.observe_range(extrema(x)) }
    }

    /// Takes up a batch by its extrema.
    pub fn observe_range(&mut self, batch: Range) -> Option<Range> {
        if batch.min.is_nan() || batch.max.is_nan() {
            self.fault = Some(Fault::Nan);
        } else if batch.min.is_infinite() || batch.max.is_infinite() {
            self.fault = self.fault.or(Some(Fault::Infinite));
        }
        if self.fault.is_some() {
            return None;
        }
        self.range = Some(self.range.map_or(batch, |r| r.union(batch)));
        Some(batch)
    }

    /// The extrema of all values.
    pub fn range(&self) -> Result<Range, ObserveError> {
        match (self.fault, self.range) {
            (Some(Fault::Nan), _) => Err(ObserveError::Nan),
            (Some(Fault::Infinite), _) => Err(ObserveError::Infinite),
            (None, None) => Err(ObserveError::Nothing),
            (None, Some(range)) => Ok(range),
        }
    }
}

/// Smallest and largest value of a slice that is not empty; both NaN if one value is.
fn extrema(x: &[f32]) -> Range {
    let union = |a: Range, b: Range| if a.min.is_nan() || b.min.is_nan() { Range::new(f32::NAN, f32::NAN) } else { a.union(b) };
    x.par_chunks(1 << 16).map(piece_extrema).reduce_with(union).expect("the slice is not empty")
}

fn piece_extrema(x: &[f32]) -> Range {
    const LANES: usize = 16;
    let (mut min, mut max, mut nan) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [false; LANES]);
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            // Comparisons rather than f32::min: one instruction each.
            min[i] = if chunk[i] < min[i] { chunk[i] } else { min[i] };
            max[i] = if chunk[i] > max[i] { chunk[i] } else { max[i] };
            nan[i] |= chunk[i].is_nan();
        }
    }
    if nan.contains(&true) || rest.iter().any(|x| x.is_nan()) {
        return Range { min: f32::NAN, max: f32::NAN };
    }
    let all = |lanes: [f32; LANES]| lanes.into_iter().chain(rest.iter().copied());
    Range { min: all(min).fold(f32::INFINITY, f32::min), max: all(max).fold(f32::NEG_INFINITY, f32::max) }
}
