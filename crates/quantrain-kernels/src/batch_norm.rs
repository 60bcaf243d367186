//! The statistics of BatchNorm: mean and biased variance of each channel over the rows of a batch.

use crate::channels::{FOLDED, Strips};
use crate::parallel::OneByOne;
use crate::scratch::Scratch;
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// `mean[c]` and `variance[c] = Σ (acc − mean)² / rows` of `acc`, which is `[rows][channels]`.
///
/// Each fixed task takes two passes over its rows, which stay in cache; tasks are joined in f64, in order, by
/// Chan, Golub and LeVeque's formula. So a mean far from zero costs no accuracy.
pub fn statistics(channels: usize, acc: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    assert!(mean.len() == channels && variance.len() == channels, "batch_norm::statistics: one mean and one variance a channel");
    assert!(!acc.is_empty() && acc.len().is_multiple_of(channels), "batch_norm::statistics: at least one row, and whole rows");
    let strips = Strips::new(channels);
    let sums = 3 * strips.strip;
    let mut scratch = Scratch::take(strips.tasks(acc.len()) * sums);
    let partial = &mut scratch.as_mut_slice()[..strips.tasks(acc.len()) * sums];
    let simd = simd();
    (acc.par_chunks(strips.task), partial.par_chunks_mut(sums)).into_par_iter().one_by_one().for_each(|(acc, partial)| {
        let (center, sums) = partial.split_at_mut(strips.strip);
        let (sum, squares) = sums.split_at_mut(strips.strip);
        sum.fill(0.0);
        add(simd, acc, sum);
        let rows = acc.len() / channels;
        let (first, others) = center.split_at_mut(channels);
        for (part, center) in first.chunks_mut(FOLDED).enumerate() {
            center.iter_mut().zip(strips.fold(sum, part)).for_each(|(center, sum)| *center = (sum / rows as f64) as f32);
        }
        others.chunks_exact_mut(channels).for_each(|row| row.copy_from_slice(first));
        sum.fill(0.0);
        squares.fill(0.0);
        add_deviations(simd, acc, center, sum, squares);
    });
    let partial = &*partial;
    (mean.par_chunks_mut(FOLDED), variance.par_chunks_mut(FOLDED)).into_par_iter().enumerate().for_each(|(part, (mean, variance))| {
        let mut joined = [Moments::default(); FOLDED];
        for (acc, partial) in acc.chunks(strips.task).zip(partial.chunks_exact(sums)) {
            let (center, sums) = partial.split_at(strips.strip);
            let (sum, squares) = sums.split_at(strips.strip);
            let (sum, squares) = (strips.fold(sum, part), strips.fold(squares, part));
            let rows = (acc.len() / channels) as f64;
            for (i, center) in center[part * FOLDED..][..mean.len()].iter().enumerate() {
                let shift = sum[i] / rows;
                joined[i].join(Moments { rows, mean: f64::from(*center) + shift, squares: squares[i] - rows * shift * shift });
            }
        }
        for (i, joined) in joined[..mean.len()].iter().enumerate() {
            mean[i] = joined.mean as f32;
            variance[i] = (joined.squares / joined.rows).max(0.0) as f32;
        }
    });
}

/// Number, mean and sum of squared deviations of some values.
#[derive(Clone, Copy, Default)]
struct Moments {
    rows: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn join(&mut self, other: Moments) {
        let rows = self.rows + other.rows;
        let step = other.mean - self.mean;
        self.squares += other.squares + step * step * self.rows * other.rows / rows;
        self.mean += step * other.rows / rows;
        self.rows = rows;
    }
}

simd_kernel! {
    fn add(acc: &[f32], sum: &mut [f32]) {
        for acc in acc.chunks(sum.len()) {
            for (sum, acc) in sum.iter_mut().zip(acc) {
                *sum += acc;
            }
        }
    }
}

simd_kernel! {
    fn add_deviations(acc: &[f32], center: &[f32], sum: &mut [f32], squares: &mut [f32]) {
        for acc in acc.chunks(center.len()) {
            let n = acc.len();
            let (center, sum, squares) = (&center[..n], &mut sum[..n], &mut squares[..n]);
            for i in 0..n {
                let deviation = acc[i] - center[i];
                sum[i] += deviation;
                squares[i] += deviation * deviation;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::on_every_path;
    use crate::test_data::floats;

    fn check(channels: usize, rows: usize, offset: f32) {
        let acc: Vec<f32> = floats(7, rows * channels).into_iter().map(|v| v + offset).collect();
        on_every_path(|simd| {
            let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
            statistics(channels, &acc, &mut mean, &mut variance);
            for c in 0..channels {
                let column = || acc.iter().skip(c).step_by(channels).map(|v| f64::from(*v));
                let expected = column().sum::<f64>() / rows as f64;
                let spread = column().map(|v| (v - expected).powi(2)).sum::<f64>() / rows as f64;
                assert!((f64::from(mean[c]) - expected).abs() <= 2e-7 * expected.abs() + 1e-6 * spread.sqrt(), "{simd:?} mean");
                assert!((f64::from(variance[c]) - spread).abs() <= 1e-5 * spread + 1e-12, "{simd:?} variance");
            }
        });
    }

    #[test]
    fn statistics_agree_with_f64_at_odd_sizes() {
        for (channels, rows) in [(1, 1), (1, 40_000), (3, 9001), (16, 8192), (24, 5000), (513, 70), (1280, 144)] {
            check(channels, rows, 0.0);
        }
    }

    #[test]
    fn a_mean_far_from_zero_costs_no_accuracy() {
        check(16, 8192, 1000.0);
        check(3, 20_000, -300.0);
    }

    #[test]
    fn a_constant_channel_has_no_variance() {
        let (mut mean, mut variance) = ([0.0; 2], [1.0; 2]);
        statistics(2, &[0.1; 2 * 30_000], &mut mean, &mut variance);
        assert_eq!((mean, variance), ([0.1; 2], [0.0; 2]));
    }
}
