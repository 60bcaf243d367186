//! What watches values pass: the observers of calibration and training.

use quantrain_graph::{QuantizerId, TensorId};

/// What a monitor wants to see of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing.
    Nothing,
    /// The least and greatest value, which cost no further pass.
    Extrema,
    /// All values.
    Values,
}

/// Sees the values that reach each quantizer, before they are quantized.
pub trait Monitor: Send {
    /// A forward of so many images begins.
    fn begin(&mut self, _images: usize) {}

    /// What to show of this quantizer's tensor.
    fn want(&self, quantizer: QuantizerId) -> Want;

    /// The least and greatest value of this batch.
    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32);

    /// All values of this batch.
    fn values(&mut self, quantizer: QuantizerId, values: &[f32]);

    /// Whether to show how far a tensor reaches that enters the network or leaves a unit, whoever quantizes it.
    fn wants_extent(&self, _tensor: TensorId) -> bool {
        false
    }

    /// The least and greatest value of a tensor of this batch, as the next unit reads it.
    fn extent(&mut self, _tensor: TensorId, _min: f32, _max: f32) {}

    /// Whether to show all values of a tensor that leaves a unit, whoever quantizes it.
    fn wants_all(&self, _tensor: TensorId) -> bool {
        false
    }

    /// The values of a tensor of this batch as they lie in memory, in units of `unit`.
    fn all(&mut self, _tensor: TensorId, _values: &[f32], _unit: f32) {}
}

/// Watches nothing.
impl Monitor for () {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Nothing
    }

    fn extrema(&mut self, _: QuantizerId, _: f32, _: f32) {}

    fn values(&mut self, _: QuantizerId, _: &[f32]) {}
}
