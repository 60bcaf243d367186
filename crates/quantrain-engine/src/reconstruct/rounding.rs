//! AdaRound: whether each weight is rounded up or down, learned so that the block's sums stay near the float network's.
//!
//! After Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", sections 3.2 and 3.3, with their asymmetric
//! target (formula 25 without the activation): `ŵ = s·clamp(⌊w/s⌋ + h(V), lo, hi)`, `h(V) = clamp(σ(V)·1.2 − 0.1, 0, 1)`, and
//! `E[(ŵ·x̂ − w·x)²] + λ·Σ(1 − |2h − 1|^β)` is minimised over V by Adam, β falling from 20 to 2. The expectation comes from [`Moments`]; a
//! channel's is measured in units of `s²·mean(diag A)`, what an error of one step in one weight costs.

use quantrain_kernels::rounding::{self, Learned as Moving, OFFSET, STRETCH, Step};
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

/// Share of the steps before h is driven to 0 or 1.
const WARM_UP: f32 = 0.2;
const FIRST_BETA: f32 = 20.0;
const LAST_BETA: f32 = 2.0;

impl AdaRound {
    /// Learns the codes of weights `folded` on `grids` (one, or one for each channel), such that sums with the quantized network's patches
    /// are near those of `float` with the float network's. The weights that a grid's range comes from keep it. A channel for which learned
    /// codes are no better than the nearest ones gets those. `largest_pair` as [`crate::BlockMut::largest_pair`] gives it.
    pub fn learn(&self, moments: &Moments, float: &[f32], folded: &[f32], grids: &[Grid], largest_pair: Option<f32>) -> Learned {
        let patch = moments.patch();
        let objective = moments.objective(float);
        let mut channels = channels(moments, &objective, folded, grids, largest_pair);
        let nearest: Vec<f32> = channels.iter().flat_map(|c| c.nearest.iter().copied()).collect();
        let mut codes = nearest.clone();
        let mut sums = vec![0.0; codes.len()];
        let mut weights = vec![0.0; codes.len()];
        let scale = |codes: &[f32], channels: &[Channel], to: &mut [f32]| {
            let rows = to.par_chunks_exact_mut(patch).zip(codes.par_chunks_exact(patch)).zip(channels);
            rows.for_each(|((to, row), c)| to.iter_mut().zip(row).for_each(|(to, q)| *to = q * c.scale));
        };
        scale(&nearest, &channels, &mut weights);
        let before = objective.error(&weights, &mut sums);
        for step in 1..=self.iterations {
            channels.par_iter().zip(codes.par_chunks_exact_mut(patch)).for_each(|(channel, codes)| channel.soft_codes(codes));
            scale(&codes, &channels, &mut weights);
            objective.half_gradient(&weights, &mut sums);
            let drive = self.drive(step);
            let rows = channels.par_iter_mut().zip(sums.par_chunks_exact(patch));
            rows.for_each(|(channel, half)| channel.update(self.rate, drive, step as i32, half));
        }
        channels.par_iter().zip(codes.par_chunks_exact_mut(patch)).for_each(|(channel, codes)| {
            channel.hard_codes(codes);
            if let Some(largest) = largest_pair {
                channel.keep_pairs_within(largest, codes);
            }
        });
        scale(&codes, &channels, &mut weights);
        let after = objective.error(&weights, &mut sums);
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
    /// `w/s`.
    quotient: Vec<f32>,
    /// `⌊w/s⌋`, or of a settled weight one below its code.
    floor: Vec<f32>,
    nearest: Vec<f32>,
    /// V, infinite where the code is settled, and Adam's moments of it.
    v: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Channel {
    fn soft_codes(&self, codes: &mut [f32]) {
        rounding::soft_codes(&self.floor, &self.v, codes);
    }

    fn hard_codes(&self, codes: &mut [f32]) {
        self.soft_codes(codes);
        codes.iter_mut().zip(&self.floor).for_each(|(code, floor)| *code = floor + f32::from(u8::from(*code - floor >= 0.5)));
    }

    /// Takes back roundings away from zero where neighbours of one sign sum up to more than `largest`; their quotients do not.
    fn keep_pairs_within(&self, largest: f32, codes: &mut [f32]) {
        for (pair, quotients) in codes.chunks_exact_mut(2).zip(self.quotient.chunks_exact(2)) {
            while pair[0] * pair[1] > 0.0 && (pair[0] + pair[1]).abs() > largest {
                let excess = |i: usize| pair[i].abs() - quotients[i].abs();
                let farther = &mut pair[usize::from(excess(1) > excess(0))];
                *farther -= farther.signum();
            }
        }
    }

    /// A step of Adam on `∂E/∂h = 2·s·(Aŵ − Bw)` and the drive's derivative.
    fn update(&mut self, rate: f32, drive: (f32, f32), number: i32, half: &[f32]) {
        let learned = Moving { v: &mut self.v, mean: &mut self.mean, square: &mut self.square };
        rounding::update(&Step { rate, drive, number, unit: self.unit }, half, learned);
    }
}

fn channels(moments: &Moments, objective: &Objective, folded: &[f32], grids: &[Grid], largest_pair: Option<f32>) -> Vec<Channel> {
    let patch = moments.patch();
    let count = folded.len() / patch;
    let grid = |c: usize| grids[if grids.len() == 1 { 0 } else { c }];
    let rows = if grids.len() == 1 { folded.len() } else { patch };
    let settled: Vec<Settled> =
        folded.chunks_exact(rows).zip(grids).map(|(rows, grid)| Settled::of(rows, patch, grid, largest_pair)).collect();
    let of = |c: usize| {
        let Grid { scale, range } = grid(c);
        let (settled, offset) = if grids.len() == 1 { (&settled[0], c * patch) } else { (&settled[c], 0) };
        let kept = settled.largest / scale < 0.5 * range.hi - 1.0;
        let diagonal = objective.mean_variance(c);
        let zeros = || vec![0.0; patch];
        let mut channel = Channel {
            scale,
            unit: scale * diagonal,
            kept,
            quotient: folded[c * patch..(c + 1) * patch].iter().map(|w| w / scale).collect(),
            floor: zeros(),
            nearest: zeros(),
            v: vec![f32::INFINITY; patch],
            mean: zeros(),
            square: zeros(),
        };
        for i in 0..patch {
            let t = channel.quotient[i];
            let (floor, nearest) = (t.floor(), t.round_ties_even().clamp(range.lo, range.hi));
            if let Some((_, code)) = settled.codes.iter().find(|(at, _)| *at == offset + i) {
                (channel.floor[i], channel.nearest[i]) = (code - 1.0, *code);
                continue;
            }
            let settled = kept || floor < range.lo || floor >= range.hi || diagonal.is_nan() || diagonal <= 0.0;
            channel.nearest[i] = nearest;
            channel.floor[i] = if settled { nearest - 1.0 } else { floor };
            if !settled {
                let sigma = (t - floor - OFFSET) / STRETCH;
                channel.v[i] = (sigma / (1.0 - sigma)).ln();
            }
        }
        channel
    };
    (0..count).into_par_iter().map(of).collect()
}

/// The weights that a grid's range comes from: their codes keep it as it is.
struct Settled {
    /// The largest magnitude.
    largest: f32,
    /// Positions in the rows of the grid, and codes.
    codes: Vec<(usize, f32)>,
}

impl Settled {
    fn of(rows: &[f32], patch: usize, grid: &Grid, largest_pair: Option<f32>) -> Self {
        let Grid { scale, range } = *grid;
        let at = position_of_largest(rows);
        let quotient = rows[at] / scale;
        // Below one where something else made the scale larger: a power of two, a bias.
        let share = (quotient.abs() / range.hi).max(0.99);
        let pair = largest_pair.and_then(|largest| Some((largest, pair_of_largest_sum(rows, patch)?)));
        let codes = match pair {
            Some((largest, first)) if (rows[first] + rows[first + 1]).abs() / scale / largest > share => {
                let code = (rows[first] / scale).round_ties_even();
                vec![(first, code), (first + 1, largest.copysign(code) - code)]
            }
            // Away from zero: the range must not become narrower.
            _ => vec![(at, ((quotient.abs() - 1e-3).ceil().copysign(quotient)).clamp(range.lo, range.hi))],
        };
        Settled { largest: rows[at].abs(), codes }
    }
}

/// Where the two neighbours of one sign are that sum up to most.
fn pair_of_largest_sum(rows: &[f32], patch: usize) -> Option<usize> {
    let firsts = (0..rows.len() / patch).flat_map(|row| (row * patch..(row + 1) * patch - 1).step_by(2));
    let sum = |first: &usize| (rows[*first] + rows[first + 1]).abs();
    firsts.filter(|&first| rows[first] * rows[first + 1] > 0.0).max_by(|a, b| sum(a).total_cmp(&sum(b)))
}

fn position_of_largest(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i].abs() > row[best].abs() { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rounded_away_from_zero_goes_back_where_a_pair_is_too_large() {
        let of = |quotients: &[f32], mut codes: Vec<f32>| {
            let none = || vec![0.0; quotients.len()];
            let channel = Channel {
                scale: 1.0,
                unit: 1.0,
                kept: false,
                quotient: quotients.to_vec(),
                floor: none(),
                nearest: none(),
                v: none(),
                mean: none(),
                square: none(),
            };
            channel.keep_pairs_within(128.0, &mut codes);
            codes
        };
        assert_eq!(of(&[63.2, 64.7], vec![64.0, 65.0]), [63.0, 65.0]);
        assert_eq!(of(&[-63.9, -64.05], vec![-64.0, -65.0]), [-64.0, -64.0]);
        assert_eq!(of(&[126.9, 1.0001], vec![127.0, 2.0]), [127.0, 1.0]);
        assert_eq!(of(&[100.4, -90.2, 120.0], vec![101.0, -91.0, 120.0]), [101.0, -91.0, 120.0], "two signs, and one without a neighbour");
    }
}
