//! IDX files, folders, patterns: what `open` makes of a path

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use quantrain_data::{Annotation, DataError, Dataset, ReadOptions, open};
use tempfile::{TempDir, tempdir};

fn folder() -> TempDir {
    tempdir().expect("a temporary folder")
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

fn try_open(path: &Path) -> Result<Box<dyn Dataset>, DataError> {
    open(path, &ReadOptions::default())
}

fn error(path: &Path) -> DataError {
    try_open(path).err().expect("an error")
}

#[test]
fn messages_name_every_kind_of_data() {
    let folder = folder();
    write(&folder.path().join("a.tiff"), b"II");
    for name in ["a.tiff", "*.parquet"] {
        let message = error(&folder.path().join(name)).to_string().to_lowercase();
        for kind in ["parquet", ".npz", "idx", "a folder"] {
            assert!(message.contains(kind) && quantrain_data::KINDS.to_lowercase().contains(kind), "{kind}: {message}");
        }
    }
}

fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// A PNG of 2 x 1 gray pixels.
fn png(pixels: [u8; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("the data fits");
    drop(writer);
    bytes
}

const PIXELS: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

#[test]
fn idx_comes_plain_or_gzipped_with_its_labels() {
    for gzipped in [false, true] {
        let folder = folder();
        let ending = if gzipped { ".gz" } else { "" };
        let store = |bytes: Vec<u8>| if gzipped { gzip(&bytes) } else { bytes };
        let images = folder.path().join(format!("train-images-idx3-ubyte{ending}"));
        write(&images, &store(idx(&[2, 3, 2], &PIXELS)));
        let unlabelled = try_open(&images).expect("a dataset").sample(1).expect("a sample");
        assert_eq!(unlabelled.annotation, Annotation::None);
        let labels = folder.path().join(format!("train-labels-idx1-ubyte{ending}"));
        write(&labels, &store(idx(&[2], &[7, 9])));
        for path in [images.as_path(), folder.path()] {
            let dataset = try_open(path).expect("a dataset");
            assert_eq!(dataset.len(), 2);
            let sample = dataset.sample(1).expect("a sample");
            let image = sample.image;
            assert_eq!((image.height, image.width, image.channels), (3, 2, 1));
            assert_eq!((image.pixels.as_slice(), sample.annotation), (&PIXELS[6..], Annotation::Class(9)));
            assert!(matches!(dataset.sample(2), Err(DataError::OutOfRange { index: 2, length: 2 })));
        }
    }
}

#[test]
fn truncated_idx_says_what_it_expected_and_found() {
    let folder = folder();
    let images = folder.path().join("a-images-idx3-ubyte");
    let whole = idx(&[2, 3, 2], &PIXELS);
    for (bytes, expected, found) in [
        (whole[..whole.len() - 5].to_vec(), 12, 7),
        ([whole.as_slice(), &[0, 0]].concat(), 12, 13),
        (whole[..10].to_vec(), 12, 6),
        // A header of 2^96 bytes is not allocated.
        (idx(&[u32::MAX; 3], &PIXELS), u64::MAX, 12),
    ] {
        write(&images, &bytes);
        let error = error(&images);
        assert!(matches!(error, DataError::IdxLength { expected: e, found: f, .. } if (e, f) == (expected, found)), "{error}");
    }
    // Noise does not compress, so half of the file is about half of the bytes.
    let noise: Vec<u8> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let gzipped = gzip(&idx(&[100, 10, 10], &noise));
    write(&images, &gzipped[..gzipped.len() / 2]);
    assert!(matches!(error(&images), DataError::IdxLength { expected: 10_000, found: 1..10_000, .. }));
}

#[test]
fn files_that_are_not_idx_or_do_not_match_are_refused() {
    let folder = folder();
    let images = folder.path().join("a-images-idx3-ubyte");
    write(&images, b"hello");
    assert!(matches!(error(&images), DataError::NotIdx { dimensions: 3, .. }));
    write(&images, b"");
    assert!(matches!(error(&images), DataError::NotIdx { .. }));
    write(&images, &idx(&[0, 28, 28], &[]));
    assert!(matches!(error(&images), DataError::Empty { .. }));
    write(&images, &idx(&[2, 3, 2], &PIXELS));
    write(&folder.path().join("a-labels-idx1-ubyte"), &idx(&[3], &[1, 2, 3]));
    assert!(matches!(error(&images), DataError::LabelCount { labels: 3, images: 2, .. }));
}

#[test]
fn a_folder_of_two_datasets_asks_for_one() {
    let folder = folder();
    for name in ["t10k-images-idx3-ubyte", "train-images-idx3-ubyte"] {
        write(&folder.path().join(name), &idx(&[2, 3, 2], &PIXELS));
    }
    let message = error(folder.path()).to_string();
    assert!(message.ends_with("name one of them: t10k-images-idx3-ubyte, train-images-idx3-ubyte"));
}

#[test]
fn class_folders_are_numbered_by_name_and_a_flat_folder_has_no_classes() {
    let folder = folder();
    write(&folder.path().join("dog/1.png"), &png([1, 2]));
    write(&folder.path().join("cat/2.PNG"), &png([5, 6]));
    write(&folder.path().join("cat/1.png"), &png([3, 4]));
    write(&folder.path().join("cat/notes.txt"), b"no image");
    let dataset = try_open(folder.path()).expect("a dataset");
    let found = (0..dataset.len()).map(|index| {
        let sample = dataset.sample(index).expect("a sample");
        (sample.image.pixels, sample.annotation)
    });
    let class = Annotation::Class;
    let expected = [(vec![3, 4], class(0)), (vec![5, 6], class(0)), (vec![1, 2], class(1))];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let flat = try_open(&folder.path().join("cat")).expect("a dataset");
    assert_eq!((flat.len(), flat.sample(0).expect("a sample").annotation), (2, Annotation::None));
    write(&folder.path().join("stray.png"), &png([1, 2]));
    assert!(matches!(error(folder.path()), DataError::MixedFolder { .. }));
}

#[test]
fn an_undecodable_file_is_named() {
    let folder = folder();
    write(&folder.path().join("a.jpg"), b"no image");
    let dataset = try_open(folder.path()).expect("a dataset");
    let message = dataset.sample(0).expect_err("no image").to_string();
    assert!(message.contains("a.jpg: row 0: neither JPEG nor PNG"), "{message}");
}

#[test]
fn commas_and_stars_join_datasets() {
    let folder = folder();
    for (name, first) in [("1", 0), ("2", 2), ("3", 4)] {
        let images = idx(&[2, 1, 1], &[first, first + 1]);
        write(&folder.path().join(format!("{name}-images-idx3-ubyte")), &images);
    }
    let at = |name: &str| folder.path().join(name).display().to_string();
    let pixels = |path: String| -> Vec<u8> {
        let dataset = try_open(Path::new(&path)).expect("a dataset");
        assert!(matches!(dataset.sample(dataset.len()), Err(DataError::OutOfRange { .. })));
        (0..dataset.len()).map(|i| dataset.sample(i).expect("a sample").image.pixels[0]).collect()
    };
    assert_eq!(pixels(at("*-images-*")), [0, 1, 2, 3, 4, 5]);
    let listed = format!("{}, {}", at("3-images-idx3-ubyte"), at("1-*"));
    assert_eq!(pixels(listed), [4, 5, 0, 1]);
}

#[test]
fn paths_that_lead_nowhere_say_so() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    assert!(matches!(error(&at("a.parquet")), DataError::NotFound { .. }));
    assert!(matches!(error(&at("*.parquet")), DataError::NoFiles { .. }));
    assert!(matches!(error(&at("none/*.parquet")), DataError::NotFound { .. }));
    assert!(matches!(error(folder.path()), DataError::NoFiles { .. }));
    write(&at("a.csv"), b"1,2");
    assert!(matches!(error(&at("a.csv")), DataError::UnknownKind { .. }));
}

#[test]
fn masks_lie_in_a_folder_of_their_own_or_beside_their_images() {
    let apart = folder();
    let beside = folder();
    for (name, value) in [("b", 7), ("a", 3)] {
        write(&apart.path().join(format!("images/{name}.png")), &png([value, 0]));
        write(&apart.path().join(format!("masks/{name}.png")), &png([value + 1, 1]));
        write(&beside.path().join(format!("{name}.png")), &png([value, 0]));
        write(&beside.path().join(format!("{name}_mask.png")), &png([value + 1, 1]));
    }
    for (path, told) in [(apart.path(), "masks in `masks`"), (beside.path(), "masks beside them")] {
        let dataset = try_open(path).expect("a dataset");
        assert!(dataset.describe().ends_with(&format!("2 images, {told}")), "{}", dataset.describe());
        let sample = dataset.sample(0).expect("a sample");
        assert_eq!(sample.image.pixels, [3, 0]);
        assert!(matches!(sample.annotation, Annotation::Mask(mask) if mask.pixels == [4, 1]));
    }
    write(&beside.path().join("c.png"), &png([0, 0]));
    assert!(matches!(error(beside.path()), DataError::NoMask { image } if image.ends_with("c.png")));
}

/// A zip archive of NumPy arrays of bytes, stored or deflated.
fn npz(arrays: &[(&str, &str, &[usize], &[u8])], deflated: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, kind, shape, bytes) in arrays {
        let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({extents}), }}\n");
        let mut array = b"\x93NUMPY\x01\x00".to_vec();
        array.extend((header.len() as u16).to_le_bytes());
        array.extend(header.as_bytes());
        array.extend(*bytes);
        let size = array.len() as u32;
        let mut checksum = flate2::Crc::new();
        checksum.update(&array);
        if deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&array).expect("memory takes it");
            array = encoder.finish().expect("memory takes it");
        }
        let name = format!("{name}.npy");
        let mut fields = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        for word in [checksum.sum(), array.len() as u32, size] {
            fields.extend(word.to_le_bytes());
        }
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&fields);
        file.extend(name.as_bytes());
        file.extend(array);
    }
    let start = file.len() as u32;
    let count = (arrays.len() as u16).to_le_bytes();
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend([count, count].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

#[test]
fn an_npz_file_holds_images_with_labels_or_masks() {
    let folder = folder();
    let path = folder.path().join("some.npz");
    for deflated in [false, true] {
        let images: (&str, &str, &[usize], &[u8]) = ("images", "|u1", &[2, 1, 2, 3], &PIXELS);
        write(&path, &npz(&[images, ("labels", "<i2", &[2], &[5, 0, 255, 255])], deflated));
        let dataset = try_open(&path).expect("a dataset");
        assert_eq!(dataset.describe(), "some.npz: 2 images, labels");
        let sample = dataset.sample(1).expect("a sample");
        assert_eq!((sample.image.pixels.as_slice(), sample.annotation), (&PIXELS[6..], Annotation::Class(-1)));
        assert!(matches!(dataset.sample(2), Err(DataError::OutOfRange { index: 2, length: 2 })));
        write(&path, &npz(&[images, ("masks", "|u1", &[2, 1, 2], &[1, 2, 3, 4])], deflated));
        let sample = try_open(&path).expect("a dataset").sample(1).expect("a sample");
        assert!(matches!(sample.annotation, Annotation::Mask(mask) if mask.pixels == [3, 4]));
    }
}

#[test]
fn a_changed_byte_of_an_npz_file_is_found() {
    let folder = folder();
    let path = folder.path().join("some.npz");
    let mut bytes = npz(&[("images", "|u1", &[2, 2, 3], &PIXELS)], false);
    let at = bytes.windows(PIXELS.len()).position(|window| window == PIXELS).expect("the pixels");
    bytes[at + 5] ^= 1;
    write(&path, &bytes);
    assert!(error(&path).to_string().contains("checksum"), "{}", error(&path));
}

#[test]
fn what_unpacks_to_too_much_is_refused_until_the_limit_is_raised() {
    let folder = folder();
    let packed = [
        ("a-images-idx3-ubyte.gz", gzip(&idx(&[100, 100, 10], &[0; 100_000]))),
        ("a.npz", npz(&[("images", "|u1", &[100, 100, 10], &[0; 100_000])], true)),
    ];
    for (name, bytes) in packed {
        let path = folder.path().join(name);
        write(&path, &bytes);
        let limited = |unpack_limit| open(&path, &ReadOptions { unpack_limit, ..ReadOptions::default() });
        assert!(matches!(limited(50_000), Err(DataError::Unpacks { limit: 50_000, .. })), "{name}");
        assert_eq!(limited(200_000).expect("a dataset").len(), 100, "{name}");
    }
}

#[test]
fn each_unfit_npz_file_has_its_error() {
    let folder = folder();
    let path = folder.path().join("some.npz");
    let images: (&str, &str, &[usize], &[u8]) = ("images", "|u1", &[2, 2, 3], &PIXELS);
    let good = npz(&[images], true);
    let mut cut = good.clone();
    cut.drain(40..44);
    for (bytes, expected) in [
        (npz(&[("pictures", "|u1", &[2, 2, 3], &PIXELS)], false), "no array `images` among: pictures"),
        (npz(&[("images", "<u2", &[2, 3], &PIXELS)], false), "`images` is an array of shape 2x3 and type <u2"),
        (npz(&[images, ("labels", "|u1", &[3], &[0; 3])], false), "`labels` is an array of shape 3 "),
        (npz(&[images, ("masks", "|u1", &[2, 3, 2], &PIXELS)], false), "`masks` is an array of shape 2x3x2"),
        (b"no archive".to_vec(), "it is no zip archive"),
        (cut, "damaged"),
    ] {
        write(&path, &bytes);
        let error = error(&path);
        assert!(matches!(&error, DataError::NotNpz { reason, .. } if reason.contains(expected)), "{error}: {expected}");
    }
    for length in 0..good.len() {
        write(&path, &good[..length]);
        assert!(try_open(&path).is_err(), "{length} bytes");
    }
}
