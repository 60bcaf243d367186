//! The codes of a tensor as they lie in memory: bytes or pairs of bytes, unsigned.
//!
//! A signed code is stored plus 128 (or 32768), and its zero point with it: `stored − zero` is the centred code `q − z` whatever the sign.

use quantrain_graph::Quantizer;
use quantrain_kernels::fake_quantize::{CodeRange, Rounding};
use quantrain_kernels::integer::quantize;

use crate::buffer::{Buffer, Kind, View};

/// A quantizer and where its codes lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Scale, zero point and limits of the codes.
    pub quantizer: Quantizer,
    /// What they lie in.
    pub kind: Kind,
    /// The stored code of code 0.
    offset: i32,
}

impl Grid {
    pub(crate) fn new(quantizer: Quantizer) -> Self {
        let signed = quantizer.qmin() < 0;
        let narrow = quantizer.qmin() >= -128 && quantizer.qmax() <= if signed { 127 } else { 255 };
        let offset = match (signed, narrow) {
            (false, _) => 0,
            (true, true) => 128,
            (true, false) => 32768,
        };
        Grid { quantizer, kind: if narrow { Kind::Bytes } else { Kind::Words }, offset }
    }

    /// Size of a step.
    pub fn scale(&self) -> f32 {
        self.quantizer.scale()
    }

    /// The stored code of code 0.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// The stored code of 0.0.
    pub fn zero(&self) -> i32 {
        self.quantizer.zero_point() + self.offset
    }

    /// Least and greatest centred code.
    pub fn limits(&self) -> (i32, i32) {
        let q = &self.quantizer;
        (q.qmin() - q.zero_point(), q.qmax() - q.zero_point())
    }

    /// The limits of centred codes with an activation that clips to `clip` (in steps): rounding is monotone, so that clipping before it
    /// and clipping to the rounded limits are one.
    pub fn clipped_limits(&self, clip: (f32, f32)) -> (i32, i32) {
        let (lo, hi) = self.limits();
        let limit = |t: f32| self.quantizer.rounding().round(t.clamp(lo as f32, hi as f32)) as i32;
        (limit(clip.0), limit(clip.1))
    }

    /// The centred code of a value in steps; NaN becomes 0.
    pub(crate) fn centred_of_steps(&self, t: f32) -> i32 {
        let (lo, hi) = self.limits();
        // A cast takes NaN to 0 and saturates.
        (self.quantizer.rounding().round(t) as i32).clamp(lo, hi)
    }

    /// Stores `values / divisor` as steps: real values are divided by the scale, ready quotients by 1.
    pub(crate) fn store(&self, divisor: f32, values: &[f32], to: &mut Buffer) {
        let rounding = match self.quantizer.rounding() {
            quantrain_graph::Rounding::HalfToEven => Rounding::HalfToEven,
            quantrain_graph::Rounding::HalfUp => Rounding::HalfUp,
            quantrain_graph::Rounding::HalfAwayFromZero => Rounding::HalfAwayFromZero,
        };
        let (lo, hi) = self.quantizer.centred_limits();
        let range = CodeRange { lo, hi, rounding };
        match to {
            Buffer::Bytes(to) => quantize(&range, self.zero(), divisor, values, &mut to[..values.len()]),
            Buffer::Words(to) => quantize(&range, self.zero(), divisor, values, &mut to[..values.len()]),
            Buffer::Reals(_) => unreachable!("a grid's codes are integers"),
        }
    }

    /// The codes of the quantizer: what a device holds.
    pub(crate) fn codes(&self, stored: View) -> Vec<i32> {
        match stored {
            View::Bytes(x) => x.iter().map(|&s| i32::from(s) - self.offset).collect(),
            View::Words(x) => x.iter().map(|&s| i32::from(s) - self.offset).collect(),
            View::Reals(_) => unreachable!("a grid's codes are integers"),
        }
    }
}

/// Centred codes as floats, or the values where there is no grid.
pub(crate) fn centred(grid: Option<Grid>, stored: View) -> Vec<f32> {
    let zero = grid.map_or(0, |g| g.zero());
    match stored {
        View::Bytes(x) => x.iter().map(|&s| (i32::from(s) - zero) as f32).collect(),
        View::Words(x) => x.iter().map(|&s| (i32::from(s) - zero) as f32).collect(),
        View::Reals(x) => x.to_vec(),
    }
}

/// Centred codes.
pub(crate) fn centred_integers(grid: &Grid, stored: View) -> Vec<i32> {
    let zero = grid.zero();
    match stored {
        View::Bytes(x) => x.iter().map(|&s| i32::from(s) - zero).collect(),
        View::Words(x) => x.iter().map(|&s| i32::from(s) - zero).collect(),
        View::Reals(_) => unreachable!("a grid's codes are integers"),
    }
}

/// The unit of what a tensor's memory holds.
pub(crate) fn scale(grid: Option<Grid>) -> f32 {
    grid.map_or(1.0, |g| g.scale())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantrain_graph::Rounding;

    #[test]
    fn a_stored_code_minus_the_stored_zero_is_the_centred_code() {
        for (qmin, qmax, zero) in [(0, 255, 7), (-128, 127, -3), (-8, 7, 0), (0, 65535, 300), (-32768, 32767, 0)] {
            let q = Quantizer::new(0.5, zero, qmin, qmax, Rounding::HalfToEven).unwrap();
            let grid = Grid::new(q);
            let values = [-1e9, -1.3, -0.25, 0.0, 0.25, 0.75, 1.3, 1e9, f32::NAN];
            let mut buffer = Buffer::new(grid.kind, values.len());
            grid.store(q.scale(), &values, &mut buffer);
            let codes: Vec<i32> = values.iter().map(|&v| q.code(v)).collect();
            assert_eq!(grid.codes(buffer.view(values.len())), codes);
            assert_eq!(centred_integers(&grid, buffer.view(values.len()))[3], 0);
        }
    }

    #[test]
    fn clipping_to_rounded_limits_is_clipping_before_rounding() {
        let grid = Grid::new(Quantizer::new(0.1, 100, 0, 255, Rounding::HalfToEven).unwrap());
        assert_eq!(grid.clipped_limits((f32::NEG_INFINITY, f32::INFINITY)), (-100, 155));
        assert_eq!(grid.clipped_limits((0.0, 60.4)), (0, 60));
        assert_eq!(grid.centred_of_steps(f32::NAN), 0);
    }
}
