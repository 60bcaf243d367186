//! Element-wise functions of one or two inputs of one shape: Add, Mul, Clip, sums of gradients; powers of single values.

use crate::fake_quantize::{CodeRange, Quantize, limit, with_quantize};
use crate::parallel::{BLOCK, Extrema, OneByOne, TASK, put};
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

mod integer_sum;
#[cfg(test)]
mod tests;

pub use crate::exponential::{log, power};
pub use integer_sum::{ShiftedSum, WeightedSum};

/// Calls `$call` with `$function` bound to the [`Combine`] of a [`Sum`].
macro_rules! with_sum {
    ($sum:expr, $function:ident => $call:expr) => {
        match $sum {
            Sum::Reals { operands, result } => {
                let $function = Reals(operands, result);
                $call
            }
            Sum::Codes($function) => $call,
            Sum::Shifted($function) => $call,
            Sum::Weighted($function) => $call,
        }
    };
}

/// `t` by the formula of a [`Sum`]; then `clamp(t, clip)`; then, if quantized, `clamp(round(·), lo, hi)`.
#[derive(Clone, Copy, Debug)]
pub struct AddPass {
    /// How two values become one.
    pub sum: Sum,
    /// An activation as a range, in units of the result; infinite where it has no limit.
    pub clip: (f32, f32),
    /// The grid of the result, or `None` for a float result.
    pub quantize: Option<CodeRange>,
}

/// The formula of an addition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// `(a·s_a + b·s_b) / s_y`, each operation rounded: floats between DequantizeLinear and QuantizeLinear.
    Reals {
        /// The units of the operands.
        operands: [f32; 2],
        /// The unit of the result.
        result: f32,
    },
    /// Codes to codes.
    Codes(CodeSum),
    /// Codes to codes, in integers.
    Shifted(ShiftedSum),
    /// Codes to codes, in integers.
    Weighted(WeightedSum),
}

impl Sum {
    /// The result in its own steps, of two values in theirs; whole where the formula is one of integers.
    #[inline(always)]
    pub fn of(&self, a: f32, b: f32) -> f32 {
        with_sum!(*self, function => function.combine(a, b) - function.zero())
    }
}

/// ONNX Runtime's QLinearAdd on x86-64 (MLAS, `qladd_avx2.cpp`), zero points and all:
/// `t = fma(q_a, k_a, fma(q_b, k_b, c))` with `k = s/s_y` and `c = z_y − fma(k_a, z_a, k_b·z_b)`; its code is t rounded.
///
/// Values are centred codes `q − z`, before and after; the codes themselves are what is added, as their ties tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeSum {
    factors: [f32; 2],
    zeros: [f32; 2],
    constant: f32,
    result_zero: f32,
}

impl CodeSum {
    /// Of scales and zero points of the operands and of the result.
    pub fn new(operands: [(f32, i32); 2], (scale, zero): (f32, i32)) -> Self {
        let factors = operands.map(|(s, _)| s / scale);
        let zeros = operands.map(|(_, z)| z as f32);
        let constant = zero as f32 - factors[0].mul_add(zeros[0], factors[1] * zeros[1]);
        CodeSum { factors, zeros, constant, result_zero: zero as f32 }
    }

    /// `[k_a, k_b]` and c.
    pub fn terms(&self) -> ([f32; 2], f32) {
        (self.factors, self.constant)
    }

    /// The result's code before it is rounded, of two codes.
    #[inline(always)]
    pub fn of_codes(&self, a: f32, b: f32) -> f32 {
        a.mul_add(self.factors[0], b.mul_add(self.factors[1], self.constant))
    }
}

/// `t = (a·b)·k`; then clipped and quantized as in [`AddPass`].
#[derive(Clone, Copy, Debug)]
pub struct MultiplyPass {
    /// The factor of the product: `s_a·s_b/s_y` for centred codes.
    pub k: f32,
    /// An activation as a range; infinite where it has no limit.
    pub clip: (f32, f32),
    /// The grid of the result, or `None` for a float result.
    pub quantize: Option<CodeRange>,
}

