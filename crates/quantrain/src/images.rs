//! What a network wants of images.

use quantrain_data::Batch;
use quantrain_engine::Network;
use quantrain_graph::Graph;

use crate::RunError;

/// Height, width and channels of the images that a network takes.
///
/// # Errors
/// The network has not just one input, or that is no image.
pub fn image_size(graph: &Graph) -> Result<[usize; 3], RunError> {
    let [input] = graph.inputs() else {
        return Err(RunError::NotAnImageNetwork { found: format!("{} inputs", graph.inputs().len()) });
    };
    let tensor = graph.tensor(*input);
    let not_an_image = |_| RunError::NotAnImageNetwork { found: format!("an input `{}` of shape {}", tensor.name, tensor.shape) };
    let (channels, height, width) = tensor.shape.image().map_err(not_an_image)?;
    Ok([height, width, channels])
}

/// Checks that a batch fits a network.
pub(crate) fn check_images(network: &Network, batch: &Batch) -> Result<(), RunError> {
    let graph = network.quant_graph().graph();
    let (expected, found) = (image_size(graph)?, [batch.height, batch.width, batch.channels]);
    let input = || graph.inputs().first().map_or_else(String::new, |&t| graph.tensor(t).name.clone());
    if found != expected {
        return Err(RunError::ImageSize { input: input(), found, expected });
    }
    match fixed_batch(graph) {
        Some(fixed) if fixed != batch.size => Err(RunError::FixedBatch { input: input(), fixed, images: batch.size }),
        _ => Ok(()),
    }
}

/// The only batch size that a network takes, where its file says so.
pub(crate) fn fixed_batch(graph: &Graph) -> Option<usize> {
    graph.inputs().iter().find_map(|&t| graph.tensor(t).shape.0.first()?.fixed())
}
