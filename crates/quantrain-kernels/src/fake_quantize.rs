//! Fake-quantization: a float onto the integer grid of a quantizer, as centred codes `q − z` held in f32.

use crate::parallel::{BLOCK, Extrema, OneByOne, TASK, put};
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
mod tests;

/// What happens to a value between two codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The nearest; of two equally near, the even one (ONNX).
    HalfToEven,
    /// The nearest; of two equally near, the greater one (TIDL activations).
    HalfUp,
    /// The nearest; of two equally near, the one further from zero (TIDL weights).
    HalfAwayFromZero,
}

/// The codes a quantizer can produce, centred: its zero point is already subtracted, so code 0 is the value 0.0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeRange {
    /// The least code, `qmin − z`: an integer.
    pub lo: f32,
    /// The greatest code, `qmax − z`: an integer.
    pub hi: f32,
    /// How a value between two codes is rounded.
    pub rounding: Rounding,
}

/// A [`CodeRange`] whose rounding the compiler knows, so that a loop over it holds no branch.
pub(crate) trait Quantize: Copy + Send + Sync {
    /// `clamp(round(t), lo, hi)`; NaN becomes code 0.
    fn quantize(self, t: f32) -> f32;
}

/// Leaves every value as it is.
#[derive(Clone, Copy)]
pub(crate) struct Keep;
#[derive(Clone, Copy)]
pub(crate) struct HalfToEven(f32, f32);
#[derive(Clone, Copy)]
pub(crate) struct HalfUp(f32, f32);
#[derive(Clone, Copy)]
pub(crate) struct HalfAwayFromZero(f32, f32);

impl Quantize for Keep {
    #[inline(always)]
    fn quantize(self, t: f32) -> f32 {
        t
    }
}

impl Quantize for HalfToEven {
    #[inline(always)]
    fn quantize(self, t: f32) -> f32 {
        within(t, self.0, self.1).round_ties_even()
    }
}

impl Quantize for HalfUp {
    #[inline(always)]
    fn quantize(self, t: f32) -> f32 {
        // Not floor(t + 0.5): that sum rounds, and takes the float below 0.5 to 1.
        let t = within(t, self.0, self.1);
        let floor = t.floor();
        if t - floor >= 0.5 { floor + 1.0 } else { floor }
    }
}

impl Quantize for HalfAwayFromZero {
    #[inline(always)]
    fn quantize(self, t: f32) -> f32 {
        let t = within(t, self.0, self.1);
        let whole = t.trunc();
        if (t - whole).abs() >= 0.5 { whole + 1f32.copysign(t) } else { whole }
    }
}

/// `clamp(t, lo, hi)`, NaN to 0. The limits are integers, so rounding after it gives the same codes as rounding before.
#[inline(always)]
fn within(t: f32, lo: f32, hi: f32) -> f32 {
    let t = if t.is_nan() { 0.0 } else { t };
    limit(t, lo, hi)
}

/// `clamp(t, lo, hi)` in two instructions; NaN stays NaN, so that a diverging network shows.
#[inline(always)]
pub(crate) fn limit(t: f32, lo: f32, hi: f32) -> f32 {
    let t = if lo > t { lo } else { t };
    if hi < t { hi } else { t }
}

/// Calls `$call` with `$quantize` bound to the [`Quantize`] of an `Option<CodeRange>`.
macro_rules! with_quantize {
    ($range:expr, $quantize:ident => $call:expr) => {{
        use $crate::fake_quantize::{HalfAwayFromZero, HalfToEven, HalfUp, Keep, Rounding};
        match $range {
            None => {
                let $quantize = Keep;
                $call
            }
            Some(range) => match range.rounding {
                Rounding::HalfToEven => {
                    let $quantize = HalfToEven::new(&range);
                    $call
                }
                Rounding::HalfUp => {
                    let $quantize = HalfUp::new(&range);
                    $call
                }
                Rounding::HalfAwayFromZero => {
                    let $quantize = HalfAwayFromZero::new(&range);
                    $call
                }
            },
        }
    }};
}
pub(crate) use with_quantize;

impl HalfToEven {
    pub(crate) fn new(range: &CodeRange) -> Self {
        Self(range.lo, range.hi)
    }
}

impl HalfUp {
    pub(crate) fn new(range: &CodeRange) -> Self {
        Self(range.lo, range.hi)
    }
}

impl HalfAwayFromZero {
    pub(crate) fn new(range: &CodeRange) -> Self {
        Self(range.lo, range.hi)
    }
}

/// `y = clamp(round(x / scale), lo, hi)`, centred codes; NaN becomes code 0. Returns the least and greatest `x`
/// (`(∞, −∞)` of nothing), NaN left out.
///
/// The quotient is a division, as ONNX defines it: a product with the reciprocal rounds elsewhere.
pub fn codes(range: &CodeRange, scale: f32, x: &[f32], y: &mut [f32]) -> (f32, f32) {
    assert_eq!(x.len(), y.len(), "codes: one code a value");
    let simd = simd();
    with_quantize!(Some(*range), quantize => (x.par_chunks(TASK), y.par_chunks_mut(TASK))
        .into_par_iter().one_by_one()
        .map(|(x, y)| codes_chunk(simd, quantize, scale, x, y))
        .reduce(Extrema::default, Extrema::union))
    .limits()
}

simd_kernel! {
    fn codes_chunk<Q: Quantize>(quantize: Q, scale: f32, x: &[f32], y: &mut [f32]) -> Extrema {
        let mut extrema = Extrema::default();
        for (x, y) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)) {
            extrema.include(x);
            for (x, y) in x.iter().zip(y) {
                *y = quantize.quantize(*x / scale);
            }
        }
        extrema
    }
}

/// The gradient of [`codes`] with rounding passed straight through: `dx = dy` where `mask.0 < x / scale < mask.1`, else 0.
/// Overwrites `dx`, or adds to it.
pub fn backward(scale: f32, mask: (f32, f32), x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    assert!(x.len() == dy.len() && x.len() == dx.len(), "backward: one gradient a value");
    let simd = simd();
    (x.par_chunks(TASK), dy.par_chunks(TASK), dx.par_chunks_mut(TASK))
        .into_par_iter()
        .one_by_one()
        .for_each(|(x, dy, dx)| backward_chunk(simd, scale, mask, x, dy, dx, accumulate));
}

simd_kernel! {
    fn backward_chunk(scale: f32, mask: (f32, f32), x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        for ((x, dy), dx) in x.iter().zip(dy).zip(dx) {
            let t = *x / scale;
            put(dx, if (mask.0 < t) & (t < mask.1) { *dy } else { 0.0 }, accumulate);
        }
    }
}
