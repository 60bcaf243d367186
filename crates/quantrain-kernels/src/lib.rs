//! CPU kernels on slices, forward and backward, each beside the plain reference it is tested against.
//!
//! Activations are NHWC, weights OHWI. In quantization-aware mode both hold *centred codes*: the integers `q − z` as
//! f32. Sums are plain sums of products, so they are exact below 2^24 and then equal on every path, in any order.
//!
//! - Instructions are chosen at run time ([`simd()`]); the environment variable `QUANTRAIN_SIMD` forces a path.
//! - Work runs on rayon's current pool, in splits that depend on shapes alone: the number of threads changes no bit.
//! - Working memory is kept between calls, so a step that has run once allocates nothing.
//! - Lengths are the caller's invariant and are asserted once, at each public function.
//!
//! | module | what it computes |
//! |---|---|
//! | [`convolution`] | convolutions of every kind: value, gradient of the input, gradient of the weights |
//! | [`matmul`] | matrix products |
//! | [`block_pass`] | the fused BatchNorm, activation, range and fake-quantize of a block |
//! | [`batch_norm`] | mean and variance per channel |
//! | [`fake_quantize`] | rounding onto the grid of a quantizer |
//! | [`fixed_point`] | from sums to codes by integers alone: TensorFlow Lite |
//! | [`range_sums`] | what a gradient says of a quantizer's limits |
//! | [`weights`] | folding, ranges and codes of weights, and their gradient |
//! | [`integer`] | the same on integers, for `quantrain-integer` |
//! | [`elementwise`] | Add, Mul, Clip, sums of gradients |
//! | [`activation`] | float functions of each element |
//! | [`normalize`] | layer and instance normalisation |
//! | [`recurrent`] | LSTM, GRU and the plain cell, and the way back through time |
//! | [`rounding`] | AdaRound's steps |
//! | [`pooling`], [`resize`], [`softmax`], [`permute`] | the rest |
//!
//! This crate knows slices and shapes; it must not know graphs, files or quantizers.

pub mod activation;
pub mod batch_norm;
pub mod block_pass;
mod channels;
pub mod convolution;
pub mod elementwise;
mod exponential;
pub mod fake_quantize;
pub mod fixed_point;
pub mod integer;
pub mod matmul;
pub mod normalize;
mod parallel;
pub mod permute;
pub mod pooling;
mod product;
pub mod range_sums;
pub mod recurrent;
pub mod resize;
pub mod rounding;
mod scratch;
mod simd;
pub mod softmax;
#[cfg(test)]
mod test_data;
mod vector;
pub mod weights;

pub use parallel::extrema;
pub use scratch::Scratch;
pub use simd::{ENVIRONMENT_VARIABLE, Simd, SimdError, simd};
