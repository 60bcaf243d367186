//! Calibration: the float network runs on some images while observers watch, then every quantizer gets its range.

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Mode, Monitor, Network, Purpose, Want};
use quantrain_graph::{QuantizerId, Range, TensorId};

use crate::observe::ObserverSettings;
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::runner::Runner;
use crate::{RunError, check_images};

/// Sets the range of every quantizer from the batches that `batches` gives. Returns the number of images seen, and the observers, which
/// training may go on with.
///
/// Where ranges show that values cannot share a quantizer ([`quantrain_graph::QuantGraph::separations_by`]), quantizers are placed anew and
/// the batches are asked for once more. Memory does not grow with the number of images.
///
/// # Errors
/// A batch cannot be read or does not fit the network, there is none, or values are NaN or infinite.
pub fn calibrate<B>(
    network: &mut Network,
    mut batches: impl FnMut() -> B,
    settings: &ObserverSettings,
    progress: &mut dyn Progress,
) -> Result<(usize, Ranges), RunError>
where
    B: Iterator<Item = Result<Batch, DataError>>,
{
    let mut seen = observe(network, batches(), settings, progress)?;
    let separations = network.quant_graph().separations_by(&seen.extents);
    if separations != network.quant_graph().separations() {
        network.place_by(separations)?;
        progress.begin("calibrating what is quantized apart", seen.images as u64);
        seen = observe(network, batches(), settings, progress)?;
    }
    seen.ranges.apply(network)?;
    Ok((seen.images, seen.ranges))
}

/// What a pass over the images shows.
struct Seen {
    images: usize,
    ranges: Ranges,
    /// Of each tensor, the least and greatest value.
    extents: Vec<Option<Range>>,
}

fn observe(
    network: &mut Network,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    settings: &ObserverSettings,
    progress: &mut dyn Progress,
) -> Result<Seen, RunError> {
    let tensors = network.quant_graph().graph().tensors().len();
    let mut seen = Seen { images: 0, ranges: Ranges::new(network, settings), extents: vec![None; tensors] };
    let mut runner = Runner::new(Purpose::Inference);
    for batch in batches {
        let batch = batch?;
        check_images(network, &batch)?;
        let (plan, workspace) = runner.plan(network, batch.size)?;
        network.forward(plan, workspace, Mode::FLOAT, &[&batch.images], &mut seen)?;
        seen.images += batch.size;
        progress.advance(batch.size as u64, "");
        if progress.stop_requested() {
            return Err(RunError::Stopped { stage: "calibration" });
        }
    }
    if seen.images == 0 {
        return Err(RunError::NoImages);
    }
    Ok(seen)
}

impl Monitor for Seen {
    fn want(&self, quantizer: QuantizerId) -> Want {
        self.ranges.want(quantizer)
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        self.ranges.extrema(quantizer, min, max);
    }

    fn values(&mut self, quantizer: QuantizerId, values: &[f32]) {
        self.ranges.values(quantizer, values);
    }

    fn wants_extent(&self, _: TensorId) -> bool {
        true
    }

    fn extent(&mut self, tensor: TensorId, min: f32, max: f32) {
        let extent = Range::new(min, max);
        self.extents[tensor.0] = Some(self.extents[tensor.0].map_or(extent, |seen| seen.union(extent)));
    }
}
