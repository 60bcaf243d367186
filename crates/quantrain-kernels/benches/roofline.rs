//! GFLOP/s of each convolution, and their share of what this machine's multiply-add units can do at best.
//!
//! `cargo bench -p quantrain-kernels --bench roofline`, one thread with `RAYON_NUM_THREADS=1` before it.

#[path = "shapes/cases.rs"]
mod cases;

use cases::{CASES, Data};
use quantrain_kernels::{convolution, simd};
use std::hint::black_box;
use std::time::Instant;

/// Independent sums: more than a unit's latency times the units.
const SUMS: usize = 10;
const REPEATS: usize = 15;

fn main() {
    let threads = rayon::current_num_threads();
    // On a thread of the pool, as in a step: entering the pool costs several microseconds.
    rayon::scope(|_| {
        let peak = peak(threads);
        let best = peak.map_or("unknown".to_owned(), |p| format!("{p:.0} GFLOP/s"));
        println!("path {}, {threads} threads, peak {best} (multiply-adds alone, in registers)", simd().name());
        println!("{:<28}{:>22}{:>22}{:>22}", "GFLOP/s, share of the peak", "forward", "input gradient", "weight gradient");
        for case in CASES {
            let mut d = Data::new(case);
            let flops = d.flops();
            let forward = rate(flops, || convolution::forward(&d.shape, black_box(&d.x), &d.w, &mut d.y));
            let input = rate(flops, || convolution::input_gradient(&d.shape, black_box(&d.y), &d.w, &mut d.x, false));
            let weight = rate(flops, || convolution::weight_gradient(&d.shape, black_box(&d.x), &d.y, &mut d.w));
            let cell = |rate: f64| match peak {
                Some(peak) => format!("{rate:>14.1} {:>5.0} %", 100.0 * rate / peak),
                None => format!("{rate:>22.1}"),
            };
            println!("{:<28}{}{}{}", case.to_string(), cell(forward), cell(input), cell(weight));
        }
    });
}

/// GFLOP/s of `work`: the median of some repeats after a warm-up.
fn rate(flops: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    flops as f64 / seconds[REPEATS / 2] / 1e9
}

/// GFLOP/s of all threads together on sums that never leave their registers; `None` on the portable path, which has no such unit.
fn peak(threads: usize) -> Option<f64> {
    const ROUNDS: usize = 1 << 20;
    let (lanes, spin): (usize, fn(usize) -> f32) = match simd().name() {
        // SAFETY: the kernels chose this path, so the machine has its instructions.
        #[cfg(target_arch = "x86_64")]
        "avx512" => (16, |rounds| unsafe { x86::avx512(rounds) }),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        "avx2" => (8, |rounds| unsafe { x86::avx2(rounds) }),
        _ => return None,
    };
    Some(rate(2 * lanes * SUMS * ROUNDS * threads, || {
        rayon::broadcast(|_| black_box(spin(ROUNDS)));
    }))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::SUMS;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(rounds: usize) -> f32 {
        let (factor, addend) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
        let mut sums = [_mm256_setzero_ps(); SUMS];
        for _ in 0..rounds {
            sums = sums.map(|sum| _mm256_fmadd_ps(sum, factor, addend));
        }
        let total = sums.into_iter().fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b));
        _mm256_cvtss_f32(total)
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512(rounds: usize) -> f32 {
        let (factor, addend) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..rounds {
            sums = sums.map(|sum| _mm512_fmadd_ps(sum, factor, addend));
        }
        let total = sums.into_iter().fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b));
        _mm512_cvtss_f32(total)
    }
}
