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
    if found == expected {
        Ok(())
    } else {
        let input = graph.inputs().first().map_or_else(String::new, |&t| graph.tensor(t).name.clone());
        Err(RunError::ImageSize { input, found, expected })
    }
}
