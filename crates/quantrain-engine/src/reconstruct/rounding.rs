//! AdaRound: whether each weight is rounded up or down, learned so that the block's sums stay near the float network's.
//!
//! After Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", sections 3.2 and 3.3, with their asymmetric
//! target (formula 25 without the activation): `ŵ = s·clamp(⌊w/s⌋ + h(V), lo, hi)`, `h(V) = clamp(σ(V)·1.2 − 0.1, 0, 1)`, and
//! `E[(ŵ·x̂ − w·x)²] + λ·Σ(1 − |2h − 1|^β)` is minimised over V by Adam, β falling from 20 to 2. The expectation comes from [`Moments`]; a
//! channel's is measured in units of `s²·mean(diag A)`, what an error of one step in one weight costs.

use quantrain_kernels::weights::Grid;
use rayon::prelude::*;

use super::Moments;
use super::moments::Objective;

/// How rounding is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaRound {
    /// Steps of Adam.
    pub iterations: usize,
    /// Learning rate of V.
    pub rate: f32,
    /// λ, the weight of the term that drives h to 0 or 1.
    pub strength: f32,
}

impl Default for AdaRound {
    fn default() -> Self {
        AdaRound { iterations: 500, rate: 0.02, strength: 0.02 }
    }
}

/// Learned codes.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Centred codes, in the order of the weights.
    pub codes: Vec<f32>,
    /// Channels that were left alone: their weights use less than half of their grid, so their codes tell little.
    pub kept: Vec<bool>,
    /// Weights whose code is not the nearest one.
    pub moved: usize,
}

const STRETCH: f32 = 1.2;
const OFFSET: f32 = -0.1;
/// Share of the steps before h is driven to 0 or 1.
const WARM_UP: f32 = 0.2;
const FIRST_BETA: f32 = 20.0;
const LAST_BETA: f32 = 2.0;

impl AdaRound {
    /// Learns the codes of weights `folded` on `grids` (one, or one for each channel), such that sums with the quantized network's patches
    /// are near those of `float` with the float network's. The weight that a grid's range comes from keeps it. A channel for which learned
    /// codes are no better than the nearest ones gets those.
    pub fn learn(&self, moments: &Moments, float: &[f32], folded: &[f32], grids: &[Grid]) -> Learned {
        let patch = moments.patch();
        let objective = moments.objective(float);
        let mut channels = channels(moments, &objective, folded, grids);
        let nearest: Vec<f32> = channels.iter().flat_map(|c| c.weights.iter().map(|w| w.nearest)).collect();
        let mut codes = nearest.clone();
        let mut sums = vec![0.0; codes.len()];
        let scaled = |codes: &[f32], channels: &[Channel]| -> Vec<f32> {
            codes.chunks_exact(patch).zip(channels).flat_map(|(row, c)| row.iter().map(move |q| q * c.scale)).collect()
        };
        let before = objective.error(&scaled(&nearest, &channels), &mut sums);
        for step in 1..=self.iterations {
            channels.par_iter().zip(codes.par_chunks_exact_mut(patch)).for_each(|(channel, codes)| channel.soft_codes(codes));
            let weights = scaled(&codes, &channels);
            objective.half_gradient(&weights, &mut sums);
            let drive = self.drive(step);
            let rows = channels.par_iter_mut().zip(sums.par_chunks_exact(patch));
            rows.for_each(|(channel, half)| channel.update(self.rate, drive, step, half));
        }
        channels.par_iter().zip(codes.par_chunks_exact_mut(patch)).for_each(|(channel, codes)| channel.hard_codes(codes));
        let after = objective.error(&scaled(&codes, &channels), &mut sums);
        for (c, (row, nearest)) in codes.chunks_exact_mut(patch).zip(nearest.chunks_exact(patch)).enumerate() {
            // Written so that NaN keeps the nearest codes.
            if after[c].is_nan() || after[c] >= before[c] {
                row.copy_from_slice(nearest);
            }
        }
        let moved = codes.iter().zip(&nearest).filter(|(q, n)| q != n).count();
        Learned { codes, kept: channels.iter().map(|c| c.kept).collect(), moved }
    }

    /// λ and β of a step.
    fn drive(&self, step: usize) -> (f32, f32) {
        let progress = step as f32 / self.iterations as f32;
        if progress < WARM_UP {
            return (0.0, FIRST_BETA);
        }
        let share = (progress - WARM_UP) / (1.0 - WARM_UP);
        (self.strength, LAST_BETA + 0.5 * (FIRST_BETA - LAST_BETA) * (1.0 + (share * std::f32::consts::PI).cos()))
    }
}

