//! The fused epilogue of a block: BatchNorm or bias, activation, range and fake-quantize in one pass over the accumulators.
//!
//! Rows of channels, NHWC: element `i` belongs to channel `c = i mod channels`.
//!
//! ```text
//! t = (acc + before[c]) · multiplier[c] + after[c]        rounded after each operation, so equal on every path
//! a = clamp(t, clip.0, clip.1)
//! y = a, or clamp(round(a), lo, hi)                       centred codes
//! ```

use crate::channels::Strips;
use crate::fake_quantize::{CodeRange, Quantize, limit, with_quantize};
use crate::parallel::{Extrema, OneByOne};
use crate::scratch::Scratch;
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

#[cfg(test)]
mod tests;

/// The pass of one block; `before`, `multiplier` and `after` hold one value a channel.
#[derive(Clone, Copy, Debug)]
pub struct BlockPass<'a> {
    /// Added to the accumulator: the integer bias, or nothing (zeros).
    pub before: &'a [f32],
    /// The requantization factor, or BatchNorm's `γ/σ`.
    pub multiplier: &'a [f32],
    /// Added after the factor: BatchNorm's shift, or nothing (zeros).
    pub after: &'a [f32],
    /// The activation as a range; infinite where it has no limit.
    pub clip: (f32, f32),
    /// The grid of the block's output, or `None` for a float output.
    pub quantize: Option<CodeRange>,
}

impl BlockPass<'_> {
    fn check(&self, elements: usize) -> Strips {
        let channels = self.before.len();
        assert!(
            self.multiplier.len() == channels && self.after.len() == channels,
            "BlockPass: before, multiplier and after hold one value a channel"
        );
        assert_eq!(elements % channels.max(1), 0, "BlockPass: whole rows of channels");
        Strips::new(channels)
    }
}

/// `y` as the module says. Returns the least and greatest `a`, before quantization (`(∞, −∞)` of nothing), NaN left out.
pub fn forward(pass: &BlockPass, acc: &[f32], y: &mut [f32]) -> (f32, f32) {
    assert_eq!(acc.len(), y.len(), "block_pass::forward: one output an accumulator");
    let strips = pass.check(acc.len());
    let mut scratch = Scratch::take(3 * strips.strip);
    let [before, multiplier, after] = strips.repeat_all([pass.before, pass.multiplier, pass.after], scratch.as_mut_slice());
    let (simd, clip) = (simd(), pass.clip);
    with_quantize!(pass.quantize, quantize => (acc.par_chunks(strips.task), y.par_chunks_mut(strips.task))
        .into_par_iter().one_by_one()
        .map(|(acc, y)| forward_task(simd, quantize, before, multiplier, after, clip, acc, y))
        .reduce(Extrema::default, Extrema::union))
    .limits()
}

simd_kernel! {
    fn forward_task<Q: Quantize>(
        quantize: Q, before: &[f32], multiplier: &[f32], after: &[f32], clip: (f32, f32), acc: &[f32], y: &mut [f32],
    ) -> Extrema {
        let mut extrema = Extrema::default();
        let strip = before.len();
        for (acc, y) in acc.chunks(strip).zip(y.chunks_mut(strip)) {
            let n = acc.len();
            let (before, multiplier, after, y) = (&before[..n], &multiplier[..n], &after[..n], &mut y[..n]);
            for i in 0..n {
                y[i] = limit((acc[i] + before[i]) * multiplier[i] + after[i], clip.0, clip.1);
            }
            extrema.include(y);
            for y in y {
                *y = quantize.quantize(*y);
            }
        }
        extrema
    }
}

