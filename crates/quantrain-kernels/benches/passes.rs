//! The passes over activations, in gigabytes read and written a second.
//!
//! `cargo bench -p quantrain-kernels --bench passes`, one thread with `RAYON_NUM_THREADS=1` before it.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use quantrain_kernels::activation::{self, Activation};
use quantrain_kernels::block_pass::{self, BlockPass};
use quantrain_kernels::elementwise::{self, AddPass, CodeSum, Sum};
use quantrain_kernels::fake_quantize::{self, CodeRange, Rounding};
use quantrain_kernels::{batch_norm, permute};

fn main() {
    println!("path {}, {} threads", quantrain_kernels::simd().name(), rayon::current_num_threads());
    // On a thread of the pool, as in a step: entering the pool costs several microseconds.
    rayon::scope(|_| divan::main());
}

const GRID: CodeRange = CodeRange { lo: -128.0, hi: 127.0, rounding: Rounding::HalfToEven };
const INFINITE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
/// Rows and channels: ResNet-20 at batch 64, first and last stage; MobileNetV2 at 96x96 and batch 16; a small one in cache.
const SIZES: [(usize, usize); 5] = [(65536, 16), (4096, 64), (36864, 96), (9216, 144), (1024, 24)];

struct Data {
    a: Vec<f32>,
    b: Vec<f32>,
    y: Vec<f32>,
    channel: Vec<f32>,
}

impl Data {
    fn new((rows, channels): (usize, usize)) -> Self {
        let values = |count: usize| (0..count).map(|i| (i * 37 % 255) as f32 - 127.0).collect();
        let count = rows * channels;
        Self { a: values(count), b: values(count), y: values(count), channel: values(channels) }
    }

    fn pass(&self, quantize: Option<CodeRange>) -> BlockPass<'_> {
        BlockPass { before: &self.channel, multiplier: &self.channel, after: &self.channel, clip: (0.0, 6.0), quantize }
    }

    /// What a pass that touches `tensors` tensors of this size moves.
    fn bytes(&self, tensors: usize) -> BytesCount {
        BytesCount::new(tensors * self.a.len() * 4)
    }
}

#[divan::bench(args = SIZES)]
fn copy(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    bencher.counter(d.bytes(2)).bench_local(|| elementwise::scale_into(1.0, black_box(&d.a), &mut d.y));
}

#[divan::bench(args = SIZES)]
fn block_forward(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    let mut y = std::mem::take(&mut d.y);
    bencher.counter(d.bytes(2)).bench_local(|| block_pass::forward(&d.pass(Some(GRID)), black_box(&d.a), &mut y));
}

#[divan::bench(args = SIZES)]
fn block_forward_float(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    let mut y = std::mem::take(&mut d.y);
    bencher.counter(d.bytes(2)).bench_local(|| block_pass::forward(&d.pass(None), black_box(&d.a), &mut y));
}

#[divan::bench(args = SIZES)]
fn block_backward_sums(bencher: Bencher, size: (usize, usize)) {
    let d = Data::new(size);
    let (mut g, mut g_acc) = (d.channel.clone(), d.channel.clone());
    bencher.counter(d.bytes(2)).bench_local(|| {
        block_pass::backward_sums(&d.pass(None), (0.0, 6.0), &d.channel, black_box(&d.a), &d.b, &mut g, &mut g_acc);
    });
}

#[divan::bench(args = SIZES)]
fn block_backward(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    let (mut dacc, k) = (std::mem::take(&mut d.y), d.channel.clone());
    bencher.counter(d.bytes(3)).bench_local(|| {
        block_pass::backward(&d.pass(None), (0.0, 6.0), black_box(&d.a), &d.b, &k, &k, &k, &mut dacc);
    });
}

#[divan::bench(args = SIZES)]
fn statistics(bencher: Bencher, size: (usize, usize)) {
    let d = Data::new(size);
    let (mut mean, mut variance) = (d.channel.clone(), d.channel.clone());
    bencher.counter(d.bytes(1)).bench_local(|| batch_norm::statistics(size.1, black_box(&d.a), &mut mean, &mut variance));
}

#[divan::bench(args = SIZES)]
fn codes(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    bencher.counter(d.bytes(2)).bench_local(|| fake_quantize::codes(&GRID, 0.3, black_box(&d.a), &mut d.y));
}

#[divan::bench(args = SIZES)]
fn add(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    let pass = AddPass { sum: Sum::Codes(CodeSum::new([(0.3, 3), (0.7, 5)], (1.0, 7))), clip: INFINITE, quantize: Some(GRID) };
    bencher.counter(d.bytes(3)).bench_local(|| elementwise::add(&pass, black_box(&d.a), &d.b, &mut d.y));
}

#[divan::bench(args = SIZES)]
fn silu(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    bencher.counter(d.bytes(2)).bench_local(|| activation::forward(Activation::Silu, black_box(&d.a), &mut d.y));
}

#[divan::bench(args = SIZES)]
fn gelu(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    bencher.counter(d.bytes(2)).bench_local(|| activation::forward(Activation::Gelu, black_box(&d.a), &mut d.y));
}

#[divan::bench(args = SIZES)]
fn mish(bencher: Bencher, size: (usize, usize)) {
    let mut d = Data::new(size);
    bencher.counter(d.bytes(2)).bench_local(|| activation::forward(Activation::Mish, black_box(&d.a), &mut d.y));
}

#[divan::bench(args = SIZES)]
fn to_channels_first(bencher: Bencher, (rows, channels): (usize, usize)) {
    let mut d = Data::new((rows, channels));
    let shape = [16, rows / 16, channels];
    bencher.counter(d.bytes(2)).bench_local(|| permute::permute(black_box(&d.a), &shape, &[0, 2, 1], &mut d.y));
}
