//! Colours: gray from RGB and back, brightness, contrast and saturation

use crate::Image;

/// Luma of ITU-R 601 in 16 fraction bits, as Pillow's `convert("L")`.
fn luma(pixel: &[u8]) -> u8 {
    let weighted = [19595, 38470, 7471].iter().zip(pixel).map(|(w, &p)| w * u32::from(p));
    ((weighted.sum::<u32>() + 0x8000) >> 16) as u8
}

/// `image` with `channels` (1 or 3) channels: luma, or gray three times.
pub(crate) fn convert(image: Image, channels: usize) -> Image {
    let pixels = match (image.channels, channels) {
        (3, 1) => image.pixels.chunks_exact(3).map(luma).collect(),
        (1, 3) => image.pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
        _ => return image,
    };
    Image { channels, pixels, ..image }
}

/// Factors around 1.
pub(crate) struct Jitter {
    pub brightness: f32,
    pub contrast: f32,
    pub saturation: f32,
}

/// Scales brightness towards black, contrast towards the mean luma and saturation towards each
/// pixel's luma: `reference + factor · (pixel − reference)`, rounded and clamped after each.
pub(crate) fn jitter(image: &mut Image, jitter: &Jitter) {
    let gray = image.channels != 3;
    let luma_of = |pixel: &[u8]| if gray { pixel[0] } else { luma(pixel) };
    scale(image, jitter.brightness, |_| 0);
    let pixels = image.pixels.chunks_exact(image.channels);
    let count = pixels.len() as u64;
    let mean = (pixels.map(|pixel| u64::from(luma_of(pixel))).sum::<u64>() + count / 2) / count;
    scale(image, jitter.contrast, |_| mean as u8);
    if !gray {
        scale(image, jitter.saturation, luma_of);
    }
}

fn scale(image: &mut Image, factor: f32, reference: impl Fn(&[u8]) -> u8) {
    for pixel in image.pixels.chunks_exact_mut(image.channels) {
        let reference = f32::from(reference(pixel));
        for value in pixel {
            let scaled = reference + factor * (f32::from(*value) - reference);
            *value = scaled.round().clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(pixels: &[u8]) -> Image {
        Image { height: 1, width: pixels.len() / 3, channels: 3, pixels: pixels.to_vec() }
    }

    #[test]
    fn gray_is_pillows_luma() {
        // Image.new("RGB", (1, 1), colour).convert("L") for red, green, blue, white and a mixture.
        let image = rgb(&[255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 10, 200, 77]);
        assert_eq!(convert(image, 1).pixels, [76, 150, 29, 255, 129]);
    }

    #[test]
    fn gray_comes_three_times() {
        let gray = Image { height: 1, width: 2, channels: 1, pixels: vec![4, 9] };
        assert_eq!(convert(gray, 3), rgb(&[4, 4, 4, 9, 9, 9]));
    }

    #[test]
    fn factors_of_one_change_nothing_and_zero_removes() {
        let original = rgb(&[10, 20, 30, 200, 100, 0]);
        let with = |brightness, contrast, saturation| {
            let mut image = original.clone();
            jitter(&mut image, &Jitter { brightness, contrast, saturation });
            image.pixels
        };
        assert_eq!(with(1.0, 1.0, 1.0), original.pixels);
        assert_eq!(with(0.0, 1.0, 1.0), [0; 6]);
        assert_eq!(with(1.0, 0.0, 1.0), [68; 6]);
        assert_eq!(with(1.0, 1.0, 0.0), [18, 18, 18, 118, 118, 118]);
        assert_eq!(with(2.0, 1.0, 1.0), [20, 40, 60, 255, 200, 0]);
    }
}
