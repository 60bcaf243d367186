use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::{Batch, BatchPlan, Loader, Preprocess};

/// A `.npy` file of values of a NumPy type.
fn npy(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let extents = shape.iter().map(|n| format!("{n},")).collect::<String>();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    let length = u16::try_from(header.len()).expect("a short header").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn whole(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn input(name: &str, extents: &[usize], file: Option<PathBuf>) -> InputSpec {
    let order = if extents.len() == 3 { vec![1, 2, 0] } else { (0..extents.len()).collect() };
    let source = InputSource::Array { file, name: None };
    InputSpec {
        name: name.into(),
        extents: extents.to_vec(),
        order,
        kind: "float32",
        range: None,
        source,
        mean: vec![0.0],
        std: vec![1.0],
        padding_mask: false,
    }
}

fn label(name: &str, extents: &[usize], file: Option<PathBuf>) -> LabelSpec {
    let names = vec![name.to_owned(), "labels".into()];
    let order = (0..extents.len()).collect();
    LabelSpec { output: 0, name: name.into(), extents: extents.to_vec(), order, kind: None, file, column: None, names, ignored: None }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a temporary file");
        path
    }
}

fn open(inputs: &[InputSpec], labels: &[LabelSpec], path: &Path) -> Result<Feeds, DataError> {
    Feeds::open(inputs, labels, path, &ReadOptions::default())
}

fn batch(feeds: Feeds, size: usize) -> Batch {
    let loader = Loader::of_feeds(feeds, BatchPlan { batch_size: size, ..BatchPlan::default() }).expect("a plan");
    loader.batches(0, 0, 1).next().expect("a batch").expect("samples")
}

#[test]
fn rows_of_arrays_are_samples_as_a_network_has_them_in_memory() {
    let folder = Folder::new();
    // Two volumes [2, 1, 3]: memory has their first axis last.
    let image = folder.file("image.npy", &npy("<f4", &[2, 2, 1, 3], &floats(&[0., 1., 2., 3., 4., 5., 10., 11., 12., 13., 14., 15.])));
    let ids = folder.file("ids.npy", &npy("<i8", &[2, 2], &whole(&[7, -1, 3, 0])));
    let classes = folder.file("classes.npy", &npy("|u1", &[2], &[2, 0]));
    let inputs = [input("image", &[2, 1, 3], None), input("ids", &[2], Some(ids))];
    let feeds = open(&inputs, &[label("y", &[3], Some(classes))], &image).expect("feeds");
    assert_eq!((feeds.len(), feeds.class(0), feeds.class(1)), (2, Some(2), Some(0)));
    let found = batch(feeds.clone(), 2);
    assert_eq!(found.inputs(), [&[0., 3., 1., 4., 2., 5., 10., 13., 11., 14., 12., 15.][..], &[7., -1., 3., 0.]]);
    assert_eq!((found.labels, found.targets, found.size), (vec![2, 0], vec![], 2));
    let second = batch(feeds.select([1].into_iter()).without_labels(), 2);
    assert_eq!((second.feeds[1].as_slice(), second.labels.len(), second.size), (&[3., 0.][..], 0, 1));
}

#[test]
fn the_type_and_shape_of_labels_say_what_they_are() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy("<f4", &[2], &floats(&[1., 2.])));
    let of = |file: Vec<u8>, extents: &[usize]| {
        let file = folder.file("labels.npy", &file);
        let found = batch(open(&[input("x", &[], None)], &[label("y", extents, Some(file))], &x).expect("feeds"), 2);
        (found.labels, found.targets.into_iter().map(|t| t.values).next())
    };
    assert_eq!(of(npy("<i8", &[2], &whole(&[1, 0])), &[4]), (vec![1, 0], None));
    assert_eq!(of(npy("<f4", &[2, 1], &floats(&[0.5, 2.])), &[1]), (vec![], Some(TargetValues::Values(vec![0.5, 2.]))));
    assert_eq!(of(npy("|b1", &[2, 2], &[1, 0, 0, 1]), &[2]), (vec![], Some(TargetValues::Truths(vec![1., 0., 0., 1.]))));
    assert_eq!(of(npy("|u1", &[2], &[1, 0]), &[1]), (vec![], Some(TargetValues::Truths(vec![1., 0.]))));
    assert_eq!(of(npy("|u1", &[2], &[3, 0]), &[1]), (vec![], Some(TargetValues::Values(vec![3., 0.]))));
}

