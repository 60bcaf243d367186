//! Averages over windows of images, whatever batches the images come in.

use quantrain_graph::Range;
use serde::{Deserialize, Serialize};

/// Images that an average takes up at once. A batch that ends in the middle of a window leaves it open for the next one.
pub(super) const WINDOW: u64 = 64;

/// The average of the ranges of windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Average {
    pub range: Option<Range>,
    /// Images that it is of.
    pub images: u64,
}

impl Average {
    /// With a window of `images`, of which a whole one has a share of `rate`. The first range counts in full; the limits never leave what was
    /// seen.
    pub fn with(self, window: Range, images: u64, rate: f32) -> Self {
        let share = (rate * (images as f32 / WINDOW as f32)).min(1.0);
        // Limits near ±f32::MAX have no difference in f32.
        let toward = |r: f32, w: f32| (f64::from(r) + f64::from(share) * (f64::from(w) - f64::from(r))) as f32;
        let range = self.range.map_or(window, |r| Range { min: toward(r.min, window.min), max: toward(r.max, window.max) });
        Average { range: Some(range), images: self.images + images }
    }
}

/// Cuts the values of so many images where windows end, the first of which has `filled` images already: gives each piece with its images.
pub(super) fn by_window(x: &[f32], images: usize, filled: u64, mut take: impl FnMut(&[f32], u64)) {
    let mut room = (WINDOW - filled.min(WINDOW - 1)) as usize;
    let end = |image: usize| (x.len() as u128 * image as u128 / images as u128) as usize;
    let mut first = 0;
    while first < images {
        let last = images.min(first + room);
        take(&x[end(first)..end(last)], (last - first) as u64);
        (first, room) = (last, WINDOW as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_windows_and_make_the_whole() {
        let x: Vec<f32> = (0..200 * 3).map(|i| i as f32).collect();
        let mut pieces = Vec::new();
        by_window(&x, 200, 60, |piece, images| pieces.push((piece.to_vec(), images)));
        assert_eq!(pieces.iter().map(|p| p.1).collect::<Vec<_>>(), [4, 64, 64, 64, 4]);
        assert!(pieces.iter().all(|(piece, images)| piece.len() as u64 == 3 * images));
        assert_eq!(pieces.into_iter().flat_map(|p| p.0).collect::<Vec<_>>(), x);
    }
}
