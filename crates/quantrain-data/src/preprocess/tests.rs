use super::*;
use crate::fixture::patterned;
use crate::{BoundingBox, geometry, resize};

fn pipeline(given: Preprocess) -> Pipeline {
    Pipeline::new(&given, None).expect("good parameters")
}

fn prepare(pipeline: &Pipeline, image: Image, annotation: Annotation) -> Result<Sample, DataError> {
    let mut random = Random::of_sample(0, 0, 3);
    pipeline.prepare(3, Sample { image, annotation }, &mut random)
}

#[test]
fn values_follow_the_documented_formula_for_all_bytes() {
    let image = Image { height: 16, width: 16, channels: 1, pixels: (0..=255).collect() };
    let mut values = vec![0.0; 256];
    let with = |range, mean: f32, std: f32| {
        let (mean, std) = (vec![mean], vec![std]);
        pipeline(Preprocess { range, mean, std, channels: Channels::Exactly(1), ..Preprocess::default() })
    };
    with(PixelRange::Unit, 0.286, 0.353).values(&image, &mut values);
    for (p, value) in (0..=255u8).zip(&values) {
        assert_eq!(*value, (f32::from(p) / 255.0 - 0.286) / 0.353);
    }
    with(PixelRange::Byte, 127.0, 128.0).values(&image, &mut values);
    for (p, value) in (0..=255u8).zip(&values) {
        assert_eq!(*value, (f32::from(p) - 127.0) / 128.0);
    }
}

#[test]
fn each_channel_has_its_own_mean() {
    let image = Image { height: 1, width: 2, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
    let mut values = vec![0.0; 6];
    let (range, mean) = (PixelRange::Byte, vec![1.0, 2.0, 3.0]);
    pipeline(Preprocess { range, mean, ..Preprocess::default() }).values(&image, &mut values);
    assert_eq!(values, [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]);
}

#[test]
fn values_lie_in_the_order_that_is_asked_for() {
    // Rows of two pixels: channel c of pixel (y, x) holds 100·y + 10·x + c.
    let pixels = (0..2u8).flat_map(|y| (0..2u8).flat_map(move |x| (0..3u8).map(move |c| 100 * y + 10 * x + c))).collect();
    let image = Image { height: 2, width: 2, channels: 3, pixels };
    let mut values = vec![0.0; 12];
    let given = Preprocess { range: PixelRange::Byte, order: Order::WidthChannelsHeight, ..Preprocess::default() };
    pipeline(given).values(&image, &mut values);
    assert_eq!(values, [0.0, 100.0, 1.0, 101.0, 2.0, 102.0, 10.0, 110.0, 11.0, 111.0, 12.0, 112.0]);
}

#[test]
fn each_bad_parameter_has_its_error() {
    let base = Preprocess::default;
    let error = |given: Preprocess| Pipeline::new(&given, None).expect_err("a bad parameter");
    let with_mean = |mean: &[f32]| error(Preprocess { mean: mean.to_vec(), ..base() });
    let with_std = |std: &[f32]| error(Preprocess { std: std.to_vec(), ..base() });
    assert!(matches!(with_mean(&[]), DataError::Counts { what: "mean", found: 0, channels: 3 }));
    assert!(matches!(with_std(&[1.0, 1.0]), DataError::Counts { what: "std", found: 2, .. }));
    assert!(matches!(with_mean(&[0.0, f32::NAN, 0.0]), DataError::Mean { channel: 1, .. }));
    for std in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(with_std(&[std]), DataError::Std { channel: 0, .. }), "{std}");
    }
    let crop = error(Preprocess { crop: Some([224, 0]), ..base() });
    assert!(matches!(crop, DataError::Side { what: "crop width", found: 0, .. }));
    let resize = error(Preprocess { resize: Some(Resize::ShorterSide(1 << 20)), ..base() });
    assert!(matches!(resize, DataError::Side { what: "resize", .. }));
    let channels = error(Preprocess { channels: Channels::Convert(4), ..base() });
    assert!(matches!(channels, DataError::Channels { found: 4 }));
}

#[test]
fn channels_are_converted_only_when_asked() {
    let strict = pipeline(Preprocess { channels: Channels::Exactly(1), ..Preprocess::default() });
    let result = prepare(&strict, patterned(4, 4, 3), Annotation::None);
    let message = result.expect_err("three channels").to_string();
    assert!(message.contains("has 3 channel(s), the network wants 1"), "{message}");
    for (from, to) in [(3, 1), (1, 3), (1, 1), (3, 3)] {
        let channels = Channels::Convert(to);
        let lenient = pipeline(Preprocess { channels, ..Preprocess::default() });
        let sample = prepare(&lenient, patterned(4, 4, from), Annotation::None).expect("converted");
        assert_eq!(sample.image.channels, to);
    }
}

#[test]
fn the_shorter_side_is_resized_then_the_centre_is_cut() {
    let given = Preprocess { resize: Some(Resize::ShorterSide(8)), crop: Some([8, 6]), ..Preprocess::default() };
    let image = patterned(20, 31, 3);
    let sample = prepare(&pipeline(given), image.clone(), Annotation::Class(4)).expect("it fits");
    let resized = resize::resize(image, 8, 12, Scaling::default());
    let window = Window { top: 0, left: 3, height: 8, width: 6 };
    assert_eq!(sample.image, geometry::crop(resized, window));
    assert_eq!(sample.annotation, Annotation::Class(4));
}