#[test]
fn numbers_are_shifted_and_scaled_by_their_first_axis() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy("|u1", &[1, 2, 2], &[10, 20, 30, 40]));
    let scaled = InputSpec { mean: vec![10., 30.], std: vec![2.0], ..input("x", &[2, 2], None) };
    assert_eq!(batch(open(&[scaled], &[], &x).expect("feeds"), 1).feeds, [[0., 5., 0., 5.]]);
    let wrong = InputSpec { mean: vec![1., 2., 3.], ..input("x", &[2, 2], None) };
    assert!(matches!(open(&[wrong], &[], &x), Err(DataError::ScaleCount { found: 3, expected: 2, .. })));
}

#[test]
fn what_does_not_fit_is_named_with_its_file_array_and_input() {
    let folder = Folder::new();
    let path = folder.0.path().join("x.npy");
    let error = |file: Vec<u8>, spec: InputSpec| {
        fs::write(&path, file).expect("a temporary file");
        open(&[spec], &[], &path).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let x = || input("x", &[3], None);
    let ids = || InputSpec { range: Some(Range { least: -5.0, greatest: 4.0, of: "its type" }), kind: "int64", ..x() };
    let nan = npy("<f4", &[2, 3], &floats(&[0., 1., 2., 3., f32::NAN, 5.]));
    let rows = [
        (error(npy("<f4", &[2, 2], &floats(&[0.; 4])), x()), "array `x` for input `x`: 2x2 found, Nx3, a row for each sample, expected"),
        (error(nan, x()), "array `x` for input `x`, row 1: NaN found, a finite number of 32 bits expected"),
        (error(npy("<f4", &[1, 3], &floats(&[0.; 3])), ids()), "float32 found, integers or bool, as the input is int64, expected"),
        (error(npy("<i8", &[1, 3], &whole(&[0, 5, 1])), ids()), "row 0: 5 found, -5 to 4 (its type) expected"),
        (error(npy("<c8", &[1, 3], &[0; 24]), x()), "type <c8 found"),
        (error(npy("<f4", &[], &floats(&[0.])), x()), "a single number found"),
        (error(b"no array".to_vec(), x()), "no NumPy array"),
    ];
    for (found, expected) in rows {
        assert!(found.contains(expected) && found.contains("x.npy"), "{found}\n{expected}");
    }
    let large = InputSpec { range: Some(Range { least: -1e18, greatest: 1e18, of: "its type" }), ..ids() };
    assert!(error(npy("<i8", &[1, 3], &whole(&[0, 1 << 25, 1])), large).contains("16777216"));
}

#[test]
fn lengths_that_differ_and_arrays_that_are_missing_are_errors() {
    let folder = Folder::new();
    let (two, three) = (folder.file("x.npy", &npy("|u1", &[2], &[0, 1])), folder.file("z.npy", &npy("|u1", &[3], &[0, 1, 2])));
    let inputs = [input("x", &[], None), input("z", &[], Some(three.clone()))];
    let error = open(&inputs, &[], &two).err().expect("an error").to_string();
    assert!(error.contains("array `z` for input `z`: 3 samples found, 2 expected as input `x` has"), "{error}");
    let error = open(&inputs[..1], &[label("y", &[3], Some(three.clone()))], &two).err().expect("an error").to_string();
    assert!(!error.is_empty());
    let named = LabelSpec { column: Some("scores".into()), ..label("y", &[3], None) };
    let error = open(&inputs[..1], &[named], &two).err().expect("an error").to_string();
    assert!(error.contains("no array `scores` for labels of output `y` among: x"), "{error}");
    assert!(matches!(open(&inputs[..1], &[], folder.0.path()), Err(DataError::NoArrays { .. })));
    let cut = PathBuf::from(format!("{}#1..3", three.display()));
    assert_eq!(open(&[input("z", &[], None)], &[], &cut).expect("feeds").len(), 2);
}

/// A parquet file of numbers, lists of two, and lists of two lists of two.
fn write_parquet(path: &Path, short: bool) {
    let list = |name: &str, inner: &str| format!("required group {name} (LIST) {{ repeated group list {{ {inner} }} }} ");
    let nested = list("pairs", &list("element", "required float element;"));
    let schema = format!("message schema {{ required int64 id; {} {nested} }}", list("row", "required int64 element;"));
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).expect("a file"), schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    let mut column = |integers: &[i64], floats: &[f32], definition: i16, levels: &[i16]| {
        let mut out = group.next_column().expect("a column").expect("as in the schema");
        let definitions = vec![definition; levels.len()];
        let (definitions, levels) = if definition == 0 { (None, None) } else { (Some(&definitions[..]), Some(levels)) };
        match floats.is_empty() {
            true => out.typed::<Int64Type>().write_batch(integers, definitions, levels),
            false => out.typed::<FloatType>().write_batch(floats, definitions, levels),
        }
        .expect("values");
        out.close().expect("a column");
    };
    column(&[4, 5], &[], 0, &[0, 0]);
    let row: (&[i64], &[i16]) = if short { (&[1, 2, 3], &[0, 1, 0]) } else { (&[1, 2, 3, 4], &[0, 1, 0, 1]) };
    column(row.0, &[], 1, row.1);
    column(&[], &[0., 1., 2., 3., 4., 5., 6., 7.], 2, &[0, 2, 1, 2, 0, 2, 1, 2]);
    group.close().expect("a row group");
    writer.close().expect("a file");
}

