//! The formula of each rounding, in f64, where it is exact.

use super::{CodeRange, Rounding};

/// `clamp(round(t), lo, hi)`; NaN becomes 0.
pub(crate) fn code(range: &CodeRange, t: f32) -> f32 {
    if t.is_nan() {
        return 0.0;
    }
    let t = f64::from(t);
    let rounded = match range.rounding {
        Rounding::HalfToEven => t.round_ties_even(),
        Rounding::HalfUp => (t + 0.5).floor(),
        Rounding::HalfAwayFromZero => t.round(),
    };
    rounded.clamp(range.lo.into(), range.hi.into()) as f32
}
