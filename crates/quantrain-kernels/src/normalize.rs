//! Normalisation of rows by their own mean and variance: layer, RMS, instance and group normalisation.
//!
//! `y = x̂·s + b` with `x̂ = (x − mean)/√(variance + ε)`, mean and (biased) variance of each row; or without a mean, of the squares alone.

use rayon::prelude::*;

/// How ε keeps a deviation from being 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epsilon {
    /// `√(variance + ε)`
    OfVariance(f32),
    /// `√variance + ε`
    OfDeviation(f32),
    /// `√max(variance, ε)`
    Least(f32),
}

/// Rows of one length, and how they share scales s and offsets b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNorm {
    /// Elements of a row.
    pub len: usize,
    /// What keeps the deviation from being 0.
    pub epsilon: Epsilon,
    /// Whether the mean is taken away.
    pub centred: bool,
    /// So many rows in turn have parameters of their own.
    pub turns: usize,
    /// So many places of a row, one after the other, share a parameter.
    pub share: usize,
}

/// What a row is normalised with.
struct Moments {
    mean: f32,
    /// One through the deviation.
    factor: f32,
    /// How much the factor moves with the variance, where one of `√variance` alone moves by 1.
    pull: f32,
}

impl RowNorm {
    /// Scales and offsets.
    pub fn parameters(&self) -> usize {
        self.turns * (self.len / self.share.max(1))
    }

    fn parameter(&self, row: usize, place: usize) -> usize {
        row % self.turns * (self.len / self.share) + place / self.share
    }

    /// Of a row, summed in f64.
    fn moments(&self, row: &[f32]) -> Moments {
        let n = row.len() as f64;
        let mean = if self.centred { row.iter().map(|&v| f64::from(v)).sum::<f64>() / n } else { 0.0 };
        let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let (deviation, pull) = match self.epsilon {
            Epsilon::OfVariance(epsilon) => ((variance + f64::from(epsilon)).sqrt(), 1.0),
            Epsilon::OfDeviation(epsilon) => {
                let (root, epsilon) = (variance.sqrt(), f64::from(epsilon));
                (root + epsilon, if root > 0.0 { (root + epsilon) / root } else { 0.0 })
            }
            Epsilon::Least(epsilon) => {
                let least = f64::from(epsilon);
                (variance.max(least).sqrt(), if variance > least { 1.0 } else { 0.0 })
            }
        };
        Moments { mean: mean as f32, factor: (1.0 / deviation) as f32, pull: pull as f32 }
    }

    fn check(&self, x: &[f32], y: &[f32], parameters: &[f32]) {
        assert!(self.len > 0 && x.len().is_multiple_of(self.len) && x.len() == y.len(), "RowNorm: whole rows");
        assert!(self.turns > 0 && self.share > 0 && self.len.is_multiple_of(self.share), "RowNorm: whole shares");
        assert_eq!(parameters.len(), self.parameters(), "RowNorm: one parameter a share");
    }

    /// `y` from `x`; without offsets where `offset` is `None`.
    pub fn forward(&self, x: &[f32], scale: &[f32], offset: Option<&[f32]>, y: &mut [f32]) {
        self.check(x, y, scale);
        assert!(offset.is_none_or(|offset| offset.len() == scale.len()), "RowNorm: as many offsets as scales");
        (x.par_chunks(self.len), y.par_chunks_mut(self.len)).into_par_iter().enumerate().for_each(|(row, (x, y))| {
            let Moments { mean, factor, .. } = self.moments(x);
            for (place, (x, y)) in x.iter().zip(y).enumerate() {
                let at = self.parameter(row, place);
                *y = (x - mean) * factor * scale[at] + offset.map_or(0.0, |offset| offset[at]);
            }
        });
    }

    /// `dx = (g − mean(g) − x̂·mean(g·x̂))/√(variance + ε)` with `g = dy·s`, the mean of g only of centred rows. Overwrites `dx`, or adds to it.
    pub fn input_gradient(&self, x: &[f32], scale: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        self.check(x, dy, scale);
        assert_eq!(x.len(), dx.len(), "RowNorm: one gradient a value");
        let rows = (x.par_chunks(self.len), dy.par_chunks(self.len), dx.par_chunks_mut(self.len));
        rows.into_par_iter().enumerate().for_each(|(row, (x, dy, dx))| {
            let Moments { mean, factor, pull } = self.moments(x);
            let (mut sum_g, mut sum_gx) = (0.0f64, 0.0f64);
            for (place, (x, dy)) in x.iter().zip(dy).enumerate() {
                let g = f64::from(dy * scale[self.parameter(row, place)]);
                sum_g += g;
                sum_gx += g * f64::from((x - mean) * factor);
            }
            let mean_g = if self.centred { (sum_g / self.len as f64) as f32 } else { 0.0 };
            let mean_gx = (sum_gx / self.len as f64) as f32 * pull;
            for (place, ((x, dy), dx)) in x.iter().zip(dy).zip(dx).enumerate() {
                let g = dy * scale[self.parameter(row, place)];
                let d = factor * (g - mean_g - (x - mean) * factor * mean_gx);
                *dx = if accumulate { *dx + d } else { d };
            }
        });
    }

    /// `ds = Σ dy·x̂`, rows in order; overwrites `ds`.
    pub fn scale_gradient(&self, x: &[f32], dy: &[f32], ds: &mut [f32]) {
        self.check(x, dy, ds);
        ds.fill(0.0);
        for (row, (x, dy)) in x.chunks_exact(self.len).zip(dy.chunks_exact(self.len)).enumerate() {
            let Moments { mean, factor, .. } = self.moments(x);
            for (place, (x, dy)) in x.iter().zip(dy).enumerate() {
                ds[self.parameter(row, place)] += dy * (x - mean) * factor;
            }
        }
    }