/// Where the gradient of an input goes, and whether it is added to what is there. `None`: nobody wants it.
pub type GradientOf<'a> = Option<(&'a mut [f32], bool)>;

/// The function of two values before clip and quantization.
trait Combine: Copy + Sync + Send {
    /// The result plus [`Combine::zero`].
    fn combine(self, a: f32, b: f32) -> f32;

    /// A whole number that results have on top while they are rounded.
    #[inline(always)]
    fn zero(self) -> f32 {
        0.0
    }
}

#[derive(Clone, Copy)]
struct Reals([f32; 2], f32);

impl Combine for Reals {
    #[inline(always)]
    fn combine(self, a: f32, b: f32) -> f32 {
        (a * self.0[0] + b * self.0[1]) / self.1
    }
}

impl Combine for CodeSum {
    #[inline(always)]
    fn combine(self, a: f32, b: f32) -> f32 {
        self.of_codes(a + self.zeros[0], b + self.zeros[1])
    }

    #[inline(always)]
    fn zero(self) -> f32 {
        self.result_zero
    }
}

impl Combine for MultiplyPass {
    #[inline(always)]
    fn combine(self, a: f32, b: f32) -> f32 {
        a * b * self.k
    }
}

/// The pass of an Add. Returns the least and greatest clipped value, before quantization, NaN left out.
pub fn add(pass: &AddPass, a: &[f32], b: &[f32], y: &mut [f32]) -> (f32, f32) {
    with_sum!(pass.sum, function => {
        let on_top = |r: CodeRange| CodeRange { lo: r.lo + function.zero(), hi: r.hi + function.zero(), ..r };
        with_quantize!(pass.quantize.map(on_top), quantize => binary(function, quantize, pass.clip, a, b, y))
    })
}

/// The pass of a Mul. Returns the least and greatest clipped value, before quantization, NaN left out.
pub fn multiply(pass: &MultiplyPass, a: &[f32], b: &[f32], y: &mut [f32]) -> (f32, f32) {
    with_quantize!(pass.quantize, quantize => binary(*pass, quantize, pass.clip, a, b, y))
}

fn binary<C: Combine, Q: Quantize>(function: C, quantize: Q, clip: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32]) -> (f32, f32) {
    assert!(a.len() == b.len() && a.len() == y.len(), "elementwise: inputs and result of one length");
    let simd = simd();
    (a.par_chunks(TASK), b.par_chunks(TASK), y.par_chunks_mut(TASK))
        .into_par_iter()
        .one_by_one()
        .map(|(a, b, y)| binary_task(simd, function, quantize, clip, a, b, y))
        .reduce(Extrema::default, Extrema::union)
        .limits()
}

simd_kernel! {
    fn binary_task<C: Combine, Q: Quantize>(
        function: C, quantize: Q, clip: (f32, f32), a: &[f32], b: &[f32], y: &mut [f32],
    ) -> Extrema {
        let mut extrema = Extrema::default();
        let zero = function.zero();
        let (low, high) = (clip.0 + zero, clip.1 + zero);
        for ((a, b), y) in a.chunks(BLOCK).zip(b.chunks(BLOCK)).zip(y.chunks_mut(BLOCK)) {
            for ((a, b), y) in a.iter().zip(b).zip(&mut *y) {
                *y = limit(function.combine(*a, *b), low, high);
            }
            extrema.include(y);
            for y in y {
                *y = quantize.quantize(*y) - zero;
            }
        }
        extrema.moved(-zero)
    }
}

/// The gradients of [`add`], in real units: `da = db = dy` where `mask.0 < t < mask.1`, else 0.
pub fn add_backward(pass: &AddPass, mask: (f32, f32), a: &[f32], b: &[f32], dy: &[f32], da: GradientOf, db: GradientOf) {
    for gradient in [da, db].into_iter().flatten() {
        with_sum!(pass.sum, function => masked(function, One, mask, a, b, dy, gradient));
    }
}

