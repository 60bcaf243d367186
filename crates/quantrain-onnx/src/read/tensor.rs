//! Decodes the data of a TensorProto: raw little-endian bytes, or one of its typed lists.

use quantrain_graph::ElementType;

use super::array::Array;
use super::message::external::EXTERNAL;
use super::number;
use crate::TensorError;
use crate::proto::{TensorProto, data_type};

/// The largest extent and the largest number of elements, of one sample, that the reader admits.
pub(super) const LARGEST_EXTENT: i64 = 0x7fff_ffff;
pub(super) const MOST_ELEMENTS: usize = 1 << 31;
/// The largest number of axes.
pub(super) const MOST_AXES: usize = 16;

/// Checks extents and the amount of data, without decoding any.
pub(super) fn check(tensor: &TensorProto) -> Result<(), TensorError> {
    data(tensor).map(|_| ())
}

/// The element type.
pub(super) fn element_type(tensor: &TensorProto) -> i32 {
    tensor.data_type.unwrap_or(0)
}

/// Number of elements by the extents.
pub(super) fn elements(tensor: &TensorProto) -> usize {
    tensor.dims.iter().fold(1usize, |n, &d| n.saturating_mul(usize::try_from(d).unwrap_or(0)))
}

/// Whether the elements are floats, or of a type that is not read.
pub(super) fn is_float(tensor: &TensorProto) -> bool {
    !matches!(
        element_type(tensor),
        data_type::UINT8
            | data_type::INT8
            | data_type::UINT16
            | data_type::INT16
            | data_type::INT32
            | data_type::INT64
            | data_type::UINT32
            | data_type::UINT64
            | data_type::BOOL
            | data_type::UINT4
            | data_type::INT4
    )
}

/// The type of an input or output.
pub(super) fn element_type_of(kind: i32) -> Option<ElementType> {
    Some(match kind {
        data_type::FLOAT => ElementType::Float,
        data_type::DOUBLE => ElementType::Double,
        data_type::FLOAT16 => ElementType::Float16,
        data_type::BFLOAT16 => ElementType::BFloat16,
        data_type::INT8 => ElementType::Int8,
        data_type::UINT8 => ElementType::Uint8,
        data_type::INT16 => ElementType::Int16,
        data_type::UINT16 => ElementType::Uint16,
        data_type::INT32 => ElementType::Int32,
        data_type::UINT32 => ElementType::Uint32,
        data_type::INT64 => ElementType::Int64,
        data_type::UINT64 => ElementType::Uint64,
        data_type::BOOL => ElementType::Bool,
        _ => return None,
    })
}

/// The extents.
pub(super) fn extents(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().filter_map(|&d| usize::try_from(d).ok()).collect()
}

/// The elements as they are, little-endian.
pub(super) fn bytes(tensor: &TensorProto) -> Result<Vec<u8>, TensorError> {
    let (_, data) = data(tensor)?;
    let Data::Listed = data else { return Ok(tensor.raw_data.clone().unwrap_or_default()) };
    let narrow = |bytes: usize| tensor.int32_data.iter().flat_map(move |v| v.to_le_bytes().into_iter().take(bytes)).collect();
    Ok(match element_type(tensor) {
        data_type::FLOAT => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        data_type::DOUBLE => tensor.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        data_type::INT64 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        data_type::UINT64 => tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        data_type::UINT32 => tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(4)).collect(),
        data_type::INT32 => narrow(4),
        data_type::INT16 | data_type::UINT16 | data_type::FLOAT16 | data_type::BFLOAT16 => narrow(2),
        _ => narrow(1),
    })
}

/// The types whose values are computed in float32.
pub(super) fn is_float_type(kind: i32) -> bool {
    matches!(kind, data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16)
}

