//! Fake-quantization as an operator of its own.

use crate::Quantizer;

/// Quantizes and dequantizes each element.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeQuantize {
    /// One quantizer, or one for each channel of axis 1.
    pub quantizers: Vec<Quantizer>,
}
