//! Images, files and datasets that the tests make for themselves

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use png::{BitDepth, ColorType};

use crate::Image;

/// Bytes by a formula that Python can repeat.
pub(crate) fn patterned(height: usize, width: usize, channels: usize) -> Image {
    let pixels = (0..height * width * channels).map(|i| ((i * i * 7 + i * 31 + (i >> 3) * 13) % 251) as u8);
    Image { height, width, channels, pixels: pixels.collect() }
}

/// A PNG of `data` as it is to be stored.
pub(crate) fn png(width: u32, height: u32, color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]);
    }
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(data).expect("the data fits the header");
    writer.finish().expect("memory takes it");
    bytes
}

/// `image` as PNG.
pub(crate) fn encoded(image: &Image) -> Vec<u8> {
    let color = if image.channels == 3 { ColorType::Rgb } else { ColorType::Grayscale };
    png(image.width as u32, image.height as u32, color, BitDepth::Eight, &image.pixels)
}

/// A gray 8 x 8 JPEG of 100 everywhere, as Pillow writes it at quality 50.
#[rustfmt::skip]
pub(crate) const JPEG: &[u8] = &[
    255, 216, 255, 224, 0, 16, 74, 70, 73, 70, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 255, 219, 0, 67, 0, 16, 11, 12, 14, 12,
    10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51, 56,
    55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100,
    120, 92, 101, 103, 99, 255, 192, 0, 11, 8, 0, 8, 0, 8, 1, 1, 17, 0, 255, 196, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 4, 255, 196, 0, 20, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 218, 0,
    8, 1, 1, 0, 0, 63, 0, 11, 255, 217,
];

/// A column of a parquet file: its name and rows.
pub(crate) enum Rows {
    Images(&'static str, Vec<Option<Vec<u8>>>),
    Integers(&'static str, Vec<Option<i64>>),
    /// Images that lie in files of these names.
    Files(&'static str, Vec<&'static str>),
}

/// Writes a file of two row groups: the columns, whole, twice.
pub(crate) fn write_parquet(path: &Path, columns: &[Rows]) {
    write_parquet_packed(path, columns, Compression::UNCOMPRESSED);
}

/// As [`write_parquet`], its pages packed.
pub(crate) fn write_parquet_packed(path: &Path, columns: &[Rows], packed: Compression) {
    let fields: String = columns
        .iter()
        .map(|column| match column {
            Rows::Images(name, _) => format!("optional group {name} {{ optional binary bytes; }} "),
            Rows::Files(name, _) => format!("optional group {name} {{ optional binary bytes; optional binary path; }} "),
            Rows::Integers(name, _) => format!("optional int64 {name}; "),
        })
        .collect();
    let schema = parse_message_type(&format!("message schema {{ {fields} }}")).expect("a schema");
    let file = File::create(path).expect("a temporary file");
    let properties = Arc::new(WriterProperties::builder().set_compression(packed).build());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).expect("a writer");
    for _ in 0..2 {
        let mut group = writer.next_row_group().expect("a row group");
        for column in columns {
            if let Rows::Files(_, paths) = column {
                let mut out = group.next_column().expect("a column").expect("as in the schema");
                let nothing = vec![1; paths.len()];
                out.typed::<ByteArrayType>().write_batch(&[], Some(&nothing), None).expect("no values");
                out.close().expect("a column");
                let values: Vec<ByteArray> = paths.iter().map(|path| path.as_bytes().to_vec().into()).collect();
                let mut out = group.next_column().expect("a column").expect("as in the schema");
                out.typed::<ByteArrayType>().write_batch(&values, Some(&vec![2; paths.len()]), None).expect("a value each");
                out.close().expect("a column");
                continue;
            }
            let mut out = group.next_column().expect("a column").expect("as in the schema");
            let written = match column {
                Rows::Images(_, rows) => {
                    let levels: Vec<i16> = rows.iter().map(|row| 2 * i16::from(row.is_some())).collect();
                    let values: Vec<ByteArray> = rows.iter().flatten().cloned().map(Into::into).collect();
                    out.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)
                }
                Rows::Files(..) => continue,
                Rows::Integers(_, rows) => {
                    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
                    let values: Vec<i64> = rows.iter().flatten().copied().collect();
                    out.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
                }
            };
            written.expect("values for the levels");
            out.close().expect("a column");
        }
        group.close().expect("a row group");
    }
    writer.close().expect("a file");
}
