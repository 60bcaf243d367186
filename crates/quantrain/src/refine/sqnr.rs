//! The ratio of the float outputs' power to that of their difference from the quantized ones.

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Mode, Network, Purpose};

use crate::progress::Progress;
use crate::runner::Runner;
use crate::{RunError, check_images};

/// `10·log₁₀(Σy² / Σ(y − ŷ)²)` over all values taken up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqnr {
    signal: f64,
    noise: f64,
}

impl Sqnr {
    /// Takes up float outputs and the quantized ones.
    pub fn add(&mut self, float: &[f32], quantized: &[f32]) {
        for (&y, &simulated) in float.iter().zip(quantized) {
            let (y, simulated) = (f64::from(y), f64::from(simulated));
            self.signal += y * y;
            self.noise += (y - simulated) * (y - simulated);
        }
    }

    /// The ratio in dB; the largest number where there is no difference, so that a report stays a number.
    pub fn decibels(&self) -> f64 {
        if self.noise == 0.0 { f64::MAX } else { 10.0 * (self.signal / self.noise).log10() }
    }
}

/// Output SQNR of `network`, as simulated, against `float` over `batches`.
///
/// # Errors
/// A batch cannot be read or does not fit, or there is none.
pub fn output_sqnr(
    float: &mut Network,
    network: &mut Network,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    progress: &mut dyn Progress,
) -> Result<f64, RunError> {
    let (mut float_runner, mut runner) = (Runner::new(Purpose::Inference), Runner::new(Purpose::Inference));
    let mut sqnr = Sqnr::default();
    let mut images = 0;
    for batch in batches {
        let batch = batch?;
        check_images(network, &batch)?;
        let y = float_runner.output(float, Mode::FLOAT, batch.size, &batch.images, 0, &mut ())?;
        let simulated = runner.output(network, Mode::SIMULATE, batch.size, &batch.images, 0, &mut ())?;
        sqnr.add(&y, &simulated);
        images += batch.size;
        progress.advance(batch.size as u64, "");
        if progress.stop_requested() {
            return Err(RunError::Stopped { stage: "evaluation" });
        }
    }
    if images == 0 { Err(RunError::NoImages) } else { Ok(sqnr.decibels()) }
}
