//! Working memory that outlives a call: after the first step of a network no kernel allocates.

use std::sync::Mutex;

/// One cache line, which is also the widest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Buffers that no call uses now. One is enough for kernels called in turn; calls at the same time take one each.
static IDLE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// A buffer of f32s, aligned to a cache line, with whatever the last call left in it.
pub struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// At least `length` elements.
    pub fn take(length: usize) -> Self {
        let wanted = length.div_ceil(16);
        let mut lines = best(&mut IDLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), wanted);
        if lines.len() < wanted {
            lines.resize(wanted, Line([0.0; 16]));
        }
        Self { lines }
    }

    /// The whole buffer, which may be longer than what was asked for.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: a `Line` is sixteen f32s without padding, so the lines are that many f32s in a row.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 16) }
    }
}

/// The smallest buffer that is long enough, else the longest: then only that one grows.
fn best(idle: &mut Vec<Vec<Line>>, wanted: usize) -> Vec<Line> {
    let key = |lines: &Vec<Line>| if lines.len() >= wanted { (0, lines.len()) } else { (1, usize::MAX - lines.len()) };
    match (0..idle.len()).min_by_key(|&i| key(&idle[i])) {
        Some(i) => idle.swap_remove(i),
        None => Vec::new(),
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        IDLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(lines);
    }
}

/// Elements rounded up to a whole number of cache lines: parts of a buffer that start at such multiples stay aligned.
pub(crate) fn aligned(length: usize) -> usize {
    length.next_multiple_of(16)
}

/// The same memory as bytes.
pub(crate) fn as_bytes(floats: &mut [f32]) -> &mut [u8] {
    // SAFETY: a f32 is four bytes of less alignment, and any bits are a value of either.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) }
}

/// The same memory as sums.
pub(crate) fn as_sums(floats: &mut [f32]) -> &mut [i32] {
    // SAFETY: f32 and i32 have one size and alignment, and any bits are a value of either.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// The same memory as integers, for tables of offsets.
pub(crate) fn as_integers(floats: &mut [f32]) -> &mut [u32] {
    // SAFETY: f32 and u32 have one size and alignment, and any bits are a value of either.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_to_a_cache_line_and_long_enough() {
        for length in [0, 1, 16, 1000] {
            let mut scratch = Scratch::take(length);
            assert!(scratch.as_mut_slice().len() >= length);
            assert_eq!(scratch.as_mut_slice().as_ptr().align_offset(64), 0);
        }
    }

    #[test]
    fn the_buffer_that_fits_best_is_taken() {
        let buffer = |length: usize| vec![Line([0.0; 16]); length];
        let mut idle = vec![buffer(9), buffer(2), buffer(5), buffer(3)];
        assert_eq!([4, 4, 4, 4, 4].map(|wanted| best(&mut idle, wanted).len()), [5, 9, 3, 2, 0]);
    }

    #[test]
    fn two_buffers_at_once_do_not_overlap() {
        let (mut a, mut b) = (Scratch::take(64), Scratch::take(64));
        a.as_mut_slice().fill(1.0);
        b.as_mut_slice().fill(2.0);
        assert!(a.as_mut_slice().iter().all(|v| *v == 1.0));
    }
}
