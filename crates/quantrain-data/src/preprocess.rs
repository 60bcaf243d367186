//! From a stored image to a network's input

use crate::decode::MAX_PIXELS;
use crate::geometry::{Border, Outside, Window};
use crate::random::Random;
use crate::{Annotation, Augment, DataError, Image, Sample, Scaling, color};

/// What 255 becomes before mean and standard deviation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PixelRange {
    /// Pixels are 0 to 1.
    #[default]
    Unit,
    /// Pixels stay 0 to 255.
    Byte,
}

/// The channels that the network wants: 1 (gray) or 3 (RGB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// So many; an image that has another number is an error.
    Exactly(usize),
    /// So many; RGB becomes its luma (ITU-R 601), gray is repeated.
    Convert(usize),
}

impl Channels {
    /// How many.
    pub fn count(self) -> usize {
        match self {
            Self::Exactly(count) | Self::Convert(count) => count,
        }
    }
}

/// How a stored image becomes a network's input: channels, then resize, crop, and for each pixel p
///
/// > x = (p / 255 − mean) / std with [`PixelRange::Unit`], x = (p − mean) / std with [`PixelRange::Byte`],
///
/// each operation rounded to `f32`. The default takes RGB images as they are, to 0..1.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// The size that images get; masks take the nearest pixel.
    pub resize: Option<Resize>,
    /// What their new pixels are made of.
    pub scaling: Scaling,
    /// Height and width of the part kept from the centre, the odd pixel to the lower right.
    pub crop: Option<[usize; 2]>,
    /// The range that `mean` and `std` are given for.
    pub range: PixelRange,
    /// One for all channels or one for each; finite.
    pub mean: Vec<f32>,
    /// One for all channels or one for each; above zero.
    pub std: Vec<f32>,
    /// What the network wants, and whether images that differ are converted.
    pub channels: Channels,
    /// The order of three channels; `mean` and `std` are in it too.
    pub channel_order: ChannelOrder,
    /// How the values of an image lie in memory.
    pub order: Order,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self {
            resize: None,
            scaling: Scaling::default(),
            crop: None,
            range: PixelRange::Unit,
            mean: vec![0.0],
            std: vec![1.0],
            channels: Channels::Exactly(3),
            channel_order: ChannelOrder::default(),
            order: Order::default(),
        }
    }
}

/// The size that images get before they are cropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side has this length, the longer one is in proportion, rounded down.
    ShorterSide(usize),
    /// Height and width, whatever they were.
    Stretch([usize; 2]),
    /// As large as fits into this height and width, in proportion, in the middle of it, the odd pixel below and to the right.
    Letterbox {
        /// Height and width.
        size: [usize; 2],
        /// The value of the pixels around the image.
        fill: u8,
        /// The class of these pixels in a mask.
        class: u8,
    },
}

impl Preprocess {
    /// Whether images can be prepared so at all.
    ///
    /// # Errors
    /// A size, a number of channels, a mean or a deviation is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        Pipeline::new(self, None).map(drop)
    }
}

/// The order of three channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red, as OpenCV reads files.
    Bgr,
}

/// How the values of an image lie in memory, outermost axis first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Height, width, channels: for inputs of `[N, channels, height, width]`, which networks keep as NHWC.
    #[default]
    HeightWidthChannels,
    /// Width, channels, height: the same for inputs of `[N, height, width, channels]`.
    WidthChannelsHeight,
}

/// The checked form of [`Preprocess`] and [`Augment`], the only one that runs.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    resize: Option<Resize>,
    scaling: Scaling,
    crop: Option<[usize; 2]>,
    channels: Channels,
    channel_order: ChannelOrder,
    augment: Option<Augment>,
    order: Order,
    /// The value of each of 256 pixels, for each channel.
    tables: Vec<[f32; 256]>,
}

/// A longest side beyond which sizes are taken for mistakes.
const MAX_SIDE: usize = 1 << 14;

