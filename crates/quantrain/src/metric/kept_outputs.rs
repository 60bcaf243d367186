//! The float network's outputs for the images that judge: found once, when the float network is judged, and compared with after that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quantrain_data::Batch;

use super::{Metric, Output, Score};
use crate::RunError;

/// Bytes of outputs that are kept at most; what is more is computed again.
const MOST_BYTES: usize = 32 << 20;

/// Outputs by batch, shared by all clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptOutputs(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    /// By the number of the batch: the indices of its samples, and each output.
    batches: BTreeMap<usize, (Vec<usize>, Vec<Vec<f32>>)>,
}

impl KeptOutputs {
    /// Keeps the outputs for a batch, while there is room.
    pub fn keep(&self, batch: &Batch, outputs: &[Output<'_>]) {
        let mut kept = self.lock();
        let bytes = outputs.iter().map(|output| size_of_val(output.values)).sum::<usize>();
        if kept.bytes.saturating_add(bytes) <= MOST_BYTES && !kept.batches.contains_key(&batch.number) {
            kept.bytes += bytes;
            let values = outputs.iter().map(|output| output.values.to_vec()).collect();
            kept.batches.insert(batch.number, (batch.indices.clone(), values));
        }
    }

    /// Writes the outputs for a batch to `to`; false where they were not kept.
    pub fn read(&self, batch: &Batch, to: &mut Vec<Vec<f32>>) -> bool {
        let kept = self.lock();
        let found = kept.batches.get(&batch.number).filter(|(indices, _)| !indices.is_empty() && *indices == batch.indices);
        found.map(|(_, outputs)| to.clone_from(outputs)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What is inserted is whole, whatever panics elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A metric that keeps the outputs it judges.
pub(crate) struct Keeping<'m> {
    pub metric: &'m mut dyn Metric,
    pub outputs: &'m KeptOutputs,
}

impl Metric for Keeping<'_> {
    fn start(&mut self) {
        self.metric.start();
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        self.outputs.keep(batch, outputs);
        self.metric.add(batch, outputs)
    }

    fn score(&self) -> Option<Score> {
        self.metric.score()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_of_the_same_samples() {
        let kept = KeptOutputs::default();
        let batch = |indices: &[usize]| Batch { number: 3, indices: indices.to_vec(), ..Batch::default() };
        kept.keep(&batch(&[4, 7]), &[Output { name: "y", shape: &[2, 1], values: &[1.0, 2.0] }]);
        let mut found = vec![vec![9.0]];
        assert!(!kept.read(&batch(&[4, 8]), &mut found) && !kept.read(&batch(&[]), &mut found), "other samples");
        assert_eq!(found, [[9.0]]);
        assert!(kept.clone().read(&batch(&[4, 7]), &mut found));
        assert_eq!(found, [[1.0, 2.0]]);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let kept = KeptOutputs::default();
        let values = vec![0.0; MOST_BYTES / 4 - 1];
        let batch = |number| Batch { number, indices: vec![number], ..Batch::default() };
        kept.keep(&batch(0), &[Output { name: "y", shape: &[1, values.len()], values: &values }]);
        kept.keep(&batch(1), &[Output { name: "y", shape: &[1, 2], values: &[0.0; 2] }]);
        kept.keep(&batch(2), &[Output { name: "y", shape: &[1, 1], values: &[5.0] }]);
        let mut found = Vec::new();
        assert!(!kept.read(&batch(1), &mut found));
        assert!(kept.read(&batch(2), &mut found) && found == [[5.0]]);
    }
}
