//! A step that has run once allocates nothing.

use quantrain_kernels::block_pass::{self, BlockPass};
use quantrain_kernels::convolution::{self, ConvolutionShape};
use quantrain_kernels::fake_quantize::{CodeRange, Rounding};
use quantrain_kernels::{batch_norm, matmul};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SHAPE: ConvolutionShape = ConvolutionShape {
    batch: 8,
    in_height: 16,
    in_width: 16,
    in_channels: 32,
    out_height: 16,
    out_width: 16,
    out_channels: 32,
    kernel: [3, 3],
    stride: [1, 1],
    padding_begin: [1, 1],
    dilation: [1, 1],
    groups: 1,
    transposed: false,
};

#[test]
fn a_second_step_allocates_nothing() {
    let shapes = [
        SHAPE,
        ConvolutionShape { groups: 32, ..SHAPE },
        ConvolutionShape { groups: 4, ..SHAPE },
        ConvolutionShape { kernel: [1, 1], padding_begin: [0, 0], ..SHAPE },
        ConvolutionShape { stride: [2, 2], out_height: 8, out_width: 8, ..SHAPE },
    ];
    let mut x = vec![1.0; SHAPE.input_len()];
    let [mut acc, mut y, mut dacc] = [(); 3].map(|()| vec![1.0; SHAPE.output_len()]);
    let (w, mut dw) = (vec![1.0; SHAPE.weight_len()], vec![1.0; SHAPE.weight_len()]);
    let channel = vec![1.0; 32];
    let (mut mean, mut variance) = (channel.clone(), channel.clone());
    let quantize = Some(CodeRange { lo: 0.0, hi: 255.0, rounding: Rounding::HalfToEven });
    let pass = BlockPass { before: &channel, multiplier: &channel, after: &channel, clip: (0.0, 255.0), quantize };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let allocations = pool.install(|| {
        let mut step = || {
            for shape in &shapes {
                let (acc, y) = (&mut acc[..shape.output_len()], &mut y[..shape.output_len()]);
                let (w, dw) = (&w[..shape.weight_len()], &mut dw[..shape.weight_len()]);
                convolution::forward(shape, &x, w, acc);
                batch_norm::statistics(32, acc, &mut mean, &mut variance);
                block_pass::forward(&pass, acc, y);
                block_pass::backward_sums(&pass, (0.0, 255.0), &channel, acc, y, &mut mean, &mut variance);
                block_pass::backward(&pass, (0.0, 255.0), acc, y, &channel, &channel, &channel, &mut dacc[..shape.output_len()]);
                convolution::weight_gradient(shape, &x, y, dw);
                convolution::input_gradient(shape, y, w, &mut x, false);
            }
            matmul::matmul(8, 10, 64, &x[..512], false, &w[..640], true, &mut y[..80], false);
            matmul::matmul(10, 64, 8, &acc[..80], true, &x[..512], false, &mut dw[..640], false);
        };
        step();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        step();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    });
    assert_eq!(allocations, 0);
}