impl Pipeline {
    /// The one place where parameters are checked.
    pub(crate) fn new(given: &Preprocess, augment: Option<&Augment>) -> Result<Self, DataError> {
        let side = |what, found| match found {
            1..=MAX_SIDE => Ok(()),
            _ => Err(DataError::Side { what, found, limit: MAX_SIDE }),
        };
        match given.resize {
            None => {}
            Some(Resize::ShorterSide(found)) => side("resize", found)?,
            Some(Resize::Stretch([height, width]) | Resize::Letterbox { size: [height, width], .. }) => {
                side("resize height", height).and(side("resize width", width))?;
            }
        }
        given.crop.map_or(Ok(()), |[height, width]| side("crop height", height).and(side("crop width", width)))?;
        let channels = given.channels.count();
        if !matches!(channels, 1 | 3) {
            return Err(DataError::Channels { found: channels });
        }
        augment.map_or(Ok(()), Augment::check)?;
        let mean = per_channel("mean", &given.mean, channels)?;
        let std = per_channel("std", &given.std, channels)?;
        for (channel, (&mean, &std)) in mean.iter().zip(&std).enumerate() {
            if !mean.is_finite() {
                return Err(DataError::Mean { channel, found: mean });
            }
            if !(std > 0.0 && std.is_finite()) {
                return Err(DataError::Std { channel, found: std });
            }
        }
        let tables = mean.iter().zip(&std).map(|(mean, std)| table(given.range, *mean, *std));
        Ok(Self {
            resize: given.resize,
            scaling: given.scaling,
            crop: given.crop,
            channels: given.channels,
            channel_order: given.channel_order,
            order: given.order,
            tables: tables.collect(),
            augment: augment.cloned(),
        })
    }

    /// Everything but the values: channels, geometry and augmentation of sample `index`.
    pub(crate) fn prepare(&self, index: usize, sample: Sample, random: &mut Random) -> Result<Sample, DataError> {
        if !sample.image.is_consistent() {
            return Err(DataError::Inconsistent { sample: index });
        }
        if let Annotation::Mask(mask) = &sample.annotation {
            check_mask(index, &sample.image, mask)?;
        }
        let sample = Sample { image: self.converted(index, sample.image)?, ..sample };
        let full = self.resized(index, [sample.image.height, sample.image.width])?;
        let Some(augment) = &self.augment else { return Ok(self.ordered(self.centred(index, self.resize(sample, full))?)) };
        let size = self.crop.unwrap_or(full);
        let sample = match (augment.window(&sample.image, random), augment.scaled(full, random)) {
            (Some(window), _) => sample.crop(window).resize(size, self.scaling),
            (None, Some(scaled)) => {
                allowed(index, scaled)?;
                let sample = if matches!(self.resize, Some(Resize::Letterbox { .. })) { self.resize(sample, full) } else { sample };
                augment.part(sample.resize(scaled, self.scaling), size, random)
            }
            (None, None) => self.centred(index, self.resize(sample, full))?,
        };
        Ok(self.ordered(augment.apply(sample, random)))
    }

    /// The sample at the size that [`Pipeline::resized`] gave.
    fn resize(&self, sample: Sample, size: [usize; 2]) -> Sample {
        let Some(Resize::Letterbox { fill, class, .. }) = self.resize else { return sample.resize(size, self.scaling) };
        let from = [sample.image.height, sample.image.width];
        let factor = (size[0] as f64 / from[0] as f64).min(size[1] as f64 / from[1] as f64);
        let inner: [usize; 2] = std::array::from_fn(|axis| ((from[axis] as f64 * factor).round_ties_even() as usize).clamp(1, size[axis]));
        let before = |axis: usize| -(((size[axis] - inner[axis]) / 2) as isize);
        let outside = Outside { image: Border::Filled(fill), mask: Border::Filled(class) };
        sample.resize(inner, self.scaling).place(before(0), before(1), size, outside)
    }

    /// The sample with its channels in the network's order.
    fn ordered(&self, mut sample: Sample) -> Sample {
        if self.channel_order == ChannelOrder::Bgr && sample.image.channels == 3 {
            sample.image.pixels.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
        }
        sample
    }

