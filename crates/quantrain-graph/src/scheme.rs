//! What kind of integers a tensor is quantized to, before any range is known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a quotient becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To nearest, ties to the even neighbour (ONNX, IEEE 754 default).
    HalfToEven,
    /// To nearest, ties towards +∞: `floor(x + ½)` (TIDL activations).
    HalfUp,
    /// To nearest, ties away from zero (TIDL weights, C's `round`).
    HalfAwayFromZero,
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rounding::HalfToEven => "half to even",
            Rounding::HalfUp => "half up",
            Rounding::HalfAwayFromZero => "half away from zero",
        })
    }
}

impl Rounding {
    /// Rounds `x` to an integer value.
    pub fn round(self, x: f32) -> f32 {
        match self {
            Rounding::HalfToEven => x.round_ties_even(),
            // floor(x + 0.5) is wrong where x + 0.5 itself rounds (0.49999997); the difference x - floor(x) is exact.
            Rounding::HalfUp => {
                let below = x.floor();
                if x - below >= 0.5 { below + 1.0 } else { below }
            }
            Rounding::HalfAwayFromZero => x.round(),
        }
    }
}

/// Whether codes are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Two's complement codes.
    Signed,
    /// Codes from zero up.
    Unsigned,
    /// Signed only if the range reaches below zero (the devkit's rule).
    ByRange,
}

/// Which scales are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleKind {
    /// Any positive number.
    Free,
    /// A power of two: the range limit is rounded up to one.
    PowerOfTwo,
}

/// How many elements share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// One scale for the whole tensor.
    PerTensor,
    /// One scale for each output channel.
    PerChannel,
}

/// Which layers' weights have a scale for each output channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelScales {
    /// None.
    None,
    /// Depthwise convolutions: a filter of one channel each (the devkit's `per_channel_q = True`).
    Depthwise,
    /// All.
    All,
}

/// What is done with a bias whose code does not fit 16 bits (the devkit's `constrain_bias`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasLimit {
    /// Nothing: biases have 32 bits.
    #[default]
    Off,
    /// The code is clamped to 16 bits; the layer's output is off by the rest.
    Saturate,
    /// The weights' scale is doubled until the code fits; the weights lose a bit for each doubling.
    ReduceWeightScale,
    /// The devkit's model of what saturation means: 8 bits on a power of two for all biases of a layer, then what a byte times an input's
    /// largest code makes of them, at most 16 bits.
    DevkitSplit,
}

impl BiasLimit {
    /// The names in files, in the order of the variants.
    pub const NAMES: [&'static str; 4] = ["off", "saturate", "reduce-weight-scale", "devkit-split"];
}

/// The kind of integers of a tensor; together with a range it gives a [`crate::Quantizer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scheme {
    /// Width of a code: 2 to 8, or 16.
    pub bits: u8,
    /// Signedness of the codes.
    pub sign: Sign,
    /// Zero point fixed at 0.
    pub symmetric: bool,
    /// Symmetric signed codes leave out the lowest one: `[−(2^(b−1)−1), 2^(b−1)−1]`.
    pub narrow: bool,
    /// Free scales or powers of two.
    pub scale: ScaleKind,
    /// One scale, or one for each output channel.
    pub granularity: Granularity,
    /// How quotients are rounded.
    pub rounding: Rounding,
}

impl Scheme {
    /// The same scheme with another width.
    pub fn with_bits(self, bits: u8) -> Scheme {
        Scheme { bits, ..self }
    }

    /// How many scales a tensor of so many channels has.
    pub fn grids(&self, channels: usize) -> usize {
        match self.granularity {
            Granularity::PerTensor => 1,
            Granularity::PerChannel => channels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_where_the_policy_says() {
        let ties = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5];
        let rounded = |r: Rounding| ties.map(|x| r.round(x));
        assert_eq!(rounded(Rounding::HalfToEven), [-2.0, -2.0, -0.0, 0.0, 2.0, 2.0]);
        assert_eq!(rounded(Rounding::HalfUp), [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(rounded(Rounding::HalfAwayFromZero), [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn half_up_is_exact_just_below_a_tie() {
        assert_eq!(Rounding::HalfUp.round(0.49999997), 0.0);
        assert_eq!(Rounding::HalfUp.round(8388609.0), 8388609.0);
    }
}
