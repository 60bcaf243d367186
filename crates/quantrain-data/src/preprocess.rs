//! From a stored image to a network's input

use crate::decode::MAX_PIXELS;
use crate::geometry::Window;
use crate::random::Random;
use crate::{Annotation, Augment, DataError, Image, Sample, color};

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
    /// Length of the shorter side after resizing, the longer one in proportion, rounded down.
    /// Bilinear with antialiasing, equal to Pillow's; masks take the nearest pixel.
    pub resize: Option<usize>,
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
    /// How the values of an image lie in memory.
    pub order: Order,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self {
            resize: None,
            crop: None,
            range: PixelRange::Unit,
            mean: vec![0.0],
            std: vec![1.0],
            channels: Channels::Exactly(3),
            order: Order::default(),
        }
    }
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
#[derive(Debug)]
pub(crate) struct Pipeline {
    resize: Option<usize>,
    crop: Option<[usize; 2]>,
    channels: Channels,
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
        given.resize.map_or(Ok(()), |found| side("resize", found))?;
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
        let (augment, tables) = (augment.cloned(), tables.collect());
        Ok(Self { resize: given.resize, crop: given.crop, channels: given.channels, augment, order: given.order, tables })
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
        let full = self.resized(index, &sample.image)?;
        let Some(augment) = &self.augment else { return self.centred(index, sample.resize(full)) };
        let size = self.crop.unwrap_or(full);
        let sample = match (augment.window(&sample.image, random), augment.scaled(full, random)) {
            (Some(window), _) => sample.crop(window).resize(size),
            (None, Some(scaled)) => {
                allowed(index, scaled)?;
                augment.part(sample.resize(scaled), size, random)
            }
            (None, None) => self.centred(index, sample.resize(full))?,
        };
        Ok(augment.apply(sample, random))
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

    /// Height and width after `resize`.
    fn resized(&self, sample: usize, image: &Image) -> Result<[usize; 2], DataError> {
        let (height, width) = (image.height, image.width);
        let Some(side) = self.resize else { return Ok([height, width]) };
        let size = if height <= width { [side, side * width / height] } else { [side * height / width, side] };
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
