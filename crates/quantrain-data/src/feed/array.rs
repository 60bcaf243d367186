//! Arrays of numbers of any type, a row for each sample

use std::path::PathBuf;

use crate::ArrayPlace;

/// The type of an array's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    Float16,
    Float32,
    Float64,
    Signed(usize),
    Unsigned(usize),
    Bool,
}

impl NumberKind {
    /// By NumPy's name of a type, little-endian.
    pub fn named(descr: &str) -> Option<Self> {
        let width = descr.get(2..)?.parse().ok()?;
        match (descr.get(..2)?, width) {
            ("<f", 2) => Some(NumberKind::Float16),
            ("<f", 4) => Some(NumberKind::Float32),
            ("<f", 8) => Some(NumberKind::Float64),
            ("|b", 1) => Some(NumberKind::Bool),
            ("|i" | "<i", 1 | 2 | 4 | 8) => Some(NumberKind::Signed(width)),
            ("|u" | "<u", 1 | 2 | 4 | 8) => Some(NumberKind::Unsigned(width)),
            _ => None,
        }
    }

    /// Bytes of a number.
    pub fn width(self) -> usize {
        match self {
            NumberKind::Float16 => 2,
            NumberKind::Float32 => 4,
            NumberKind::Float64 => 8,
            NumberKind::Signed(width) | NumberKind::Unsigned(width) => width,
            NumberKind::Bool => 1,
        }
    }

    /// As NumPy calls it.
    pub fn name(self) -> String {
        match self {
            NumberKind::Float16 => "float16".into(),
            NumberKind::Float32 => "float32".into(),
            NumberKind::Float64 => "float64".into(),
            NumberKind::Signed(width) => format!("int{}", 8 * width),
            NumberKind::Unsigned(width) => format!("uint{}", 8 * width),
            NumberKind::Bool => "bool".into(),
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, NumberKind::Float16 | NumberKind::Float32 | NumberKind::Float64)
    }
}

/// `[rows, extents…]` numbers in C order.
#[derive(Debug)]
pub(crate) struct Array {
    pub file: PathBuf,
    pub name: String,
    pub kind: NumberKind,
    pub rows: usize,
    pub extents: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Array {
    /// Numbers of a row.
    pub fn elements(&self) -> usize {
        self.extents.iter().product()
    }

    fn bytes_of(&self, row: usize) -> &[u8] {
        let size = self.elements() * self.kind.width();
        self.bytes.get(row * size..(row + 1) * size).unwrap_or_default()
    }

    /// The numbers of a row; integers beyond 53 bits are rounded.
    pub fn numbers(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let kind = self.kind;
        self.bytes_of(row).chunks_exact(kind.width()).map(move |bytes| number(kind, bytes))
    }

    /// The rows of another array of the same name behind these; `None` where type or extents differ.
    pub fn joined(mut self, other: Array) -> Option<Array> {
        if (self.kind, &self.extents) != (other.kind, &other.extents) {
            return None;
        }
        self.rows += other.rows;
        self.bytes.extend(other.bytes);
        Some(self)
    }

    /// Some of the rows.
    pub fn cut(mut self, rows: std::ops::Range<usize>) -> Array {
        let size = self.elements() * self.kind.width();
        let end = rows.end.min(self.rows);
        let start = rows.start.min(end);
        self.bytes.truncate(end * size);
        self.bytes.drain(..start * size);
        self.rows = end - start;
        self
    }

    /// For messages, with what it is for.
    pub fn place(&self, role: &str) -> Box<ArrayPlace> {
        Box::new(ArrayPlace { file: self.file.clone(), array: self.name.clone(), role: role.into() })
    }

    /// Extents as people write them, the rows first.
    pub fn shape(&self) -> String {
        std::iter::once(&self.rows).chain(&self.extents).map(usize::to_string).collect::<Vec<_>>().join("x")
    }
}

fn number(kind: NumberKind, bytes: &[u8]) -> f64 {
    let mut whole = [0u8; 8];
    let negative = matches!(kind, NumberKind::Signed(_)) && bytes.last().is_some_and(|b| *b >= 128);
    whole.fill(if negative { 0xff } else { 0 });
    whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    match kind {
        NumberKind::Float16 => f64::from(half::f16::from_le_bytes([whole[0], whole[1]])),
        NumberKind::Float32 => f64::from(f32::from_le_bytes([whole[0], whole[1], whole[2], whole[3]])),
        NumberKind::Float64 => f64::from_le_bytes(whole),
        NumberKind::Signed(_) => i64::from_le_bytes(whole) as f64,
        NumberKind::Unsigned(_) | NumberKind::Bool => u64::from_le_bytes(whole) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, extents: &[usize], rows: usize, bytes: Vec<u8>) -> Array {
        let kind = NumberKind::named(descr).expect("a known type");
        Array { file: "a.npz".into(), name: "a".into(), kind, rows, extents: extents.to_vec(), bytes }
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        let of = |descr, bytes: Vec<u8>| array(descr, &[1], 1, bytes).numbers(0).next();
        assert_eq!(of("<f2", vec![0, 0xc5]), Some(-5.0));
        assert_eq!(of("<f4", 1.5f32.to_le_bytes().to_vec()), Some(1.5));
        assert_eq!(of("<f8", 0.1f64.to_le_bytes().to_vec()), Some(0.1));
        assert_eq!(of("|i1", vec![0xfe]), Some(-2.0));
        assert_eq!(of("<i8", (-7i64).to_le_bytes().to_vec()), Some(-7.0));
        assert_eq!(of("<u4", u32::MAX.to_le_bytes().to_vec()), Some(4_294_967_295.0));
        assert_eq!(of("|b1", vec![1]), Some(1.0));
        assert!([">f4", "<c8", "|S3", "<M8"].iter().all(|descr| NumberKind::named(descr).is_none()));
    }

    #[test]
    fn rows_are_joined_and_cut() {
        let two = || array("|u1", &[2], 2, vec![1, 2, 3, 4]);
        let four = two().joined(array("|u1", &[2], 2, vec![5, 6, 7, 8])).expect("one shape");
        assert_eq!(four.shape(), "4x2");
        let cut = four.cut(1..3);
        assert_eq!((cut.rows, cut.bytes.as_slice()), (2, &[3, 4, 5, 6][..]));
        assert!(two().joined(array("|u1", &[1], 1, vec![5])).is_none());
        assert_eq!(two().cut(1..usize::MAX).numbers(0).collect::<Vec<_>>(), [3.0, 4.0]);
    }
}