    /// The values of an image that [`Pipeline::prepare`] gave, one for each of its bytes.
    pub(crate) fn values(&self, image: &Image, out: &mut [f32]) {
        match self.tables.as_slice() {
            tables if self.order == Order::WidthChannelsHeight => {
                let count = tables.len();
                for (i, (pixel, table)) in image.pixels.iter().zip(tables.iter().cycle()).enumerate() {
                    let (y, rest) = (i / (image.width * count), i % (image.width * count));
                    out[rest * image.height + y] = table[usize::from(*pixel)];
                }
            }
            [gray] => {
                for (value, &pixel) in out.iter_mut().zip(&image.pixels) {
                    *value = gray[usize::from(pixel)];
                }
            }
            tables => {
                let count = tables.len();
                let pixels = image.pixels.chunks_exact(count);
                for (values, pixel) in out.chunks_exact_mut(count).zip(pixels) {
                    for ((value, &pixel), table) in values.iter_mut().zip(pixel).zip(tables) {
                        *value = table[usize::from(pixel)];
                    }
                }
            }
        }
    }

    fn converted(&self, sample: usize, image: Image) -> Result<Image, DataError> {
        let expected = self.channels.count();
        match self.channels {
            Channels::Convert(_) if matches!(image.channels, 1 | 3) => Ok(color::convert(image, expected)),
            _ if image.channels == expected => Ok(image),
            _ => Err(DataError::ChannelMismatch { sample, found: image.channels, expected }),
        }
    }

    /// Whether an image of this size can be used, before it is decoded.
    pub(crate) fn fits(&self, index: usize, size: [usize; 2]) -> Result<(), DataError> {
        let [height, width] = self.resized(index, size)?;
        let random_part = self.augment.as_ref().is_some_and(|augment| augment.scale.is_some() || augment.resized_crop.is_some());
        match self.crop.filter(|_| !random_part) {
            Some(crop) if height < crop[0] || width < crop[1] => Err(DataError::SmallerThanCrop { sample: index, height, width, crop }),
            _ => Ok(()),
        }
    }

    /// Height and width after `resize`.
    fn resized(&self, sample: usize, [height, width]: [usize; 2]) -> Result<[usize; 2], DataError> {
        let size = match self.resize {
            None => return Ok([height, width]),
            Some(Resize::Stretch(size) | Resize::Letterbox { size, .. }) => size,
            Some(Resize::ShorterSide(side)) if height <= width => [side, side * width / height.max(1)],
            Some(Resize::ShorterSide(side)) => [side * height / width.max(1), side],
        };
        allowed(sample, size)
    }

    /// The centre crop, where one is asked for.
    fn centred(&self, index: usize, sample: Sample) -> Result<Sample, DataError> {
        let Some(crop) = self.crop else { return Ok(sample) };
        let (height, width) = (sample.image.height, sample.image.width);
        let window = Window::centre(&sample.image, crop).ok_or(DataError::SmallerThanCrop { sample: index, height, width, crop })?;
        Ok(sample.crop(window))
    }
}

/// A size that an image may be resized to.
fn allowed(sample: usize, [height, width]: [usize; 2]) -> Result<[usize; 2], DataError> {
    match height.checked_mul(width) {
        Some(1..=MAX_PIXELS) => Ok([height, width]),
        _ => Err(DataError::ResizedTooLarge { sample, height, width }),
    }
}

fn check_mask(sample: usize, image: &Image, mask: &Image) -> Result<(), DataError> {
    let expected = [image.height, image.width, 1];
    let found = [mask.height, mask.width, mask.channels];
    if found != expected {
        return Err(DataError::MaskSize { sample, found, expected });
    }
    if mask.is_consistent() { Ok(()) } else { Err(DataError::Inconsistent { sample }) }
}

fn per_channel(what: &'static str, given: &[f32], channels: usize) -> Result<Vec<f32>, DataError> {
    match given {
        [one] => Ok(vec![*one; channels]),
        all if all.len() == channels => Ok(all.to_vec()),
        _ => Err(DataError::Counts { what, found: given.len(), channels }),
    }
}

fn table(range: PixelRange, mean: f32, std: f32) -> [f32; 256] {
    let divisor = match range {
        PixelRange::Unit => 255.0,
        PixelRange::Byte => 1.0,
    };
    std::array::from_fn(|pixel| (pixel as f32 / divisor - mean) / std)
}

#[cfg(test)]
mod tests;
