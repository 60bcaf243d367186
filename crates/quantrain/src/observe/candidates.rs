//! The limits that searching observers try.

use quantrain_graph::{Range, ScaleKind, Scheme};

/// Limits tried on each side, as fractions of the extremum.
const CANDIDATES: u32 = 100;

/// Powers of two tried below the largest.
const HALVINGS: i32 = 12;

/// Limits to try for an extremum, the extremum first: in steps of a percent of it, or powers of two where scales are.
pub(super) fn candidates(scheme: &Scheme, extremum: f32) -> Vec<f32> {
    if extremum == 0.0 {
        return vec![extremum];
    }
    match scheme.scale {
        ScaleKind::Free => (1..=CANDIDATES).rev().map(|i| extremum * (i as f32 / CANDIDATES as f32)).collect(),
        ScaleKind::PowerOfTwo => {
            let exponent = extremum.abs().log2().ceil() as i32;
            let below = (1..=HALVINGS).map(|i| 2f32.powi(exponent - i).copysign(extremum));
            std::iter::once(extremum).chain(below.filter(|l| l.abs() < extremum.abs())).collect()
        }
    }
}

/// The range of least cost, with that; of equals the first, which is the widest.
pub(super) fn least(ranges: impl Iterator<Item = Range>, cost: impl Fn(Range) -> f64) -> Option<(f64, Range)> {
    ranges.map(|r| (cost(r), r)).reduce(|a, b| if b.0 < a.0 { b } else { a })
}
