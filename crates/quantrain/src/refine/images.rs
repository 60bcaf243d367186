//! The images of a refinement, in memory: steps go over them again and again.

use quantrain_data::{Batch, DataError};

use crate::RunError;
use crate::feeds::part;

/// Images of a batch: buffers of two networks for each batch are kept while a step walks through the network.
const BATCH: usize = 16;

/// Calibration images, the last of which no step sees.
#[derive(Clone, Debug)]
pub struct CalibrationImages {
    /// Of each input, all values.
    values: Vec<Vec<f32>>,
    /// Number of images.
    all: usize,
    /// Images that steps see; the others are held out.
    seen: usize,
}

/// Some images.
pub(super) struct Images<'i> {
    pub size: usize,
    /// Of each input.
    pub values: Vec<&'i [f32]>,
}

impl CalibrationImages {
    /// Reads all of `batches` and holds a share of them out: at least one image, and at least one is left.
    ///
    /// # Errors
    /// A batch cannot be read, or there are fewer than two images.
    pub fn read(batches: impl Iterator<Item = Result<Batch, DataError>>, held_out: f32) -> Result<Self, RunError> {
        let (mut values, mut count) = (Vec::<Vec<f32>>::new(), 0);
        for batch in batches {
            let batch = batch?;
            let inputs = batch.inputs();
            values.resize(inputs.len(), Vec::new());
            values.iter_mut().zip(inputs).for_each(|(all, more)| all.extend_from_slice(more));
            count += batch.size;
        }
        if count < 2 {
            return Err(RunError::TooFewImages { found: count });
        }
        Ok(CalibrationImages { all: count, seen: CalibrationImages::seen_of(count, held_out), values })
    }

    /// Of so many images, how many steps see.
    pub fn seen_of(count: usize, held_out: f32) -> usize {
        let held_out = (count as f32 * held_out).round() as usize;
        count - held_out.clamp(1, count.saturating_sub(1).max(1)).min(count)
    }

    /// Number of images that steps see.
    pub fn count(&self) -> usize {
        self.seen
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = Images<'_>> {
        self.cut(0, self.seen)
    }

    pub(super) fn held_out(&self) -> impl Iterator<Item = Images<'_>> {
        self.cut(self.seen, self.all)
    }

    fn cut(&self, from: usize, to: usize) -> impl Iterator<Item = Images<'_>> {
        (from..to).step_by(BATCH).map(move |first| {
            let size = BATCH.min(to - first);
            let values = self.values.iter().map(|x| part(x, self.all, first, size)).collect();
            Images { size, values }
        })
    }
}
