//! Cutting, resizing, shifting and mirroring; image, mask and boxes alike

use crate::{Annotation, BoundingBox, Image, Sample, Scaling, resize};

/// A rectangle of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Window {
    /// The centre `height` x `width` of `image`, the odd pixel to the lower right; none if it does
    /// not fit.
    pub(crate) fn centre(image: &Image, [height, width]: [usize; 2]) -> Option<Self> {
        let top = image.height.checked_sub(height)? / 2;
        let left = image.width.checked_sub(width)? / 2;
        Some(Self { top, left, height, width })
    }
}

/// The part of `image` inside `window`, which must lie within it.
pub(crate) fn crop(image: Image, window: Window) -> Image {
    let Window { top, left, height, width } = window;
    if (height, width) == (image.height, image.width) {
        return image;
    }
    let mut out = Image::black(height, width, image.channels);
    for (y, row) in out.pixels.chunks_exact_mut(width * image.channels).enumerate() {
        row.copy_from_slice(&image.row(top + y)[left * image.channels..][..row.len()]);
    }
    out
}

/// What lies beyond the border of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Border {
    /// The same in every channel.
    Filled(u8),
    Repeated,
}

/// The `height` x `width` part of `image` whose corner is `(down, right)` from its own, wherever that is.
pub(crate) fn place(image: &Image, down: isize, right: isize, [height, width]: [usize; 2], border: Border) -> Image {
    let mut out = Image::black(height, width, image.channels);
    if let Border::Filled(value) = border {
        out.pixels.fill(value);
    }
    for (y, row) in out.pixels.chunks_exact_mut(width * image.channels).enumerate() {
        let Some(source) = inside(y, down, image.height, border) else { continue };
        let input = image.row(source);
        for (x, pixel) in row.chunks_exact_mut(image.channels).enumerate() {
            if let Some(source) = inside(x, right, image.width, border) {
                pixel.copy_from_slice(&input[source * image.channels..][..image.channels]);
            }
        }
    }
    out
}

/// `at + by` if it is within `0..size`, else what the border says.
fn inside(at: usize, by: isize, size: usize, border: Border) -> Option<usize> {
    match (at.checked_add_signed(by), border) {
        (Some(at), _) if at < size => Some(at),
        (_, Border::Filled(_)) => None,
        (Some(_), Border::Repeated) => Some(size - 1),
        (None, Border::Repeated) => Some(0),
    }
}

/// Mirrors left and right.
pub(crate) fn flip(image: &mut Image) {
    let (stride, channels) = (image.stride(), image.channels);
    for row in image.pixels.chunks_exact_mut(stride) {
        for x in 0..stride / channels / 2 {
            for c in 0..channels {
                row.swap(x * channels + c, stride - (x + 1) * channels + c);
            }
        }
    }
}

/// Everything known of a sample moves with its image.
impl Sample {
    /// At `height` x `width`; a mask takes the nearest pixels.
    pub(crate) fn resize(self, [height, width]: [usize; 2], scaling: Scaling) -> Self {
        let (from, Sample { image, annotation }) = ([self.image.height, self.image.width], self);
        if from == [height, width] {
            return Sample { image, annotation };
        }
        let (down, across) = (height as f32 / from[0] as f32, width as f32 / from[1] as f32);
        let annotation = annotation.map(
            |mask| resize::nearest(&mask, height, width),
            |b| BoundingBox { left: b.left * across, top: b.top * down, right: b.right * across, bottom: b.bottom * down, ..b },
        );
        Sample { image: resize::resize(image, height, width, scaling), annotation }.clipped()
    }

    /// The part inside `window`, which must lie within the image.
    pub(crate) fn crop(self, window: Window) -> Self {
        let (x, y) = (window.left as f32, window.top as f32);
        let annotation = self.annotation.map(|mask| crop(mask, window), |b| moved(b, -x, -y));
        Sample { image: crop(self.image, window), annotation }.clipped()
    }

    /// The part of this size whose corner is `(down, right)` from the image's, beyond whose border lies `outside`.
    pub(crate) fn place(self, down: isize, right: isize, size: [usize; 2], outside: Outside) -> Self {
        let (x, y) = (right as f32, down as f32);
        let annotation = self.annotation.map(|mask| place(&mask, down, right, size, outside.mask), |b| moved(b, -x, -y));
        Sample { image: place(&self.image, down, right, size, outside.image), annotation }.clipped()
    }

    /// Mirrored left and right.
    pub(crate) fn flip(mut self) -> Self {
        flip(&mut self.image);
        let width = self.image.width as f32;
        let mirrored = |mut mask| {
            flip(&mut mask);
            mask
        };
        let annotation = self.annotation.map(mirrored, |b| BoundingBox { left: width - b.right, right: width - b.left, ..b });
        Sample { annotation, ..self }
    }

