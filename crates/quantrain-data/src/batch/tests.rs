use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fixture::patterned;
use crate::{Channels, Glance, Image, Sample};

/// Images that tell their index, and a count of those decoded.
struct Numbered {
    length: usize,
    masks: bool,
    decoded: AtomicUsize,
}

impl Numbered {
    fn new(length: usize) -> Self {
        Self { length, masks: false, decoded: AtomicUsize::new(0) }
    }
}

impl Dataset for Numbered {
    fn len(&self) -> usize {
        self.length
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        self.decoded.fetch_add(1, Ordering::SeqCst);
        let mut image = patterned(6, 5, 1);
        image.pixels[0] = index as u8;
        let mask = Annotation::Mask(image.clone());
        let annotation = if self.masks { mask } else { Annotation::Class(index as i64) };
        Ok(Sample { image, annotation })
    }

    fn describe(&self) -> String {
        format!("{} numbers", self.length)
    }
}

/// A dataset by a function of the index.
struct Made(usize, fn(usize) -> Result<Sample, DataError>);

impl Dataset for Made {
    fn len(&self) -> usize {
        self.0
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        self.1(index)
    }

    fn describe(&self) -> String {
        "made".into()
    }
}

fn gray() -> Preprocess {
    Preprocess { channels: Channels::Exactly(1), ..Preprocess::default() }
}

fn loader(dataset: impl Dataset + 'static, plan: BatchPlan) -> Loader {
    Loader::new(Arc::new(dataset), &gray(), None, plan).expect("good parameters")
}

fn collect(batches: Batches) -> Vec<Batch> {
    batches.collect::<Result<_, _>>().expect("good samples")
}

fn everything_on() -> Augment {
    Augment { flip: true, padded_crop: Some(2), resized_crop: Some((0.3, 1.0)), color: Some(0.4), ..Augment::default() }
}

#[test]
fn any_thread_count_and_any_resume_point_give_the_same_bits() {
    let plan = BatchPlan { batch_size: 7, shuffle: true, seed: 5, ..BatchPlan::default() };
    for masks in [false, true] {
        let dataset = Arc::new(Numbered { masks, ..Numbered::new(100) });
        let loader = Loader::new(dataset, &gray(), Some(&everything_on()), plan.clone());
        let loader = loader.expect("good parameters");
        let expected = collect(loader.batches(3, 0, 1));
        assert_eq!(expected.len(), 15);
        for threads in [2, 5] {
            assert_eq!(collect(loader.batches(3, 0, threads)), expected);
        }
        assert_eq!(collect(loader.batches(3, 9, 2)), expected[9..]);
        assert_ne!(collect(loader.batches(4, 0, 2)), expected);
    }
}

#[test]
fn the_first_batch_is_that_of_the_first_epoch() {
    let plan = BatchPlan { batch_size: 7, shuffle: true, seed: 5, ..BatchPlan::default() };
    let loader = Loader::new(Arc::new(Numbered::new(100)), &gray(), Some(&everything_on()), plan).expect("good parameters");
    assert_eq!(loader.first().expect("good samples"), collect(loader.batches(0, 0, 1))[0]);
}

#[test]
fn a_shuffled_epoch_holds_each_sample_once() {
    let plan = BatchPlan { batch_size: 8, shuffle: true, ..BatchPlan::default() };
    let batches = collect(loader(Numbered::new(50), plan).batches(0, 0, 2));
    let mut seen: Vec<usize> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_ne!(seen, (0..50).collect::<Vec<_>>());
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    for batch in &batches {
        let labels: Vec<i64> = batch.indices.iter().map(|&index| index as i64).collect();
        assert_eq!(batch.labels, labels);
        assert_eq!(batch.images[0], batch.indices[0] as f32 / 255.0);
    }
}

/// Ten classes of ten, one after the other.
struct Sorted(Numbered);

impl Dataset for Sorted {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        self.0.sample(index)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn class(&self, index: usize) -> Option<i64> {
        Some(index as i64 / 10)
    }
}

#[test]
fn a_limit_draws_from_all_classes() {
    for shuffle in [false, true] {
        let plan = BatchPlan { batch_size: 10, shuffle, limit: Some(20), ..BatchPlan::default() };
        let batches = collect(loader(Sorted(Numbered::new(100)), plan).batches(0, 0, 1));
        let indices: Vec<usize> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
        let mut counts = [0; 10];
        indices.iter().for_each(|index| counts[index / 10] += 1);
        assert_eq!(counts, [2; 10], "{shuffle}");
        assert_eq!(indices.is_sorted(), !shuffle);
    }
}

