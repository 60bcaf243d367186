//! How a camera was held: the orientation of EXIF (CIPA DC-008, tag 0x0112), applied to image, mask and boxes

use crate::{Annotation, BoundingBox, Image, Sample};

/// What is done with the orientation that a JPEG or PNG carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exif {
    /// Images are turned upright, as viewers show them.
    #[default]
    Apply,
    /// Images stay as their pixels are stored.
    Ignore,
}

/// The way from a stored image to an upright one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Whether rows become columns.
    transposed: bool,
    /// Whether the stored rows are read from the last to the first.
    rows_reversed: bool,
    /// Whether the stored columns are.
    columns_reversed: bool,
}

impl Orientation {
    /// Of the value in a file; values that EXIF does not know leave an image as it is.
    fn of(value: u32) -> Self {
        Self {
            transposed: matches!(value, 5..=8),
            rows_reversed: matches!(value, 3 | 4 | 6 | 7),
            columns_reversed: matches!(value, 2 | 3 | 7 | 8),
        }
    }

    /// Of the TIFF structure that EXIF data is; none where it is damaged or says nothing.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let tiff = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
        let big_endian = match tiff.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        let number = |at: usize, length: usize| -> Option<u32> {
            let bytes = tiff.get(at..at.checked_add(length)?)?.iter();
            let add = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
            Some(if big_endian { bytes.fold(0, add) } else { bytes.rev().fold(0, add) })
        };
        let directory = number(4, 4)? as usize;
        let entry = |index: usize| directory.checked_add(2)?.checked_add(index * ENTRY);
        (0..number(directory, 2)? as usize).map_while(entry).find_map(|at| {
            let length = match (number(at, 2)?, number(at.checked_add(2)?, 2)?) {
                (TAG, 1) => 1,
                (TAG, 3) => 2,
                (TAG, 4) => 4,
                _ => return None,
            };
            Some(Self::of(number(at.checked_add(8)?, length)?))
        })
    }

    /// Whether an image with it is upright as stored.
    pub(crate) fn is_upright(self) -> bool {
        self == Self::default()
    }

    /// Height and width of a stored image once upright.
    pub(crate) fn size(self, [height, width]: [usize; 2]) -> [usize; 2] {
        if self.transposed { [width, height] } else { [height, width] }
    }

    fn image(self, image: &Image) -> Image {
        let [height, width] = self.size([image.height, image.width]);
        let mut out = Image::black(height, width, image.channels);
        for y in 0..height {
            for x in 0..width {
                let (row, column) = if self.transposed { (x, y) } else { (y, x) };
                let row = if self.rows_reversed { image.height - 1 - row } else { row };
                let column = if self.columns_reversed { image.width - 1 - column } else { column };
                let (to, from) = ((y * width + x) * image.channels, (row * image.width + column) * image.channels);
                out.pixels[to..to + image.channels].copy_from_slice(&image.pixels[from..from + image.channels]);
            }
        }
        out
    }

    fn bounding_box(self, [height, width]: [usize; 2], b: BoundingBox) -> BoundingBox {
        let (height, width) = (height as f32, width as f32);
        let (left, right) = if self.columns_reversed { (width - b.right, width - b.left) } else { (b.left, b.right) };
        let (top, bottom) = if self.rows_reversed { (height - b.bottom, height - b.top) } else { (b.top, b.bottom) };
        match self.transposed {
            true => BoundingBox { left: top, top: left, right: bottom, bottom: right, ..b },
            false => BoundingBox { left, top, right, bottom, ..b },
        }
    }
}

const TAG: u32 = 0x0112;

/// Bytes of an entry of a directory.
const ENTRY: usize = 12;

