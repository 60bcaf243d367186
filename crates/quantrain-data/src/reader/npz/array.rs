//! NumPy arrays: a header in the syntax of a Python dictionary, then the values

/// An array in C order.
pub(super) struct Array {
    /// NumPy's name of the type: byte order, kind, bytes (`|u1`, `<i8`).
    pub kind: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Extents as people write them, 10x28x28.
pub(super) fn extents_of(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

impl Array {
    pub(super) fn parse(file: Vec<u8>) -> Result<Self, String> {
        let broken = || "the header of an array is damaged".to_owned();
        if !file.starts_with(MAGIC) {
            return Err("an entry is no NumPy array".into());
        }
        let (start, length) = match (file.get(6), file.get(8..10), file.get(8..12)) {
            (Some(1), Some(&[a, b]), _) => (10, usize::from(u16::from_le_bytes([a, b]))),
            (Some(2 | 3), _, Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
            _ => return Err(broken()),
        };
        let end = start + length;
        let header = file.get(start..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(broken)?;
        let after = |key: &str| header.split_once(key).and_then(|(_, rest)| rest.split_once(':')).map(|(_, value)| value.trim_start());
        let kind = after("'descr'").and_then(|v| v.strip_prefix('\'')?.split('\'').next()).ok_or_else(broken)?.to_owned();
        if !after("'fortran_order'").is_some_and(|v| v.starts_with("False")) {
            return Err("an array is in Fortran order; save it in C order".into());
        }
        let extents = after("'shape'").and_then(|v| v.strip_prefix('(')?.split(')').next()).ok_or_else(broken)?;
        let extents = extents.split(',').map(str::trim).filter(|e| !e.is_empty());
        let shape = extents.map(|e| e.parse().map_err(|_| broken())).collect::<Result<Vec<usize>, _>>()?;
        let width: usize = kind.get(2..).and_then(|w| w.parse().ok()).ok_or_else(broken)?;
        let expected = shape.iter().try_fold(width, |n, &extent| n.checked_mul(extent));
        let bytes = file[end..].to_vec();
        if expected != Some(bytes.len()) {
            return Err(format!("an array of shape {} and type {kind} has {} bytes", extents_of(&shape), bytes.len()));
        }
        Ok(Array { kind, shape, bytes })
    }

    /// The values of an array of integers.
    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        let width = self.kind.get(2..)?.parse().ok().filter(|w| matches!(w, 1 | 2 | 4 | 8))?;
        let signed = match self.kind.get(..2)? {
            "|u" | "<u" => false,
            "|i" | "<i" => true,
            _ => return None,
        };
        let value = |bytes: &[u8]| {
            let fill = if signed && bytes.last().is_some_and(|b| *b >= 128) { 0xff } else { 0 };
            let mut whole = [fill; 8];
            whole[..width].copy_from_slice(bytes);
            i64::from_le_bytes(whole)
        };
        Some(self.bytes.chunks_exact(width).map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(header: &str, bytes: &[u8]) -> Result<Array, String> {
        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(bytes);
        Array::parse(file)
    }

    #[test]
    fn integers_keep_their_sign() {
        let signed = array("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", &[0xfe, 0xff, 3, 1]).expect("an array");
        assert_eq!((signed.shape.as_slice(), signed.integers()), (&[2][..], Some(vec![-2, 259])));
        let bytes = array("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2), }", &[200, 1]).expect("an array");
        assert_eq!(bytes.integers(), Some(vec![200, 1]));
        let float = array("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", &[0; 4]).expect("an array");
        assert_eq!(float.integers(), None);
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        for (header, bytes) in [
            ("{'descr': '|u1', 'fortran_order': True, 'shape': (1,), }", 1),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", 1),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (x,), }", 1),
            ("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,), }", 1),
            ("", 0),
        ] {
            assert!(array(header, &vec![0; bytes]).is_err(), "{header}");
        }
        assert!(Array::parse(MAGIC.to_vec()).is_err());
    }
}
