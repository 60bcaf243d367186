use super::*;
use crate::fixture::{self, JPEG, patterned};

#[test]
fn a_png_comes_back_as_stored() {
    for channels in [1, 3] {
        let stored = patterned(5, 7, channels);
        assert_eq!(image(&fixture::encoded(&stored)).expect("a PNG"), stored);
    }
}

#[test]
fn alpha_is_dropped_and_16_bits_keep_the_upper_eight() {
    let rgba = fixture::png(2, 1, ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let found = image(&rgba).expect("a PNG");
    assert_eq!((found.channels, found.pixels), (3, vec![1, 2, 3, 5, 6, 7]));
    let deep = fixture::png(2, 1, ColorType::Grayscale, BitDepth::Sixteen, &[9, 200, 255, 1]);
    let found = image(&deep).expect("a PNG");
    assert_eq!((found.channels, found.pixels), (1, vec![9, 255]));
}

#[test]
fn a_palette_is_colours_in_an_image_and_classes_in_a_mask() {
    let png = fixture::png(2, 1, ColorType::Indexed, BitDepth::Eight, &[3, 1]);
    assert_eq!(image(&png).expect("an image").pixels, [0, 0, 255, 255, 0, 0]);
    assert_eq!(mask(&png).expect("a mask").pixels, [3, 1]);
}

#[test]
fn a_mask_of_few_bits_is_unpacked_without_scaling() {
    // Rows of five pixels start on a byte: 0 1 2 3 2 in two bits each, then 3 3 0 0 1.
    let packed = [0b00_01_10_11, 0b10_000000, 0b11_11_00_00, 0b01_000000];
    let png = fixture::png(5, 2, ColorType::Grayscale, BitDepth::Two, &packed);
    assert_eq!(mask(&png).expect("a mask").pixels, [0, 1, 2, 3, 2, 3, 3, 0, 0, 1]);
}

#[test]
fn colours_and_jpegs_are_no_masks() {
    for bytes in [fixture::encoded(&patterned(2, 2, 3)), JPEG.to_vec()] {
        assert!(matches!(mask(&bytes), Err(DecodeError::MaskFormat { .. })));
    }
}

#[test]
fn a_gray_jpeg_has_one_channel() {
    let found = image(JPEG).expect("a JPEG");
    assert_eq!((found.height, found.width, found.channels), (8, 8, 1));
    assert!(found.pixels.iter().all(|p| p.abs_diff(100) <= 4), "{:?}", found.pixels);
}

#[test]
fn each_kind_of_bad_bytes_has_its_error() {
    assert!(matches!(image(b"GIF89a"), Err(DecodeError::Format { .. })));
    assert!(matches!(image(b""), Err(DecodeError::Format { .. })));
    assert!(matches!(image(&JPEG[..JPEG.len() - 4]), Err(DecodeError::Truncated { .. })));
    assert!(matches!(image(&[0xff, 0xd8, 0xff, 0xd9]), Err(DecodeError::Jpeg(_))));
    let png = fixture::encoded(&patterned(20, 20, 3));
    assert!(matches!(image(&png[..png.len() / 2]), Err(DecodeError::Png(_))));
}

#[test]
fn a_header_that_claims_gigabytes_is_refused() {
    // The size field of a JPEG's start of frame: 65,500 x 65,500.
    let mut jpeg = JPEG.to_vec();
    let frame = jpeg.windows(2).position(|pair| pair == [255, 192]).expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(image(&jpeg), Err(DecodeError::TooManyPixels { width: 65500, .. })));
    let mut png = Vec::new();
    let encoder = png::Encoder::new(&mut png, 60_000, 60_000);
    drop(encoder.write_header().expect("a header"));
    assert!(image(&png).is_err());
}

#[test]
fn flipped_bytes_never_panic() {
    let png = fixture::encoded(&patterned(9, 9, 3));
    for original in [JPEG, &png] {
        for at in 0..original.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = original.to_vec();
                bytes[at] = value;
                if let Ok(image) = image(&bytes) {
                    assert!(image.is_consistent(), "byte {at} = {value}");
                }
            }
        }
    }
}