impl Sample {
    /// The sample with its image upright. Mask and boxes are taken to lie over the image as stored and turn with it; a mask that only fits the
    /// upright image stays.
    pub(crate) fn upright(self, orientation: Orientation) -> Self {
        if orientation.is_upright() {
            return self;
        }
        let stored = [self.image.height, self.image.width];
        let annotation = match self.annotation {
            Annotation::Mask(mask) if [mask.height, mask.width] == stored => Annotation::Mask(orientation.image(&mask)),
            Annotation::Boxes(boxes) => Annotation::Boxes(boxes.into_iter().map(|b| orientation.bounding_box(stored, b)).collect()),
            other => other,
        };
        Sample { image: orientation.image(&self.image), annotation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF data of one entry, in either byte order.
    fn tiff(big_endian: bool, kind: u16, value: &[u8]) -> Vec<u8> {
        let short = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let start: &[u8] = if big_endian { b"MM\0*" } else { b"II*\0" };
        [start, &long(8), &short(1), &short(0x0112), &short(kind), &long(1), value, &[0; 8]].concat()
    }

    #[test]
    fn the_value_is_found_in_both_byte_orders_and_all_integer_types() {
        let expected = Some(Orientation::of(6));
        for (big_endian, kind, value) in
            [(false, 3, &[6, 0][..]), (true, 3, &[0, 6]), (false, 4, &[6, 0, 0, 0]), (true, 4, &[0, 0, 0, 6]), (true, 1, &[6])]
        {
            assert_eq!(Orientation::parse(&tiff(big_endian, kind, value)), expected, "{big_endian} {kind}");
        }
    }

    #[test]
    fn damaged_data_and_unknown_values_say_nothing() {
        let whole = tiff(true, 3, &[0, 6]);
        for end in 0..20 {
            assert_eq!(Orientation::parse(&whole[..end]), None, "{end}");
        }
        for value in [0, 1, 9, 255] {
            assert!(Orientation::parse(&tiff(true, 3, &[0, value])).is_some_and(Orientation::is_upright), "{value}");
        }
        // A directory that claims to lie at the end of the address space.
        assert_eq!(Orientation::parse(b"MM\0*\xff\xff\xff\xff\0\x01"), None);
        assert_eq!(Orientation::parse(&tiff(true, 2, &[0, 6])), None);
    }

    /// Pixels 0 to 11 in four rows of three, as Pillow's `ImageOps.exif_transpose` turns them.
    const TURNED: [(u32, [u8; 12]); 8] = [
        (1, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (2, [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]),
        (3, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (4, [9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2]),
        (5, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]),
        (6, [9, 6, 3, 0, 10, 7, 4, 1, 11, 8, 5, 2]),
        (7, [11, 8, 5, 2, 10, 7, 4, 1, 9, 6, 3, 0]),
        (8, [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]),
    ];

    fn stored() -> Image {
        Image { height: 4, width: 3, channels: 1, pixels: (0..12).collect() }
    }

    #[test]
    fn each_value_turns_as_in_pillow() {
        for (value, expected) in TURNED {
            let orientation = Orientation::of(value);
            let found = orientation.image(&stored());
            assert_eq!([found.height, found.width], if value < 5 { [4, 3] } else { [3, 4] }, "{value}");
            assert_eq!(found.pixels, expected, "{value}");
        }
    }

    #[test]
    fn mask_and_boxes_stay_on_their_pixels() {
        for value in 1..=8 {
            let orientation = Orientation::of(value);
            let masked = Sample { image: stored(), annotation: Annotation::Mask(stored()) }.upright(orientation);
            assert_eq!(masked.annotation, Annotation::Mask(masked.image.clone()), "{value}");
            // The box around pixel 7, in the third row and the second column.
            let of_pixel = BoundingBox { left: 1.0, top: 2.0, right: 2.0, bottom: 3.0, class: 4 };
            let boxed = Sample { image: stored(), annotation: Annotation::Boxes(vec![of_pixel]) }.upright(orientation);
            let Annotation::Boxes(boxes) = &boxed.annotation else { panic!("boxes") };
            let [x, y] = [boxes[0].left as usize, boxes[0].top as usize];
            assert_eq!(boxed.image.row(y)[x], 7, "{value}");
            assert_eq!((boxes[0].right - boxes[0].left, boxes[0].bottom - boxes[0].top), (1.0, 1.0), "{value}");
        }
    }

    #[test]
    fn a_mask_of_the_upright_size_stays() {
        let mask = Image::black(3, 4, 1);
        let sample = Sample { image: stored(), annotation: Annotation::Mask(mask.clone()) }.upright(Orientation::of(6));
        assert_eq!(sample.annotation, Annotation::Mask(mask));
    }
}
