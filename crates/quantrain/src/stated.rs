//! What a model's file says of the images that it takes, beside what the recipe makes of them.

use quantrain_data::{ChannelOrder, PixelRange, Resize};

use crate::recipe::Data;

/// Keys for the mean of the training images, and for their standard deviation, as exporters and people write them.
const MEANS: [&str; 5] = ["mean", "image_mean", "img_mean", "normalize_mean", "norm_mean"];
const STDS: [&str; 5] = ["std", "image_std", "img_std", "normalize_std", "norm_std"];

/// ONNX's own words for images (docs/MetadataProps.md of ONNX).
const PIXEL_FORMAT: &str = "Image.BitmapPixelFormat";
const PIXEL_RANGE: &str = "Image.NominalPixelRange";

/// Ultralytics' size of images; they are letterboxed to it.
const ULTRALYTICS_SIZE: &str = "imgsz";

/// Ultralytics' names of classes, as Python prints a dictionary.
const ULTRALYTICS_NAMES: &str = "names";

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// Relative difference of numbers that people call the same.
const SAME: f32 = 0.01;

/// What is said of images: each known key with its value.
pub fn stated(metadata: &[(String, String)]) -> Vec<(String, String)> {
    let known = |key: &str| {
        MEANS.contains(&key) || STDS.contains(&key) || [PIXEL_FORMAT, PIXEL_RANGE, ULTRALYTICS_SIZE, ULTRALYTICS_NAMES].contains(&key)
    };
    metadata.iter().filter(|(key, _)| known(key)).map(|(key, value)| (key.clone(), shown(value))).collect()
}

/// Where a recipe makes other images than the file says, in words.
pub(crate) fn differences(metadata: &[(String, String)], data: &Data) -> Vec<String> {
    metadata.iter().filter_map(|(key, value)| difference(key, value, data)).collect()
}

fn difference(key: &str, value: &str, data: &Data) -> Option<String> {
    let says = format!("the model's file says `{key}` = {}", shown(value));
    let unit = if data.range == PixelRange::Unit { 1.0 } else { 255.0 };
    match key {
        key if MEANS.contains(&key) => {
            other_numbers(value, &data.mean, unit).then(|| format!("{says}, and `data.mean` is {:?}", data.mean))
        }
        key if STDS.contains(&key) => other_numbers(value, &data.std, unit).then(|| format!("{says}, and `data.std` is {:?}", data.std)),
        PIXEL_RANGE => {
            let limits = match value {
                "NominalRange_0_255" => (0.0, 255.0),
                "Normalized_0_1" => (0.0, 1.0),
                "Normalized_1_1" => (-1.0, 1.0),
                _ => return None,
            };
            let of = |pixel: f32| (0..data.mean.len().max(data.std.len())).map(move |c| (pixel - at(&data.mean, c)) / at(&data.std, c));
            let holds = of(0.0).zip(of(unit)).all(|(low, high)| (low - limits.0).abs() < SAME && (high - limits.1).abs() < SAME * limits.1);
            let (low, high) = (of(0.0).next()?, of(unit).next()?);
            (!holds).then(|| format!("{says}, and `data.range`, `data.mean` and `data.std` make pixels of {low} to {high}"))
        }
        PIXEL_FORMAT => {
            let order = match value.to_ascii_lowercase() {
                v if v.starts_with("bgr") => ChannelOrder::Bgr,
                v if v.starts_with("rgb") => ChannelOrder::Rgb,
                _ => return None,
            };
            let has = if data.channel_order == ChannelOrder::Bgr { "bgr" } else { "rgb" };
            (data.channel_order != order).then(|| format!("{says}, and `data.channel-order` is {has}"))
        }
        ULTRALYTICS_SIZE => {
            let letterboxed = matches!(data.resize, Some(Resize::Letterbox { .. }));
            (!letterboxed).then(|| format!("{says}: its images are letterboxed, and `data.resize-mode` is not letterbox"))
        }
        ULTRALYTICS_NAMES => {
            let names = python_names(value);
            let other = !data.classes.is_empty() && !names.is_empty() && names != data.classes;
            other.then(|| format!("{says}, and `data.classes` has other names or another order"))
        }
        _ => None,
    }
}

/// Whether numbers are others than those of a recipe, whose pixels reach up to `unit`; each may be one for all channels.
fn other_numbers(text: &str, own: &[f32], unit: f32) -> bool {
    let stated = numbers(text);
    // On the scale of bytes, where any is beyond that of shares.
    let scale = if stated.iter().any(|x| x.abs() > 2.0) { 255.0 } else { 1.0 };
    let same = |c: usize| {
        let (a, b) = (at(&stated, c) / scale, at(own, c) / unit);
        (a - b).abs() <= SAME * a.abs().max(b.abs())
    };
    !stated.is_empty() && !(0..stated.len().max(own.len())).all(same)
}

