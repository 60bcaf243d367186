//! Matrix products, row-major.

use rayon::prelude::*;

/// `y[m,n] = A·B`, or `y += A·B`, with `A` of `m×k` and `B` of `k×n`; a transposed one is stored as `k×m` or `n×k`.
pub fn matmul(m: usize, n: usize, k: usize, a: &[f32], a_transposed: bool, b: &[f32], b_transposed: bool, y: &mut [f32], accumulate: bool) {
    assert!(a.len() == m * k && b.len() == k * n && y.len() == m * n, "matmul: elements of the matrices");
    if y.is_empty() {
        return;
    }
    y.par_chunks_mut(n).enumerate().for_each(|(i, y)| {
        for (j, y) in y.iter_mut().enumerate() {
            let a = |l: usize| if a_transposed { a[l * m + i] } else { a[i * k + l] };
            let b = |l: usize| if b_transposed { b[j * k + l] } else { b[l * n + j] };
            let sum: f32 = (0..k).map(|l| a(l) * b(l)).sum();
            *y = if accumulate { *y + sum } else { sum };
        }
    });
}
