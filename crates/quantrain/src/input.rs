//! What a network is fed with, in figures: wrong preprocessing shows here first.

use std::fmt;

use quantrain_data::Batch;
use serde::Serialize;

/// The values of some images as a network takes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InputStatistics {
    /// Images looked at.
    pub images: usize,
    /// Mean of all values.
    pub mean: f64,
    /// Standard deviation of all values.
    pub std: f64,
    /// The smallest value.
    pub min: f32,
    /// The largest value.
    pub max: f32,
}

impl InputStatistics {
    /// Of a batch.
    pub fn of(batch: &Batch) -> Self {
        // Of several inputs, the first.
        let values = batch.feeds.first().unwrap_or(&batch.images);
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let (min, max) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        InputStatistics { images: batch.size, mean, std: variance.sqrt(), min, max }
    }
}

impl fmt::Display for InputStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InputStatistics { images, mean, std, min, max } = self;
        let images = if *images == 1 { "1 image".to_owned() } else { format!("{images} images") };
        write!(f, "input of {images}: mean {mean:.3}, std {std:.3}, from {min:.3} to {max:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_all_values() {
        let batch = Batch { images: vec![-1.0, 0.0, 1.0, 4.0], size: 2, ..Batch::default() };
        let found = InputStatistics::of(&batch);
        assert_eq!((found.images, found.mean, found.std, found.min, found.max), (2, 1.0, 3.5f64.sqrt(), -1.0, 4.0));
    }
}
