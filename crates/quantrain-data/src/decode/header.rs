//! What an encoded image says before its pixels: size and orientation; and whether its end is there

use std::io::{BufRead, Read, Seek, SeekFrom};

use super::{DecodeError, check_size};
use crate::orientation::Orientation;
use crate::{Exif, Glance};

/// The header of a JPEG or PNG.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Height and width as stored; zero where no header tells.
    pub size: [usize; 2],
    pub orientation: Orientation,
}

impl Header {
    /// What it says of the image as it will be decoded.
    pub(crate) fn glance(self, exif: Exif) -> Glance {
        let orientation = if exif == Exif::Apply { self.orientation } else { Orientation::default() };
        let size = Some(orientation.size(self.size)).filter(|size| *size != [0, 0]);
        Glance { size, turned: !orientation.is_upright() }
    }
}

pub(super) const JPEG: [u8; 2] = [0xff, 0xd8];
pub(super) const PNG: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Bytes at the end in which the end marker is looked for first.
const TAIL: u64 = 4096;

/// Reads a header, and looks for the end of the file, without decoding.
///
/// # Errors
/// Neither JPEG nor PNG, a size that is refused, a missing end.
pub(crate) fn read(mut file: impl BufRead + Seek) -> Result<Header, DecodeError> {
    let mut start = Vec::new();
    let failed = |_| DecodeError::Truncated { kind: "image", length: 0 };
    file.by_ref().take(PNG.len() as u64).read_to_end(&mut start).map_err(failed)?;
    let is_jpeg = start.starts_with(&JPEG);
    if !is_jpeg && start != PNG {
        return Err(DecodeError::Format { start: start.into_iter().take(4).collect() });
    }
    let header = if is_jpeg { jpeg(&mut file) } else { png(&mut file) }.unwrap_or_default();
    if header.size != [0, 0] {
        check_size(header.size[1], header.size[0])?;
    }
    let (kind, end): (_, &[u8]) = if is_jpeg { ("JPEG", &[0xff, 0xd9]) } else { ("PNG", b"IEND") };
    let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let ends = |from: u64, file: &mut dyn ReadSeek| -> std::io::Result<bool> {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(length).read_to_end(&mut tail)?;
        Ok(tail.windows(end.len()).any(|window| window == end))
    };
    match ends(length.saturating_sub(TAIL), &mut file).and_then(|found| Ok(found || ends(2, &mut file)?)) {
        Ok(true) => Ok(header),
        _ => Err(DecodeError::Truncated { kind, length: usize::try_from(length).unwrap_or(usize::MAX) }),
    }
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// The orientation alone, of a whole file in memory; upright where none is told.
pub(super) fn orientation(bytes: &[u8]) -> Orientation {
    let mut file = std::io::Cursor::new(bytes);
    file.set_position(if bytes.starts_with(&JPEG) { 2 } else { PNG.len() as u64 });
    let header = if bytes.starts_with(&JPEG) { jpeg(&mut file) } else { png(&mut file) };
    header.unwrap_or_default().orientation
}

/// Walks the segments up to the first scan.
fn jpeg(file: &mut (impl Read + Seek)) -> Option<Header> {
    file.seek(SeekFrom::Start(2)).ok()?;
    let (mut header, mut oriented) = (Header::default(), false);
    loop {
        let mut byte = [0; 1];
        while byte[0] != 0xff {
            if file.read_exact(&mut byte).is_err() {
                return Some(header);
            }
        }
        while byte[0] == 0xff {
            if file.read_exact(&mut byte).is_err() {
                return Some(header);
            }
        }
        match byte[0] {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            // The first scan, or the end.
            0xda | 0xd9 => return Some(header),
            _ => {}
        }
        let Some(length) = u16_be(file) else { return Some(header) };
        let length = u64::from(length).saturating_sub(2);
        let next = file.stream_position().ok()?.checked_add(length)?;
        match byte[0] {
            0xc0..=0xcf if !matches!(byte[0], 0xc4 | 0xc8 | 0xcc) && header.size == [0, 0] => {
                let mut frame = [0; 5];
                if file.read_exact(&mut frame).is_ok() {
                    header.size = [usize::from(frame[1]) << 8 | usize::from(frame[2]), usize::from(frame[3]) << 8 | usize::from(frame[4])];
                }
            }
            0xe1 if !oriented => {
                let mut segment = Vec::new();
                file.by_ref().take(length).read_to_end(&mut segment).ok()?;
                if segment.starts_with(b"Exif\0\0") {
                    oriented = true;
                    header.orientation = Orientation::parse(&segment).unwrap_or_default();
                }
            }
            _ => {}
        }
        file.seek(SeekFrom::Start(next)).ok()?;
    }
}

/// Walks the chunks; `eXIf` may stand before or after the pixels.
fn png(file: &mut (impl Read + Seek)) -> Option<Header> {
    file.seek(SeekFrom::Start(PNG.len() as u64)).ok()?;
    let mut header = Header::default();
    loop {
        let mut start = [0; 8];
        if file.read_exact(&mut start).is_err() {
            return Some(header);
        }
        let [a, b, c, d, kind @ ..] = start;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        // The bytes of the chunk, then its checksum.
        let next = file.stream_position().ok()?.checked_add(length + 4)?;
        match &kind {
            b"IHDR" => {
                let mut size = [0; 8];
                file.read_exact(&mut size).ok()?;
                let [a, b, c, d, e, f, g, h] = size;
                header.size = [u32::from_be_bytes([e, f, g, h]) as usize, u32::from_be_bytes([a, b, c, d]) as usize];
            }
            b"eXIf" => {
                let mut tiff = Vec::new();
                file.by_ref().take(length).read_to_end(&mut tiff).ok()?;
                header.orientation = Orientation::parse(&tiff).unwrap_or_default();
            }
            b"IEND" => return Some(header),
            _ => {}
        }
        file.seek(SeekFrom::Start(next)).ok()?;
    }
}

fn u16_be(file: &mut impl Read) -> Option<u16> {
    let mut bytes = [0; 2];
    file.read_exact(&mut bytes).ok()?;
    Some(u16::from_be_bytes(bytes))
}
