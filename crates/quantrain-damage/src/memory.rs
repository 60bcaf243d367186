//! How much memory is taken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::trial;

/// The system's allocator, counting bytes. A test that counts makes it its `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// Beyond this the machine would suffer; the request is refused, which ends the test.
const MOST: usize = 6 << 30;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: what is not refused is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn take(size: usize) -> bool {
    let taken = TAKEN.fetch_add(size, Ordering::Relaxed).saturating_add(size);
    PEAK.fetch_max(taken, Ordering::Relaxed);
    if taken <= MOST {
        return true;
    }
    TAKEN.fetch_sub(size, Ordering::Relaxed);
    // Words that need no memory; the number follows from the panic that comes.
    let _ = std::io::stderr().write_all(b"more memory wanted than any file may take\n");
    let number = trial::current();
    let mut digits = [b'\n'; 21];
    let mut rest = number;
    for digit in digits[..20].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    let _ = std::io::stderr().write_all(&digits);
    false
}

/// Forgets the peak; returns what is taken now.
pub fn start() -> usize {
    let taken = TAKEN.load(Ordering::Relaxed);
    PEAK.store(taken, Ordering::Relaxed);
    taken
}

/// The most that was taken since [`start`].
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}