/// Every seventh sample cannot be read; every second of these shows it in its header.
struct Damaged;

impl Dataset for Damaged {
    fn len(&self) -> usize {
        100
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        match index % 7 {
            0 => Err(DataError::Inconsistent { sample: index }),
            _ => Ok(Sample { image: patterned(6, 5, 1), annotation: Annotation::None }),
        }
    }

    fn describe(&self) -> String {
        "damaged".into()
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        match index % 14 {
            0 => Err(DataError::Inconsistent { sample: index }),
            _ => Ok(Glance { size: Some([6, 5]), turned: index % 10 == 1 }),
        }
    }
}

#[test]
fn damaged_samples_are_an_error_before_the_first_batch() {
    let found = loader(Damaged, BatchPlan::default()).surveyed(OnBadSample::Error, None, 3).err();
    match found {
        Some(DataError::BadSamples { first, count: 8, of: 100 }) => assert!(matches!(*first, DataError::Inconsistent { sample: 0 })),
        other => panic!("{other:?}"),
    }
    let small = Preprocess { crop: Some([7, 5]), ..gray() };
    let small = Loader::new(Arc::new(Damaged), &small, None, BatchPlan::default()).expect("good parameters");
    assert!(matches!(small.surveyed(OnBadSample::Skip, None, 1), Err(DataError::NoBatches { samples: 0, .. })));
}

#[test]
fn damaged_samples_are_left_out_of_every_epoch_and_the_limit_is_kept() {
    let plan = BatchPlan { batch_size: 10, shuffle: true, limit: Some(40), ..BatchPlan::default() };
    let drawn = loader(Damaged, plan.clone()).surveyed(OnBadSample::Skip, Some(0..1), 3).expect("enough are left");
    let all = loader(Damaged, BatchPlan { limit: None, ..plan }).surveyed(OnBadSample::Skip, None, 1).expect("enough are left");
    assert_eq!((all.0.samples(), all.1.skipped.len(), all.1.looked_at), (85, 15, 100));
    assert_eq!((drawn.0.samples(), drawn.1.skipped.len() < 15), (40, true));
    for (loader, epochs) in [(drawn.0, 0..1), (all.0, 0..3)] {
        for epoch in epochs {
            let batches = collect(loader.batches(epoch, 0, 2));
            assert_eq!(batches.iter().map(|batch| batch.size).sum::<usize>(), loader.samples());
            assert!(batches.iter().flat_map(|batch| &batch.indices).all(|index| index % 7 != 0));
        }
    }
}

#[test]
fn the_plan_says_how_many_batches_there_are() {
    for (drop_last, limit, batches, samples) in
        [(false, None, 4, 10), (true, None, 3, 9), (false, Some(5), 2, 5), (true, Some(5), 1, 3), (false, Some(99), 4, 10)]
    {
        let plan = BatchPlan { batch_size: 3, drop_last, limit, ..BatchPlan::default() };
        let loader = loader(Numbered::new(10), plan);
        let found = collect(loader.batches(0, 0, 2));
        assert_eq!((loader.batches_per_epoch(), loader.samples()), (batches, samples));
        assert_eq!(found.len(), batches);
        assert_eq!(found.iter().map(|batch| batch.size).sum::<usize>(), samples);
        assert!(found.iter().enumerate().all(|(at, batch)| batch.number == at));
    }
}

#[test]
fn batches_that_do_not_fill_a_step_are_left_out_together() {
    for (drop_last, batches, samples) in [(false, 5, 14), (true, 4, 12)] {
        let plan = BatchPlan { batch_size: 3, batches_per_step: 2, drop_last, ..BatchPlan::default() };
        let loader = loader(Numbered::new(14), plan);
        let found = collect(loader.batches(0, 0, 2));
        assert_eq!((loader.batches_per_epoch(), loader.samples(), found.len()), (batches, samples, batches));
        assert_eq!(found.iter().map(|batch| batch.size).sum::<usize>(), samples);
    }
    let plan = BatchPlan { batch_size: 3, batches_per_step: 5, drop_last: true, ..BatchPlan::default() };
    let refused = Loader::new(Arc::new(Numbered::new(14)), &gray(), None, plan).err();
    assert!(matches!(refused, Some(DataError::NoBatches { samples: 14, batch_size: 15 })));
}

