//! One class for each pixel: intersection over union.

use quantrain_data::Batch;
use serde::{Deserialize, Serialize};

use super::{Metric, Output, Score};
use crate::RunError;

/// How well the classes of pixels are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segmentation {
    /// Intersection over union in percent, the mean over the classes that occur in masks or predictions.
    pub mean_iou: f64,
    /// Percent of pixels whose class has the highest score.
    pub pixel_accuracy: f64,
    /// Intersection over union of each class in percent; `None` for one that never occurs.
    pub class_iou: Vec<Option<f64>>,
    /// Number of images.
    pub images: usize,
}

/// Counts pixels by their class and the class found, over all images together.
#[derive(Clone, Debug, Default)]
pub struct Confusion {
    ignored: Option<i64>,
    classes: usize,
    /// `[class, class found]`.
    pixels: Vec<u64>,
    images: usize,
    unlabelled: bool,
}

impl Confusion {
    /// A count that leaves out pixels of the class `ignored`.
    pub fn new(ignored: Option<i64>) -> Self {
        Confusion { ignored, ..Confusion::default() }
    }

    /// Takes up `logits` of `[pixels, classes]` and the class of each pixel. Of equal scores the first class is found.
    ///
    /// # Errors
    /// A class that the network does not have.
    pub fn add_pixels(&mut self, logits: &[f32], mask: &[u8], classes: usize) -> Result<(), RunError> {
        if self.pixels.is_empty() {
            (self.classes, self.pixels) = (classes, vec![0; classes * classes]);
        }
        for (scores, &class) in logits.chunks_exact(classes.max(1)).zip(mask) {
            let label = i64::from(class);
            if Some(label) == self.ignored {
                continue;
            }
            if usize::from(class) >= classes {
                return Err(RunError::Label { label, classes });
            }
            let found = (0..classes).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
            self.pixels[usize::from(class) * classes + found] += 1;
        }
        Ok(())
    }

    /// The shares in percent.
    pub fn segmentation(&self) -> Segmentation {
        let n = self.classes;
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
        let right = |c: usize| self.pixels[c * n + c];
        let class_iou: Vec<Option<f64>> = (0..n)
            .map(|c| {
                let of_class: u64 = self.pixels[c * n..(c + 1) * n].iter().sum();
                let found: u64 = self.pixels.iter().skip(c).step_by(n).sum();
                let union = of_class + found - right(c);
                (union > 0).then(|| percent(right(c), union))
            })
            .collect();
        let occurring: Vec<f64> = class_iou.iter().copied().flatten().collect();
        Segmentation {
            mean_iou: occurring.iter().sum::<f64>() / occurring.len().max(1) as f64,
            pixel_accuracy: percent((0..n).map(right).sum(), self.pixels.iter().sum::<u64>().max(1)),
            class_iou,
            images: self.images,
        }
    }
}

/// Judges the first output, `[N, H, W, classes]` in memory, by the masks; `None` where an image has none.
impl Metric for Confusion {
    fn start(&mut self) {
        *self = Confusion::new(self.ignored);
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        let (Some(masks), Some(output)) = (&batch.masks, outputs.first()) else {
            self.unlabelled = true;
            return Ok(());
        };
        match *output.shape {
            [.., classes] if output.values.len() == masks.len() * classes => {
                self.images += batch.size;
                self.add_pixels(output.values, masks, classes)
            }
            _ => Err(RunError::MaskSize { output: output.name.into(), shape: output.shape.into(), mask: [batch.height, batch.width] }),
        }
    }

    fn score(&self) -> Option<Score> {
        (!self.unlabelled).then(|| Score::Segmentation(self.segmentation()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose largest is that of each class.
    fn logits(found: &[usize], classes: usize) -> Vec<f32> {
        found.iter().flat_map(|&f| (0..classes).map(move |c| f32::from(u8::from(c == f)))).collect()
    }

    #[test]
    fn intersections_and_unions_are_those_of_the_definition() {
        let mut count = Confusion::new(Some(255));
        count.add_pixels(&logits(&[0, 0, 1, 1, 2], 4), &[0, 1, 1, 255, 1], 4).unwrap();
        let found = count.segmentation();
        // Class 0: 1 of {0, 1}; class 1: 1 of 3; class 2 found once, never there; class 3 nowhere.
        assert_eq!(found.class_iou, [Some(50.0), Some(100.0 / 3.0), Some(0.0), None]);
        assert_eq!((found.mean_iou, found.pixel_accuracy), ((50.0 + 100.0 / 3.0) / 3.0, 50.0));
    }

    #[test]
    fn a_class_that_the_network_lacks_is_an_error() {
        let found = Confusion::new(None).add_pixels(&[0.0, 1.0], &[2], 2);
        assert!(matches!(found, Err(RunError::Label { label: 2, classes: 2 })));
    }

    #[test]
    fn an_output_of_another_size_is_an_error() {
        let output = Output { name: "y", shape: &[1, 1, 1, 2], values: &[0.0, 1.0] };
        let batch = Batch { size: 1, height: 1, width: 2, masks: Some(vec![0, 1]), ..Batch::default() };
        let found = Metric::add(&mut Confusion::new(None), &batch, &[output]);
        assert!(matches!(found, Err(RunError::MaskSize { mask: [1, 2], .. })));
    }
}
