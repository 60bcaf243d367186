//! What tells how far a quantized block's sums lie from the float network's, and weights' rounding learned from it.

mod moments;
mod rounding;

pub use moments::{Moments, Wanted};
pub use rounding::{AdaRound, Learned};

#[cfg(test)]
mod tests;
