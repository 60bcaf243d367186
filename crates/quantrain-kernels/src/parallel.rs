//! How work is split. Every split depends on shapes alone, so a result is the same at any number of threads.

use crate::simd::{simd, simd_kernel};
use rayon::iter::MaxLen;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Elements of one task of an element-wise pass: long enough to hide what a task costs, short enough for the L2 cache.
pub(crate) const TASK: usize = 16 * 1024;

/// Elements that several loops in turn pass over while they stay in the L1 cache.
pub(crate) const BLOCK: usize = 1024;

/// Values that a reduction keeps side by side, so that it vectorises.
pub(crate) const LANES: usize = 16;

/// Tasks that are handed out one by one. Rayon by itself keeps up to an eighth of them together, and two threads then wait for the last of
/// these parts; a task is long enough to be worth the hand-over.
pub(crate) trait OneByOne: IndexedParallelIterator {
    fn one_by_one(self) -> MaxLen<Self> {
        self.with_max_len(1)
    }
}

impl<I: IndexedParallelIterator> OneByOne for I {}

/// Overwrites, or adds: what every `accumulate` flag means.
#[inline(always)]
pub(crate) fn put(to: &mut f32, value: f32, accumulate: bool) {
    *to = if accumulate { *to + value } else { value };
}

/// The number of the thread that runs this task, below `rayon::current_num_threads()`.
///
/// A thread outside the pool runs an iteration itself only where rayon did not split it, so alone: it is number 0.
pub(crate) fn worker() -> usize {
    rayon::current_thread_index().unwrap_or(0)
}

/// The least and greatest of the values seen, NaN left out.
#[derive(Clone, Copy)]
pub(crate) struct Extrema {
    low: [f32; LANES],
    high: [f32; LANES],
}

impl Default for Extrema {
    #[inline(always)]
    fn default() -> Self {
        Self { low: [f32::INFINITY; LANES], high: [f32::NEG_INFINITY; LANES] }
    }
}

impl Extrema {
    /// A loop of its own, since mixed with other work LLVM keeps neither in whole registers.
    #[inline(always)]
    pub(crate) fn include(&mut self, values: &[f32]) {
        let Self { mut low, mut high } = *self;
        let (lanes, rest) = values.as_chunks::<LANES>();
        for values in lanes {
            for l in 0..LANES {
                low[l] = if values[l] < low[l] { values[l] } else { low[l] };
                high[l] = if values[l] > high[l] { values[l] } else { high[l] };
            }
        }
        for value in rest {
            low[0] = if *value < low[0] { *value } else { low[0] };
            high[0] = if *value > high[0] { *value } else { high[0] };
        }
        *self = Self { low, high };
    }

    pub(crate) fn union(mut self, other: Self) -> Self {
        for l in 0..LANES {
            self.low[l] = self.low[l].min(other.low[l]);
            self.high[l] = self.high[l].max(other.high[l]);
        }
        self
    }

    /// As if every value had been greater by `offset`.
    #[inline(always)]
    pub(crate) fn moved(self, offset: f32) -> Self {
        Self { low: self.low.map(|v| v + offset), high: self.high.map(|v| v + offset) }
    }

    /// `(least, greatest)`, or `(∞, −∞)` where nothing was seen.
    pub(crate) fn limits(self) -> (f32, f32) {
        (self.low.into_iter().fold(f32::INFINITY, f32::min), self.high.into_iter().fold(f32::NEG_INFINITY, f32::max))
    }
}

/// The least and greatest of all values, NaN left out; `(∞, −∞)` where there is none.
pub fn extrema(x: &[f32]) -> (f32, f32) {
    let simd = simd();
    x.par_chunks(TASK).one_by_one().map(|x| extrema_task(simd, x)).reduce(Extrema::default, Extrema::union).limits()
}

simd_kernel! {
    fn extrema_task(x: &[f32]) -> Extrema {
        let mut extrema = Extrema::default();
        extrema.include(x);
        extrema
    }
}

/// A slice that several tasks write at once, each its own places.
pub(crate) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer stands for an exclusive borrow of f32s; whoever uses it promises not to overlap.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// The `length` elements from `start`.
    ///
    /// # Safety
    /// No two tasks may hold overlapping ranges at the same time.
    #[allow(clippy::mut_from_ref, reason = "the caller promises disjoint ranges")]
    pub(crate) unsafe fn range(&self, start: usize, length: usize) -> &mut [f32] {
        assert!(start <= self.length && length <= self.length - start, "a task stays inside its slice");
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }

    /// A pointer to the element at `start`. To write through it is to promise what [`Shared::range`] asks for.
    pub(crate) fn from(&self, start: usize) -> *mut f32 {
        assert!(start <= self.length, "a task stays inside its slice");
        self.start.wrapping_add(start)
    }
}

#[cfg(test)]
mod tests {
    use super::extrema;

    #[test]
    fn extrema_leave_nan_out() {
        let mut x: Vec<f32> = (0..3 * super::TASK + 5).map(|i| (i * 7919 % 40_009) as f32 - 20_000.0).collect();
        let plain = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
        assert_eq!(extrema(&x), plain);
        (x[3], x[40_000]) = (f32::NAN, 1e6);
        assert_eq!(extrema(&x), (plain.0, 1e6));
        assert_eq!(extrema(&[]), (f32::INFINITY, f32::NEG_INFINITY));
        assert_eq!(extrema(&[f32::NAN; 3]), (f32::INFINITY, f32::NEG_INFINITY));
    }
}
