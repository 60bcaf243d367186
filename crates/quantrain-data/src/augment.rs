//! Random changes of training images

use crate::color::{self, Jitter};
use crate::geometry::{Border, Outside, Window};
use crate::random::Random;
use crate::{Annotation, DataError, Image, Sample};

/// Random changes of training images, applied to image, mask and boxes together. The default
/// changes nothing.
///
/// A sample's changes depend on the plan's seed, the epoch and the sample's index alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Augment {
    /// Mirrors left and right, every second time.
    pub flip: bool,
    /// Pads the cropped image by so many pixels on each side and cuts its size out again at a
    /// random place.
    pub padded_crop: Option<usize>,
    /// Cuts out a random part, its share of the area drawn from this range within (0, 1] and its
    /// aspect ratio from 3/4 to 4/3, and resizes it to the size that the preprocessing would have
    /// given. Takes the place of resize and centre crop. (Szegedy et al. 2015, section 6.)
    pub resized_crop: Option<(f32, f32)>,
    /// Resizes by a factor drawn from this range, from above 0 to 16, and cuts the size that the
    /// preprocessing would have given out at a random place, padded where the image is smaller.
    /// Takes the place of the centre crop; not together with `resized_crop`.
    pub scale: Option<(f32, f32)>,
    /// The value of padding pixels, in every channel.
    pub padding: u8,
    /// The class of padding pixels in a mask. Without one, an image with a mask repeats its border
    /// instead of `padding`, because padding has no class.
    pub padding_class: Option<u8>,
    /// Multiplies brightness, contrast and saturation, in this order, each by a factor drawn from
    /// `1 − color` to `1 + color`; 0 to 1.
    pub color: Option<f32>,
}

/// Beyond this a factor is taken for a mistake.
const LARGEST_SCALE: f32 = 16.0;

