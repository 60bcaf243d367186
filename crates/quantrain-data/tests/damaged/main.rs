//! Damaged data files of every kind that is read: none may make opening them, or decoding their samples, panic, hang or take much memory.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use parquet::basic::Compression as Packed;
use png::{BitDepth, ColorType};
use quantrain_damage::{Generator, Trials, bytes, memory};
use quantrain_data::{Exif, Feeds, Image, InputSource, InputSpec, ReadOptions, array_names, open};
use tempfile::tempdir;

#[path = "../../src/fixture.rs"]
#[allow(dead_code, reason = "the tests make some files only")]
mod fixture;

use fixture::{JPEG, Rows, encoded, patterned, png, write_parquet_packed};

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// A progressive JPEG of 24 x 17 coloured pixels with an EXIF orientation.
const PROGRESSIVE: &[u8] = include_bytes!("progressive.jpg");

/// A file, made of what was damaged.
type Make = fn(&[u8]) -> Vec<u8>;

/// A kind of file: its name on disk, whole files of it, and what is done to damaged contents.
struct Kind {
    name: &'static str,
    whole: Vec<Vec<u8>>,
    made: &'static [Make],
}

fn as_it_is(contents: &[u8]) -> Vec<u8> {
    contents.to_vec()
}

fn idx() -> Kind {
    let file = |sizes: &[u32]| {
        let mut file = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend(patterned(12, sizes.iter().product::<u32>() as usize / 12, 1).pixels);
        file
    };
    Kind { name: "a-images-idx3-ubyte", whole: vec![file(&[3, 8, 4]), file(&[1, 12, 12])], made: &[as_it_is, gzipped] }
}