    /// Boxes end at the image's border; those that lie beyond it are gone.
    fn clipped(mut self) -> Self {
        if let Annotation::Boxes(boxes) = &mut self.annotation {
            let (height, width) = (self.image.height as f32, self.image.width as f32);
            for b in &mut *boxes {
                (b.left, b.right) = (b.left.clamp(0.0, width), b.right.clamp(0.0, width));
                (b.top, b.bottom) = (b.top.clamp(0.0, height), b.bottom.clamp(0.0, height));
            }
            boxes.retain(|b| b.left < b.right && b.top < b.bottom);
        }
        self
    }
}

/// What lies beyond the border of an image and of its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outside {
    pub image: Border,
    pub mask: Border,
}

fn moved(b: BoundingBox, x: f32, y: f32) -> BoundingBox {
    BoundingBox { left: b.left + x, top: b.top + y, right: b.right + x, bottom: b.bottom + y, ..b }
}

impl Annotation {
    /// The annotation with its mask or each of its boxes changed.
    fn map(self, mask: impl FnOnce(Image) -> Image, of_box: impl Fn(BoundingBox) -> BoundingBox) -> Self {
        match self {
            Annotation::Mask(pixels) => Annotation::Mask(mask(pixels)),
            Annotation::Boxes(boxes) => Annotation::Boxes(boxes.into_iter().map(of_box).collect()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rows of four pixels, two channels: 10·row + column, and that plus 100.
    fn numbered() -> Image {
        let pixels = (0..3).flat_map(|y| (0..4).flat_map(move |x| [10 * y + x, 100 + 10 * y + x]));
        Image { height: 3, width: 4, channels: 2, pixels: pixels.collect() }
    }

    fn first_channel(image: &Image) -> Vec<u8> {
        image.pixels.iter().step_by(image.channels).copied().collect()
    }

    #[test]
    fn the_centre_leaves_the_odd_pixel_below_and_right() {
        let window = Window::centre(&numbered(), [2, 1]).expect("it fits");
        assert_eq!(window, Window { top: 0, left: 1, height: 2, width: 1 });
        assert_eq!(crop(numbered(), window).pixels, [1, 101, 11, 111]);
        assert_eq!(Window::centre(&numbered(), [4, 4]), None);
    }

    #[test]
    fn beyond_the_border_is_a_colour_or_the_border() {
        let shifted = place(&numbered(), 1, -2, [3, 4], Border::Filled(0));
        assert_eq!(first_channel(&shifted), [0, 0, 10, 11, 0, 0, 20, 21, 0, 0, 0, 0]);
        let shifted = place(&numbered(), 1, -2, [3, 4], Border::Repeated);
        assert_eq!(first_channel(&shifted), [10, 10, 10, 11, 20, 20, 20, 21, 20, 20, 20, 21]);
    }

    #[test]
    fn a_flip_keeps_the_channels_of_a_pixel_together() {
        let mut image = numbered();
        flip(&mut image);
        assert_eq!(image.row(0), [3, 103, 2, 102, 1, 101, 0, 100]);
        flip(&mut image);
        assert_eq!(image, numbered());
    }

    #[test]
    fn a_part_may_be_larger_than_the_image() {
        let placed = place(&numbered(), -1, -1, [5, 6], Border::Filled(7));
        assert_eq!(first_channel(&placed)[..12], [7, 7, 7, 7, 7, 7, 7, 0, 1, 2, 3, 7]);
        assert_eq!(first_channel(&placed)[24..], [7; 6]);
    }

    #[test]
    fn boxes_move_with_their_image_and_end_at_its_border() {
        let corners = |sample: &Sample| match &sample.annotation {
            Annotation::Boxes(boxes) => boxes.iter().map(|b| [b.left, b.top, b.right, b.bottom]).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let of = |left, top, right, bottom| BoundingBox { left, top, right, bottom, class: 2 };
        let boxes = vec![of(0.0, 0.0, 1.0, 1.0), of(1.0, 1.0, 3.0, 2.0)];
        let sample = || Sample { image: Image::black(4, 8, 3), annotation: Annotation::Boxes(boxes.clone()) };
        assert_eq!(corners(&sample().flip()), [[7.0, 0.0, 8.0, 1.0], [5.0, 1.0, 7.0, 2.0]]);
        assert_eq!(corners(&sample().resize([8, 4], Scaling::default())), [[0.0, 0.0, 0.5, 2.0], [0.5, 2.0, 1.5, 4.0]]);
        assert_eq!(corners(&sample().crop(Window { top: 1, left: 2, height: 2, width: 4 })), [[0.0, 0.0, 1.0, 1.0]]);
        let outside = Outside { image: Border::Filled(0), mask: Border::Repeated };
        assert_eq!(corners(&sample().place(-1, -1, [3, 3], outside)), [[1.0, 1.0, 2.0, 2.0], [2.0, 2.0, 3.0, 3.0]]);
    }
}
