//! Folders of images: their classes, what is left out, how images are turned

use std::fs;
use std::path::Path;

use quantrain_data::{Annotation, DataError, Dataset, Exif, ReadOptions, number_by_name, number_by_value, open};
use tempfile::{TempDir, tempdir};

fn folder() -> TempDir {
    tempdir().expect("a temporary folder")
}

/// A gray PNG of two rows of three pixels, 1 to 6, with these chunks before its pixels.
fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    for (kind, data) in chunks {
        writer.write_chunk(png::chunk::ChunkType(**kind), data).expect("a chunk");
    }
    writer.write_image_data(&[1, 2, 3, 4, 5, 6]).expect("the data fits");
    drop(writer);
    bytes
}

/// A folder that holds these files; those with an image's ending are images.
fn holding(files: &[&str]) -> TempDir {
    let folder = folder();
    for file in files {
        let path = folder.path().join(file);
        match file.ends_with('/') {
            true => fs::create_dir_all(path).expect("a folder"),
            false => {
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, png(&[])).expect("a file");
            }
        }
    }
    folder
}

fn opened(path: &Path) -> Box<dyn Dataset> {
    open(path, &ReadOptions::default()).expect("a dataset")
}

fn classes(dataset: &dyn Dataset) -> Vec<i64> {
    let of = |index| match dataset.sample(index).expect("a sample").annotation {
        Annotation::Class(class) => class,
        other => panic!("{other:?}"),
    };
    let found: Vec<i64> = (0..dataset.len()).map(of).collect();
    assert_eq!(found, (0..dataset.len()).filter_map(|index| dataset.class(index)).collect::<Vec<_>>());
    found
}

#[test]
fn an_empty_class_keeps_its_number_and_hidden_folders_have_none() {
    let folder = holding(&["a/1.png", "b/", ".git/1.png", "c/1.PNG", "c/deeper/2.jpeg", "c/deeper/still/3.JPG", ".cache/x.png"]);
    fs::write(folder.path().join("d.webp"), "an image of another kind").expect("a file");
    let dataset = opened(folder.path());
    assert_eq!(dataset.class_names(), ["a", "b", "c"]);
    assert_eq!((0..dataset.len()).filter_map(|index| dataset.class(index)).collect::<Vec<_>>(), [0, 2, 2, 2]);
    let notes = dataset.notes().join("\n");
    assert!(notes.contains("left out: 1 .webp") && notes.contains("no images in the class folders `b`"), "{notes}");
}

#[test]
fn images_of_other_kinds_are_counted_and_alone_are_an_error() {
    let folder = holding(&["a/1.png", "a/2.webp", "a/.3.png", "b/1.bmp", "b/2.bmp", "b/Thumbs.db"]);
    let notes = opened(folder.path()).notes().join("\n");
    assert!(notes.contains("left out: 2 .bmp, 1 .db, 1 .webp, 1 hidden"), "{notes}");
    let none = holding(&["a/1.webp", "2.gif"]);
    let error = open(none.path(), &ReadOptions::default()).err().expect("no images").to_string();
    assert!(error.contains("1 .gif, 1 .webp; convert them"), "{error}");
}

