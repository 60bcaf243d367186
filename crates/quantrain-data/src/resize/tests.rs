use super::*;
use crate::fixture::patterned;

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
