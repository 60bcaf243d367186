//! The data sets that the project measures on, where they are present

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quantrain_data::{
    Annotation, Augment, Batch, BatchPlan, Channels, DataError, Dataset, Loader, PixelRange, Preprocess, ReadOptions, open,
};

/// A file beside the repository, or a line that says what is missing.
fn shared(test: &str, name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    present(test, path)
}

fn present(test: &str, path: PathBuf) -> Option<PathBuf> {
    if !path.exists() {
        println!("skipped: {test}: {}", path.display());
        return None;
    }
    Some(path)
}

fn opened(path: &Path) -> Box<dyn Dataset> {
    open(path, &ReadOptions::default()).expect("a dataset")
}

fn batches(dataset: Box<dyn Dataset>, preprocess: &Preprocess, plan: BatchPlan) -> Vec<Batch> {
    let loader = Loader::new(Arc::from(dataset), preprocess, None, plan).expect("good parameters");
    loader.batches(0, 0, 2).collect::<Result<_, _>>().expect("good samples")
}

#[test]
fn cifar10_is_whole_and_its_labels_are_balanced() {
    let Some(path) = shared("cifar10_test", "cifar10_test.parquet") else { return };
    let dataset = opened(&path);
    assert_eq!(dataset.len(), 10_000);
    let plan = BatchPlan { batch_size: 500, ..BatchPlan::default() };
    let batches = batches(dataset, &Preprocess::default(), plan);
    let mut counts = [0; 10];
    for batch in &batches {
        assert_eq!((batch.size, batch.height, batch.width, batch.channels), (500, 32, 32, 3));
        batch.labels.iter().for_each(|&label| counts[label as usize] += 1);
    }
    assert_eq!(counts, [1000; 10]);
    let values = batches.iter().flat_map(|batch| &batch.images);
    let mean = values.map(|&x| f64::from(x)).sum::<f64>() / (10_000.0 * 3072.0);
    // The mean of CIFAR-10's test pixels, about (0.494 + 0.485 + 0.451) / 3.
    assert!((mean - 0.477).abs() < 0.003, "{mean}");
}

#[test]
fn imagenet_gives_centre_crops() {
    let Some(path) = shared("imagenet", "imagenet_sample_500.parquet") else { return };
    let preprocess =
        Preprocess { crop: Some([224, 224]), range: PixelRange::Byte, mean: vec![127.0], std: vec![128.0], ..Preprocess::default() };
    let plan = BatchPlan { limit: Some(64), ..BatchPlan::default() };
    let batches = batches(opened(&path), &preprocess, plan);
    assert_eq!(batches.len(), 2);
    for batch in batches {
        assert_eq!((batch.height, batch.width, batch.channels), (224, 224, 3));
        assert!(batch.images.iter().all(|x| (-127.0 / 128.0..=1.0).contains(x)));
        assert!(batch.labels.iter().all(|label| (0..1000).contains(label)));
    }
}

#[test]
fn camvid_gives_masks_of_twelve_classes() {
    let Some(path) = shared("camvid", "camvid_val.parquet") else { return };
    let preprocess = Preprocess { crop: Some([176, 240]), ..Preprocess::default() };
    let plan = BatchPlan { batch_size: 10, ..BatchPlan::default() };
    let dataset = opened(&path);
    let Annotation::Mask(stored) = dataset.sample(0).expect("a sample").annotation else {
        panic!("no mask");
    };
    let batches = batches(dataset, &preprocess, plan);
    assert_eq!(batches.iter().map(|batch| batch.size).sum::<usize>(), 101);
    let first = batches[0].masks.as_ref().expect("masks");
    assert_eq!(first[..176 * 240], stored.pixels[2 * 240..178 * 240]);
    for batch in &batches {
        let masks = batch.masks.as_ref().expect("masks");
        assert_eq!(masks.len(), batch.size * 176 * 240);
        assert!(masks.iter().all(|&class| class <= 11) && batch.labels.is_empty());
    }
}