/// One for each channel, or one for all.
fn at(values: &[f32], channel: usize) -> f32 {
    values.get(channel).or(values.last()).copied().unwrap_or(0.0)
}

/// The numbers of a list, whatever brackets it has; none where something else is in it.
fn numbers(text: &str) -> Vec<f32> {
    let inner = text.trim_matches(|c: char| c.is_whitespace() || "[](){}".contains(c));
    let parts = inner.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().ok().filter(|x: &f32| x.is_finite())).collect::<Option<_>>().unwrap_or_default()
}

/// The values of `{0: 'cat', 1: "dog"}`, in their order; none where it is no such dictionary.
fn python_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = if rest[start..].starts_with('\'') { '\'' } else { '"' };
        let inner = &rest[start + 1..];
        let Some(end) = inner.find(quote) else { return Vec::new() };
        names.push(inner[..end].to_owned());
        rest = &inner[end + 1..];
    }
    names
}

/// A value in a line.
fn shown(value: &str) -> String {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN { line } else { line.chars().take(SHOWN - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, RecipeFile};

    /// What is noted of one key under a recipe with some keys.
    fn noted(key: &str, value: &str, keys: &[&str]) -> Vec<String> {
        let mut file = RecipeFile { model: Some("m".into()), ..RecipeFile::default() };
        keys.iter().for_each(|assignment| file.set(assignment).unwrap());
        differences(&[(key.into(), value.into())], Recipe::try_from(file).unwrap().data())
    }

    #[test]
    fn what_a_file_says_is_compared_with_the_recipe() {
        let imagenet = ["data.mean=0.485,0.456,0.406", "data.std=0.229,0.224,0.225"];
        let bytes = ["data.range=255", "data.mean=123.675,116.28,103.53", "data.std=58.395,57.12,57.375"];
        let rows: &[(&str, &str, &[&str], bool)] = &[
            ("mean", "[0.485, 0.456, 0.406]", &imagenet, true),
            ("mean", "0.485 0.456 0.406", &bytes, true),
            ("image_mean", "(123.675, 116.28, 103.53)", &imagenet, true),
            ("mean", "[0.485, 0.456, 0.406]", &[], false),
            ("std", "[0.5]", &imagenet, false),
            ("std", "0.5", &["data.std=0.5"], true),
            ("mean", "of all things", &[], true),
            ("Image.NominalPixelRange", "NominalRange_0_255", &["data.range=255"], true),
            ("Image.NominalPixelRange", "NominalRange_0_255", &[], false),
            ("Image.NominalPixelRange", "Normalized_0_1", &[], true),
            ("Image.NominalPixelRange", "Normalized_1_1", &["data.mean=0.5", "data.std=0.5"], true),
            ("Image.NominalPixelRange", "Normalized_1_1", &[], false),
            ("Image.BitmapPixelFormat", "Bgr8", &[], false),
            ("Image.BitmapPixelFormat", "Bgr8", &["data.channel-order=bgr"], true),
            ("Image.BitmapPixelFormat", "Gray8", &[], true),
            ("imgsz", "[640, 640]", &["data.resize=[640, 640]"], false),
            ("imgsz", "[640, 640]", &["data.resize=[640, 640]", "data.resize-mode=letterbox"], true),
            ("names", "{0: 'cat', 1: \"dog\"}", &["data.classes=['cat', 'dog']"], true),
            ("names", "{0: 'cat', 1: 'dog'}", &["data.classes=['dog', 'cat']"], false),
            ("names", "{0: 'cat', 1: 'dog'}", &[], true),
            ("author", "somebody", &[], true),
        ];
        for (key, value, keys, same) in rows {
            assert_eq!(noted(key, value, keys).is_empty(), *same, "{key} = {value} with {keys:?}: {:?}", noted(key, value, keys));
        }
        let expected = "the model's file says `mean` = [0.485, 0.456, 0.406], and `data.mean` is [0.0]";
        assert_eq!(noted("mean", "[0.485, 0.456, 0.406]", &[]), [expected]);
    }

    #[test]
    fn long_values_and_strange_ones_are_harmless() {
        let long = stated(&[("names".into(), "{0: 'a',\n".repeat(9000)), ("other".into(), "x".into())]);
        assert_eq!(long.len(), 1);
        assert!(long[0].1.chars().count() == SHOWN && !long[0].1.contains('\n'));
        assert_eq!(python_names("{0: 'it is open"), Vec::<String>::new());
        assert_eq!(python_names("{0: \"it's\", 1: 'ß'}"), ["it's", "ß"]);
        assert_eq!(numbers("[1e39]"), Vec::<f32>::new());
    }
}
