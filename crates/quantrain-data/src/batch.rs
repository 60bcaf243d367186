//! Batches of an epoch, in order, made ahead by background threads

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::preprocess::Pipeline;
use crate::random::Random;
use crate::selection::spread;
use crate::survey::look;
use crate::{Annotation, Augment, BoundingBox, DataError, Dataset, Feeds, OnBadSample, Preprocess, Survey, Target};

/// Which samples make which batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    /// Samples a batch, 1 or more.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own, drawn from (seed, epoch).
    pub shuffle: bool,
    /// Of the order and of the augmentation.
    pub seed: u64,
    /// Batches that make a step of training, 1 or more.
    pub batches_per_step: usize,
    /// Whether the last batches of an epoch are left out where they do not fill a step.
    pub drop_last: bool,
    /// Uses only so many samples, drawn by (seed, epoch) and spread over the classes where they are
    /// known without decoding. A smaller limit gives some of the samples of a larger one.
    pub limit: Option<usize>,
}

impl Default for BatchPlan {
    /// Batches of 32, in the dataset's order, all of it.
    fn default() -> Self {
        Self { batch_size: 32, shuffle: false, seed: 0, batches_per_step: 1, drop_last: false, limit: None }
    }
}

/// Samples ready for a network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// `size · height · width · channels` values, each image in the order that was asked for: by itself NHWC.
    pub images: Vec<f32>,
    /// Samples in it.
    pub size: usize,
    /// Rows an image.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// The class of each sample; empty if there are none.
    pub labels: Vec<i64>,
    /// The class of each pixel, `size · height · width`, if the dataset has masks.
    pub masks: Option<Vec<u8>>,
    /// What is where in each sample, in pixels of the images as they are here, if the dataset has boxes.
    pub boxes: Option<Vec<Vec<BoundingBox>>>,
    /// Of networks that are fed with other things than one image: the values of each input, as they lie in memory. There are no `images` then.
    pub feeds: Vec<Vec<f32>>,
    /// Labels that are not the classes of the first output.
    pub targets: Vec<Target>,
    /// The index of each sample in the dataset.
    pub indices: Vec<usize>,
    /// Position in the epoch, from 0.
    pub number: usize,
}

impl Batch {
    /// The values of each input, as they lie in memory.
    pub fn inputs(&self) -> Vec<&[f32]> {
        if self.feeds.is_empty() { vec![&self.images] } else { self.feeds.iter().map(Vec::as_slice).collect() }
    }
}

/// A dataset with checked parameters: gives the batches of any epoch, from any position.
#[derive(Clone)]
pub struct Loader {
    work: Arc<Work>,
}

#[derive(Clone)]
struct Work {
    samples: Samples,
    plan: BatchPlan,
    /// Samples that are never used.
    skipped: BTreeSet<usize>,
}

/// What batches are made of.
#[derive(Clone)]
enum Samples {
    Images(Images),
    Feeds(Feeds),
}

#[derive(Clone)]
struct Images {
    dataset: Arc<dyn Dataset>,
    pipeline: Pipeline,
    /// Height, width and channels that images must have.
    size: Option<[usize; 3]>,
}

impl Samples {
    fn len(&self) -> usize {
        match self {
            Samples::Images(images) => images.dataset.len(),
            Samples::Feeds(feeds) => feeds.len(),
        }
    }

    fn class(&self, index: usize) -> Option<i64> {
        match self {
            Samples::Images(images) => images.dataset.class(index),
            Samples::Feeds(feeds) => feeds.class(index),
        }
    }
}

impl Loader {
    /// Checks all parameters.
    ///
    /// # Errors
    /// Parameters out of their range, and a plan that gives no batch.
    pub fn new(dataset: Arc<dyn Dataset>, preprocess: &Preprocess, augment: Option<&Augment>, plan: BatchPlan) -> Result<Self, DataError> {
        let pipeline = Pipeline::new(preprocess, augment)?;
        if plan.batch_size == 0 || plan.batches_per_step == 0 {
            return Err(DataError::BatchSize);
        }
        Loader::of(Samples::Images(Images { dataset, pipeline, size: None }), plan)
    }

