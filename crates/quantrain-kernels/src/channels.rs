//! Passes over `[rows][channels]` with a parameter for each channel.
//!
//! Few channels make short loops. So a parameter is repeated until it fills a *strip*: a whole number of rows and of
//! vectors. A pass then runs over strips, whatever the number of channels.

use crate::parallel::{LANES, TASK};
use rayon::prelude::*;

/// Shorter strips would be mostly loop overhead.
const SHORTEST: usize = 128;
/// From here on a row is long enough to be its own strip, and its odd end is cheap.
const LONG: usize = 512;
/// Channels whose sums over rows stay in registers, side by side.
pub(crate) const FOLDED: usize = 32;

/// How rows of channels are cut into strips, and strips into tasks.
#[derive(Clone, Copy)]
pub(crate) struct Strips {
    /// Channels of a row.
    pub channels: usize,
    /// Elements of a strip: a multiple of `channels`.
    pub strip: usize,
    /// Elements of a task: a multiple of `strip`.
    pub task: usize,
}

impl Strips {
    pub fn new(channels: usize) -> Self {
        assert!(channels > 0, "a row has at least one channel");
        let strip = if channels >= LONG {
            channels
        } else {
            let whole_vectors = channels * (LANES / greatest_common_divisor(channels, LANES));
            whole_vectors * SHORTEST.div_ceil(whole_vectors)
        };
        Self { channels, strip, task: strip * (TASK / strip).max(1) }
    }

    /// Tasks for `length` elements.
    pub fn tasks(&self, length: usize) -> usize {
        length.div_ceil(self.task)
    }

    /// A strip of each parameter, one value a channel, laid out in `scratch`.
    pub fn repeat_all<'a, const N: usize>(&self, parameters: [&[f32]; N], scratch: &'a mut [f32]) -> [&'a [f32]; N] {
        let mut strips = [&[][..]; N];
        let parts = scratch.chunks_exact_mut(self.strip);
        for ((strip, part), parameter) in strips.iter_mut().zip(parts).zip(parameters) {
            assert_eq!(parameter.len(), self.channels, "one parameter a channel");
            for row in part.chunks_exact_mut(self.channels) {
                row.copy_from_slice(parameter);
            }
            *strip = part;
        }
        strips
    }

    /// Adds up one kind of partial sums over tasks and rows, in f64 and in order.
    ///
    /// `partial` is `[task][kinds][strip]`; `to[c]` becomes `Σ partial[task][kind][row][c]`.
    pub fn fold_all(&self, partial: &[f32], kinds: usize, kind: usize, to: &mut [f32]) {
        to.par_chunks_mut(FOLDED).enumerate().for_each(|(part, to)| {
            let mut sums = [0.0; FOLDED];
            for strip in partial.chunks_exact(self.strip).skip(kind).step_by(kinds) {
                sums.iter_mut().zip(self.fold(strip, part)).for_each(|(sum, folded)| *sum += folded);
            }
            to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum as f32);
        });
    }

    /// The sums over the rows of a strip of the channels from `part · FOLDED`; zeros behind the last channel.
    pub fn fold(&self, strip: &[f32], part: usize) -> [f64; FOLDED] {
        let mut sums = [0.0; FOLDED];
        for row in strip.chunks_exact(self.channels) {
            let row = row.chunks(FOLDED).nth(part).unwrap_or(&[]);
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        sums
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_is_whole_rows_and_short_rows_fill_whole_vectors() {
        for channels in (1..600).chain([1000, 1280]) {
            let strips = Strips::new(channels);
            assert_eq!(strips.strip % channels, 0);
            assert_eq!(strips.task % strips.strip, 0);
            assert!(channels >= LONG || strips.strip.is_multiple_of(LANES));
        }
    }
}