impl Augment {
    /// Refuses values outside the documented ranges, and NaN.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        if self.padded_crop.is_some_and(|pad| pad > 1 << 16) {
            return Err(DataError::PaddedCrop { found: self.padded_crop.unwrap_or_default() });
        }
        if let Some((low, high)) = self.resized_crop
            && !(low > 0.0 && low <= high && high <= 1.0)
        {
            return Err(DataError::ResizedCrop { low, high });
        }
        if let Some((low, high)) = self.scale
            && !(low > 0.0 && low <= high && high <= LARGEST_SCALE)
        {
            return Err(DataError::Scale { low, high });
        }
        if self.scale.is_some() && self.resized_crop.is_some() {
            return Err(DataError::TwoCrops);
        }
        match self.color {
            Some(found) if !(0.0..=1.0).contains(&found) => Err(DataError::Color { found }),
            _ => Ok(()),
        }
    }

    /// Where the resized crop cuts an image; none if there is no resized crop.
    pub(crate) fn window(&self, image: &Image, random: &mut Random) -> Option<Window> {
        let (low, high) = self.resized_crop?;
        let (height, width) = (image.height as f32, image.width as f32);
        // torchvision's way: draw until it fits, at most ten times, then take the whole.
        for _ in 0..10 {
            let area = height * width * random.between(low, high);
            let aspect = random.between((3.0f32 / 4.0).ln(), (4.0f32 / 3.0).ln()).exp();
            let w = (area * aspect).sqrt().round() as usize;
            let h = (area / aspect).sqrt().round() as usize;
            if (1..=image.width).contains(&w) && (1..=image.height).contains(&h) {
                let top = random.below(image.height - h + 1);
                let left = random.below(image.width - w + 1);
                return Some(Window { top, left, height: h, width: w });
            }
        }
        Some(Window { top: 0, left: 0, height: image.height, width: image.width })
    }

    /// The size that `scale` gives an image of `size`; none if it is off.
    pub(crate) fn scaled(&self, size: [usize; 2], random: &mut Random) -> Option<[usize; 2]> {
        let (low, high) = self.scale?;
        let factor = random.between(low, high);
        Some(size.map(|side| ((side as f32 * factor).round() as usize).max(1)))
    }

    /// A random part of `size`; along an axis on which the sample is smaller, the sample is at a random place within it.
    pub(crate) fn part(&self, sample: Sample, size: [usize; 2], random: &mut Random) -> Sample {
        let mut offset = |has: usize, wants: usize| match has.checked_sub(wants) {
            Some(rest) => random.below(rest + 1) as isize,
            None => -(random.below(wants - has + 1) as isize),
        };
        let (down, right) = (offset(sample.image.height, size[0]), offset(sample.image.width, size[1]));
        let outside = self.outside(&sample);
        sample.place(down, right, size, outside)
    }

    /// Shifts, mirrors and recolours a sample of the final size.
    pub(crate) fn apply(&self, mut sample: Sample, random: &mut Random) -> Sample {
        if let Some(pad) = self.padded_crop {
            let mut offset = || random.below(2 * pad + 1) as isize - pad as isize;
            let (down, right) = (offset(), offset());
            let (size, outside) = ([sample.image.height, sample.image.width], self.outside(&sample));
            sample = sample.place(down, right, size, outside);
        }
        if self.flip && random.coin() {
            sample = sample.flip();
        }
        if let Some(strength) = self.color {
            let mut factor = || random.between(1.0 - strength, 1.0 + strength);
            let jitter = Jitter { brightness: factor(), contrast: factor(), saturation: factor() };
            color::jitter(&mut sample.image, &jitter);
        }
        sample
    }

    fn outside(&self, sample: &Sample) -> Outside {
        match (&sample.annotation, self.padding_class) {
            (Annotation::Mask(_), None) => Outside { image: Border::Repeated, mask: Border::Repeated },
            (_, class) => Outside { image: Border::Filled(self.padding), mask: Border::Filled(class.unwrap_or_default()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Image {
        Image { height: 8, width: 6, channels: 1, pixels: (0..48).collect() }
    }

    fn masked() -> Sample {
        Sample { image: gradient(), annotation: Annotation::Mask(gradient()) }
    }

    #[test]
    fn a_mask_moves_with_its_image() {
        let augment = Augment { flip: true, padded_crop: Some(3), ..Augment::default() };
        let mut changed = 0;
        for index in 0..50 {
            let found = augment.apply(masked(), &mut Random::of_sample(1, 0, index));
            assert_eq!(found.annotation, Annotation::Mask(found.image.clone()));
            changed += usize::from(found != masked());
        }
        assert!(changed > 40, "{changed} of 50 changed");
    }

    #[test]
    fn padding_has_its_value_and_its_class() {
        let augment = Augment { padding: 200, padding_class: Some(255), ..Augment::default() };
        let found = augment.part(masked(), [20, 20], &mut Random::of_sample(1, 0, 0));
        let Annotation::Mask(mask) = &found.annotation else { panic!("a mask") };
        let padded = found.image.pixels.iter().zip(&mask.pixels).filter(|pair| pair == &(&200, &255)).count();
        assert_eq!(padded, 400 - 48);
        let kept = found.image.pixels.iter().zip(&mask.pixels).filter(|(pixel, class)| pixel == class).count();
        assert_eq!(kept, 48);
    }

    #[test]
    fn a_part_lies_anywhere_inside() {
        let augment = Augment::default();
        let corners: std::collections::BTreeSet<u8> =
            (0..100).map(|index| augment.part(masked(), [7, 5], &mut Random::of_sample(3, 0, index)).image.pixels[0]).collect();
        assert_eq!(corners.into_iter().collect::<Vec<_>>(), [0, 1, 6, 7]);
    }

    #[test]
    fn a_scale_is_drawn_from_its_range() {
        let augment = Augment { scale: Some((0.5, 2.0)), ..Augment::default() };
        let heights: Vec<usize> =
            (0..200).map(|index| augment.scaled([100, 200], &mut Random::of_sample(3, 0, index)).expect("a scale")[0]).collect();
        assert!(heights.iter().all(|h| (50..=200).contains(h)));
        assert!(heights.iter().any(|h| *h < 70) && heights.iter().any(|h| *h > 180));
    }

    #[test]
    fn a_window_lies_inside_and_has_the_area_asked_for() {
        let augment = Augment { resized_crop: Some((0.25, 0.5)), ..Augment::default() };
        let image = Image::black(240, 320, 1);
        for index in 0..200 {
            let mut random = Random::of_sample(2, 0, index);
            let window = augment.window(&image, &mut random).expect("a resized crop");
            assert!(window.top + window.height <= 240 && window.left + window.width <= 320);
            let share = (window.height * window.width) as f32 / (240.0 * 320.0);
            assert!((0.24..0.51).contains(&share), "{window:?}");
        }
    }

    #[test]
    fn values_out_of_range_and_nan_are_refused() {
        let with = |resized_crop, color| Augment { resized_crop, color, ..Augment::default() };
        for range in [(0.0, 1.0), (0.5, 0.2), (0.5, 1.5), (f32::NAN, 1.0), (0.1, f32::NAN)] {
            let result = with(Some(range), None).check();
            assert!(matches!(result, Err(DataError::ResizedCrop { .. })), "{range:?}");
        }
        for color in [-0.1, 1.1, f32::NAN] {
            let result = with(None, Some(color)).check();
            assert!(matches!(result, Err(DataError::Color { .. })), "{color}");
        }
        assert!(with(Some((0.08, 1.0)), Some(0.4)).check().is_ok());
        for scale in [(0.0, 1.0), (2.0, 1.0), (1.0, 17.0), (f32::NAN, 1.0)] {
            let result = Augment { scale: Some(scale), ..Augment::default() }.check();
            assert!(matches!(result, Err(DataError::Scale { .. })), "{scale:?}");
        }
        let both = Augment { scale: Some((0.5, 2.0)), ..with(Some((0.5, 1.0)), None) };
        assert!(matches!(both.check(), Err(DataError::TwoCrops)));
    }
}