    /// Batches of feeds; they are checked already.
    ///
    /// # Errors
    /// A plan that gives no batch.
    pub fn of_feeds(feeds: Feeds, plan: BatchPlan) -> Result<Self, DataError> {
        if plan.batch_size == 0 || plan.batches_per_step == 0 {
            return Err(DataError::BatchSize);
        }
        Loader::of(Samples::Feeds(feeds), plan)
    }

    fn of(samples: Samples, plan: BatchPlan) -> Result<Self, DataError> {
        let work = Work { samples, plan, skipped: BTreeSet::new() };
        work.gives_batches()?;
        Ok(Self { work: Arc::new(work) })
    }

    /// Refuses images of another height, width or number of channels once they are prepared, before there is memory for a batch of them.
    pub fn of_size(self, size: [usize; 3]) -> Self {
        let mut work = Arc::unwrap_or_clone(self.work);
        if let Samples::Images(images) = &mut work.samples {
            images.size = Some(size);
        }
        Self { work: Arc::new(work) }
    }

    /// Looks at the samples that `epochs` use, or all where that is no range, before they are needed; those that cannot be used are an error,
    /// or left out of every epoch.
    ///
    /// # Errors
    /// A sample that cannot be used, or nothing is left.
    pub fn surveyed(self, on_bad: OnBadSample, epochs: Option<Range<u64>>, threads: usize) -> Result<(Self, Survey), DataError> {
        let Samples::Images(Images { dataset, pipeline, .. }) = self.work.samples.clone() else { return Ok((self, Survey::default())) };
        let mut work = Arc::unwrap_or_clone(self.work);
        let (mut survey, mut seen) = (Survey::default(), BTreeSet::new());
        loop {
            // What is drawn in the place of samples left out is looked at in turn.
            let used: BTreeSet<usize> = match &epochs {
                Some(epochs) => work.used(epochs.clone()),
                None => (0..dataset.len()).collect(),
            };
            let new: Vec<usize> = used.difference(&seen).copied().collect();
            if new.is_empty() {
                break;
            }
            let mut bad = Vec::new();
            for (&index, found) in new.iter().zip(look(&*dataset, &pipeline, on_bad, &new, threads)) {
                match found {
                    Ok(turned) => survey.turned += usize::from(turned),
                    Err(error) => bad.push((index, error)),
                }
            }
            survey.looked_at += new.len();
            seen.extend(new);
            if on_bad == OnBadSample::Error {
                let count = bad.len();
                if let Some((_, first)) = bad.into_iter().next() {
                    return Err(DataError::BadSamples { first: Box::new(first), count, of: survey.looked_at });
                }
                continue;
            }
            work.skipped.extend(bad.iter().map(|(index, _)| *index));
            survey.skipped.extend(bad);
        }
        work.gives_batches()?;
        Ok((Self { work: Arc::new(work) }, survey))
    }

    /// The same samples, but at most so many of them, in batches of this size.
    ///
    /// # Errors
    /// The plan gives no batch.
    pub fn limited(&self, limit: usize, batch_size: usize) -> Result<Self, DataError> {
        let mut work = Work::clone(&self.work);
        work.plan.limit = Some(work.plan.limit.map_or(limit, |old| old.min(limit)));
        (work.plan.batch_size, work.plan.batches_per_step) = (batch_size, 1);
        work.gives_batches()?;
        Ok(Self { work: Arc::new(work) })
    }

    /// Samples an epoch.
    pub fn samples(&self) -> usize {
        let full = self.batches_per_epoch() * self.work.plan.batch_size;
        full.min(self.work.samples())
    }

