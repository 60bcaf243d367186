//! Calibration: the float network runs on some images while observers watch, then every quantizer gets its range.

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Mode, Network, Purpose};

use crate::observe::ObserverSettings;
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::runner::Runner;
use crate::{RunError, check_images};

/// Sets the range of every quantizer from `batches`. Returns the number of images seen, and the observers, which training may go on with.
///
/// Memory does not grow with the number of images.
///
/// # Errors
/// A batch cannot be read or does not fit the network, there is none, or values are NaN or infinite.
pub fn calibrate(
    network: &mut Network,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    settings: &ObserverSettings,
    progress: &mut dyn Progress,
) -> Result<(usize, Ranges), RunError> {
    let mut ranges = Ranges::new(network, settings);
    let mut runner = Runner::new(Purpose::Inference);
    let mut images = 0;
    for batch in batches {
        let batch = batch?;
        check_images(network, &batch)?;
        let (plan, workspace) = runner.plan(network, batch.size)?;
        network.forward(plan, workspace, Mode::FLOAT, &[&batch.images], &mut ranges)?;
        images += batch.size;
        progress.advance(batch.size as u64, "");
        if progress.stop_requested() {
            return Err(RunError::Stopped { stage: "calibration" });
        }
    }
    if images == 0 {
        return Err(RunError::NoImages);
    }
    ranges.apply(network)?;
    Ok((images, ranges))
}