#[test]
fn plans_without_batches_are_refused() {
    let with = |batch_size, drop_last, limit, length| {
        let plan = BatchPlan { batch_size, drop_last, limit, ..BatchPlan::default() };
        Loader::new(Arc::new(Numbered::new(length)), &gray(), None, plan).err()
    };
    assert!(matches!(with(0, false, None, 10), Some(DataError::BatchSize)));
    assert!(matches!(with(4, false, Some(0), 10), Some(DataError::NoBatches { .. })));
    assert!(matches!(with(4, false, None, 0), Some(DataError::NoBatches { .. })));
    let dropped = with(11, true, None, 10);
    assert!(matches!(dropped, Some(DataError::NoBatches { samples: 10, batch_size: 11 })));
}

#[test]
fn threads_run_ahead_by_a_few_batches_and_stop_when_dropped() {
    let dataset = Arc::new(Numbered::new(10_000));
    let plan = BatchPlan { batch_size: 10, ..BatchPlan::default() };
    let loader = Loader::new(dataset.clone(), &gray(), None, plan).expect("good parameters");
    let mut batches = loader.batches(0, 0, 2);
    batches.next().expect("a batch").expect("good samples");
    thread::sleep(Duration::from_millis(50));
    drop(batches);
    let decoded = dataset.decoded.load(Ordering::SeqCst);
    assert!((10..=50).contains(&decoded), "{decoded} decoded for one batch of 10");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(dataset.decoded.load(Ordering::SeqCst), decoded);
}

#[test]
fn an_error_comes_in_its_batchs_place_and_ends_the_epoch() {
    let broken = Made(30, |index| match index {
        17 => Err(DataError::OutOfRange { index, length: 17 }),
        _ => Ok(Sample { image: patterned(2, 2, 1), annotation: Annotation::None }),
    });
    let plan = BatchPlan { batch_size: 5, ..BatchPlan::default() };
    let found: Vec<_> = loader(broken, plan).batches(0, 0, 3).collect();
    assert_eq!(found.len(), 4);
    assert!(found[..3].iter().all(|batch| batch.is_ok()));
    assert!(matches!(found[3], Err(DataError::OutOfRange { index: 17, .. })));
}

#[test]
fn batches_of_several_sizes_or_annotations_are_refused() {
    let sizes = Made(4, |index| {
        let image = patterned(2 + index / 3, 2, 1);
        Ok(Sample { image, annotation: Annotation::None })
    });
    let error = loader(sizes, BatchPlan::default()).batches(0, 0, 1).next();
    let found = matches!(error, Some(Err(DataError::SizesDiffer { sample: 3, found: [3, 2], expected: [2, 2] })));
    assert!(found, "{error:?}");
    let annotations = Made(4, |index| {
        let annotation = if index == 2 { Annotation::None } else { Annotation::Class(1) };
        Ok(Sample { image: patterned(2, 2, 1), annotation })
    });
    let error = loader(annotations, BatchPlan::default()).batches(0, 0, 1).next();
    assert!(matches!(error, Some(Err(DataError::MixedAnnotations { sample: 2 }))));
}

#[test]
#[should_panic(expected = "the dataset's own")]
fn a_panic_of_the_dataset_reaches_the_consumer() {
    let panicking = Made(4, |_| panic!("the dataset's own"));
    loader(panicking, BatchPlan::default()).batches(0, 0, 2).for_each(drop);
}

#[test]
fn buffers_handed_back_are_filled_again() {
    let plan = BatchPlan { batch_size: 10, ..BatchPlan::default() };
    let loader = loader(Numbered { masks: true, ..Numbered::new(1000) }, plan);
    let mut batches = loader.batches(0, 0, 1);
    let mut buffers = std::collections::BTreeSet::new();
    while let Some(batch) = batches.next() {
        let batch = batch.expect("good samples");
        assert_eq!(batch.masks.as_ref().map(Vec::len), Some(300));
        buffers.insert(batch.images.as_ptr().addr());
        batches.recycle(batch);
    }
    // Three ahead of the consumer, one in its hands.
    assert!(buffers.len() <= 4, "{} buffers for 100 batches", buffers.len());
}

#[test]
fn waiting_is_counted() {
    let slow = Made(2, |_| {
        thread::sleep(Duration::from_millis(20));
        let image = Image { height: 1, width: 1, channels: 1, pixels: vec![0] };
        Ok(Sample { image, annotation: Annotation::None })
    });
    let mut batches = loader(slow, BatchPlan::default()).batches(0, 0, 1);
    batches.by_ref().for_each(drop);
    assert!(batches.waited() >= Duration::from_millis(20));
}
