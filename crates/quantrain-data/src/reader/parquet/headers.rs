//! What the pages of a column unpack to, before the parquet crate unpacks them
//!
//! It allocates what the header of a page claims, up to 2 GiB, and unpacks gzip to its end. The headers are structs of Thrift's compact
//! protocol (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>); only their sizes are read here.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

/// Structs lie in each other so deep at most.
const DEEPEST: usize = 16;

/// What the header of a page says of sizes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    unpacked: u64,
    packed: u64,
    /// Of a page of version 2: bytes before what is packed.
    levels: u64,
}

/// Bytes that the pages in `length` bytes from `start` on claim, or with gzip unpack to; it ends beyond `limit`.
///
/// # Errors
/// A header is damaged, or the file cannot be read.
pub(super) fn unpacked(file: impl Read + Seek, start: u64, length: u64, gzip: bool, limit: u64) -> io::Result<u64> {
    let mut file = BufReader::with_capacity(1024, file);
    let (mut at, end, mut sum) = (start, start.saturating_add(length), 0u64);
    while at < end && sum <= limit {
        file.seek(SeekFrom::Start(at))?;
        let mut rest = file.by_ref().take(end - at);
        let header = Header::read(&mut rest)?;
        at = end - rest.limit();
        sum = sum.saturating_add(header.unpacked);
        if gzip && sum <= limit {
            file.seek(SeekFrom::Start(at.saturating_add(header.levels)))?;
            let packed = file.by_ref().take(header.packed.saturating_sub(header.levels));
            // What is more than the header says is found, not held; what is no gzip is left to the decoder.
            let room = (limit - sum).saturating_add(header.unpacked).saturating_add(1);
            let found = io::copy(&mut MultiGzDecoder::new(packed).take(room), &mut io::sink()).unwrap_or(0);
            sum = sum.saturating_add(found.saturating_sub(header.unpacked));
        }
        at = at.saturating_add(header.packed);
    }
    Ok(sum)
}

impl Header {
    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut header = Header::default();
        fields(from, 0, &mut |from, depth, field, kind| {
            let size = |from: &mut _| Ok::<_, io::Error>(u64::try_from(zigzag(from)?).unwrap_or(u64::MAX));
            match (depth, field, kind) {
                (0, 2, 5) => header.unpacked = size(from)?,
                (0, 3, 5) => header.packed = size(from)?,
                (0, 8, 12) => fields(from, 1, &mut |from, _, field, kind| match (field, kind) {
                    (5 | 6, 5) => {
                        header.levels = header.levels.saturating_add(u64::try_from(zigzag(from)?).unwrap_or(u64::MAX));
                        Ok(())
                    }
                    _ => skip(from, kind, 2),
                })?,
                _ => skip(from, kind, depth + 1)?,
            }
            Ok(())
        })?;
        Ok(header)
    }
}

type Visit<'v, R> = &'v mut dyn FnMut(&mut R, usize, i64, u8) -> io::Result<()>;

/// Calls `visit` with each field of a struct: its number and the kind of its value, which it must read.
fn fields<R: BufRead>(from: &mut R, depth: usize, visit: Visit<R>) -> io::Result<()> {
    let mut field = 0i64;
    loop {
        let start = byte(from)?;
        let kind = start & 15;
        if start == 0 {
            return Ok(());
        }
        field = match start >> 4 {
            0 => zigzag(from)?,
            step => field.saturating_add(step.into()),
        };
        visit(from, depth, field, kind)?;
    }
}

/// Reads over a value.
fn skip<R: BufRead>(from: &mut R, kind: u8, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(damaged("structs lie in each other too deep"));
    }
    match kind {
        1 | 2 => Ok(()),
        3 => byte(from).map(drop),
        4..=6 => varint(from).map(drop),
        7 => skip_bytes(from, 8),
        8 => {
            let length = varint(from)?;
            skip_bytes(from, length)
        }
        9 | 10 => {
            let start = byte(from)?;
            let count = if start >> 4 == 15 { varint(from)? } else { u64::from(start >> 4) };
            // A truth takes a byte here, unlike in a struct.
            let kind = if matches!(start & 15, 1 | 2) { 3 } else { start & 15 };
            (0..count).try_for_each(|_| skip(from, kind, depth + 1))
        }
        11 => {
            let count = varint(from)?;
            let kinds = if count > 0 { byte(from)? } else { 0 };
            let of = |kind: u8| if matches!(kind, 1 | 2) { 3 } else { kind };
            (0..count).try_for_each(|_| {
                skip(from, of(kinds >> 4), depth + 1)?;
                skip(from, of(kinds & 15), depth + 1)
            })
        }
        12 => fields(from, depth, &mut |from, depth, _, kind| skip(from, kind, depth + 1)),
        _ => Err(damaged("a value of no kind")),
    }
}

fn skip_bytes(from: &mut impl BufRead, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut from.take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn byte(from: &mut impl BufRead) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A number of seven bits a byte, the last without the eighth.
fn varint(from: &mut impl BufRead) -> io::Result<u64> {
    let mut value = 0u64;
    for place in 0..10 {
        let byte = byte(from)?;
        value |= u64::from(byte & 127) << (7 * place).min(63);
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(damaged("a number has no end"))
}

/// A signed number: 0, −1, 1, −2, 2 and so on.
fn zigzag(from: &mut impl BufRead) -> io::Result<i64> {
    let value = varint(from)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("a page header is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A data page's header: type 0, so many bytes unpacked and packed, and a struct of a count and an encoding.
    fn header(unpacked: u64, packed: u64) -> Vec<u8> {
        let number = |value: u64| {
            let (mut rest, mut bytes) = (value << 1, Vec::new());
            while rest > 127 {
                bytes.push((rest & 127) as u8 | 128);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            bytes
        };
        [&[0x15, 0][..], &[0x15], &number(unpacked), &[0x15], &number(packed), &[0x2c, 0x15, 8, 0x15, 0, 0], &[0]].concat()
    }

    fn of(bytes: &[u8], gzip: bool, limit: u64) -> io::Result<u64> {
        unpacked(Cursor::new(bytes), 0, bytes.len() as u64, gzip, limit)
    }

    #[test]
    fn sizes_of_pages_add_up() {
        let two = [header(1000, 3), vec![7; 3], header(200, 2), vec![7; 2]].concat();
        assert_eq!(of(&two, false, 1 << 20).unwrap(), 1200);
        let lie = [header(2_000_000_000, 3), vec![7; 3]].concat();
        assert_eq!(of(&lie, false, 1 << 20).unwrap(), 2_000_000_000);
        assert!(of(&two[..4], false, 1 << 20).is_err());
        assert!(of(&[0x1c; 100], false, 1 << 20).is_err());
    }

    #[test]
    fn what_gzip_unpacks_to_beyond_its_header_counts() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 5_000_000]).unwrap();
        let packed = encoder.finish().unwrap();
        let page = [header(10, packed.len() as u64), packed].concat();
        assert_eq!(of(&page, true, 1 << 24).unwrap(), 5_000_000);
        assert!(of(&page, true, 1 << 20).unwrap() > 1 << 20);
        assert_eq!(of(&page, false, 1 << 20).unwrap(), 10);
    }
}