    /// Batches an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.work.batches()
    }

    /// The first batch of the first epoch, and no other.
    ///
    /// # Errors
    /// A sample of it cannot be read.
    pub fn first(&self) -> Result<Batch, DataError> {
        self.work.fill(0, &self.work.order(0), 0, Batch::default())
    }

    /// Starts `threads` threads (at least one) on the batches of `epoch`, from number `first` on.
    pub fn batches(&self, epoch: u64, first: usize, threads: usize) -> Batches {
        let end = self.work.batches();
        let first = first.min(end);
        let threads = threads.clamp(1, (end - first).max(1));
        let queue = Arc::new(Queue {
            work: Arc::clone(&self.work),
            epoch,
            order: self.work.order(epoch),
            end,
            ahead: threads + 2,
            state: Mutex::new(State { claimed: first, taken: first, ..State::default() }),
            room: Condvar::new(),
            arrival: Condvar::new(),
        });
        let start = |_| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.run())
        };
        Batches { workers: (0..threads).map(start).collect(), queue, waited: Duration::ZERO }
    }
}

impl Work {
    fn gives_batches(&self) -> Result<(), DataError> {
        match self.batches() {
            0 => {
                let in_step = if self.plan.drop_last { self.plan.batches_per_step } else { 1 };
                Err(DataError::NoBatches { samples: self.samples(), batch_size: self.plan.batch_size * in_step })
            }
            _ => Ok(()),
        }
    }

    /// Samples that the plan uses.
    fn samples(&self) -> usize {
        self.plan.limit.unwrap_or(usize::MAX).min(self.samples.len() - self.skipped.len())
    }

    fn batches(&self) -> usize {
        let (samples, size, in_step) = (self.samples(), self.plan.batch_size, self.plan.batches_per_step);
        if self.plan.drop_last { samples / (size * in_step) * in_step } else { samples.div_ceil(size) }
    }

    /// The indices that epochs use together; that is soon all, however many epochs there are.
    fn used(&self, epochs: Range<u64>) -> BTreeSet<usize> {
        let mut used = BTreeSet::new();
        for epoch in epochs {
            used.extend(self.order(epoch));
            if used.len() + self.skipped.len() >= self.samples.len() {
                break;
            }
        }
        used
    }

    /// The indices of an epoch.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let length = self.samples.len();
        let mut order = match self.plan.shuffle || self.plan.limit.is_some() {
            true => Random::of_order(self.plan.seed, epoch).permutation(length),
            false => (0..length).collect(),
        };
        order.retain(|index| !self.skipped.contains(index));
        if let Some(limit) = self.plan.limit {
            order = spread(&order, limit, |index| self.samples.class(index));
        }
        if !self.plan.shuffle {
            order.sort_unstable();
        }
        order
    }

    /// Makes batch `number` in the buffers of `batch`.
    fn fill(&self, epoch: u64, order: &[usize], number: usize, mut batch: Batch) -> Result<Batch, DataError> {
        let first = number * self.plan.batch_size;
        let last = first.saturating_add(self.plan.batch_size).min(self.samples());
        batch.number = number;
        batch.size = last - first;
        batch.indices.clear();
        batch.indices.extend(&order[first..last]);
        batch.labels.clear();
        match &self.samples {
            Samples::Images(images) => images.fill(self.plan.seed, epoch, batch),
            Samples::Feeds(feeds) => {
                feeds.fill(&mut batch, |index| Random::of_sample(self.plan.seed, epoch, index))?;
                Ok(batch)
            }
        }
    }
}

