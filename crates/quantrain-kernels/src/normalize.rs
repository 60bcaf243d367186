//! Normalisation of rows by their own mean and variance: layer and instance normalisation.
//!
//! `y = x̂·s + b` with `x̂ = (x − mean)/√(variance + ε)`, mean and (biased) variance of each row.

use rayon::prelude::*;

/// Rows of one length, and how they share scales s and offsets b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNorm {
    /// Elements of a row.
    pub len: usize,
    /// ε, added to the variance.
    pub epsilon: f32,
    /// `None`: each place of a row has its scale and its offset. `Some(c)`: each of `c` rows in turn has one for all its places.
    pub channels: Option<usize>,
}

/// Mean and `1/√(variance + ε)` of a row, summed in f64.
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let n = row.len() as f64;
    let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32)
}

impl RowNorm {
    /// Scales and offsets: one for each place, or for each channel.
    pub fn parameters(&self) -> usize {
        self.channels.unwrap_or(self.len)
    }

    fn parameter(&self, row: usize, place: usize) -> usize {
        self.channels.map_or(place, |channels| row % channels)
    }

    fn check(&self, x: &[f32], y: &[f32], parameters: &[f32]) {
        assert!(self.len > 0 && x.len().is_multiple_of(self.len) && x.len() == y.len(), "RowNorm: whole rows");
        assert_eq!(parameters.len(), self.parameters(), "RowNorm: one parameter a place or a channel");
    }

    /// `y` from `x`; without offsets where `offset` is `None`.
    pub fn forward(&self, x: &[f32], scale: &[f32], offset: Option<&[f32]>, y: &mut [f32]) {
        self.check(x, y, scale);
        assert!(offset.is_none_or(|offset| offset.len() == scale.len()), "RowNorm: as many offsets as scales");
        (x.par_chunks(self.len), y.par_chunks_mut(self.len)).into_par_iter().enumerate().for_each(|(row, (x, y))| {
            let (mean, factor) = moments(x, self.epsilon);
            for (place, (x, y)) in x.iter().zip(y).enumerate() {
                let at = self.parameter(row, place);
                *y = (x - mean) * factor * scale[at] + offset.map_or(0.0, |offset| offset[at]);
            }
        });
    }

    /// `dx = (g − mean(g) − x̂·mean(g·x̂))/√(variance + ε)` with `g = dy·s`. Overwrites `dx`, or adds to it.
    pub fn input_gradient(&self, x: &[f32], scale: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        self.check(x, dy, scale);
        assert_eq!(x.len(), dx.len(), "RowNorm: one gradient a value");
        let rows = (x.par_chunks(self.len), dy.par_chunks(self.len), dx.par_chunks_mut(self.len));
        rows.into_par_iter().enumerate().for_each(|(row, (x, dy, dx))| {
            let (mean, factor) = moments(x, self.epsilon);
            let (mut sum_g, mut sum_gx) = (0.0f64, 0.0f64);
            for (place, (x, dy)) in x.iter().zip(dy).enumerate() {
                let g = f64::from(dy * scale[self.parameter(row, place)]);
                sum_g += g;
                sum_gx += g * f64::from((x - mean) * factor);
            }
            let (mean_g, mean_gx) = ((sum_g / self.len as f64) as f32, (sum_gx / self.len as f64) as f32);
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
            let (mean, factor) = moments(x, self.epsilon);
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

    #[test]
    fn rows_have_mean_offset_and_deviation_scale() {
        let (x, scale, offset) = (floats(1, 6 * 40), vec![2.0, -0.5, 1.0], vec![0.5, 0.0, -1.0]);
        let norm = RowNorm { len: 40, epsilon: 0.0, channels: Some(3) };
        let mut y = vec![f32::NAN; x.len()];
        norm.forward(&x, &scale, Some(&offset), &mut y);
        for (row, y) in y.chunks_exact(40).enumerate() {
            let (mean, factor) = moments(y, 0.0);
            assert!((mean - offset[row % 3]).abs() < 1e-5 && (1.0 / factor - scale[row % 3].abs()).abs() < 1e-5);
        }
    }

    /// `Σ r·y` moves by the gradients' words when an input or a parameter moves.
    #[test]
    fn gradients_are_those_of_finite_differences() {
        for channels in [None, Some(2)] {
            let norm = RowNorm { len: 5, epsilon: 0.1, channels };
            let count = norm.parameters();
            let (x, scale, offset, r) = (floats(1, 20), floats(2, count), floats(3, count), floats(4, 20));
            let loss = |x: &[f32], scale: &[f32], offset: &[f32]| {
                let mut y = vec![0.0; 20];
                norm.forward(x, scale, Some(offset), &mut y);
                y.iter().zip(&r).map(|(y, r)| f64::from(*y) * f64::from(*r)).sum::<f64>()
            };
            let (mut dx, mut ds, mut db) = (vec![1.0; 20], vec![0.0; count], vec![0.0; count]);
            norm.input_gradient(&x, &scale, &r, &mut dx, true);
            norm.scale_gradient(&x, &r, &mut ds);
            norm.offset_gradient(&r, &mut db);
            let step = 1e-2f32;
            let moved = |values: &[f32], i: usize, by: f32| {
                let mut values = values.to_vec();
                values[i] += by;
                values
            };
            for i in 0..20 {
                let difference = loss(&moved(&x, i, step), &scale, &offset) - loss(&moved(&x, i, -step), &scale, &offset);
                assert!((difference / f64::from(2.0 * step) - f64::from(dx[i] - 1.0)).abs() < 5e-3);
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
