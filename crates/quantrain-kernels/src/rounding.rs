//! Steps of AdaRound (Nagel et al. 2020, section 3.2): how far each weight is rounded up, `h(V) = clamp(σ(V)·1.2 − 0.1, 0, 1)`, and Adam on V.
//!
//! A weight that is settled has V = ∞: h is 1 there, and its gradient 0.

use crate::exponential::{exp, log, sigmoid};
use crate::simd::{simd, simd_kernel};

#[cfg(test)]
mod tests;

/// What h is a stretched sigmoid by, and where it begins.
pub const STRETCH: f32 = 1.2;
/// See [`STRETCH`].
pub const OFFSET: f32 = -0.1;

/// Adam's shares of the old moments, and what keeps its quotient finite.
const MEAN: f32 = 0.9;
const SQUARE: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// A step of Adam, the same for all weights of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The learning rate.
    pub rate: f32,
    /// λ and β of the term `λ·Σ(1 − |2h − 1|^β)`.
    pub drive: (f32, f32),
    /// Number of the step, from 1.
    pub number: i32,
    /// What half of the error's gradient by a weight is divided by, to be half of that by h.
    pub unit: f32,
}

/// V and Adam's moments of it.
#[derive(Debug)]
pub struct Learned<'a> {
    /// V.
    pub v: &'a mut [f32],
    /// The mean of gradients.
    pub mean: &'a mut [f32],
    /// The mean of their squares.
    pub square: &'a mut [f32],
}

#[inline(always)]
fn stretched(sigma: f32) -> f32 {
    let h = sigma * STRETCH + OFFSET;
    let h = if h > 0.0 { h } else { 0.0 };
    if h < 1.0 { h } else { 1.0 }
}

/// `codes = floor + h(V)`.
///
/// # Panics
/// Lengths differ.
pub fn soft_codes(floor: &[f32], v: &[f32], codes: &mut [f32]) {
    assert!(floor.len() == codes.len() && v.len() == codes.len(), "rounding::soft_codes: one V a weight");
    soft_task(simd(), floor, v, codes);
}

simd_kernel! {
    fn soft_task(floor: &[f32], v: &[f32], codes: &mut [f32]) {
        for ((code, floor), v) in codes.iter_mut().zip(floor).zip(v) {
            *code = floor + stretched(sigmoid(*v));
        }
    }
}

/// A step down the gradient, where `half` is half of the error's gradient by the weights.
///
/// # Panics
/// Lengths differ.
pub fn update(step: &Step, half: &[f32], learned: Learned) {
    let Learned { v, mean, square } = learned;
    let count = half.len();
    assert!(v.len() == count && mean.len() == count && square.len() == count, "rounding::update: one gradient a weight");
    update_task(simd(), step, half, v, mean, square);
}

simd_kernel! {
    fn update_task(step: &Step, half: &[f32], v: &mut [f32], mean: &mut [f32], square: &mut [f32]) {
        let (strength, beta) = step.drive;
        let (of_mean, of_square) = (1.0 / (1.0 - MEAN.powi(step.number)), 1.0 / (1.0 - SQUARE.powi(step.number)));
        let (to_h, drive) = (2.0 / step.unit, -2.0 * strength * beta);
        let n = half.len();
        let (v, mean, square) = (&mut v[..n], &mut mean[..n], &mut square[..n]);
        for i in 0..n {
            let sigma = sigmoid(v[i]);
            let h = stretched(sigma);
            let away = 2.0 * h - 1.0;
            let driven = (drive * exp((beta - 1.0) * log(away.abs()))).copysign(drive * away);
            let gradient = (half[i] * to_h + driven) * (STRETCH * sigma * (1.0 - sigma));
            let gradient = if (h > 0.0) & (h < 1.0) { gradient } else { 0.0 };
            mean[i] = MEAN * mean[i] + (1.0 - MEAN) * gradient;
            square[i] = SQUARE * square[i] + (1.0 - SQUARE) * gradient * gradient;
            v[i] -= step.rate * (mean[i] * of_mean) / ((square[i] * of_square).sqrt() + EPSILON);
        }
    }
}
