//! A tree of tables as a FlatBuffer, written from front to back.
//!
//! The format is small (flatbuffers.dev, "Internals"), and bytes of tensors must begin at multiples of 16, which the crate `flatbuffers` has no
//! safe way to ask for.

/// A table: its fields by their numbers in the schema. What is missing has the schema's default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Vec<(usize, Value)>);

/// What a field holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Byte(i8),
    Int(i32),
    Text(String),
    /// Aligned to 16 bytes.
    Bytes(Vec<u8>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Floats(Vec<f32>),
    Table(Table),
    Tables(Vec<Table>),
}

impl Table {
    pub fn new(fields: impl IntoIterator<Item = (usize, Value)>) -> Self {
        Table(fields.into_iter().collect())
    }
}

/// The bytes of a file whose root is `table`.
pub(crate) fn file(table: &Table, identifier: &[u8; 4]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(identifier);
    let root = write_table(table, &mut out);
    patch(&mut out, 0, root);
    out
}

/// Fills with zeros until what follows `ahead` more bytes is aligned.
fn align(out: &mut Vec<u8>, ahead: usize, to: usize) {
    out.resize((out.len() + ahead).next_multiple_of(to) - ahead, 0);
}

/// Writes the distance from `at` to `target`.
fn patch(out: &mut [u8], at: usize, target: usize) {
    out[at..at + 4].copy_from_slice(&((target - at) as u32).to_le_bytes());
}

/// Writes a table behind its own list of fields; gives its place.
fn write_table(Table(fields): &Table, out: &mut Vec<u8>) -> usize {
    let slots = fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
    // Words first, single bytes behind them.
    let mut places = vec![0u16; slots];
    let mut size = 4;
    for words in [true, false] {
        for (slot, _) in fields.iter().filter(|(_, v)| matches!(v, Value::Byte(_)) != words) {
            places[*slot] = size as u16;
            size += if words { 4 } else { 1 };
        }
    }
    let list = 4 + 2 * slots;
    align(out, list, 4);
    out.extend((list as u16).to_le_bytes());
    out.extend((size as u16).to_le_bytes());
    places.iter().for_each(|place| out.extend(place.to_le_bytes()));
    let table = out.len();
    out.extend((list as i32).to_le_bytes());
    out.resize(table + size, 0);
    for (slot, value) in fields {
        let at = table + usize::from(places[*slot]);
        match value {
            Value::Byte(value) => out[at] = *value as u8,
            Value::Int(value) => out[at..at + 4].copy_from_slice(&value.to_le_bytes()),
            child => {
                let place = write_child(child, out);
                patch(out, at, place);
            }
        }
    }
    table
}

/// Writes what a field points to; gives its place.
fn write_child(value: &Value, out: &mut Vec<u8>) -> usize {
    fn vector<const N: usize>(out: &mut Vec<u8>, alignment: usize, items: impl ExactSizeIterator<Item = [u8; N]>) -> usize {
        align(out, 4, alignment);
        let at = out.len();
        out.extend((items.len() as u32).to_le_bytes());
        items.for_each(|item| out.extend(item));
        at
    }
    match value {
        Value::Byte(_) | Value::Int(_) => unreachable!("numbers lie in their table"),
        Value::Text(text) => {
            let at = vector(out, 4, text.bytes().map(|b| [b]));
            out.push(0);
            at
        }
        Value::Bytes(bytes) => vector(out, 16, bytes.iter().map(|b| [*b])),
        Value::Ints(values) => vector(out, 4, values.iter().map(|v| v.to_le_bytes())),
        Value::Longs(values) => vector(out, 8, values.iter().map(|v| v.to_le_bytes())),
        Value::Floats(values) => vector(out, 4, values.iter().map(|v| v.to_le_bytes())),
        Value::Table(table) => write_table(table, out),
        Value::Tables(tables) => {
            let at = vector(out, 4, tables.iter().map(|_| [0; 4]));
            for (i, table) in tables.iter().enumerate() {
                let place = write_table(table, out);
                patch(out, at + 4 + 4 * i, place);
            }
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// Where a field of the table at `table` lies; `None` where the table has none.
    fn field(bytes: &[u8], table: usize, slot: usize) -> Option<usize> {
        let list = table - word(bytes, table);
        let half = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        (4 + 2 * slot < half(list)).then(|| half(list + 4 + 2 * slot)).filter(|place| *place > 0).map(|place| table + place)
    }

    #[test]
    fn fields_are_found_where_the_format_says_and_bytes_are_aligned() {
        let inner = Table::new([(1, Value::Longs(vec![-5, 7])), (0, Value::Byte(3))]);
        let data = |n: u8| Table::new([(0, Value::Bytes(vec![n; 5]))]);
        let root = Table::new([
            (0, Value::Int(-9)),
            (2, Value::Text("four".into())),
            (3, Value::Tables(vec![data(1), data(2), inner])),
            (5, Value::Floats(vec![0.5])),
        ]);
        let bytes = file(&root, b"TEST");
        assert_eq!(bytes[4..8], *b"TEST");
        let table = word(&bytes, 0);
        let follow = |at: usize| at + word(&bytes, at);
        assert_eq!(word(&bytes, field(&bytes, table, 0).unwrap()) as u32, -9i32 as u32);
        assert_eq!((field(&bytes, table, 1), field(&bytes, table, 9)), (None, None));
        let text = follow(field(&bytes, table, 2).unwrap());
        assert_eq!((word(&bytes, text), &bytes[text + 4..text + 9]), (4, &b"four\0"[..]));
        let tables = follow(field(&bytes, table, 3).unwrap());
        assert_eq!(word(&bytes, tables), 3);
        for n in 1..3u8 {
            let data = follow(field(&bytes, follow(tables + 4 * usize::from(n)), 0).unwrap());
            assert_eq!(((data + 4) % 16, word(&bytes, data), bytes[data + 4]), (0, 5, n));
        }
        let inner = follow(tables + 12);
        assert_eq!(bytes[field(&bytes, inner, 0).unwrap()], 3);
        let longs = follow(field(&bytes, inner, 1).unwrap());
        assert_eq!(((longs + 4) % 8, i64::from_le_bytes(bytes[longs + 4..longs + 12].try_into().unwrap())), (0, -5));
    }
}
