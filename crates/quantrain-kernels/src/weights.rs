//! What a step makes of a block's weights: BatchNorm's factor folded in, their range, their codes, and the way back.
//!
//! Weights are `[channels][row]`: channel first, then everything that channel is multiplied with.

use crate::fake_quantize::{CodeRange, Quantize, with_quantize};
use crate::parallel::{Extrema, LANES, OneByOne, TASK};
use crate::simd::{Simd, simd, simd_kernel};
use rayon::prelude::*;

/// The grid of a channel's weights, or of all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Size of one step.
    pub scale: f32,
    /// The codes.
    pub range: CodeRange,
}

/// `folded = w · factors[c]`, and the least and greatest of each channel: `(NaN, NaN)` where one is NaN.
pub fn fold(w: &[f32], factors: &[f32], folded: &mut [f32], limits: &mut [(f32, f32)]) {
    let rows = Rows::new(w.len(), factors.len());
    assert!(folded.len() == w.len() && limits.len() == factors.len(), "weights::fold: one result a weight, one limit a channel");
    let simd = simd();
    let channels = rows.channels_of_task();
    (w.par_chunks(rows.task), folded.par_chunks_mut(rows.task), factors.par_chunks(channels), limits.par_chunks_mut(channels))
        .into_par_iter()
        .one_by_one()
        .for_each(|(w, folded, factors, limits)| fold_task(simd, rows.row, w, factors, folded, limits));
}

simd_kernel! {
    fn fold_task(row: usize, w: &[f32], factors: &[f32], folded: &mut [f32], limits: &mut [(f32, f32)]) {
        for (c, (w, folded)) in w.chunks_exact(row).zip(folded.chunks_exact_mut(row)).enumerate() {
            let factor = factors[c];
            let mut poisoned = false;
            for (w, folded) in w.iter().zip(folded.iter_mut()) {
                *folded = *w * factor;
                poisoned |= folded.is_nan();
            }
            let mut extrema = Extrema::default();
            extrema.include(folded);
            limits[c] = if poisoned { (f32::NAN, f32::NAN) } else { extrema.limits() };
        }
    }
}

/// `codes = clamp(round(folded / scale), lo, hi)`, with one grid for each channel or one for all.
pub fn codes(folded: &[f32], grids: &[Grid], codes: &mut [f32]) {
    assert_eq!(folded.len(), codes.len(), "weights::codes: one code a weight");
    let simd = simd();
    let rows = Rows::new(folded.len(), grids.len());
    match grids {
        // A row of everything is split where it is too long for a task.
        [grid] => (folded.par_chunks(TASK), codes.par_chunks_mut(TASK))
            .into_par_iter()
            .one_by_one()
            .for_each(|(w, q)| row_codes(simd, grid, w, q)),
        _ => (folded.par_chunks(rows.task), codes.par_chunks_mut(rows.task), grids.par_chunks(rows.channels_of_task()))
            .into_par_iter()
            .one_by_one()
            .for_each(|(folded, codes, grids)| {
                for ((w, q), grid) in folded.chunks_exact(rows.row).zip(codes.chunks_exact_mut(rows.row)).zip(grids) {
                    row_codes(simd, grid, w, q);
                }
            }),
    }
}

fn row_codes(simd: Simd, grid: &Grid, folded: &[f32], codes: &mut [f32]) {
    with_quantize!(Some(grid.range), quantize => quantize_row(simd, quantize, grid.scale, folded, codes));
}

simd_kernel! {
    fn quantize_row<Q: Quantize>(quantize: Q, scale: f32, folded: &[f32], codes: &mut [f32]) {
        for (w, q) in folded.iter().zip(codes) {
            *q = quantize.quantize(*w / scale);
        }
    }
}

/// What a channel's gradient is multiplied with on its way from codes to master weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Back {
    /// The grid of the channel.
    pub grid: Grid,
    /// From the gradient given to that of the folded weight.
    pub to_folded: f32,
    /// BatchNorm's factor, from the folded weight to the master.
    pub factor: f32,
}

/// The gradient of [`fold`] and [`codes`] with rounding passed straight through: `g = gradient·to_folded` where the quotient lies within
/// half a step of the codes, else 0. `gradient` becomes `g·factor`; `through_factor[c]` becomes `Σ g·w`, the gradient of the factor.
pub fn backward(w: &[f32], folded: &[f32], back: &[Back], gradient: &mut [f32], through_factor: &mut [f32]) {
    let rows = Rows::new(w.len(), back.len());
    assert!(
        folded.len() == w.len() && gradient.len() == w.len() && through_factor.len() == back.len(),
        "weights::backward: one gradient a weight, one sum a channel"
    );
    let simd = simd();
    let channels = rows.channels_of_task();
    (w.par_chunks(rows.task), folded.par_chunks(rows.task), gradient.par_chunks_mut(rows.task))
        .into_par_iter()
        .one_by_one()
        .zip((back.par_chunks(channels), through_factor.par_chunks_mut(channels)))
        .for_each(|((w, folded, gradient), (back, through))| backward_task(simd, rows.row, w, folded, back, gradient, through));
}

