//! A network over a data set.

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Mode, Network, physical_shape};

use crate::execution::{Execution, Executor};
use crate::metric::{Metric, Output, Score};
use crate::progress::Progress;
use crate::{RunError, check_images};

/// What a network is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// By the metric; `None` where it cannot tell.
    pub score: Option<Score>,
    /// What ran the network.
    pub execution: Execution,
}

/// What the network is worth over `batches`. Quantized networks are run by the integer program where it is whole, which gives the codes of the
/// simulation.
///
/// # Errors
/// A batch cannot be read or does not fit the network, annotations do not fit the metric, or there is no image.
pub fn evaluate(
    network: &mut Network,
    mode: Mode,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    metric: &mut dyn Metric,
    progress: &mut dyn Progress,
) -> Result<Evaluation, RunError> {
    let mut executor = Executor::new(network, mode);
    let mut values = Vec::new();
    let mut images = 0;
    metric.start();
    for batch in batches {
        let batch = batch?;
        check_images(executor.network(), &batch)?;
        executor.outputs(batch.size, &batch.inputs(), &mut values)?;
        let graph = executor.network().quant_graph().graph();
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
    Ok(Evaluation { score: metric.score(), execution: executor.execution() })
}
