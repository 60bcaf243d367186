//! A look at samples before they are needed: damaged ones show before a run begins, not in its midst

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::preprocess::Pipeline;
use crate::random::Random;
use crate::{DataError, Dataset};

/// What is done about samples that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBadSample {
    /// They are an error. Headers are looked at ahead, so that most damage shows at once.
    #[default]
    Error,
    /// They are left out. All samples are decoded once ahead, so that every epoch has the same.
    Skip,
}

/// What a look at samples found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Samples looked at.
    pub looked_at: usize,
    /// Images that their EXIF orientation turns.
    pub turned: usize,
    /// The samples left out, by index, and why.
    pub skipped: Vec<(usize, DataError)>,
}

/// What a look at one sample found: whether it is turned, or why it cannot be used.
type Look = Result<bool, DataError>;

/// Looks at the samples of these rising indices on several threads; the findings are in their order.
pub(crate) fn look(dataset: &dyn Dataset, pipeline: &Pipeline, on_bad: OnBadSample, indices: &[usize], threads: usize) -> Vec<Look> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(indices.len()));
    thread::scope(|scope| {
        let work = || {
            let mut own = Vec::new();
            while let Some(&index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
                own.push((index, look_at(dataset, pipeline, on_bad, index)));
            }
            found.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend(own);
        };
        for _ in 0..threads.clamp(1, indices.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut found: Vec<(usize, Look)> = found.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, look)| look).collect()
}

fn look_at(dataset: &dyn Dataset, pipeline: &Pipeline, on_bad: OnBadSample, index: usize) -> Look {
    let glance = dataset.glance(index)?;
    if let Some(size) = glance.size {
        pipeline.fits(index, size)?;
    }
    if on_bad == OnBadSample::Skip {
        // What is random about a sample never makes it unusable.
        pipeline.prepare(index, dataset.sample(index)?, &mut Random::of_sample(0, 0, index))?;
    }
    Ok(glance.turned)
}
