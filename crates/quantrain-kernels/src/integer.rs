//! Integer kernels: codes of 8 bits in, 32-bit sums, codes of 8 bits out, requantized on the way.
//!
//! Activations are NHWC, weights OHWI. Codes are *stored* as `u8`: an unsigned code as it is, a signed one plus 128, its zero point with
//! it. `stored − zero` is then the centred code whatever the sign was, and one kernel serves both.
//!
//! A task widens its part of the input to 16-bit centred codes, zeros around it where there is padding, and multiplies pairs of them:
//! `x₀·w₀ + x₁·w₁` of 16-bit factors is one instruction on every machine with vectors (`pmaddwd`, `vpdpwssd`) and cannot saturate, so
//! sums are exact on every path with weights of any width up to 8 bits, and padding needs no correction. With AVX-512 VNNI a dense
//! convolution multiplies fours of stored bytes instead (`vpdpbusd`), its zero point around the image, and the bias takes `zero·Σw` off.
//! Sums wrap at 32 bits: the caller knows that they fit.
//!
//! | module | what it computes |
//! |---|---|
//! | [`Convolution`] | convolutions of every kind and products with weights |
//! | [`Requantize`] | from a sum to a code: the formulas of the runtimes |
//! | [`quantize()`] | from real values to codes |
//! | [`elementwise`] | additions, tables |
//! | [`pooling`] | largest values and sums of windows |

mod convolution;
mod dense;
mod depthwise;
pub mod elementwise;
mod pairs;
pub mod pooling;
mod quantize;
#[cfg(test)]
mod reference;
mod requantize;
mod transposed;
mod window;

#[cfg(test)]
mod tests;

pub use convolution::{Convolution, ConvolutionParameters};
pub use quantize::{Stored, quantize};
pub use requantize::{Codes, Requantize};
