//! Cutting, shifting and mirroring; images and masks alike

use crate::Image;

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

/// What lies beyond the border of a shifted image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Border {
    Black,
    Repeated,
}

/// The same-sized part of the padded `image` whose corner is `(down, right)` from its own.
pub(crate) fn shift(image: &Image, down: isize, right: isize, border: Border) -> Image {
    let mut out = Image::black(image.height, image.width, image.channels);
    for (y, row) in out.pixels.chunks_exact_mut(image.stride()).enumerate() {
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
        (_, Border::Black) => None,
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
    fn beyond_the_border_is_black_or_the_border() {
        let shifted = shift(&numbered(), 1, -2, Border::Black);
        assert_eq!(first_channel(&shifted), [0, 0, 10, 11, 0, 0, 20, 21, 0, 0, 0, 0]);
        let shifted = shift(&numbered(), 1, -2, Border::Repeated);
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
}
