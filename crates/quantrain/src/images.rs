//! What a network wants of images.

use quantrain_data::Batch;
use quantrain_engine::{Network, physical_shape};
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

/// Checks that the labels or masks of a batch fit the first output of a network.
pub(crate) fn check_annotations(graph: &Graph, batch: &Batch, ignored: Option<i64>) -> Result<(), RunError> {
    let Some(output) = graph.outputs().first().map(|&t| graph.tensor(t)) else { return Ok(()) };
    let shape = physical_shape(&output.shape, 1);
    let mask = [batch.height, batch.width];
    if batch.masks.is_some() && !matches!(shape[..], [_, height, width, _] if [height, width] == mask) {
        return Err(RunError::MaskSize { output: output.name.clone(), shape, mask });
    }
    let classes = output.shape.0.get(1).and_then(|d| d.fixed()).unwrap_or(usize::MAX);
    let masks = batch.masks.iter().flatten().map(|&class| i64::from(class));
    let mut labels = batch.labels.iter().copied().chain(masks).filter(|label| Some(*label) != ignored);
    match labels.find(|&label| usize::try_from(label).map_or(true, |l| l >= classes)) {
        Some(label) => Err(RunError::Label { label, classes }),
        None => Ok(()),
    }
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
