//! What a network wants of images.

use std::sync::Arc;

use quantrain_data::{Annotation, Batch, DataError, Dataset, Glance, Order, Sample};
use quantrain_engine::{Network, physical_shape};
use quantrain_graph::{Graph, TensorId};

use crate::RunError;

/// Height, width and channels of the images that a network takes, whether its input has channels first or last.
///
/// # Errors
/// The network has not just one input, or that is no image.
pub fn image_size(graph: &Graph) -> Result<[usize; 3], RunError> {
    Ok(image_of(graph, only_input(graph)?)?.0)
}

/// How the network has its images in memory.
///
/// # Errors
/// As [`image_size`].
pub(crate) fn image_order(graph: &Graph) -> Result<Order, RunError> {
    Ok(image_of(graph, only_input(graph)?)?.1)
}

fn only_input(graph: &Graph) -> Result<TensorId, RunError> {
    match graph.inputs() {
        &[input] => Ok(input),
        inputs => Err(RunError::NotAnImageNetwork { found: format!("{} inputs", inputs.len()) }),
    }
}

/// Height, width and channels of an input that takes images, and how it has them in memory.
///
/// # Errors
/// It takes none.
pub(crate) fn image_of(graph: &Graph, input: TensorId) -> Result<([usize; 3], Order), RunError> {
    let tensor = graph.tensor(input);
    let not_an_image = || RunError::NotAnImageNetwork { found: format!("an input `{}` of shape {}", tensor.name, tensor.shape) };
    let (first, second, third) = tensor.shape.image().map_err(|_| not_an_image())?;
    let (size, order) = match [first, second, third] {
        extents if is_channels_last(extents) => (extents, Order::WidthChannelsHeight),
        [channels, height, width] => ([height, width, channels], Order::HeightWidthChannels),
    };
    Ok((size, order))
}

/// `[height, width, channels]`, as TensorFlow has it: pixels have few channels, images more rows than that.
fn is_channels_last([first, _, last]: [usize; 3]) -> bool {
    last <= MOST_CHANNELS && first > MOST_CHANNELS
}

const MOST_CHANNELS: usize = 4;

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
    let input = || graph.inputs().first().map_or_else(String::new, |&t| graph.tensor(t).name.clone());
    let (expected, found) = match batch.feeds.is_empty() {
        // Their shapes were checked when they were opened; the engine counts their values.
        false => ([0; 3], [0; 3]),
        true => (image_size(graph)?, [batch.height, batch.width, batch.channels]),
    };
    if found != expected {
        return Err(RunError::ImageSize { input: input(), found, expected });
    }
    match fixed_batch(graph) {
        Some(fixed) if fixed != batch.size => {
            Err(RunError::FixedBatch { input: input(), fixed, free: free_batch(graph), images: batch.size })
        }
        _ => Ok(()),
    }
}

/// The input's name and shape with a free batch: `image=Nx3x224x224`.
fn free_batch(graph: &Graph) -> String {
    let Some(input) = graph.inputs().first().map(|&t| graph.tensor(t)) else { return String::new() };
    let extents: Vec<String> = input.shape.0.iter().skip(1).map(ToString::to_string).collect();
    format!("{}=Nx{}", input.name, extents.join("x"))
}

/// The only batch size that a network takes, where its file says so.
pub(crate) fn fixed_batch(graph: &Graph) -> Option<usize> {
    graph.inputs().iter().find_map(|&t| graph.tensor(t).shape.0.first()?.fixed())
}

/// The number of classes where the first output of a network is one row of scores for an image, as far as it is known: only such networks are
/// told of an image's class.
pub(crate) fn scored_classes(graph: &Graph) -> Option<Option<usize>> {
    let shape = &graph.tensor(*graph.outputs().first()?).shape;
    let extents = physical_shape(shape, 1);
    let row = extents.get(1..).is_some_and(|rest| rest.iter().filter(|&&e| e != 1).count() <= 1);
    row.then(|| shape.0.get(1..)?.iter().map(|extent| extent.fixed()).product())
}

/// The images of a dataset, without the classes that they have.
pub(crate) struct WithoutClasses(pub Arc<dyn Dataset>);

impl Dataset for WithoutClasses {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let sample = self.0.sample(index)?;
        Ok(match sample.annotation {
            Annotation::Class(_) => Sample { annotation: Annotation::None, ..sample },
            _ => sample,
        })
    }

    fn describe(&self) -> String {
        format!("{}; their classes are left out", self.0.describe())
    }

    fn class(&self, index: usize) -> Option<i64> {
        self.0.class(index)
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        self.0.glance(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantrain_graph::{GraphBuilder, Op};

    fn network(extents: &[usize]) -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", extents);
        let y = b.node("y", Op::Identity, &[x], "y").unwrap();
        b.output(y);
        b.finish().unwrap()
    }

    #[test]
    fn classes_are_for_one_row_of_scores() {
        assert_eq!([scored_classes(&network(&[10])), scored_classes(&network(&[10, 1, 1]))], [Some(Some(10)); 2]);
        assert_eq!([scored_classes(&network(&[1, 8, 8])), scored_classes(&network(&[100, 4]))], [None; 2]);
    }

    #[test]
    fn channels_come_first_or_last() {
        for (extents, size, order) in [
            ([3, 224, 192], [224, 192, 3], Order::HeightWidthChannels),
            ([224, 192, 3], [224, 192, 3], Order::WidthChannelsHeight),
            ([1, 28, 28], [28, 28, 1], Order::HeightWidthChannels),
        ] {
            let graph = network(&extents);
            assert_eq!(image_size(&graph).unwrap(), size);
            assert_eq!(image_order(&graph).unwrap(), order);
        }
        assert!(image_size(&network(&[10])).is_err());
    }
}