impl Images {
    /// Reads the images and annotations of the samples of `batch`.
    fn fill(&self, seed: u64, epoch: u64, mut batch: Batch) -> Result<Batch, DataError> {
        let mut masks = batch.masks.take().unwrap_or_default();
        masks.clear();
        let mut boxes = batch.boxes.take().unwrap_or_default();
        boxes.clear();
        for at in 0..batch.size {
            let index = batch.indices[at];
            let mut random = Random::of_sample(seed, epoch, index);
            let sample = self.pipeline.prepare(index, self.dataset.sample(index)?, &mut random)?;
            let image = sample.image;
            if at == 0 {
                let found = [image.height, image.width, image.channels];
                if let Some(expected) = self.size.filter(|expected| *expected != found) {
                    return Err(DataError::OtherSize { found, expected });
                }
                (batch.height, batch.width) = (image.height, image.width);
                batch.channels = image.channels;
                batch.images.resize(batch.size * image.pixels.len(), 0.0);
            }
            let (found, expected) = ([image.height, image.width], [batch.height, batch.width]);
            if found != expected {
                return Err(DataError::SizesDiffer { sample: index, found, expected });
            }
            let size = image.pixels.len();
            self.pipeline.values(&image, &mut batch.images[at * size..][..size]);
            match sample.annotation {
                Annotation::None => {}
                Annotation::Class(class) => batch.labels.push(class),
                Annotation::Mask(mask) => masks.extend_from_slice(&mask.pixels),
                Annotation::Boxes(found) => boxes.push(found),
            }
            let found = (batch.labels.len(), masks.len(), boxes.len());
            let pixels = batch.height * batch.width;
            let done = at + 1;
            if ![(0, 0, 0), (done, 0, 0), (0, done * pixels, 0), (0, 0, done)].contains(&found) {
                return Err(DataError::MixedAnnotations { sample: index });
            }
        }
        batch.boxes = (!boxes.is_empty()).then_some(boxes);
        batch.masks = (!masks.is_empty()).then_some(masks);
        Ok(batch)
    }
}

/// The batches of an epoch, in order. Dropping it stops its threads.
///
/// After an error there are no further batches.
pub struct Batches {
    queue: Arc<Queue>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
}

/// What the consumer and the workers share.
struct Queue {
    work: Arc<Work>,
    epoch: u64,
    order: Vec<usize>,
    end: usize,
    /// Batches claimed and not yet taken, at most.
    ahead: usize,
    state: Mutex<State>,
    /// Signals workers: a batch was taken, or all is over.
    room: Condvar,
    /// Signals the consumer: a batch is ready.
    arrival: Condvar,
}

#[derive(Default)]
struct State {
    /// The next batch that no worker has begun.
    claimed: usize,
    /// The next batch that the consumer takes.
    taken: usize,
    /// Finished batches; a worker's panic is passed on to the consumer.
    ready: BTreeMap<usize, thread::Result<Result<Batch, DataError>>>,
    /// Buffers handed back.
    spare: Vec<Batch>,
    stopped: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state stays whole if something does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker: claims a number, makes the batch, until the end or until stopped.
    fn run(&self) {
        while let Some((number, spare)) = self.claim() {
            let fill = || self.work.fill(self.epoch, &self.order, number, spare);
            let batch = panic::catch_unwind(AssertUnwindSafe(fill));
            self.state().ready.insert(number, batch);
            self.arrival.notify_one();
        }
    }

    fn claim(&self) -> Option<(usize, Batch)> {
        let full = |state: &mut State| !state.stopped && state.claimed < self.end && state.claimed >= state.taken + self.ahead;
        let waited = self.room.wait_while(self.state(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stopped || state.claimed >= self.end {
            return None;
        }
        state.claimed += 1;
        Some((state.claimed - 1, state.spare.pop().unwrap_or_default()))
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.room.notify_all();
    }
}

impl Batches {
    /// How long `next` has waited for batches so far: time that more threads could save.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Hands a used batch back, so that its buffers are filled again instead of new ones.
    pub fn recycle(&mut self, batch: Batch) {
        let mut state = self.queue.state();
        // As many as there can be: those ahead, and the one in the consumer's hands.
        if state.spare.len() <= self.queue.ahead {
            state.spare.push(batch);
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let started = Instant::now();
        let mut state = self.queue.state();
        if state.stopped || state.taken >= self.queue.end {
            return None;
        }
        let number = state.taken;
        let batch = loop {
            if let Some(batch) = state.ready.remove(&number) {
                break batch;
            }
            let woken = self.queue.arrival.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        };
        state.taken += 1;
        drop(state);
        self.queue.room.notify_one();
        self.waited += started.elapsed();
        match batch {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.queue.stop();
                Some(Err(error))
            }
            Err(payload) => panic::resume_unwind(payload),
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.queue.stop();
        for worker in self.workers.drain(..) {
            // A worker's panic was caught and passed on in its batch's place.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
