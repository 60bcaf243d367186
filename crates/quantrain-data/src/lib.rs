//! Datasets for training and calibration: readers, preprocessing, augmentation, and batches made in
//! background threads.
//!
//! This crate turns files into [`Batch`]es of `f32` in NHWC order. It knows nothing of networks: it
//! is told the channels, the crop and the normalisation.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//! use quantrain_data::{Augment, BatchPlan, Loader, Preprocess, ReadOptions};
//!
//! # fn main() -> Result<(), quantrain_data::DataError> {
//! let dataset = quantrain_data::open(Path::new("cifar10_train.parquet"), &ReadOptions::default())?;
//! println!("{}", dataset.describe());
//! let preprocess = Preprocess {
//!     mean: vec![0.485, 0.456, 0.406],
//!     std: vec![0.229, 0.224, 0.225],
//!     ..Preprocess::default()
//! };
//! let augment = Augment { flip: true, padded_crop: Some(4), ..Augment::default() };
//! let plan = BatchPlan { batch_size: 128, shuffle: true, ..BatchPlan::default() };
//! let loader = Loader::new(Arc::from(dataset), &preprocess, Some(&augment), plan)?;
//! for epoch in 0..10 {
//!     let mut batches = loader.batches(epoch, 0, 2);
//!     while let Some(batch) = batches.next() {
//!         let batch = batch?;
//!         // … one training step on `batch.images` and `batch.labels` …
//!         batches.recycle(batch);
//!     }
//!     println!("waited {:?} for data", batches.waited());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | what | where |
//! |---|---|
//! | [`open`] a path: parquet, IDX, NumPy archives, folders of images; all are a [`Dataset`] | `reader` |
//! | JPEG and PNG to pixels, upright | `decode`, `orientation` |
//! | [`number_by_name`]: one number for a class in all datasets | `classes` |
//! | [`Preprocess`]: channels, resize, crop, mean and standard deviation | `preprocess` |
//! | [`Augment`]: random crops, flips and colours | `augment` |
//! | [`Feeds`]: arrays and images for networks of any inputs, labels for their outputs | `feed` |
//! | [`Loader`], [`Batches`]: the order of an epoch, threads, buffers | `batch` |
//! | which samples a limit leaves, spread over classes | `selection` |
//! | [`Survey`]: a look at samples before they are needed | `survey` |
//! | [`DataError`]: everything that can go wrong | `error` |
//!
//! **Same bits every time.** The order of an epoch depends on (seed, epoch), the augmentation of a
//! sample on (seed, epoch, index). Any number of threads, and an epoch resumed at any batch, gives
//! the same bits.
//!
//! **Memory.** Opening a parquet or IDX file reads its encoded bytes into memory, once; images are
//! decoded batch by batch and never kept. What runs ahead is bounded by the number of threads, not
//! by the number of samples.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod augment;
mod batch;
mod classes;
mod color;
mod decode;
mod error;
mod feed;
#[cfg(test)]
mod fixture;
mod geometry;
mod orientation;
mod preprocess;
mod random;
mod reader;
mod resize;
mod sample;
mod selection;
mod survey;

pub use augment::Augment;
pub use batch::{Batch, BatchPlan, Batches, Loader};
pub use classes::{number_by_name, number_by_value};
pub use decode::DecodeError;
pub use error::{ArrayPlace, DataError};
pub use feed::{ARRAY_FILES, Feeds, ImageSource, InputSource, InputSpec, LabelKind, LabelSpec, Range, Target, TargetValues, array_names};
pub use orientation::Exif;
pub use preprocess::{ChannelOrder, Channels, Order, PixelRange, Preprocess, Resize};
pub use random::Random;
pub use reader::{BoxForm, Columns, KINDS, ReadOptions, files, open};
pub use resize::{Filter, Scaling};
pub use sample::{Annotation, BoundingBox, Dataset, Glance, Image, Sample};
pub use survey::{OnBadSample, Survey};
