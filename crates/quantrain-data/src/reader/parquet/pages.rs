//! Checks pages before the parquet crate decodes them
//!
//! Its PLAIN decoder of byte arrays panics where a length field is cut off, and its dictionaries
//! are allocated by the count in the header. Pages that pass here do neither.

use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

/// Bytes of a length field, and the least that a value of a dictionary takes.
const FIELD: usize = 4;

/// Pages that have been checked.
pub(super) struct Checked {
    pub pages: Box<dyn PageReader>,
    pub kind: Type,
    /// Whether values can be null, so that version 1 pages start with definition levels.
    pub nullable: bool,
}

impl Checked {
    fn check(&self, mut page: Page) -> Result<Page> {
        let arrays = self.kind == Type::BYTE_ARRAY;
        match &mut page {
            Page::DictionaryPage { buf, num_values, .. } => {
                let count = *num_values as usize;
                if count > buf.len() / FIELD || arrays && walk(buf, 0)? != count {
                    return Err(damaged("the dictionary has not as many values as it says"));
                }
            }
            Page::DataPage { buf, encoding: Encoding::PLAIN, .. } if arrays => {
                let levels = if self.nullable { field(buf, 0).map(|n| FIELD + n) } else { Some(0) };
                let start = levels.ok_or_else(|| damaged("the definition levels are cut off"))?;
                walk(buf, start)?;
                *buf = with_stop(buf).into();
            }
            Page::DataPageV2 { buf, encoding: Encoding::PLAIN, def_levels_byte_len, rep_levels_byte_len, .. } if arrays => {
                walk(buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)?;
                *buf = with_stop(buf).into();
            }
            _ => {}
        }
        Ok(page)
    }
}

/// The values of a page and a length that no page holds: a reader that wants more values than
/// there are finds an error instead of an end.
fn with_stop(values: &[u8]) -> Vec<u8> {
    [values, &[0xff; FIELD]].concat()
}

/// Counts the byte arrays from `start` on, each after its length; they must fill the page.
fn walk(page: &[u8], start: usize) -> Result<usize> {
    let (mut at, mut count) = (start, 0);
    while at < page.len() {
        let length = field(page, at).ok_or_else(|| damaged("a length is cut off"))?;
        at += FIELD + length;
        count += 1;
    }
    if at == page.len() { Ok(count) } else { Err(damaged("a value is cut off")) }
}

/// The little-endian number at `at`.
fn field(page: &[u8], at: usize) -> Option<usize> {
    let bytes = page.get(at..at.checked_add(FIELD)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(format!("damaged page: {what}"))
}

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.check(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}