simd_kernel! {
    fn backward_task(row: usize, w: &[f32], folded: &[f32], back: &[Back], gradient: &mut [f32], through: &mut [f32]) {
        for (c, gradient) in gradient.chunks_exact_mut(row).enumerate() {
            let (w, folded) = (&w[c * row..][..row], &folded[c * row..][..row]);
            let Back { grid, to_folded, factor } = back[c];
            let (low, high) = (grid.range.lo - 0.5, grid.range.hi + 0.5);
            let mut sums = [0.0f64; LANES];
            let mut add = |lane: usize, w: f32, folded: f32, gradient: &mut f32| {
                let t = folded / grid.scale;
                let g = if (low < t) & (t < high) { *gradient * to_folded } else { 0.0 };
                sums[lane] += f64::from(g) * f64::from(w);
                *gradient = g * factor;
            };
            let whole = row / LANES * LANES;
            for start in (0..whole).step_by(LANES) {
                let (w, folded, gradient) = (&w[start..][..LANES], &folded[start..][..LANES], &mut gradient[start..][..LANES]);
                for l in 0..LANES {
                    add(l, w[l], folded[l], &mut gradient[l]);
                }
            }
            for i in whole..row {
                add(i - whole, w[i], folded[i], &mut gradient[i]);
            }
            through[c] = sums.iter().sum::<f64>() as f32;
        }
    }
}

/// What a gradient, as [`backward`] gets it, says of the step size of each channel: `sums[c] = Σ g·(q − t)` with `t = folded/scale` inside the
/// codes and 0 beyond them, where the code follows the limit (LSQ, Esser et al. 2020, formula 3).
pub fn step_sums(folded: &[f32], codes: &[f32], back: &[Back], gradient: &[f32], sums: &mut [f64]) {
    let rows = Rows::new(folded.len(), back.len());
    assert!(
        codes.len() == folded.len() && gradient.len() == folded.len() && sums.len() == back.len(),
        "weights::step_sums: one code and one gradient a weight, one sum a channel"
    );
    let rows = folded.par_chunks(rows.row).zip(codes.par_chunks(rows.row)).zip(gradient.par_chunks(rows.row));
    rows.zip(back).zip(sums).for_each(|((((folded, codes), gradient), back), sum)| {
        let Back { grid, to_folded, .. } = back;
        let of_weight = |((w, q), g): ((&f32, &f32), &f32)| {
            let t = w / grid.scale;
            let inside = (grid.range.lo..=grid.range.hi).contains(&t);
            f64::from(g * to_folded) * f64::from(q - if inside { t } else { 0.0 })
        };
        *sum = folded.iter().zip(codes).zip(gradient).map(of_weight).sum();
    });
}

/// How weights are cut into tasks of whole rows.
#[derive(Clone, Copy)]
struct Rows {
    row: usize,
    /// Elements of a task: a multiple of `row`.
    task: usize,
}

impl Rows {
    fn new(elements: usize, channels: usize) -> Self {
        assert!(channels > 0 && elements.is_multiple_of(channels) && elements > 0, "weights: whole rows, one for each channel");
        let row = elements / channels;
        Self { row, task: row * (TASK / row).max(1) }
    }