    /// `db = Σ dy`, rows in order; overwrites `db`.
    pub fn offset_gradient(&self, dy: &[f32], db: &mut [f32]) {
        self.check(dy, dy, db);
        db.fill(0.0);
        for (row, dy) in dy.chunks_exact(self.len).enumerate() {
            for (place, dy) in dy.iter().enumerate() {
                db[self.parameter(row, place)] += dy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::floats;

    fn rows(len: usize, turns: usize, share: usize) -> RowNorm {
        RowNorm { len, epsilon: Epsilon::OfVariance(0.0), centred: true, turns, share }
    }

    #[test]
    fn rows_have_mean_offset_and_deviation_scale() {
        let (x, scale, offset) = (floats(1, 6 * 40), vec![2.0, -0.5, 1.0], vec![0.5, 0.0, -1.0]);
        let norm = rows(40, 3, 40);
        let mut y = vec![f32::NAN; x.len()];
        norm.forward(&x, &scale, Some(&offset), &mut y);
        for (row, y) in y.chunks_exact(40).enumerate() {
            let Moments { mean, factor, .. } = norm.moments(y);
            assert!((mean - offset[row % 3]).abs() < 1e-5 && (1.0 / factor - scale[row % 3].abs()).abs() < 1e-5);
        }
    }

    #[test]
    fn parameters_are_those_of_places_channels_or_channels_of_groups() {
        let of = |norm: RowNorm, at: &[(usize, usize)]| at.iter().map(|&(row, place)| norm.parameter(row, place)).collect::<Vec<_>>();
        assert_eq!(of(rows(6, 1, 1), &[(0, 0), (0, 5), (3, 2)]), [0, 5, 2]);
        assert_eq!(of(rows(6, 4, 6), &[(0, 0), (3, 5), (5, 2)]), [0, 3, 1]);
        // Two groups of three channels of two pixels.
        assert_eq!(of(rows(6, 2, 2), &[(0, 1), (0, 5), (1, 0), (3, 3)]), [0, 2, 3, 4]);
    }

    #[test]
    fn every_epsilon_keeps_a_row_of_one_value_from_being_divided_by_zero() {
        for epsilon in [Epsilon::OfVariance(1e-6), Epsilon::OfDeviation(1e-6), Epsilon::Least(1e-6)] {
            let (mut y, mut dx) = (vec![f32::NAN; 4], vec![f32::NAN; 4]);
            let norm = RowNorm { epsilon, ..rows(4, 1, 1) };
            norm.forward(&[2.0; 4], &[1.0; 4], None, &mut y);
            norm.input_gradient(&[2.0; 4], &[1.0; 4], &[1.0, 2.0, 3.0, 4.0], &mut dx, false);
            assert_eq!(y, [0.0; 4]);
            assert!(dx.iter().all(|d| d.is_finite()));
        }
    }

    /// `Σ r·y` moves by the gradients' words when an input or a parameter moves.
    #[test]
    fn gradients_are_those_of_finite_differences() {
        let epsilons = [Epsilon::OfVariance(0.1), Epsilon::OfDeviation(0.3), Epsilon::Least(1e-3), Epsilon::Least(10.0)];
        let shares = [(1, 1), (2, 6), (2, 3)];
        for (epsilon, centred, (turns, share)) in
            epsilons.into_iter().flat_map(|e| [true, false].map(|c| (e, c))).flat_map(|(e, c)| shares.map(|s| (e, c, s)))
        {
            let norm = RowNorm { epsilon, centred, ..rows(6, turns, share) };
            let count = norm.parameters();
            let (x, scale, offset, r) = (floats(1, 24), floats(2, count), floats(3, count), floats(4, 24));
            let loss = |x: &[f32], scale: &[f32], offset: &[f32]| {
                let mut y = vec![0.0; 24];
                norm.forward(x, scale, Some(offset), &mut y);
                y.iter().zip(&r).map(|(y, r)| f64::from(*y) * f64::from(*r)).sum::<f64>()
            };
            let (mut dx, mut ds, mut db) = (vec![1.0; 24], vec![0.0; count], vec![0.0; count]);
            norm.input_gradient(&x, &scale, &r, &mut dx, true);
            norm.scale_gradient(&x, &r, &mut ds);
            norm.offset_gradient(&r, &mut db);
            let step = 1e-2f32;
            let moved = |values: &[f32], i: usize, by: f32| {
                let mut values = values.to_vec();
                values[i] += by;
                values
            };
            for i in 0..24 {
                let difference = loss(&moved(&x, i, step), &scale, &offset) - loss(&moved(&x, i, -step), &scale, &offset);
                assert!((difference / f64::from(2.0 * step) - f64::from(dx[i] - 1.0)).abs() < 5e-3, "{norm:?}");
            }
            for i in 0..count {
                let by_scale = loss(&x, &moved(&scale, i, step), &offset) - loss(&x, &moved(&scale, i, -step), &offset);
                let by_offset = loss(&x, &scale, &moved(&offset, i, step)) - loss(&x, &scale, &moved(&offset, i, -step));
                assert!((by_scale / f64::from(2.0 * step) - f64::from(ds[i])).abs() < 2e-3);
                assert!((by_offset / f64::from(2.0 * step) - f64::from(db[i])).abs() < 2e-3);
            }
        }
    }
}