/// The values of a float tensor, as float32.
pub(super) fn floats(tensor: &TensorProto) -> Result<Array<f32>, TensorError> {
    let (shape, data) = data(tensor)?;
    // Types of two bytes are listed as integers.
    let listed = || tensor.int32_data.iter().map(|v| u16::try_from(v & 0xffff).unwrap_or(0));
    let values = match (element_type(tensor), data) {
        (data_type::FLOAT, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        (data_type::FLOAT, Data::Listed) => tensor.float_data.clone(),
        (data_type::DOUBLE, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| number::narrow(f64::from_le_bytes(b))).collect(),
        (data_type::DOUBLE, Data::Listed) => tensor.double_data.iter().map(|&x| number::narrow(x)).collect(),
        (data_type::FLOAT16, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| number::half(u16::from_le_bytes(b))).collect(),
        (data_type::FLOAT16, Data::Listed) => listed().map(number::half).collect(),
        (data_type::BFLOAT16, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| number::brain(u16::from_le_bytes(b))).collect(),
        (data_type::BFLOAT16, Data::Listed) => listed().map(number::brain).collect(),
        (other, _) => return Err(TensorError::Type { found: data_type::name(other), expected: "FLOAT, DOUBLE, FLOAT16 or BFLOAT16" }),
    };
    Ok(Array { shape, values })
}

/// The values of an integer tensor.
pub(super) fn integers(tensor: &TensorProto) -> Result<Array<i64>, TensorError> {
    let (shape, data) = data(tensor)?;
    let kind = element_type(tensor);
    let values: Vec<i64> = match (kind, data) {
        (data_type::INT4 | data_type::UINT4, data) => {
            let bytes: Vec<u8> = match data {
                Data::Raw(raw) => raw.to_vec(),
                Data::Listed => tensor.int32_data.iter().map(|&v| u8::try_from(v & 0xff).unwrap_or(0)).collect(),
            };
            let nibbles = bytes.iter().flat_map(|b| [b & 15, b >> 4]).map(i64::from);
            let signed = |n: i64| if kind == data_type::INT4 && n > 7 { n - 16 } else { n };
            nibbles.take(shape.iter().product()).map(signed).collect()
        }
        (data_type::UINT8 | data_type::BOOL, Data::Raw(raw)) => raw.iter().map(|&b| i64::from(b)).collect(),
        (data_type::INT8, Data::Raw(raw)) => raw.iter().map(|&b| i64::from(b.cast_signed())).collect(),
        (data_type::UINT16, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| i64::from(u16::from_le_bytes(b))).collect(),
        (data_type::INT16, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| i64::from(i16::from_le_bytes(b))).collect(),
        (data_type::UINT32, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| i64::from(u32::from_le_bytes(b))).collect(),
        (data_type::INT32, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect(),
        (data_type::INT64, Data::Raw(raw)) => raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        (data_type::UINT64, Data::Raw(raw)) => {
            raw.as_chunks().0.iter().map(|&b| i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX)).collect()
        }
        (data_type::INT64, Data::Listed) => tensor.int64_data.clone(),
        (data_type::UINT32 | data_type::UINT64, Data::Listed) => {
            tensor.uint64_data.iter().map(|&v| i64::try_from(v).unwrap_or(i64::MAX)).collect()
        }
        (data_type::UINT8 | data_type::INT8 | data_type::UINT16 | data_type::INT16 | data_type::INT32 | data_type::BOOL, Data::Listed) => {
            tensor.int32_data.iter().map(|&v| i64::from(v)).collect()
        }
        (other, _) => return Err(TensorError::Type { found: data_type::name(other), expected: "integers" }),
    };
    let limits = data_type::code_limits(kind).map_or(i64::MIN..=i64::MAX, |(low, high)| i64::from(low)..=i64::from(high));
    match values.iter().find(|v| !limits.contains(v)) {
        Some(&value) => Err(TensorError::Value { value }),
        None => Ok(Array { shape, values }),
    }
}

/// Where the values are.
#[derive(Clone, Copy)]
enum Data<'t> {
    Raw(&'t [u8]),
    Listed,
}

fn data_kind(tensor: &TensorProto) -> Data<'_> {
    tensor.raw_data.as_deref().filter(|raw| !raw.is_empty()).map_or(Data::Listed, Data::Raw)
}

fn data(tensor: &TensorProto) -> Result<(Vec<usize>, Data<'_>), TensorError> {
    if tensor.data_location == Some(EXTERNAL) || !tensor.external_data.is_empty() {
        let location = tensor.external_data.iter().find(|e| e.key.as_deref() == Some("location")).and_then(|e| e.value.clone());
        return Err(TensorError::External {
            location: location.unwrap_or_default(),
            problem: "only the model's own bytes are at hand".into(),
        });
    }
    if tensor.dims.len() > MOST_AXES {
        return Err(TensorError::Rank { found: tensor.dims.len() });
    }
    let extents = || TensorError::Extents { dims: tensor.dims.clone() };
    let extent = |&d: &i64| usize::try_from(d).ok().filter(|_| d <= LARGEST_EXTENT).ok_or_else(extents);
    let shape = tensor.dims.iter().map(extent).collect::<Result<Vec<_>, _>>()?;
    let elements = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n)).filter(|&n| n <= MOST_ELEMENTS).ok_or_else(extents)?;
    let kind = element_type(tensor);
    let data = data_kind(tensor);
    let (found, expected, unit) = match data {
        Data::Raw(raw) => {
            let bytes = match kind {
                data_type::UINT8 | data_type::INT8 | data_type::BOOL => elements,
                data_type::UINT16 | data_type::INT16 | data_type::FLOAT16 | data_type::BFLOAT16 => elements * 2,
                data_type::INT32 | data_type::UINT32 | data_type::FLOAT => elements * 4,
                data_type::INT64 | data_type::UINT64 | data_type::DOUBLE => elements * 8,
                data_type::INT4 | data_type::UINT4 => elements.div_ceil(2),
                // Refused by its type where it is used.
                _ => raw.len(),
            };
            (raw.len(), bytes, "bytes")
        }
        Data::Listed => {
            let (found, expected) = match kind {
                data_type::FLOAT => (tensor.float_data.len(), elements),
                data_type::DOUBLE => (tensor.double_data.len(), elements),
                data_type::INT64 => (tensor.int64_data.len(), elements),
                data_type::UINT32 | data_type::UINT64 => (tensor.uint64_data.len(), elements),
                data_type::INT4 | data_type::UINT4 => (tensor.int32_data.len(), elements.div_ceil(2)),
                data_type::UINT8
                | data_type::INT8
                | data_type::UINT16
                | data_type::INT16
                | data_type::INT32
                | data_type::BOOL
                | data_type::FLOAT16
                | data_type::BFLOAT16 => (tensor.int32_data.len(), elements),
                _ => (0, 0),
            };
            (found, expected, "values")
        }
    };
    if found == expected { Ok((shape, data)) } else { Err(TensorError::Length { found, unit, expected }) }
}
