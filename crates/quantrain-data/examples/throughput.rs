//! How fast samples come: `throughput DATASET THREADS [CROP [SAMPLES]]`, in images a second

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use quantrain_data::{BatchPlan, Channels, Loader, Preprocess, ReadOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, threads, rest @ ..] = arguments.as_slice() else {
        return Err("usage: throughput DATASET THREADS [CROP [SAMPLES]]".into());
    };
    let number = |at: usize| rest.get(at).map(|text| text.parse::<usize>()).transpose();
    let (crop, limit) = (number(0)?.filter(|&side| side > 0), number(1)?);
    let started = Instant::now();
    let dataset = quantrain_data::open(Path::new(path), &ReadOptions::default())?;
    println!("{}, opened in {:.0?}", dataset.describe(), started.elapsed());
    let channels = Channels::Exactly(dataset.sample(0)?.image.channels);
    let crop = crop.map(|side| [side, side]);
    let preprocess = Preprocess { crop, channels, ..Preprocess::default() };
    let plan = BatchPlan { batch_size: 64, shuffle: true, limit, ..BatchPlan::default() };
    let loader = Loader::new(Arc::from(dataset), &preprocess, None, plan)?;
    let started = Instant::now();
    let mut batches = loader.batches(0, 0, threads.parse()?);
    while let Some(batch) = batches.next() {
        batches.recycle(batch?);
    }
    let seconds = started.elapsed().as_secs_f64();
    let samples = loader.samples();
    println!("{samples} images, {threads} thread(s): {:.0} images/s", samples as f64 / seconds);
    Ok(())
}