#[test]
fn a_mask_is_cut_where_its_image_is() {
    let given = Preprocess { crop: Some([4, 6]), channels: Channels::Exactly(1), ..Preprocess::default() };
    let image = patterned(9, 9, 1);
    let mask = Annotation::Mask(image.clone());
    let sample = prepare(&pipeline(given), image, mask).expect("it fits");
    assert_eq!(sample.annotation, Annotation::Mask(sample.image));
}

#[test]
fn a_resized_crop_has_the_size_of_the_crop_or_of_the_image() {
    let augment = Augment { resized_crop: Some((0.2, 0.9)), ..Augment::default() };
    for (crop, expected) in [(Some([12, 10]), [12, 10]), (None, [20, 30])] {
        let given = Preprocess { crop, ..Preprocess::default() };
        let pipeline = Pipeline::new(&given, Some(&augment)).expect("good parameters");
        let mask = Annotation::Mask(patterned(20, 30, 1));
        let sample = prepare(&pipeline, patterned(20, 30, 3), mask).expect("it fits");
        assert_eq!([sample.image.height, sample.image.width], expected);
        let Annotation::Mask(mask) = sample.annotation else { panic!("the mask is lost") };
        assert_eq!([mask.height, mask.width], expected);
    }
}

#[test]
fn a_letterboxed_image_keeps_its_proportions_and_lies_in_the_middle() {
    let resize = Resize::Letterbox { size: [7, 8], fill: 9, class: 255 };
    let pipeline = pipeline(Preprocess { resize: Some(resize), channels: Channels::Exactly(1), ..Preprocess::default() });
    let gray = Image { height: 4, width: 8, channels: 1, pixels: vec![200; 32] };
    let found = prepare(&pipeline, gray.clone(), Annotation::Mask(Image { pixels: vec![3; 32], ..gray })).expect("a sample");
    // Four rows of seven: one above, two below.
    let expected = |outside, inside| [vec![outside; 8], vec![inside; 32], vec![outside; 16]].concat();
    assert_eq!((found.image.height, found.image.width, found.image.pixels), (7, 8, expected(9, 200)));
    assert!(matches!(found.annotation, Annotation::Mask(mask) if mask.pixels == expected(255, 3)));
    let of = BoundingBox { left: 0.0, top: 0.0, right: 8.0, bottom: 4.0, class: 1 };
    let boxed = prepare(&pipeline, Image::black(4, 8, 1), Annotation::Boxes(vec![of])).expect("a sample");
    assert_eq!(boxed.annotation, Annotation::Boxes(vec![BoundingBox { top: 1.0, bottom: 5.0, ..of }]));
}

#[test]
fn a_stretched_image_has_the_size_asked_for() {
    let pipeline = pipeline(Preprocess { resize: Some(Resize::Stretch([3, 4])), ..Preprocess::default() });
    let found = prepare(&pipeline, patterned(7, 9, 3), Annotation::None).expect("a sample");
    assert_eq!(found.image, resize::resize(patterned(7, 9, 3), 3, 4, Scaling::default()));
}

#[test]
fn blue_comes_first_where_that_is_asked_for() {
    let given =
        Preprocess { channel_order: ChannelOrder::Bgr, range: PixelRange::Byte, mean: vec![1.0, 2.0, 3.0], ..Preprocess::default() };
    let pipeline = pipeline(given);
    let image = Image { height: 1, width: 1, channels: 3, pixels: vec![10, 20, 30] };
    let found = prepare(&pipeline, image, Annotation::None).expect("a sample").image;
    let mut values = [0.0; 3];
    pipeline.values(&found, &mut values);
    assert_eq!(values, [29.0, 18.0, 7.0]);
}

#[test]
fn each_bad_sample_has_its_error() {
    let given = Preprocess { crop: Some([5, 5]), ..Preprocess::default() };
    let pipeline = pipeline(given);
    let error = |image, annotation| prepare(&pipeline, image, annotation).expect_err("a bad sample");
    let small = error(patterned(4, 9, 3), Annotation::None);
    assert!(matches!(small, DataError::SmallerThanCrop { sample: 3, height: 4, width: 9, crop: [5, 5] }));
    let lying = error(Image { height: 5, ..patterned(6, 5, 3) }, Annotation::None);
    assert!(matches!(lying, DataError::Inconsistent { sample: 3 }));
    let mask = error(patterned(6, 6, 3), Annotation::Mask(patterned(6, 5, 1)));
    assert!(matches!(mask, DataError::MaskSize { found: [6, 5, 1], expected: [6, 6, 1], .. }));
    let thin = Pipeline::new(&Preprocess { resize: Some(Resize::ShorterSide(4096)), ..Preprocess::default() }, None);
    let result = prepare(&thin.expect("good parameters"), patterned(1, 9999, 3), Annotation::None);
    assert!(matches!(result, Err(DataError::ResizedTooLarge { .. })));
}
