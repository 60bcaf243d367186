//! A network over a data set.

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Mode, Network, Purpose, physical_shape};

use crate::metric::{Metric, Output, Score};
use crate::progress::Progress;
use crate::runner::Runner;
use crate::{RunError, check_images};

/// What the network is worth over `batches`, or `None` where the metric cannot tell.
///
/// # Errors
/// A batch cannot be read or does not fit the network, annotations do not fit the metric, or there is no image.
pub fn evaluate(
    network: &mut Network,
    mode: Mode,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    metric: &mut dyn Metric,
    progress: &mut dyn Progress,
) -> Result<Option<Score>, RunError> {
    let mut runner = Runner::new(Purpose::Inference);
    let mut values = Vec::new();
    let mut images = 0;
    metric.start();
    for batch in batches {
        let batch = batch?;
        check_images(network, &batch)?;
        runner.outputs(network, mode, batch.size, &[&batch.images], &mut values)?;
        let graph = network.quant_graph().graph();
        let tensors: Vec<_> = graph.outputs().iter().map(|&t| graph.tensor(t)).collect();
        let shapes: Vec<_> = tensors.iter().map(|t| physical_shape(&t.shape, batch.size)).collect();
        let outputs = tensors.iter().zip(&shapes).zip(&values);
        let outputs: Vec<Output> = outputs.map(|((t, shape), values)| Output { name: &t.name, shape, values }).collect();
        metric.add(&batch, &outputs)?;
        images += batch.size;
        progress.advance(batch.size as u64, "");
        if progress.stop_requested() {
            return Err(RunError::Stopped { stage: "evaluation" });
        }
    }
    if images == 0 {
        return Err(RunError::NoImages);
    }
    Ok(metric.score())
}
