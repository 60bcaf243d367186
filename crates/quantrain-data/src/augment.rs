//! Random changes of training images

use crate::color::{self, Jitter};
use crate::geometry::{self, Border, Window};
use crate::random::Random;
use crate::{DataError, Image};

/// Random changes of training images, applied to image and mask together. The default changes
/// nothing.
///
/// A sample's changes depend on the plan's seed, the epoch and the sample's index alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Augment {
    /// Mirrors left and right, every second time.
    pub flip: bool,
    /// Pads the cropped image by so many pixels on each side and cuts its size out again at a
    /// random place. The padding is black; an image with a mask repeats its border instead,
    /// because black has no class.
    pub padded_crop: Option<usize>,
    /// Cuts out a random part, its share of the area drawn from this range within (0, 1] and its
    /// aspect ratio from 3/4 to 4/3, and resizes it to the size that the preprocessing would have
    /// given. Takes the place of resize and centre crop. (Szegedy et al. 2015, section 6.)
    pub resized_crop: Option<(f32, f32)>,
    /// Multiplies brightness, contrast and saturation, in this order, each by a factor drawn from
    /// `1 − color` to `1 + color`; 0 to 1.
    pub color: Option<f32>,
}

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

    /// Shifts, mirrors and recolours an image of the final size, and its mask.
    pub(crate) fn apply(&self, image: &mut Image, mask: Option<&mut Image>, random: &mut Random) {
        let mut mask = mask;
        if let Some(pad) = self.padded_crop {
            let mut offset = || random.below(2 * pad + 1) as isize - pad as isize;
            let (down, right) = (offset(), offset());
            let border = if mask.is_some() { Border::Repeated } else { Border::Black };
            *image = geometry::shift(image, down, right, border);
            if let Some(mask) = mask.as_deref_mut() {
                *mask = geometry::shift(mask, down, right, border);
            }
        }
        if self.flip && random.coin() {
            geometry::flip(image);
            if let Some(mask) = mask {
                geometry::flip(mask);
            }
        }
        if let Some(strength) = self.color {
            let mut factor = || random.between(1.0 - strength, 1.0 + strength);
            let jitter = Jitter { brightness: factor(), contrast: factor(), saturation: factor() };
            color::jitter(image, &jitter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Image {
        Image { height: 8, width: 6, channels: 1, pixels: (0..48).collect() }
    }

    #[test]
    fn a_mask_moves_with_its_image() {
        let augment = Augment { flip: true, padded_crop: Some(3), ..Augment::default() };
        let mut changed = 0;
        for index in 0..50 {
            let (mut image, mut mask) = (gradient(), gradient());
            augment.apply(&mut image, Some(&mut mask), &mut Random::of_sample(1, 0, index));
            assert_eq!(image, mask);
            changed += usize::from(image != gradient());
        }
        assert!(changed > 40, "{changed} of 50 changed");
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
    }
}