/// The gradients of [`multiply`]: with `g = dy` where `mask.0 < t < mask.1`, else 0,
/// `da = g·b·factors.0` and `db = g·a·factors.1`. The factor of one input is the scale of the other's codes.
pub fn multiply_backward(
    pass: &MultiplyPass,
    mask: (f32, f32),
    a: &[f32],
    b: &[f32],
    dy: &[f32],
    factors: (f32, f32),
    da: GradientOf,
    db: GradientOf,
) {
    // The product is symmetric, so the second gradient is the first with the inputs exchanged.
    if let Some(gradient) = da {
        masked(*pass, Other(factors.0), mask, a, b, dy, gradient);
    }
    if let Some(gradient) = db {
        masked(*pass, Other(factors.1), mask, b, a, dy, gradient);
    }
}

/// The derivative after the first of two inputs, which may depend on the other.
trait Slope: Copy + Sync + Send {
    fn times(self, g: f32, other: f32) -> f32;
}

#[derive(Clone, Copy)]
struct One;
#[derive(Clone, Copy)]
struct Other(f32);

impl Slope for One {
    #[inline(always)]
    fn times(self, g: f32, _other: f32) -> f32 {
        g
    }
}

impl Slope for Other {
    #[inline(always)]
    fn times(self, g: f32, other: f32) -> f32 {
        g * other * self.0
    }
}

fn masked<C: Combine, S: Slope>(
    function: C,
    slope: S,
    mask: (f32, f32),
    a: &[f32],
    b: &[f32],
    dy: &[f32],
    (dx, accumulate): (&mut [f32], bool),
) {
    assert!(a.len() == b.len() && a.len() == dy.len() && a.len() == dx.len(), "elementwise: inputs and gradients of one length");
    let simd = simd();
    (a.par_chunks(TASK), b.par_chunks(TASK), dy.par_chunks(TASK), dx.par_chunks_mut(TASK))
        .into_par_iter()
        .one_by_one()
        .for_each(|(a, b, dy, dx)| masked_task(simd, function, slope, mask, a, b, dy, dx, accumulate));
}

simd_kernel! {
    fn masked_task<C: Combine, S: Slope>(
        function: C, slope: S, mask: (f32, f32), a: &[f32], b: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool,
    ) {
        for (((a, b), dy), dx) in a.iter().zip(b).zip(dy).zip(dx) {
            let t = function.combine(*a, *b) - function.zero();
            let g = if (mask.0 < t) & (t < mask.1) { *dy } else { 0.0 };
            put(dx, slope.times(g, *b), accumulate);
        }
    }
}

/// `y = clamp(x, range.0, range.1)`; NaN stays NaN.
pub fn clip(range: (f32, f32), x: &[f32], y: &mut [f32]) {
    unary(x, y, |simd, x, y| clip_task(simd, range, x, y));
}

simd_kernel! {
    fn clip_task(range: (f32, f32), x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = limit(*x, range.0, range.1);
        }
    }
}

/// The gradient of [`clip`]: `dx = dy` where `range.0 < x < range.1`, else 0.
pub fn clip_backward(range: (f32, f32), x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    crate::fake_quantize::backward(1.0, range, x, dy, dx, accumulate);
}

/// `y += x`.
pub fn add_assign(x: &[f32], y: &mut [f32]) {
    unary(x, y, add_assign_task);
}

simd_kernel! {
    fn add_assign_task(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y += *x;
        }
    }
}

/// `y = x·k`.
pub fn scale_into(k: f32, x: &[f32], y: &mut [f32]) {
    unary(x, y, |simd, x, y| scale_task(simd, k, x, y));
}

simd_kernel! {
    fn scale_task(k: f32, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = *x * k;
        }
    }
}

fn unary(x: &[f32], y: &mut [f32], task: impl Fn(crate::simd::Simd, &[f32], &mut [f32]) + Sync + Send) {
    assert_eq!(x.len(), y.len(), "elementwise: one result a value");
    let simd = simd();
    (x.par_chunks(TASK), y.par_chunks_mut(TASK)).into_par_iter().one_by_one().for_each(|(x, y)| task(simd, x, y));
}
