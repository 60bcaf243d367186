//! Zip archives, as far as NumPy writes them: stored or deflated entries, below 4 GiB

use std::io::Read;

use flate2::read::DeflateDecoder;

/// Bytes of an entry for each byte of it in the archive, beyond which the directory is taken for a lie; DEFLATE stays below.
const MAX_INFLATION: usize = 1100;

const END: &[u8] = b"PK\x05\x06";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// A file of an archive.
pub(super) struct Entry {
    pub name: String,
    method: u16,
    packed: usize,
    size: usize,
    local: usize,
}

/// The entries of an archive, by its directory at the end.
pub(super) fn entries(archive: &[u8]) -> Result<Vec<Entry>, String> {
    let damaged = || "its directory is damaged or cut off".to_owned();
    let tail = archive.len().saturating_sub(22 + usize::from(u16::MAX));
    let end = archive[tail..].windows(END.len()).rposition(|w| w == END).ok_or("it is no zip archive")? + tail;
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
        match self.method {
            0 => Ok(packed.to_vec()),
            8 if self.size > packed.len().saturating_mul(MAX_INFLATION) => Err(damaged()),
            8 => {
                let mut bytes = Vec::with_capacity(self.size);
                let read = DeflateDecoder::new(packed).take(self.size as u64).read_to_end(&mut bytes);
                if read.is_ok_and(|read| read == self.size) { Ok(bytes) } else { Err(damaged()) }
            }
            other => Err(format!("`{}` is packed by method {other}; NumPy's savez and savez_compressed are read", self.name)),
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize)
}