/// A channel's weights on their way.
struct Channel {
    scale: f32,
    /// `s·mean(diag A)`: turns gradients by ŵ into gradients by h in the channel's unit of error.
    unit: f32,
    kept: bool,
    weights: Vec<Weight>,
}

struct Weight {
    /// `⌊w/s⌋`.
    floor: f32,
    nearest: f32,
    /// V with Adam's moments; `None` where the code is settled.
    learned: Option<[f32; 3]>,
}

fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

fn soft(v: f32) -> f32 {
    (sigmoid(v) * STRETCH + OFFSET).clamp(0.0, 1.0)
}

impl Channel {
    fn soft_codes(&self, codes: &mut [f32]) {
        for (code, w) in codes.iter_mut().zip(&self.weights) {
            *code = w.learned.map_or(w.nearest, |[v, ..]| w.floor + soft(v));
        }
    }

    fn hard_codes(&self, codes: &mut [f32]) {
        for (code, w) in codes.iter_mut().zip(&self.weights) {
            *code = w.learned.map_or(w.nearest, |[v, ..]| w.floor + f32::from(u8::from(soft(v) >= 0.5)));
        }
    }

    /// A step of Adam on `∂E/∂h = 2·s·(Aŵ − Bw)` and the drive's derivative.
    fn update(&mut self, rate: f32, (strength, beta): (f32, f32), step: usize, half: &[f32]) {
        let corrections = (1.0 - 0.9f32.powi(step as i32), 1.0 - 0.999f32.powi(step as i32));
        for (i, w) in self.weights.iter_mut().enumerate() {
            let Some([v, mean, square]) = &mut w.learned else { continue };
            let (sigma, h) = (sigmoid(*v), soft(*v));
            let inside = h > 0.0 && h < 1.0;
            let away = 2.0 * h - 1.0;
            let driven = -strength * 2.0 * beta * away.abs().powf(beta - 1.0) * away.signum();
            let by_h = 2.0 * half[i] / self.unit + driven;
            let gradient = if inside { by_h * STRETCH * sigma * (1.0 - sigma) } else { 0.0 };
            *mean = 0.9 * *mean + 0.1 * gradient;
            *square = 0.999 * *square + 0.001 * gradient * gradient;
            *v -= rate * (*mean / corrections.0) / ((*square / corrections.1).sqrt() + 1e-8);
        }
    }
}

fn channels(moments: &Moments, objective: &Objective, folded: &[f32], grids: &[Grid]) -> Vec<Channel> {
    let patch = moments.patch();
    let count = folded.len() / patch;
    let grid = |c: usize| grids[if grids.len() == 1 { 0 } else { c }];
    // The weight that each grid's range comes from, and how much of the grid it uses.
    let rows = if grids.len() == 1 { folded.len() } else { patch };
    let largest: Vec<usize> = folded.chunks_exact(rows).enumerate().map(|(g, row)| g * rows + position_of_largest(row)).collect();
    let of = |c: usize| {
        let Grid { scale, range } = grid(c);
        let largest = largest[if grids.len() == 1 { 0 } else { c }];
        let kept = folded[largest].abs() / scale < 0.5 * range.hi - 1.0;
        let diagonal = objective.mean_variance(c);
        let weight = |i: usize| {
            let (at, t) = (c * patch + i, folded[c * patch + i] / scale);
            let (floor, nearest) = (t.floor(), t.round_ties_even().clamp(range.lo, range.hi));
            if at == largest {
                // Away from zero: the range must not become narrower.
                let code = ((t.abs() - 1e-3).ceil().copysign(t)).clamp(range.lo, range.hi);
                return Weight { floor, nearest: code, learned: None };
            }
            let settled = kept || floor < range.lo || floor >= range.hi || diagonal.is_nan() || diagonal <= 0.0;
            let sigma = (t - floor - OFFSET) / STRETCH;
            Weight { floor, nearest, learned: (!settled).then(|| [(sigma / (1.0 - sigma)).ln(), 0.0, 0.0]) }
        };
        Channel { scale, unit: scale * diagonal, kept, weights: (0..patch).map(weight).collect() }
    };
    (0..count).into_par_iter().map(of).collect()
}

fn position_of_largest(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i].abs() > row[best].abs() { i } else { best })
}
