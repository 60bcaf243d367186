//! Everything that can go wrong with data

use std::fmt;
use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;
use thiserror::Error;

use crate::{DecodeError, KINDS};

/// Why a dataset cannot be opened, a sample cannot be read, or parameters make no sense.
///
/// `row` counts from 0 within its file (for a folder, its images in order); `sample` is the index
/// within the dataset.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// Nothing lies at this path.
    #[error("{}: no such file or folder; check the path", path.display())]
    NotFound {
        /// As given.
        path: PathBuf,
    },
    /// What stands behind `#` names no samples.
    #[error("{}: `#{rows}` found, `#START..END` with START below END expected; either may be left out", path.display())]
    BadRows {
        /// As given.
        path: PathBuf,
        /// The text behind `#`.
        rows: String,
    },
    /// The operating system refuses.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is neither parquet, IDX nor .npz by its name.
    #[error(
        "{}: unknown kind of dataset; expected *.parquet, *.npz, *-images-idx3-ubyte(.gz) or a folder",
        path.display()
    )]
    UnknownKind {
        /// As given.
        path: PathBuf,
    },
    /// A pipe, a device or a folder where a file should be.
    #[error("{}: not a regular file; data are read from files and folders only", path.display())]
    NotAFile {
        /// As given.
        path: PathBuf,
    },
    /// An encoded image of an absurd length.
    #[error("{}: {length} bytes in an encoded image, at most {limit} are read; is it one?", file.display())]
    LargeImage {
        /// The file.
        file: PathBuf,
        /// Its bytes.
        length: u64,
        /// Bytes that are read.
        limit: u64,
    },
    /// A folder with files, none of which is an image that is read.
    #[error("{}: no JPEG or PNG images there, but {left_out}; convert them", folder.display())]
    NoImages {
        /// As given.
        folder: PathBuf,
        /// Files of each ending.
        left_out: String,
    },
    /// Class folders that the known classes do not have.
    #[error(
        "{data}: no known class: {unknown}; the known ones are {known}, by `data.classes` or the training images; \
         rename the folders, or list all classes in `data.classes`"
    )]
    UnknownClasses {
        /// Where.
        data: String,
        /// The first few.
        unknown: String,
        /// The first few.
        known: String,
    },
    /// A pattern or a folder that holds no dataset.
    #[error("{}: no files of a dataset there; expected {KINDS}", path.display())]
    NoFiles {
        /// As given.
        path: PathBuf,
    },
    /// A folder with several IDX datasets, or with the parts of one.
    #[error("{}: holds several datasets; name one of them: {}", folder.display(), files.join(", "))]
    SeveralDatasets {
        /// As given.
        folder: PathBuf,
        /// Names of the files or folders.
        files: Vec<String>,
    },
    /// A folder with images both directly and in class folders.
    #[error("{}: images beside folders of images; move them into a class or away", folder.display())]
    MixedFolder {
        /// As given.
        folder: PathBuf,
    },
    /// An image in a folder of images with masks that has none.
    #[error("{}: no mask of this name, as the other images have; add it, or take the image away", image.display())]
    NoMask {
        /// The image.
        image: PathBuf,
    },
    /// A file that is no NumPy archive, or lacks the arrays wanted.
    #[error("{}: {reason}", file.display())]
    NotNpz {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of a table that is none, or lacks numbers that are wanted.
    #[error("{}: {reason}", file.display())]
    NotCsv {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A path where arrays are wanted that holds none.
    #[error("{}: no file of arrays; expected {}", path.display(), crate::ARRAY_FILES)]
    NoArrays {
        /// As given.
        path: PathBuf,
    },
    /// A file without an array that is wanted.
    #[error("{}: no array `{array}` for {role} among: {}; name it by `column`", file.display(), found.join(", "))]
    NoArray {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// What it is for.
        role: String,
        /// The arrays that there are.
        found: Vec<String>,
    },
    /// An array of another shape than what it is for.
    #[error("{place}: {found} found, {expected} expected")]
    ArrayShape {
        /// The array.
        place: Box<ArrayPlace>,
        /// Its shape, the rows first.
        found: String,
        /// The shape expected.
        expected: String,
    },
    /// An array of a type that what it is for does not take.
    #[error("{place}: {found} found, {expected} expected; convert it (astype)")]
    ArrayType {
        /// The array.
        place: Box<ArrayPlace>,
        /// Its type.
        found: String,
        /// The type expected.
        expected: String,
    },
    /// A number that what it is for does not take.
    #[error("{place}, row {row}: {found} found, {expected} expected")]
    ArrayValue {
        /// The array.
        place: Box<ArrayPlace>,
        /// The row, from 0.
        row: usize,
        /// The number.
        found: f64,
        /// What is expected.
        expected: String,
    },
    /// A row of a list column that is missing or of another length than the first.
    #[error("{}: column `{column}`, row {row}: {found} found, {expected} expected; lists must have one length", file.display())]
    UnevenRow {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// What there is.
        found: String,
        /// As in the first row.
        expected: String,
    },
    /// Inputs or labels of different numbers of samples.
    #[error("{what}: {found} samples found, {expected} expected as {of} has")]
    SampleCounts {
        /// Which.
        what: String,
        /// Its samples.
        found: usize,
        /// Those of the first input.
        expected: usize,
        /// The first input.
        of: String,
    },
    /// Means or standard deviations of an array that are neither one nor one for each index of its first axis.
    #[error(
        "input `{input}`: mean or std has {found} numbers, one or {expected} expected: one for each index of the first axis of a sample"
    )]
    ScaleCount {
        /// The input.
        input: String,
        /// Numbers found.
        found: usize,
        /// The extent of the axis.
        expected: usize,
    },
    /// Numbers that make no boxes.
    #[error("{}: row {row}: column `{column}`: {found} found, {expected} expected", file.display())]
    BadBox {
        /// The file.
        file: PathBuf,
        /// Row.
        row: usize,
        /// The column of boxes.
        column: String,
        /// What there is.
        found: String,
        /// What there should be.
        expected: &'static str,
    },
    /// A dataset without samples.
    #[error("{}: holds no samples", path.display())]
    Empty {
        /// As given.
        path: PathBuf,
    },

    /// The bytes are not a parquet file's.
    #[error("{}: not a parquet file: {source}", file.display())]
    NotParquet {
        /// The file.
        file: PathBuf,
        /// The parser's reason.
        source: ParquetError,
    },
    /// A column's bytes are damaged or of a kind that is not supported.
    #[error("{}: column `{column}` cannot be read: {source}", file.display())]
    Column {
        /// The file.
        file: PathBuf,
        /// Dotted path of the column.
        column: String,
        /// The parser's reason.
        source: ParquetError,
    },
    /// A file that unpacks to more than it may.
    #[error(
        "{}: unpacks to {claimed} bytes, at most {} MiB are allowed; if that is right, raise `data.unpack-limit`",
        file.display(), limit >> 20
    )]
    Unpacks {
        /// The file.
        file: PathBuf,
        /// Bytes that its headers tell of.
        claimed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A column ends early or goes on.
    #[error("{}: column `{column}` has {found} rows, the file has {expected}", file.display())]
    Rows {
        /// The file.
        file: PathBuf,
        /// Dotted path of the column.
        column: String,
        /// Rows of the column.
        found: usize,
        /// Rows of the file.
        expected: usize,
    },
    /// No struct column with a binary `bytes`.
    #[error("{}: no image column (a struct with `bytes`) among: {}", file.display(), columns.join(", "))]
    NoImageColumn {
        /// The file.
        file: PathBuf,
        /// The columns that there are.
        columns: Vec<String>,
    },
    /// Several struct columns with `bytes`, none of them named `image` or `img`.
    #[error("{}: several image columns; name one of: {}", file.display(), columns.join(", "))]
    SeveralImageColumns {
        /// The file.
        file: PathBuf,
        /// The candidates.
        columns: Vec<String>,
    },
    /// A column that was named is not there, or is of another type.
    #[error(
        "{}: no column `{column}` of {expected}; the columns are: {}",
        file.display(), columns.join(", ")
    )]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// As named.
        column: String,
        /// The type it should have.
        expected: &'static str,
        /// The columns that there are.
        columns: Vec<String>,
    },
    /// A label and a mask column were both named.
    #[error("{}: both label `{label}` and mask `{mask}` are named; keep one", file.display())]
    TwoAnnotations {
        /// The file.
        file: PathBuf,
        /// The label column.
        label: String,
        /// The mask column.
        mask: String,
    },
    /// A row whose image or mask is null.
    #[error("{}: row {row}: no bytes in column `{column}`", file.display())]
    ImageMissing {
        /// The file.
        file: PathBuf,
        /// Row.
        row: usize,
        /// The image or mask column.
        column: String,
    },
    /// A row whose label is null.
    #[error("{}: row {row}: no label in column `{column}`", file.display())]
    LabelMissing {
        /// The file.
        file: PathBuf,
        /// Row.
        row: usize,
        /// The label column.
        column: String,
    },
    /// Bytes that are no image, or no mask.
    #[error("{}: row {row}: {source}", file.display())]
    Undecodable {
        /// The file.
        file: PathBuf,
        /// Row.
        row: usize,
        /// The decoder's reason.
        source: DecodeError,
    },

    /// The file does not start as an IDX file of bytes with so many dimensions does.
    #[error("{}: not an IDX file of {dimensions} dimensions: starts with {found:02x?}", file.display())]
    NotIdx {
        /// The file.
        file: PathBuf,
        /// 3 for images, 1 for labels.
        dimensions: u8,
        /// The first bytes, four at most.
        found: Vec<u8>,
    },
    /// An IDX file shorter or longer than its header says, after decompression.
    #[error("{}: the header says {expected} bytes, found {found}{}; fetch it again",
        file.display(), if found > expected { " or more" } else { "" })]
    IdxLength {
        /// The file.
        file: PathBuf,
        /// Bytes after the header, by the header.
        expected: u64,
        /// Bytes after the header.
        found: u64,
    },
    /// Labels and images differ in number.
    #[error("{}: {labels} labels for {images} images", file.display())]
    LabelCount {
        /// The labels' file.
        file: PathBuf,
        /// Labels in it.
        labels: usize,
        /// Images beside it.
        images: usize,
    },

    /// A sample was asked for that is not there.
    #[error("sample {index}: the dataset has {length} samples")]
    OutOfRange {
        /// As asked.
        index: usize,
        /// Samples there are.
        length: usize,
    },
    /// A dataset gave an image whose sizes and bytes disagree.
    #[error("sample {sample}: height, width and channels do not match the number of bytes")]
    Inconsistent {
        /// Index.
        sample: usize,
    },
    /// Samples that cannot be used, found before the first batch.
    #[error("{first} ({count} such among {of} samples); mend them, or leave them out with `data.on-bad-sample = \"skip\"`")]
    BadSamples {
        /// What is wrong with the first.
        first: Box<DataError>,
        /// Bad ones.
        count: usize,
        /// Samples looked at.
        of: usize,
    },
    /// An image of other channels than the network's.
    #[error(
        "sample {sample}: the image has {found} channel(s), the network wants {expected}; \
         ask for conversion"
    )]
    ChannelMismatch {
        /// Index.
        sample: usize,
        /// The image's.
        found: usize,
        /// The network's.
        expected: usize,
    },
    /// An image that the crop does not fit in.
    #[error(
        "sample {sample}: the image is {height} x {width}, smaller than the crop {} x {}; \
         resize first", crop[0], crop[1]
    )]
    SmallerThanCrop {
        /// Index.
        sample: usize,
        /// The image's, after resizing.
        height: usize,
        /// The image's, after resizing.
        width: usize,
        /// Height and width asked for.
        crop: [usize; 2],
    },
    /// A long thin image whose resized form would fill the memory.
    #[error("sample {sample}: resized to {height} x {width} it is too large; resize to less")]
    ResizedTooLarge {
        /// Index.
        sample: usize,
        /// After resizing.
        height: usize,
        /// After resizing.
        width: usize,
    },
    /// A mask that does not lie pixel on pixel over its image.
    #[error(
        "sample {sample}: the mask is {}x{}x{} (height, width, channels), expected {}x{}x{}",
        found[0], found[1], found[2], expected[0], expected[1], expected[2]
    )]
    MaskSize {
        /// Index.
        sample: usize,
        /// Height, width, channels of the mask.
        found: [usize; 3],
        /// What the image asks for.
        expected: [usize; 3],
    },
    /// Images of several sizes in a batch.
    #[error(
        "sample {sample}: {} x {} in a batch of {} x {}; set a crop, or batches of one",
        found[0], found[1], expected[0], expected[1]
    )]
    SizesDiffer {
        /// Index.
        sample: usize,
        /// Height and width.
        found: [usize; 2],
        /// Height and width of the batch's first.
        expected: [usize; 2],
    },
    /// Images that are not as large as they must be.
    #[error(
        "images of {} (height, width, channels) found, {} expected by the network; set resize, crop or channels",
        extents(found),
        extents(expected)
    )]
    OtherSize {
        /// Height, width and channels of the first.
        found: [usize; 3],
        /// What they must be.
        expected: [usize; 3],
    },
    /// Classes, masks and nothing in one batch.
    #[error("sample {sample}: annotated otherwise than the batch's first sample")]
    MixedAnnotations {
        /// Index.
        sample: usize,
    },

    /// `resize` or `crop` is zero or absurd.
    #[error("{what}: {found} is not between 1 and {limit}")]
    Side {
        /// Which.
        what: &'static str,
        /// As given.
        found: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// Networks here take gray or RGB.
    #[error("channels: {found}, expected 1 or 3")]
    Channels {
        /// As given.
        found: usize,
    },
    /// `mean` or `std` has the wrong number of values.
    #[error("{what}: {found} values for {channels} channel(s); give one, or one for each")]
    Counts {
        /// `mean` or `std`.
        what: &'static str,
        /// Values given.
        found: usize,
        /// Channels.
        channels: usize,
    },
    /// A mean that is NaN or infinite.
    #[error("mean: {found} for channel {channel} is not a finite number")]
    Mean {
        /// Channel.
        channel: usize,
        /// As given.
        found: f32,
    },
    /// A standard deviation that is zero, negative, NaN or infinite.
    #[error("std: {found} for channel {channel} is not a finite number above 0")]
    Std {
        /// Channel.
        channel: usize,
        /// As given.
        found: f32,
    },
    /// `padded_crop` is absurd.
    #[error("padded crop: {found} pixels are not between 0 and 65536")]
    PaddedCrop {
        /// As given.
        found: usize,
    },
    /// The range of `resized_crop` is empty, beyond (0, 1], or NaN.
    #[error("resized crop: from {low} to {high} is not a range within (0, 1]")]
    ResizedCrop {
        /// As given.
        low: f32,
        /// As given.
        high: f32,
    },
    /// The range of `scale` is empty, beyond (0, 16], or NaN.
    #[error("scale: from {low} to {high} is not a range of factors above 0 up to 16")]
    Scale {
        /// As given.
        low: f32,
        /// As given.
        high: f32,
    },
    /// Two ways to cut out a random part.
    #[error("scale and resized crop both cut out a random part; keep one")]
    TwoCrops,
    /// The strength of `color` is beyond 0 to 1, or NaN.
    #[error("color: {found} is not between 0 and 1")]
    Color {
        /// As given.
        found: f32,
    },
    /// Batches of nothing.
    #[error("batch size: 0, expected 1 or more")]
    BatchSize,
    /// A plan that gives no batch: no samples, a limit of 0, or all of them dropped.
    #[error(
        "no batches: {samples} samples do not fill one batch of {batch_size}; \
         lower `train.batch-size`, raise `data.train-images`, or set `train.last-batch = \"keep\"`"
    )]
    NoBatches {
        /// Samples used.
        samples: usize,
        /// As planned.
        batch_size: usize,
    },
}

/// An array, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayPlace {
    /// The file.
    pub file: PathBuf,
    /// The name of the array.
    pub array: String,
    /// The input or the labels.
    pub role: String,
}

impl fmt::Display for ArrayPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: array `{}` for {}", self.file.display(), self.array, self.role)
    }
}

/// Height, width and channels as people write them.
fn extents([height, width, channels]: &[usize; 3]) -> String {
    format!("{height}x{width}x{channels}")
}