/// Per channel `Σ g` and `Σ g·(acc − center[c])`, where `g = dy` if `mask.0 < t < mask.1`, else 0.
///
/// Sums are f32 within a fixed task and f64 between tasks. `center` is near the mean of the accumulators, so that the
/// second sum does not cancel.
pub fn backward_sums(
    pass: &BlockPass,
    mask: (f32, f32),
    center: &[f32],
    acc: &[f32],
    dy: &[f32],
    sum_g: &mut [f32],
    sum_g_acc: &mut [f32],
) {
    let strips = pass.check(acc.len());
    assert_eq!(acc.len(), dy.len(), "block_pass::backward_sums: one gradient an accumulator");
    assert!(sum_g.len() == strips.channels && sum_g_acc.len() == strips.channels, "block_pass::backward_sums: one sum a channel");
    let sums = 2 * strips.strip;
    let mut scratch = Scratch::take(4 * strips.strip + strips.tasks(acc.len()) * sums);
    let (parameters, partial) = scratch.as_mut_slice().split_at_mut(4 * strips.strip);
    let [before, multiplier, after, center] = strips.repeat_all([pass.before, pass.multiplier, pass.after, center], parameters);
    let simd = simd();
    let partial = &mut partial[..strips.tasks(acc.len()) * sums];
    (acc.par_chunks(strips.task), dy.par_chunks(strips.task), partial.par_chunks_mut(sums)).into_par_iter().one_by_one().for_each(
        |(acc, dy, sums)| {
            let (g, g_acc) = sums.split_at_mut(strips.strip);
            g.fill(0.0);
            g_acc.fill(0.0);
            sums_task(simd, before, multiplier, after, center, mask, acc, dy, g, g_acc);
        },
    );
    strips.fold_all(partial, 2, 0, sum_g);
    strips.fold_all(partial, 2, 1, sum_g_acc);
}

simd_kernel! {
    fn sums_task(
        before: &[f32], multiplier: &[f32], after: &[f32], center: &[f32], mask: (f32, f32),
        acc: &[f32], dy: &[f32], sum_g: &mut [f32], sum_g_acc: &mut [f32],
    ) {
        let strip = before.len();
        for (acc, dy) in acc.chunks(strip).zip(dy.chunks(strip)) {
            let n = acc.len();
            let (before, multiplier, after, center) = (&before[..n], &multiplier[..n], &after[..n], &center[..n]);
            let (dy, sum_g, sum_g_acc) = (&dy[..n], &mut sum_g[..n], &mut sum_g_acc[..n]);
            for i in 0..n {
                let t = (acc[i] + before[i]) * multiplier[i] + after[i];
                let g = if (mask.0 < t) & (t < mask.1) { dy[i] } else { 0.0 };
                sum_g[i] += g;
                sum_g_acc[i] += g * (acc[i] - center[i]);
            }
        }
    }
}

/// The gradient of the accumulators: `dacc = k_g[c]·g + k_acc[c]·acc + k_1[c]`, with `g = dy` if `mask.0 < t < mask.1`, else 0.
///
/// With frozen statistics `k_g` is the multiplier and the others are zero; with batch statistics they carry what the
/// mean and the variance pass on.
pub fn backward(pass: &BlockPass, mask: (f32, f32), acc: &[f32], dy: &[f32], k_g: &[f32], k_acc: &[f32], k_1: &[f32], dacc: &mut [f32]) {
    let strips = pass.check(acc.len());
    assert!(acc.len() == dy.len() && acc.len() == dacc.len(), "block_pass::backward: one gradient an accumulator");
    let mut scratch = Scratch::take(6 * strips.strip);
    let parameters = strips.repeat_all([pass.before, pass.multiplier, pass.after, k_g, k_acc, k_1], scratch.as_mut_slice());
    let simd = simd();
    (acc.par_chunks(strips.task), dy.par_chunks(strips.task), dacc.par_chunks_mut(strips.task))
        .into_par_iter()
        .one_by_one()
        .for_each(|(acc, dy, dacc)| backward_task(simd, parameters, mask, acc, dy, dacc));
}

simd_kernel! {
    fn backward_task(parameters: [&[f32]; 6], mask: (f32, f32), acc: &[f32], dy: &[f32], dacc: &mut [f32]) {
        let strip = parameters[0].len();
        for ((acc, dy), dacc) in acc.chunks(strip).zip(dy.chunks(strip)).zip(dacc.chunks_mut(strip)) {
            let n = acc.len();
            let (before, multiplier, after) = (&parameters[0][..n], &parameters[1][..n], &parameters[2][..n]);
            let (k_g, k_acc, k_1) = (&parameters[3][..n], &parameters[4][..n], &parameters[5][..n]);
            let (dy, dacc) = (&dy[..n], &mut dacc[..n]);
            for i in 0..n {
                let t = (acc[i] + before[i]) * multiplier[i] + after[i];
                let g = if (mask.0 < t) & (t < mask.1) { dy[i] } else { 0.0 };
                dacc[i] = k_g[i] * g + k_acc[i] * acc[i] + k_1[i];
            }
        }
    }
}
