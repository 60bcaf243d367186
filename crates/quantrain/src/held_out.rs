//! Images to judge a network by where the recipe names none: a share of those that it is calibrated on, spread over the data set, which
//! refinement and training then leave out.

use std::sync::Arc;

use quantrain_data::{DataError, Dataset, Feeds, Glance, Sample};

/// Share of the images of a calibration that is held out.
const SHARE: f64 = 0.2;

/// Which images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of them.
    All,
    /// Those that are held out.
    HeldOut,
    /// The others.
    Rest,
}

impl Part {
    /// This part of a data set of which so many images are for calibration. Both parts have at least `batch` images; a data set too small
    /// for that is both of them.
    pub fn of(self, dataset: Arc<dyn Dataset>, calibration: usize, batch: usize) -> Arc<dyn Dataset> {
        match self.indices(dataset.len(), calibration, batch) {
            Some(indices) => Arc::new(Selection { dataset, indices }),
            None => dataset,
        }
    }

    /// As [`Part::of`], of feeds.
    pub fn of_feeds(self, feeds: Feeds, calibration: usize, batch: usize) -> Feeds {
        self.indices(feeds.len(), calibration, batch).map_or_else(|| feeds.clone(), |indices| feeds.select(indices.into_iter()))
    }

    /// The indices of this part; `None` where it is all.
    fn indices(self, all: usize, calibration: usize, batch: usize) -> Option<Vec<usize>> {
        let share = (all.min(calibration) as f64 * SHARE).round() as usize;
        let held_out = share.max(1).next_multiple_of(batch.max(1));
        if self == Part::All || held_out + batch.max(1) > all {
            return None;
        }
        // The last image of each of so many equal pieces.
        let is_held_out = |i: usize| (i + 1) * held_out / all > i * held_out / all;
        Some((0..all).filter(|&i| is_held_out(i) == (self == Part::HeldOut)).collect())
    }
}

/// Some images of a data set.
struct Selection {
    dataset: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Dataset for Selection {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        // Past the end, the data set itself says what is wrong.
        self.dataset.sample(self.indices.get(index).copied().unwrap_or(usize::MAX))
    }

    fn describe(&self) -> String {
        format!("{}; {} of them", self.dataset.describe(), self.indices.len())
    }

    fn class(&self, index: usize) -> Option<i64> {
        self.dataset.class(*self.indices.get(index)?)
    }

    fn glance(&self, index: usize) -> Result<Glance, DataError> {
        self.dataset.glance(self.indices.get(index).copied().unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use quantrain_data::{Annotation, Image};

    use super::*;

    /// Images whose only pixel is their index.
    struct Numbers(usize);

    impl Dataset for Numbers {
        fn len(&self) -> usize {
            self.0
        }

        fn sample(&self, index: usize) -> Result<Sample, DataError> {
            let image = Image { height: 1, width: 1, channels: 1, pixels: vec![index as u8] };
            Ok(Sample { image, annotation: Annotation::None })
        }

        fn describe(&self) -> String {
            "numbers".into()
        }
    }

    fn numbers(part: Part, all: usize, calibration: usize, batch: usize) -> Vec<u8> {
        let part = part.of(Arc::new(Numbers(all)), calibration, batch);
        (0..part.len()).map(|i| part.sample(i).unwrap().image.pixels[0]).collect()
    }

    #[test]
    fn a_fifth_is_held_out_and_the_rest_is_the_rest() {
        assert_eq!(numbers(Part::HeldOut, 20, 512, 1), [4, 9, 14, 19]);
        let rest = numbers(Part::Rest, 20, 512, 1);
        assert_eq!((rest.len(), rest[4]), (16, 5));
        assert_eq!(numbers(Part::HeldOut, 200, 10, 1), [99, 199], "a fifth of the images of the calibration");
        assert_eq!(numbers(Part::All, 3, 512, 1), [0, 1, 2]);
    }

    #[test]
    fn both_parts_have_whole_batches_or_everything() {
        assert_eq!(numbers(Part::HeldOut, 24, 512, 8).len(), 8);
        assert_eq!(numbers(Part::Rest, 24, 512, 8).len(), 16);
        for part in [Part::HeldOut, Part::Rest] {
            assert_eq!(numbers(part, 1, 512, 1).len(), 1);
            assert_eq!(numbers(part, 12, 512, 8).len(), 12);
        }
    }
}