fn gzipped(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

fn npz() -> Kind {
    let images = npy("|u1", "(2, 4, 4, 3)", &patterned(8, 4, 3).pixels);
    let gray = npy("|u1", "(2, 4, 4)", &patterned(8, 4, 1).pixels);
    let labels = npy("<i8", "(2,)", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let masks = npy("|u1", "(2, 4, 4)", &[1; 32]);
    let whole = [archive(&images, Some(("labels", &labels)), false), archive(&gray, Some(("masks", &masks)), true)];
    Kind { name: "a.npz", whole: [&whole[..], &[images, gray]].concat(), made: &[as_it_is, stored, deflated] }
}

/// An archive whose images are `array`, the checksum right.
fn stored(array: &[u8]) -> Vec<u8> {
    archive(array, None, false)
}

fn deflated(array: &[u8]) -> Vec<u8> {
    archive(array, None, true)
}

fn archive(images: &[u8], other: Option<(&str, &[u8])>, deflate: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let entries: Vec<(&str, &[u8])> = std::iter::once(("images", images)).chain(other).collect();
    for (name, array) in &entries {
        let mut checksum = flate2::Crc::new();
        checksum.update(array);
        let packed = if deflate { deflate_all(array) } else { array.to_vec() };
        let name = format!("{name}.npy");
        let method = if deflate { 8u16 } else { 0 };
        let sizes = [(packed.len() as u32).to_le_bytes(), (array.len() as u32).to_le_bytes()].concat();
        let fields = [
            &[20, 0, 0, 0][..],
            &method.to_le_bytes(),
            &[0; 4],
            &checksum.sum().to_le_bytes(),
            &sizes,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let start = (file.len() as u32).to_le_bytes();
        directory.extend([&b"PK\x01\x02\x14\x00"[..], &fields, &[0; 10], &start, name.as_bytes()].concat());
        file.extend([&b"PK\x03\x04"[..], &fields, name.as_bytes(), &packed].concat());
    }
    let (count, start) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    file.extend(&directory);
    file.extend([b"PK\x05\x06\x00\x00\x00\x00", &count[..], &count, &(directory.len() as u32).to_le_bytes(), &start, &[0, 0]].concat());
    file
}

fn deflate_all(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn images() -> Kind {
    let gray = patterned(9, 7, 1).pixels;
    let whole = vec![
        encoded(&patterned(9, 7, 3)),
        png(7, 9, ColorType::Grayscale, BitDepth::Eight, &gray),
        png(16, 4, ColorType::Indexed, BitDepth::Two, &gray[..16]),
        png(7, 2, ColorType::Rgba, BitDepth::Sixteen, &patterned(14, 8, 1).pixels),
        JPEG.to_vec(),
        PROGRESSIVE.to_vec(),
    ];
    Kind { name: "a.png", whole, made: &[as_it_is, with_checksums] }
}

/// A PNG whose chunks have the right checksums again, as far as there are chunks; everything else as it is.
fn with_checksums(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let mut at = 8;
    while file.starts_with(b"\x89PNG") && at + 12 <= file.len() {
        let length = u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= file.len()) else { break };
        let mut checksum = flate2::Crc::new();
        checksum.update(&file[at + 4..end]);
        file[end..end + 4].copy_from_slice(&checksum.sum().to_be_bytes());
        at = end + 4;
    }
    file
}

fn parquet() -> Kind {
    let folder = tempdir().expect("a temporary folder");
    let file = |packed: Packed, columns: &[Rows]| {
        let path = folder.path().join("a.parquet");
        write_parquet_packed(&path, columns, packed);
        fs::read(path).expect("a file")
    };
    let image = |seed: usize| Some(encoded(&patterned(4 + seed, 5, 3)));
    let labelled =
        || vec![Rows::Images("image", vec![image(0), image(1), image(0)]), Rows::Integers("label", vec![Some(1), Some(0), Some(7)])];
    let masked = || vec![Rows::Images("image", vec![image(0), None]), Rows::Images("mask", vec![Some(encoded(&patterned(4, 5, 1))), None])];
    let whole =
        vec![file(Packed::UNCOMPRESSED, &labelled()), file(Packed::SNAPPY, &labelled()), file(Packed::GZIP(Default::default()), &masked())];
    Kind { name: "a.parquet", whole, made: &[as_it_is] }
}

fn table() -> Kind {
    let whole = ["f0,f1,y\n1,2.5,3\n-4,0,1\n".into(), "f0;f1;y;who\n1;2;3;\"a\"\"b\"\n-4;0e3;1;c\n".into()];
    Kind { name: "a.csv", whole: whole.to_vec(), made: &[as_it_is] }
}

/// Reads the columns of a table as feeds.
fn attempt_table(path: &Path) -> usize {
    let source = InputSource::Array { file: None, name: Some("f*".into()) };
    let (mean, std) = (vec![0.0], vec![1.0]);
    let spec = InputSpec {
        name: "x".into(),
        extents: vec![2],
        order: vec![0],
        kind: "float32",
        range: None,
        source,
        mean,
        std,
        padding_mask: false,
    };
    match Feeds::open(&[spec], &[], path, &ReadOptions::default()) {
        Ok(feeds) => {
            assert!(!feeds.is_empty() && !feeds.describe().is_empty());
            2
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            usize::from(array_names(path, &ReadOptions::default()).is_ok())
        }
    }
}

/// How far a file comes: refused, opened, or with a sample that is whole.
const STEPS: [&str; 3] = ["refused", "opened", "decoded"];

/// Reads what there is under `path`.
fn attempt(path: &Path) -> usize {
    let options = ReadOptions { exif: Exif::Apply, unpack_limit: 64 << 20, ..ReadOptions::default() };
    let Ok(dataset) = open(path, &options).map_err(|error| assert!(!error.to_string().is_empty())) else { return 0 };
    assert!(!dataset.describe().is_empty());
    let mut decoded = false;
    for index in (0..dataset.len()).take(8).chain([dataset.len()]) {
        let _ = (dataset.glance(index), dataset.class(index));
        match dataset.sample(index) {
            Ok(sample) => {
                decoded = true;
                let Image { height, width, channels, pixels } = sample.image;
                assert_eq!(pixels.len(), height * width * channels);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    1 + usize::from(decoded)
}

fn run(trials: Trials, kind: &Kind) {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().join(kind.name);
    let make = |generator: &mut Generator| {
        let (whole, other) = (generator.pick(&kind.whole).clone(), generator.pick(&kind.whole).clone());
        let damaged = bytes::damage(whole, &other, generator);
        generator.pick(kind.made)(&damaged)
    };
    // An image is read by the folder that it lies in.
    let what = if kind.name.ends_with(".png") { folder.path() } else { &path };
    trials.run(kind.name, &STEPS, make, |file| {
        fs::write(&path, file).expect("a file");
        if kind.name.ends_with(".csv") { attempt_table(what) } else { attempt(what) }
    });
}

#[test]
fn a_thousand_damaged_files_of_each_kind_do_no_harm() {
    [idx(), npz(), images(), parquet(), table()].iter().for_each(|kind| run(Trials::few(), kind));
}

#[test]
#[ignore = "takes minutes"]
fn many_damaged_files_of_each_kind_do_no_harm() {
    [idx(), npz(), images(), parquet(), table()].iter().for_each(|kind| run(Trials::many(), kind));
}