#[test]
fn known_names_number_the_classes_of_any_folder() {
    let names = ["cat", "dog", "eel", "fox"].map(String::from);
    let folder = holding(&["dog/1.png", "fox/1.png", "fox/2.png", "zebra/"]);
    let numbered = number_by_name(opened(folder.path()), &names).expect("known classes");
    assert_eq!(classes(&*numbered), [1, 3, 3]);
    assert_eq!(numbered.class_names(), names);
    let other = holding(&["dog/1.png", "Fox/1.png"]);
    match number_by_name(opened(other.path()), &names).err() {
        Some(DataError::UnknownClasses { unknown, .. }) => assert_eq!(unknown, "`Fox`"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_taken_by_value_where_all_are_below_the_count() {
    let folder = holding(&["03/1.png", "5/1.png"]);
    assert_eq!(classes(&*number_by_value(opened(folder.path()), 10).ok().expect("numbers")), [3, 5]);
    assert!(number_by_value(opened(folder.path()), 5).is_err());
    assert!(number_by_value(opened(holding(&["3/1.png", "five/1.png"]).path()), 10).is_err());
}

#[test]
fn a_class_has_one_number_in_several_folders() {
    let (first, second) = (holding(&["a/1.png", "c/1.png"]), holding(&["b/1.png", "c/1.png"]));
    let both = format!("{},{}", first.path().display(), second.path().display());
    let dataset = opened(Path::new(&both));
    assert_eq!(classes(&*dataset), [0, 2, 1, 2]);
    assert_eq!(dataset.class_names(), ["a", "b", "c"]);
}

#[test]
fn the_parts_of_a_dataset_are_no_classes() {
    let folder = holding(&["train/cat/1.png", "val/cat/1.png"]);
    let error = open(folder.path(), &ReadOptions::default()).err().expect("two datasets");
    assert!(error.to_string().ends_with("name one of them: train, val"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let (folder, elsewhere) = (holding(&["a/1.png"]), holding(&["1.png", "2.png"]));
    symlink(elsewhere.path(), folder.path().join("b")).expect("a link");
    symlink(folder.path().join("a"), folder.path().join("a/again")).expect("a link");
    symlink(folder.path(), folder.path().join("a/up")).expect("a link");
    let dataset = opened(folder.path());
    assert_eq!(classes(&*dataset), [0, 1, 1]);
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_no_images() {
    let folder = holding(&["a/1.png"]);
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("a/2.png")).expect("a link");
    assert!(matches!(opened(folder.path()).sample(1), Err(DataError::NotAFile { .. })));
    for name in ["x.parquet", "x.npz", "a-images-idx3-ubyte.gz"] {
        let path = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
        assert!(matches!(open(&path, &ReadOptions::default()), Err(DataError::NotAFile { .. })), "{name}");
    }
}

/// EXIF data that holds nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation, 0, 0, 0, 0, 0, 0]].concat()
}

#[test]
fn images_are_turned_by_their_orientation_and_masks_with_them() {
    let folder = folder();
    fs::write(folder.path().join("1.png"), png(&[(b"eXIf", &exif(6))])).expect("a file");
    fs::write(folder.path().join("1_mask.png"), png(&[(b"eXIf", &exif(3))])).expect("a file");
    let dataset = opened(folder.path());
    let sample = dataset.sample(0).expect("a sample");
    // A quarter turn clockwise, as Pillow's `exif_transpose` makes it; the mask's own orientation counts for nothing.
    assert_eq!((sample.image.height, sample.image.width, sample.image.pixels.as_slice()), (3, 2, &[4, 1, 5, 2, 6, 3][..]));
    assert_eq!(sample.annotation, Annotation::Mask(sample.image));
    assert!(dataset.glance(0).is_ok_and(|glance| glance.turned && glance.size == Some([3, 2])));
    let stored = open(folder.path(), &ReadOptions { exif: Exif::Ignore, ..ReadOptions::default() }).expect("a dataset");
    assert_eq!(stored.sample(0).expect("a sample").image.pixels, [1, 2, 3, 4, 5, 6]);
    assert!(stored.glance(0).is_ok_and(|glance| !glance.turned && glance.size == Some([2, 3])));
}

#[test]
fn broken_orientations_leave_an_image_as_it_is() {
    let folder = folder();
    let whole = exif(6);
    for (i, data) in [&whole[..whole.len() / 2], &b""[..], &b"no tiff"[..], &exif(77)].into_iter().enumerate() {
        fs::write(folder.path().join(format!("{i}.png")), png(&[(b"eXIf", data)])).expect("a file");
    }
    let dataset = opened(folder.path());
    for index in 0..dataset.len() {
        assert_eq!(dataset.sample(index).expect("a sample").image.pixels, [1, 2, 3, 4, 5, 6], "{index}");
    }
}