#[test]
fn columns_of_numbers_and_lists_are_arrays() {
    let folder = Folder::new();
    let path = folder.0.path().join("some.parquet");
    write_parquet(&path, false);
    assert_eq!(array_names(&path, &ReadOptions::default()).expect("names"), ["id", "row", "pairs"]);
    let inputs = [input("id", &[], None), input("row", &[2], None), input("pairs", &[2, 2], None)];
    let found = batch(open(&inputs, &[], &path).expect("feeds"), 2);
    assert_eq!(found.feeds, [vec![4., 5.], vec![1., 2., 3., 4.], vec![0., 1., 2., 3., 4., 5., 6., 7.]]);
    write_parquet(&path, true);
    let error = open(&inputs, &[], &path).err().expect("an error").to_string();
    assert!(error.contains("column `row`, row 1: 1 numbers found, 2 as in the first row"), "{error}");
}

#[test]
fn images_stand_beside_arrays_and_their_classes_are_labels() {
    let folder = Folder::new();
    for (class, value) in [("a", 0u8), ("b", 255)] {
        let path = folder.0.path().join("images").join(class);
        fs::create_dir_all(&path).expect("a folder");
        let image = crate::Image { height: 1, width: 2, channels: 1, pixels: vec![value; 2] };
        fs::write(path.join("0.png"), crate::fixture::encoded(&image)).expect("an image");
    }
    let state = folder.file("state.npy", &npy("<f4", &[2, 1], &floats(&[5., 6.])));
    let preprocess = Preprocess { channels: crate::Channels::Convert(1), ..Preprocess::default() };
    let images = ImageSource { file: None, column: None, preprocess, size: [1, 2, 1] };
    let image = InputSpec { source: InputSource::Images(images), ..input("image", &[1, 1, 2], None) };
    let inputs = [image, input("state", &[1], Some(state))];
    let feeds = open(&inputs, &[label("y", &[2], None)], &folder.0.path().join("images")).expect("feeds");
    let found = batch(feeds.clone(), 2);
    assert_eq!((found.feeds, found.labels), (vec![vec![0., 0., 1., 1.], vec![5., 6.]], vec![0, 1]));
    assert!(batch(feeds.without_labels(), 2).labels.is_empty());
}

#[test]
fn what_a_mask_hides_holds_what_it_shows() {
    let folder = Folder::new();
    let ids = folder.file("ids.npy", &npy("<i8", &[2, 4], &whole(&[1, 2, 90, 91, 3, 92, 93, 94])));
    let mask = folder.file("mask.npy", &npy("|u1", &[2, 4], &[1, 1, 0, 0, 1, 0, 0, 0]));
    let wave = folder.file("wave.npy", &npy("|u1", &[2, 2, 4], &[1, 2, 9, 9, 3, 4, 9, 9, 5, 9, 9, 9, 6, 9, 9, 9]));
    let mask = InputSpec { padding_mask: true, ..input("mask", &[4], Some(mask)) };
    let inputs = [input("ids", &[4], Some(ids.clone())), mask, input("wave", &[2, 4], Some(wave))];
    let feeds = open(&inputs, &[], &ids).expect("feeds");
    assert_eq!(batch(feeds.clone(), 2).feeds[0], [1., 2., 90., 91., 3., 92., 93., 94.]);
    let filled = batch(feeds.filling_padding(), 2).feeds;
    assert_eq!(filled[0], [1., 2., 1., 2., 3., 3., 3., 3.]);
    assert_eq!(filled[1], [1., 1., 0., 0., 1., 0., 0., 0.]);
    assert_eq!(filled[2], [1., 2., 1., 2., 3., 4., 3., 4., 5., 5., 5., 5., 6., 6., 6., 6.]);
}
