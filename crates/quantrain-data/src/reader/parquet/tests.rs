use std::fs;

use super::*;
use crate::fixture::{Rows, encoded, patterned, write_parquet};
use crate::open;

/// Opens a file of these columns; it is gone when this returns, as the reader holds the bytes.
fn opened(columns: &[Rows], named: &Columns) -> Result<Box<dyn Dataset>, DataError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("some.parquet");
    write_parquet(&path, columns);
    open(&path, &ReadOptions { columns: named.clone(), ..ReadOptions::default() })
}

fn images(name: &'static str, count: usize) -> Rows {
    let rows = (1..=count).map(|height| Some(encoded(&patterned(height, 4, 3))));
    Rows::Images(name, rows.collect())
}

fn masks(name: &'static str, count: usize) -> Rows {
    let rows = (1..=count).map(|height| Some(encoded(&patterned(height, 4, 1))));
    Rows::Images(name, rows.collect())
}

fn labels(name: &'static str, count: i64) -> Rows {
    Rows::Integers(name, (0..count).map(Some).collect())
}

#[test]
fn images_and_labels_come_row_by_row_across_row_groups() {
    let dataset = opened(&[images("picture", 3), labels("fine_label", 3)], &Columns::default());
    let dataset = dataset.expect("a dataset");
    assert_eq!(dataset.len(), 6);
    for index in 0..6 {
        let sample = dataset.sample(index).expect("a sample");
        assert_eq!(sample.image, patterned(index % 3 + 1, 4, 3));
        assert_eq!(sample.annotation, Annotation::Class(index as i64 % 3));
    }
    assert_eq!(dataset.describe(), "some.parquet: 6 images in `picture`, labels in `fine_label`");
    assert!(matches!(dataset.sample(6), Err(DataError::OutOfRange { index: 6, length: 6 })));
}

#[test]
fn rows_of_a_file_are_its_own_samples_and_the_others_are_not_held() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("some.parquet");
    write_parquet(&path, &[images("img", 3), masks("mask", 3)]);
    let some = folder.path().join("some.parquet#2..5");
    let dataset = open(&some, &ReadOptions::default()).expect("a dataset");
    assert_eq!(dataset.len(), 3);
    for index in 0..3 {
        let (sample, height) = (dataset.sample(index).expect("a sample"), (index + 2) % 3 + 1);
        assert_eq!((sample.image, sample.annotation), (patterned(height, 4, 3), Annotation::Mask(patterned(height, 4, 1))));
    }
    let mut whole = Parquet::open(&path, &ReadOptions::default()).expect("a file");
    whole.keep_only(2..5);
    let held = |stored: &Stored| stored.bytes.iter().map(Option::is_some).collect::<Vec<_>>();
    let expected = [false, false, true, true, true, false];
    assert_eq!((held(&whole.image), whole.mask.as_ref().map(held)), (expected.to_vec(), Some(expected.to_vec())));
}

#[test]
fn a_mask_goes_before_labels_unless_labels_are_named() {
    let columns = [images("img", 2), masks("mask", 2), labels("label", 2)];
    let masked = opened(&columns, &Columns::default()).expect("a dataset");
    let annotation = masked.sample(1).expect("a sample").annotation;
    assert_eq!(annotation, Annotation::Mask(patterned(2, 4, 1)));
    let named = Columns { label: Some("label".into()), ..Columns::default() };
    let labelled = opened(&columns, &named).expect("a dataset");
    assert_eq!(labelled.sample(1).expect("a sample").annotation, Annotation::Class(1));
}

#[test]
fn each_unfit_schema_has_its_error() {
    let name = |name: &str| Some(name.to_owned());
    let error = |columns: &[Rows], named: Columns| opened(columns, &named).err().expect("an unfit schema");
    let none = error(&[labels("label", 1)], Columns::default());
    assert!(matches!(none, DataError::NoImageColumn { columns, .. } if columns == ["label"]));
    let several = error(&[images("left", 1), images("right", 1)], Columns::default());
    assert!(matches!(several, DataError::SeveralImageColumns { columns, .. } if columns == ["left", "right"]));
    let with = |image, label, mask| error(&[images("img", 1), labels("label", 1)], Columns { image, label, mask, ..Columns::default() });
    let missing = |error, column| matches!(error, DataError::NoColumn { column: c, .. } if c == column);
    assert!(missing(with(name("image"), None, None), "image"));
    assert!(missing(with(None, name("img"), None), "img"));
    assert!(missing(with(None, None, name("mask")), "mask"));
    let both = with(None, name("label"), name("mask"));
    assert!(matches!(both, DataError::TwoAnnotations { .. }));
}

#[test]
fn each_bad_row_has_its_error() {
    let good = encoded(&patterned(2, 2, 3));
    let rows = vec![None, Some(b"no image".to_vec()), Some(good)];
    let columns = [Rows::Images("img", rows), Rows::Integers("label", vec![Some(1), Some(2), None])];
    let dataset = opened(&columns, &Columns::default()).expect("a dataset");
    let error = |index| dataset.sample(index).expect_err("a bad row");
    assert!(matches!(error(3), DataError::ImageMissing { row: 3, .. }));
    assert!(matches!(error(1), DataError::Undecodable { row: 1, .. }));
    assert!(matches!(error(2), DataError::LabelMissing { row: 2, column, .. } if column == "label"));
    let message = error(4).to_string();
    assert!(message.contains("some.parquet: row 4: neither JPEG nor PNG"), "{message}");
}

#[test]
fn no_rows_and_no_parquet_are_errors() {
    let empty = opened(&[images("img", 0)], &Columns::default());
    assert!(matches!(empty.err(), Some(DataError::Empty { .. })));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("text.parquet");
    fs::write(&path, "hello, I am a text").expect("a file");
    assert!(matches!(open(&path, &ReadOptions::default()).err(), Some(DataError::NotParquet { .. })));
}

#[test]
fn damaged_bytes_never_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("some.parquet");
    write_parquet(&path, &[images("img", 2), labels("label", 2)]);
    let original = fs::read(&path).expect("just written");
    for at in 0..original.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = original.clone();
            bytes[at] = value;
            fs::write(&path, &bytes).expect("a file");
            if let Ok(dataset) = open(&path, &ReadOptions::default()) {
                for index in 0..dataset.len().min(8) {
                    // Any result will do, as long as it is one.
                    let _ = dataset.sample(index);
                }
            }
        }
    }
    fs::write(&path, &original[..original.len() - 9]).expect("a file");
    assert!(matches!(open(&path, &ReadOptions::default()).err(), Some(DataError::NotParquet { .. })));
}

#[test]
fn images_without_bytes_lie_in_the_files_named_beside_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("pictures")).expect("a folder");
    fs::write(folder.path().join("pictures/a.png"), encoded(&patterned(3, 4, 1))).expect("a file");
    let path = folder.path().join("some.parquet");
    write_parquet(&path, &[Rows::Files("image", vec!["pictures/a.png", "pictures/none.png", ""])]);
    let dataset = open(&path, &ReadOptions::default()).expect("a dataset");
    assert_eq!(dataset.sample(0).expect("a sample").image, patterned(3, 4, 1));
    assert_eq!(dataset.glance(0).expect("a header").size, Some([3, 4]));
    assert!(matches!(dataset.sample(1), Err(DataError::NotFound { path }) if path.ends_with("pictures/none.png")));
    assert!(matches!(dataset.sample(2), Err(DataError::ImageMissing { row: 2, .. })));
}