    fn channels_of_task(self) -> usize {
        self.task / self.row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_quantize::Rounding;
    use crate::fake_quantize::reference;
    use crate::simd::on_every_path;
    use crate::test_data::floats;

    const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 9), (5, 40_000), (2000, 9), (33, 27), (1, 70_000)];
    const ROUNDINGS: [Rounding; 3] = [Rounding::HalfToEven, Rounding::HalfUp, Rounding::HalfAwayFromZero];

    fn grid(c: usize, rounding: Rounding) -> Grid {
        Grid { scale: 0.01 + 0.003 * (c % 7) as f32, range: CodeRange { lo: -63.0, hi: 62.0, rounding } }
    }

    #[test]
    fn folding_and_codes_agree_with_plain_loops() {
        for (channels, row) in SHAPES {
            let (w, factors) = (floats(1, channels * row), floats(2, channels));
            on_every_path(|simd| {
                let (mut folded, mut limits) = (vec![0.0; w.len()], vec![(0.0, 0.0); channels]);
                fold(&w, &factors, &mut folded, &mut limits);
                for rounding in ROUNDINGS {
                    let grids: Vec<Grid> = (0..channels).map(|c| grid(c, rounding)).collect();
                    for grids in [&grids[..], &grids[..1]] {
                        let mut found = vec![9.0; w.len()];
                        codes(&folded, grids, &mut found);
                        for (i, code) in found.iter().enumerate() {
                            let Grid { scale, range } = grids[if grids.len() == 1 { 0 } else { i / row }];
                            assert_eq!(folded[i], w[i] * factors[i / row]);
                            assert_eq!(*code, reference::code(&range, folded[i] / scale), "{simd:?} {channels}x{row}");
                        }
                    }
                }
                for (c, row) in folded.chunks(row).enumerate() {
                    let plain = row.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (v.min(l), v.max(h)));
                    assert_eq!(limits[c], plain);
                }
            });
        }
    }

    #[test]
    fn a_nan_poisons_the_limits_of_its_channel_only() {
        let (mut folded, mut limits) = ([0.0; 60], [(0.0, 0.0); 2]);
        let mut w = [0.5; 60];
        w[41] = f32::NAN;
        fold(&w, &[1.0, 2.0], &mut folded, &mut limits);
        assert_eq!(limits[0], (0.5, 0.5));
        assert!(limits[1].0.is_nan() && limits[1].1.is_nan());
    }

    /// With the roundings' errors held fixed, as their straight-through derivative takes them, ŵ is linear in the step.
    #[test]
    fn sums_of_steps_are_the_derivative_of_the_surrogate() {
        for (channels, row) in SHAPES {
            let (folded, given) = (floats(1, channels * row), floats(3, channels * row));
            let range = CodeRange { lo: -3.0, hi: 2.0, rounding: Rounding::HalfToEven };
            let grid = |c: usize| Grid { scale: 0.1 + 0.03 * (c % 7) as f32, range };
            let back: Vec<Back> = (0..channels).map(|c| Back { grid: grid(c), to_folded: 1.5, factor: 9.0 }).collect();
            let code = |i: usize| reference::code(&range, folded[i] / back[i / row].grid.scale);
            let codes: Vec<f32> = (0..folded.len()).map(code).collect();
            let mut sums = vec![0.0; channels];
            step_sums(&folded, &codes, &back, &given, &mut sums);
            for (c, sum) in sums.iter().enumerate() {
                let s = f64::from(back[c].grid.scale);
                let value = |i: usize, step: f64| match f64::from(folded[i]) / s {
                    t if t > 2.0 => 2.0 * step,
                    t if t < -3.0 => -3.0 * step,
                    t => f64::from(folded[i]) + step * (f64::from(codes[i]) - t),
                };
                let loss = |step: f64| (c * row..(c + 1) * row).map(|i| 1.5 * f64::from(given[i]) * value(i, step)).sum::<f64>();
                let numeric = (loss(s + 1e-4) - loss(s - 1e-4)) / 2e-4;
                assert!((sum - numeric).abs() < 1e-3 * (1.0 + numeric.abs()), "{channels}x{row}: {sum} {numeric}");
            }
        }
    }

    #[test]
    fn the_way_back_agrees_with_a_plain_loop() {
        for (channels, row) in SHAPES {
            let (w, factors, given) = (floats(1, channels * row), floats(2, channels), floats(3, channels * row));
            let folded: Vec<f32> = w.iter().enumerate().map(|(i, w)| w * factors[i / row]).collect();
            let back = |c: usize| Back { grid: grid(c, Rounding::HalfToEven), to_folded: 1.5, factor: factors[c] };
            let back: Vec<Back> = (0..channels).map(back).collect();
            on_every_path(|simd| {
                let (mut gradient, mut through) = (given.clone(), vec![0.0; channels]);
                backward(&w, &folded, &back, &mut gradient, &mut through);
                for c in 0..channels {
                    let (mut sum, mut size) = (0.0f64, 0.0f64);
                    for i in c * row..(c + 1) * row {
                        let t = folded[i] / back[c].grid.scale;
                        let g = if -63.5 < t && t < 62.5 { given[i] * 1.5 } else { 0.0 };
                        assert_eq!(gradient[i], g * factors[c], "{simd:?} {channels}x{row}");
                        sum += f64::from(g) * f64::from(w[i]);
                        size += (f64::from(g) * f64::from(w[i])).abs();
                    }
                    assert!((f64::from(through[c]) - sum).abs() <= 1e-6 * size + 1e-12, "{simd:?} {channels}x{row}");
                }
            });
        }
    }
}
