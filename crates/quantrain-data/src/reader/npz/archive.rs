//! Zip archives, as far as NumPy writes them: stored or deflated entries, below 4 GiB

use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

const END: &[u8] = b"PK\x05\x06";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// A file of an archive.
pub(in crate::reader) struct Entry {
    pub name: String,
    method: u16,
    /// CRC-32 of the unpacked bytes.
    checksum: u32,
    packed: usize,
    pub size: usize,
    local: usize,
}

/// The entries of an archive, by its directory at the end.
pub(super) fn entries(archive: &[u8]) -> Result<Vec<Entry>, String> {
    let damaged = || "its directory is damaged or cut off".to_owned();
    let tail = archive.len().saturating_sub(22 + usize::from(u16::MAX));
    let end = archive[tail..].windows(END.len()).rposition(|w| w == END).ok_or("it is no zip archive")? + tail;
    // The last field: without it the archive is cut off.
    u16_at(archive, end + 20).ok_or_else(damaged)?;
    let count = u16_at(archive, end + 10).ok_or_else(damaged)?;
    let mut at = u32_at(archive, end + 16).ok_or_else(damaged)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        if archive.get(at..at + 4) != Some(DIRECTORY) {
            return Err(damaged());
        }
        let short = |offset: usize| u16_at(archive, at + offset).map(usize::from).ok_or_else(damaged);
        let long = |offset: usize| u32_at(archive, at + offset).ok_or_else(damaged);
        let (name, extra, comment) = (short(28)?, short(30)?, short(32)?);
        let text = archive.get(at + 46..at + 46 + name).ok_or_else(damaged)?;
        let entry = Entry {
            name: String::from_utf8_lossy(text).into_owned(),
            method: u16_at(archive, at + 10).ok_or_else(damaged)?,
            checksum: u32::try_from(long(16)?).map_err(|_| damaged())?,
            packed: long(20)?,
            size: long(24)?,
            local: long(42)?,
        };
        if [entry.packed, entry.size, entry.local].contains(&(u32::MAX as usize)) {
            return Err(format!("`{}` has 4 GiB or more, which is not supported", entry.name));
        }
        entries.push(entry);
        at += 46 + name + extra + comment;
    }
    Ok(entries)
}

impl Entry {
    /// The bytes of this file.
    pub(super) fn read(&self, archive: &[u8]) -> Result<Vec<u8>, String> {
        let damaged = || format!("`{}` is damaged or cut off", self.name);
        if archive.get(self.local..self.local.saturating_add(4)) != Some(LOCAL) {
            return Err(damaged());
        }
        let short = |offset: usize| u16_at(archive, self.local + offset).map(usize::from).ok_or_else(damaged);
        let start = self.local + 30 + short(26)? + short(28)?;
        let packed = start.checked_add(self.packed).and_then(|end| archive.get(start..end)).ok_or_else(damaged)?;
        let bytes = match self.method {
            0 => packed.to_vec(),
            8 => {
                let mut bytes = Vec::new();
                let read = DeflateDecoder::new(packed).take(self.size as u64).read_to_end(&mut bytes);
                read.map_err(|_| damaged())?;
                bytes
            }
            other => return Err(format!("`{}` is packed by method {other}; NumPy's savez and savez_compressed are read", self.name)),
        };
        let mut checksum = Crc::new();
        checksum.update(&bytes);
        match bytes.len() == self.size && checksum.sum() == self.checksum {
            true => Ok(bytes),
            false => {
                Err(format!("`{}` is damaged: its length or checksum (CRC-32) is not that in the directory; fetch it again", self.name))
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize)
}