#[test]
fn fashion_mnist_is_read_as_debian_packs_it() {
    let folder = PathBuf::from("/usr/share/datasets/fashion-mnist");
    let Some(path) = present("fashion_mnist", folder.join("t10k-images-idx3-ubyte.gz")) else { return };
    let preprocess = Preprocess { mean: vec![0.286], std: vec![0.353], channels: Channels::Exactly(1), ..Preprocess::default() };
    let batches = batches(opened(&path), &preprocess, BatchPlan::default());
    let mut counts = [0; 10];
    let labels = batches.iter().flat_map(|batch| &batch.labels);
    labels.for_each(|&label| counts[label as usize] += 1);
    assert_eq!(counts, [1000; 10]);
}

/// The most memory this process has held, in KiB, as Linux counts it.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Iterates in a process of its own, as other tests share this one's memory.
#[test]
fn memory_does_not_grow_with_the_number_of_samples() {
    let test = "memory_does_not_grow_with_the_number_of_samples";
    let Some(path) = shared(test, "cifar10_train.parquet") else { return };
    if let Ok(limit) = std::env::var("QUANTRAIN_TEST_SAMPLES") {
        let plan = BatchPlan { batch_size: 32, shuffle: true, limit: limit.parse().ok(), ..BatchPlan::default() };
        let augment = Augment { flip: true, padded_crop: Some(4), ..Augment::default() };
        let loader = Loader::new(Arc::from(opened(&path)), &Preprocess::default(), Some(&augment), plan);
        let batches = loader.expect("good parameters").batches(0, 0, 2);
        batches.for_each(|batch| drop(batch.expect("good samples")));
        println!("peak {} KiB", peak_memory().unwrap_or(0.0));
        return;
    }
    if peak_memory().is_none() {
        println!("skipped: {test}: /proc/self/status");
        return;
    }
    let peak = |samples: &str| -> f64 {
        let run = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args([test, "--exact", "--nocapture"])
            .env("QUANTRAIN_TEST_SAMPLES", samples)
            .output()
            .expect("a process");
        let output = String::from_utf8_lossy(&run.stdout).into_owned();
        let tail = output.split("peak ").nth(1).expect(&output);
        tail.split(' ').next().expect("a number").parse().expect("a number")
    };
    let (few, many) = (peak("200"), peak("5000"));
    assert!(many < 1.1 * few, "{few} KiB for 200 samples, {many} KiB for 5,000");
}

#[test]
fn rows_behind_a_hash_are_a_dataset_of_their_own() {
    let Some(file) = shared("rows", "imagenet_sample_500.parquet") else { return };
    let all = open(&file, &ReadOptions::default()).unwrap();
    let some = open(Path::new(&format!("{}#100..", file.display())), &ReadOptions::default()).unwrap();
    assert_eq!(some.len(), all.len() - 100);
    assert_eq!(some.sample(0).unwrap().annotation, all.sample(100).unwrap().annotation);
    assert!(matches!(open(Path::new(&format!("{}#900..", file.display())), &ReadOptions::default()), Err(DataError::Empty { .. })));
}

#[test]
fn the_boxes_of_bccd_lie_within_their_images_through_all_augmentation() {
    let Some(path) = shared("bccd_train", "bccd_train.parquet") else { return };
    let dataset = opened(&path);
    assert!(dataset.describe().ends_with("292 images in `img`, boxes in `objects`"), "{}", dataset.describe());
    let augment = Augment { flip: true, scale: Some((0.3, 0.6)), ..Augment::default() };
    let preprocess = Preprocess { crop: Some([200, 256]), ..Preprocess::default() };
    let plan = BatchPlan { batch_size: 16, limit: Some(64), ..BatchPlan::default() };
    let count = |augment: Option<&Augment>, preprocess: &Preprocess| {
        let loader = Loader::new(Arc::from(opened(&path)), preprocess, augment, plan.clone()).expect("good parameters");
        let mut count = 0;
        for batch in loader.batches(0, 0, 2) {
            let batch = batch.expect("good samples");
            let (height, width) = (batch.height as f32, batch.width as f32);
            for b in batch.boxes.expect("boxes").iter().flatten() {
                assert!(0.0 <= b.left && b.left < b.right && b.right <= width, "{b:?}");
                assert!(0.0 <= b.top && b.top < b.bottom && b.bottom <= height, "{b:?}");
                assert!((0..3).contains(&b.class), "{b:?}");
                count += 1;
            }
        }
        count
    };
    let all = count(None, &Preprocess::default());
    let kept = count(Some(&augment), &preprocess);
    assert!(all > 500 && kept > all / 2 && kept < all, "{kept} of {all}");
}
