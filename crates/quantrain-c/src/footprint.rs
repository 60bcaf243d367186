//! What a C file takes of a device.

use std::fmt;

use serde::Serialize;

/// Bytes and multiplications of one run, known before anything is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Bytes of the arena: all memory but the caller's inputs and outputs and some hundred bytes of stack.
    pub ram: usize,
    /// The most bytes that lie in the arena at one time: no order of buffers takes less.
    pub ram_bound: usize,
    /// Bytes of inputs and outputs, which the caller holds.
    pub border: usize,
    /// Bytes of constants where a pointer has four.
    pub flash: usize,
    /// Of these, bytes of weights.
    pub weights: usize,
    /// Multiplications and additions, each pair counted once.
    pub multiply_accumulates: usize,
    /// Whether it computes with 32-bit floats somewhere.
    pub floats: bool,
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Footprint { ram, border, flash, weights, multiply_accumulates, floats, .. } = self;
        write!(f, "{} bytes of RAM and {} for inputs and outputs, ", grouped(*ram), grouped(*border))?;
        write!(f, "{} bytes of flash ({} of weights) and 2 to 8 KB of code, ", grouped(*flash), grouped(*weights))?;
        let floats = if *floats { "32-bit floats between sums and codes" } else { "no floats" };
        write!(f, "{} multiply-accumulates, {floats}", grouped(*multiply_accumulates))
    }
}

/// Digits in threes.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
