use super::*;
use crate::fixture::patterned;

fn bilinear(image: Image, height: usize, width: usize) -> Image {
    resize(image, height, width, Scaling::default())
}

#[test]
fn shrinking_is_pillows_to_the_bit() {
    let expected = [
        137, 139, 128, 146, 144, 119, 121, 120, 128, 125, 113, 108, 119, 114, 155, 123, 147, 151, 124, 119, 162, 108, 99, 97, 155, 118,
        130, 147, 112, 115, 190, 116, 129, 184, 118, 121,
    ];
    assert_eq!(bilinear(patterned(7, 9, 3), 3, 4).pixels, expected);
}

#[test]
fn growing_is_pillows_to_the_bit() {
    let expected = [
        0, 14, 35, 64, 95, 132, 156, 177, 139, 76, 116, 157, 111, 83, 219, 175, 103, 92, 93, 121, 139, 178, 151, 106, 69, 44, 99, 134, 117,
        106, 88, 78, 69, 67, 66, 55, 59, 65, 79, 94, 116, 130,
    ];
    assert_eq!(bilinear(patterned(5, 4, 1), 6, 7).pixels, expected);
}

/// `patterned` images of 7 x 9 at 5 x 4, and of 5 x 4 at 6 x 7, as Pillow makes them.
#[rustfmt::skip]
const FILTERED: [(Filter, [u8; 20], [u8; 42]); 4] = [
        (Filter::Box, [19, 161, 133, 133, 87, 157, 83, 87, 163, 162, 172, 168, 188, 122, 76, 73, 97, 91, 113, 112], [0, 0, 38, 90, 90, 156, 156, 236, 236, 79, 187, 187, 58, 58, 207, 207, 106, 19, 19, 197, 197, 207, 207, 106, 19, 19, 197, 197, 138, 138, 93, 62, 62, 45, 45, 55, 55, 66, 91, 91, 130, 130]),
        (Filter::Hamming, [37, 149, 123, 116, 101, 177, 99, 90, 149, 174, 169, 158, 189, 118, 88, 79, 119, 83, 110, 96], [0, 8, 38, 64, 90, 143, 156, 218, 189, 77, 128, 179, 89, 65, 216, 192, 99, 85, 72, 137, 153, 185, 168, 103, 68, 33, 126, 149, 132, 123, 91, 78, 64, 54, 51, 55, 57, 66, 79, 91, 122, 130]),
        (Filter::Bicubic, [41, 146, 119, 111, 109, 171, 89, 79, 146, 164, 171, 154, 181, 126, 87, 77, 129, 102, 93, 80], [0, 3, 33, 59, 92, 139, 165, 195, 146, 70, 122, 175, 107, 62, 246, 194, 105, 80, 89, 129, 153, 188, 162, 110, 51, 25, 103, 152, 118, 107, 88, 78, 70, 58, 52, 51, 54, 64, 77, 95, 122, 136]),
        (Filter::Lanczos, [36, 146, 117, 108, 110, 175, 83, 75, 143, 162, 184, 159, 182, 127, 82, 74, 129, 107, 86, 77], [0, 0, 32, 55, 89, 142, 171, 192, 134, 66, 123, 178, 109, 48, 255, 209, 112, 66, 97, 135, 159, 186, 167, 116, 28, 15, 100, 166, 114, 103, 86, 82, 76, 57, 45, 52, 55, 64, 74, 95, 125, 141]),
];

#[test]
fn every_filter_is_pillows_to_the_bit() {
    for (filter, shrunk, grown) in FILTERED {
        let scaling = Scaling { filter, antialias: true };
        assert_eq!(resize(patterned(7, 9, 1), 5, 4, scaling).pixels, shrunk, "{filter:?}");
        assert_eq!(resize(patterned(5, 4, 1), 6, 7, scaling).pixels, grown, "{filter:?}");
    }
}

#[test]
fn without_antialiasing_only_the_neighbours_count() {
    let ramp = Image { height: 1, width: 8, channels: 1, pixels: (0..8).map(|x| 30 * x).collect() };
    let scaling = Scaling { antialias: false, ..Scaling::default() };
    // Halved: between the second and the third pixel of four, and so on.
    assert_eq!(resize(ramp, 1, 2, scaling).pixels, [45, 165]);
}

#[test]
fn masks_take_pillows_nearest_pixel() {
    let expected = [38, 156, 79, 58, 130, 250, 175, 169, 120, 241, 180, 162, 240, 111, 51, 34, 117, 3, 183, 168];
    assert_eq!(nearest(&patterned(7, 9, 1), 5, 4).pixels, expected);
}

#[test]
fn a_constant_stays_itself_and_the_same_size_changes_nothing() {
    let white = Image { height: 5, width: 11, channels: 3, pixels: vec![255; 165] };
    assert!(bilinear(white, 17, 3).pixels.iter().all(|&p| p == 255));
    assert_eq!(bilinear(patterned(6, 6, 3), 6, 6), patterned(6, 6, 3));
}
