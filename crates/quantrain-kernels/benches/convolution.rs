//! Convolutions of the networks that matter, in GFLOP/s (divan prints them as Gitem/s).
//!
//! `cargo bench -p quantrain-kernels --bench convolution`, one thread with `RAYON_NUM_THREADS=1` before it.

#[path = "shapes/cases.rs"]
mod cases;

use cases::{CASES, Case, Data};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use quantrain_kernels::convolution;
use quantrain_kernels::matmul::matmul;

fn main() {
    println!("path {}, {} threads", quantrain_kernels::simd().name(), rayon::current_num_threads());
    // On a thread of the pool, as in a step: entering the pool costs several microseconds.
    rayon::scope(|_| divan::main());
}

#[divan::bench(args = CASES)]
fn forward(bencher: Bencher, case: &Case) {
    let mut d = Data::new(case);
    bencher.counter(ItemsCount::new(d.flops())).bench_local(|| {
        convolution::forward(&d.shape, black_box(&d.x), &d.w, &mut d.y);
    });
}

#[divan::bench(args = CASES)]
fn input_gradient(bencher: Bencher, case: &Case) {
    let mut d = Data::new(case);
    bencher.counter(ItemsCount::new(d.flops())).bench_local(|| {
        convolution::input_gradient(&d.shape, black_box(&d.y), &d.w, &mut d.x, false);
    });
}

#[divan::bench(args = CASES)]
fn weight_gradient(bencher: Bencher, case: &Case) {
    let mut d = Data::new(case);
    bencher.counter(ItemsCount::new(d.flops())).bench_local(|| {
        convolution::weight_gradient(&d.shape, black_box(&d.x), &d.y, &mut d.w);
    });
}

#[divan::bench(args = [(16, 1000, 1280), (64, 10, 64), (512, 512, 512)])]
fn product(bencher: Bencher, (m, n, k): (usize, usize, usize)) {
    let (a, b, mut y) = (vec![1.0; m * k], vec![1.0; n * k], vec![0.0; m * n]);
    bencher.counter(ItemsCount::new(2 * m * n * k)).bench_local(|| {
        matmul(m, n, k, black_box(&a), false, &b, true, &mut y, false);
    });
}
