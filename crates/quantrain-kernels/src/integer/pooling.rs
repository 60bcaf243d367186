//! Sums over images of stored codes.

use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// `sums[n,c] = Σ_p x[n,p,c]`, of the stored codes themselves.
///
/// # Panics
/// Lengths do not fit.
pub fn sum_pixels(batch: usize, pixels: usize, channels: usize, x: &[u8], sums: &mut [i32]) {
    assert_eq!(x.len(), batch * pixels * channels, "integer::sum_pixels: elements of the input");
    assert_eq!(sums.len(), batch * channels, "integer::sum_pixels: one sum a channel");
    if x.is_empty() {
        return sums.fill(0);
    }
    let simd = simd();
    let images = x.par_chunks(pixels * channels).zip(sums.par_chunks_mut(channels));
    images.for_each(|(x, sums)| sum_image(simd, x, sums));
}

simd_kernel! {
    fn sum_image(x: &[u8], sums: &mut [i32]) {
        sums.fill(0);
        for x in x.chunks_exact(sums.len()) {
            for (x, sum) in x.iter().zip(&mut *sums) {
                *sum += i32::from(*x);
            }
        }
    }
}
