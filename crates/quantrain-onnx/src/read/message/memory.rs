//! What a file would take of memory once decoded: a message of two bytes can become a structure of two hundred.

use std::mem::size_of;

use crate::proto::*;

/// What messages may take beyond three times the file. A node takes some 300 bytes.
const ALLOWANCE: usize = 128 << 20;

/// Messages lie in each other so deep at most; the decoder refuses deeper ones.
const DEEPEST: usize = 100;

/// The bytes that decoding takes, where they are out of proportion to the file.
///
/// What is no well-formed message is left to the decoder.
pub(in crate::read) fn disproportion(file: &[u8]) -> Option<usize> {
    let mut taken = 0usize;
    weigh(Kind::Model, file, DEEPEST, &mut taken);
    (taken > file.len().saturating_mul(3).saturating_add(ALLOWANCE)).then_some(taken)
}

/// The messages that hold others.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    TensorShape,
    /// A message without messages in it.
    Leaf,
}

/// The message in a field, and what its structure takes.
fn message(kind: Kind, tag: u64) -> Option<(Kind, usize)> {
    Some(match (kind, tag) {
        (Kind::Model, 7) => (Kind::Graph, size_of::<GraphProto>()),
        (Kind::Model, 8) | (Kind::Function, 9) => (Kind::Leaf, size_of::<OperatorSetIdProto>()),
        (Kind::Model, 14) | (Kind::Tensor, 13) => (Kind::Leaf, size_of::<StringStringEntryProto>()),
        (Kind::Model, 25) => (Kind::Function, size_of::<FunctionProto>()),
        (Kind::Graph, 1) | (Kind::Function, 7) => (Kind::Node, size_of::<NodeProto>()),
        (Kind::Graph, 5) => (Kind::Tensor, size_of::<TensorProto>()),
        (Kind::Graph, 11 | 12) => (Kind::ValueInfo, size_of::<ValueInfoProto>()),
        (Kind::Node, 5) | (Kind::Function, 11) => (Kind::Attribute, size_of::<AttributeProto>()),
        (Kind::Attribute, 5) => (Kind::Tensor, size_of::<TensorProto>()),
        (Kind::Attribute, 6) => (Kind::Graph, size_of::<GraphProto>()),
        (Kind::ValueInfo, 2) => (Kind::Type, size_of::<TypeProto>()),
        (Kind::Type, 1) => (Kind::TensorType, size_of::<TensorTypeProto>()),
        (Kind::TensorType, 2) => (Kind::TensorShape, size_of::<TensorShapeProto>()),
        (Kind::TensorShape, 1) => (Kind::Leaf, size_of::<DimensionProto>()),
        _ => return None,
    })
}

/// Adds up what the fields of a message take; `None` where it is broken, or holds others deeper than `depth`.
fn weigh(kind: Kind, mut rest: &[u8], depth: usize, taken: &mut usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let (tag, size) = (key >> 3, size_of::<u64>());
        match key & 7 {
            0 => {
                varint(&mut rest)?;
                *taken = taken.saturating_add(size);
            }
            1 => rest = rest.get(8..)?,
            5 => rest = rest.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (field, after) = rest.split_at_checked(length)?;
                rest = after;
                match message(kind, tag) {
                    Some((kind, size)) => {
                        *taken = taken.saturating_add(size);
                        weigh(kind, field, depth, taken)?;
                    }
                    // Packed integers: a byte becomes a number of up to eight.
                    None if is_packed(kind, tag) => *taken = taken.saturating_add(length.saturating_mul(size)),
                    None => *taken = taken.saturating_add(length.saturating_add(size_of::<String>())),
                }
            }
            _ => return None,
        }
    }
    Some(())
}

fn is_packed(kind: Kind, tag: u64) -> bool {
    matches!((kind, tag), (Kind::Attribute, 8) | (Kind::Tensor, 1 | 5 | 7 | 11))
}

/// A number of seven bits a byte, the last without the eighth.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..10 {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 127).checked_shl(7 * place).unwrap_or(0);
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{ModelFixture, networks};

    #[test]
    fn empty_messages_take_more_than_they_are_worth() {
        // Field 7 of a model, a graph of empty nodes: two bytes each.
        let nodes = [0x0a, 0].repeat(4 << 20);
        let mut file = vec![0x08, 0x08, 0x3a];
        let mut length = nodes.len();
        while length > 127 {
            file.push(u8::try_from(length & 127).unwrap() | 128);
            length >>= 7;
        }
        file.push(u8::try_from(length).unwrap());
        file.extend(nodes);
        assert!(disproportion(&file).is_some_and(|taken| taken > 400 << 20));
        let error = crate::read_bytes("f.onnx", &file).unwrap_err();
        assert!(error.to_string().contains("bytes of memory"), "{error}");
    }

    #[test]
    fn networks_are_in_proportion() {
        let model = (0..1000).fold(ModelFixture::new(13, &[0, 4]), |m, i| m.node("Relu", &["x"], &format!("y{i}"), vec![]));
        assert_eq!(disproportion(&model.bytes()), None);
        assert_eq!(disproportion(b"no model"), None);
        for entry in std::fs::read_dir(networks()).into_iter().flatten().flatten() {
            assert_eq!(disproportion(&std::fs::read(entry.path()).unwrap()), None, "{}", entry.path().display());
        }
    }
}
