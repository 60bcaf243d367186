//! Arrays of others: NumPy's through `__array_interface__`, tensors of any library through DLPack. Neither library is needed here.

use dlpark::ffi::DLDeviceType;
use dlpark::python::{ImportRequest, ImportedDlpack};
use pyo3::prelude::*;
use quantrain::Feed;

use crate::failure::{Kind, raise};

/// A real array: extents as in ONNX, and values that lie row-major or channels last.
pub struct Incoming {
    pub shape: Vec<usize>,
    values: Values,
    channels_last: bool,
}

enum Values {
    /// Somebody else's memory, and what keeps it.
    Borrowed {
        start: *const f32,
        count: usize,
        _keeper: Keeper,
    },
    Owned(Vec<f32>),
}

/// What keeps memory alive.
enum Keeper {
    Object { _object: Py<PyAny> },
    Tensor { _tensor: ImportedDlpack },
}

// The memory stays where it is while its keeper lives, and is only read. A keeper of DLPack may be dropped on any thread.
unsafe impl Send for Incoming {}
unsafe impl Sync for Incoming {}

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    F16,
    Bf16,
    F32,
    F64,
    Signed(usize),
    Unsigned(usize),
    Bool,
    Other,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
            Element::Signed(bytes) | Element::Unsigned(bytes) => bytes,
            Element::Bool | Element::Other => 1,
        }
    }
}

/// Memory of somebody else, element by element.
struct Strided {
    start: *const u8,
    shape: Vec<usize>,
    /// In bytes.
    strides: Vec<isize>,
    element: Element,
    /// The element's type in its library's words.
    kind: String,
    keeper: Keeper,
}

impl Incoming {
    /// Reads a real array of single or half precision, or of double, which is rounded. `what` names it in errors.
    pub fn reals(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        let array = Strided::of(object, what)?;
        let values = match array.element {
            Element::F32 if array.is_aligned() => return Ok(array.into_floats()),
            Element::F32 => array.gather(|bytes: [u8; 4]| f32::from_ne_bytes(bytes)),
            Element::F16 => array.gather(|bytes: [u8; 2]| half_precision(u16::from_ne_bytes(bytes))),
            Element::Bf16 => array.gather(|bytes: [u8; 2]| f32::from_bits(u32::from(u16::from_ne_bytes(bytes)) << 16)),
            Element::F64 => array.gather(|bytes: [u8; 8]| f64::from_ne_bytes(bytes) as f32),
            _ => {
                let message = format!("{what}: elements of type {} found, float32 expected; convert them first", array.kind);
                return Err(raise(Kind::Input, message));
            }
        };
        Ok(Incoming { shape: array.shape, values: Values::Owned(values), channels_last: false })
    }

    /// Reads what an input of integers or truths takes: whole numbers or truths; networks compute in floats.
    pub fn whole(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        let array = Strided::of(object, what)?;
        if array.element == Element::Bool {
            let values = array.gather(|b: [u8; 1]| f32::from(u8::from(b[0] != 0)));
            return Ok(Incoming { shape: array.shape, values: Values::Owned(values), channels_last: false });
        }
        let (shape, values) = integers(object, what)?;
        let exact = |v: &i64| v.unsigned_abs() <= 1 << 24;
        if let Some(found) = values.iter().find(|v| !exact(v)) {
            return Err(raise(Kind::Input, format!("{what}: {found} found, whole numbers up to 16777216 expected, which float32 holds")));
        }
        let values = Values::Owned(values.into_iter().map(|v| v as f32).collect());
        Ok(Incoming { shape, values, channels_last: false })
    }

    /// The array as a session takes it.
    pub fn feed(&self) -> Feed<'_> {
        let values = match &self.values {
            Values::Owned(values) => values,
            // As many floats as the extents say, aligned, and kept while `self` lives.
            Values::Borrowed { start, count, .. } => unsafe { std::slice::from_raw_parts(*start, *count) },
        };
        Feed { shape: &self.shape, values, channels_last: self.channels_last }
    }
}

/// Whole numbers of any width, and their extents.
pub fn integers(object: &Bound<'_, PyAny>, what: &str) -> PyResult<(Vec<usize>, Vec<i64>)> {
    let array = Strided::of(object, what)?;
    let values = match array.element {
        Element::Signed(1) => array.gather(|b: [u8; 1]| i64::from(i8::from_ne_bytes(b))),
        Element::Signed(2) => array.gather(|b: [u8; 2]| i64::from(i16::from_ne_bytes(b))),
        Element::Signed(4) => array.gather(|b: [u8; 4]| i64::from(i32::from_ne_bytes(b))),
        Element::Signed(8) => array.gather(|b: [u8; 8]| i64::from_ne_bytes(b)),
        Element::Unsigned(1) => array.gather(|b: [u8; 1]| i64::from(b[0])),
        Element::Unsigned(2) => array.gather(|b: [u8; 2]| i64::from(u16::from_ne_bytes(b))),
        Element::Unsigned(4) => array.gather(|b: [u8; 4]| i64::from(u32::from_ne_bytes(b))),
        _ => return Err(raise(Kind::Input, format!("{what}: elements of type {} found, whole numbers expected", array.kind))),
    };
    Ok((array.shape, values))
}

impl Strided {
    fn of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        if let Ok(interface) = object.getattr("__array_interface__") {
            return Strided::of_interface(object, &interface, what);
        }
        if object.hasattr("__dlpack__")? {
            return Strided::of_dlpack(object, what);
        }
        let kind = object.get_type().name()?;
        Err(raise(Kind::Input, format!("{what}: {kind} found, a NumPy array or a tensor with __dlpack__ expected")))
    }

    /// NumPy's protocol, version 3: <https://numpy.org/doc/stable/reference/arrays.interface.html>.
    fn of_interface(object: &Bound<'_, PyAny>, interface: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        let kind: String = interface.get_item("typestr")?.extract()?;
        let shape: Vec<usize> = interface.get_item("shape")?.extract()?;
        let data = interface.get_item("data")?;
        let (start, _): (usize, bool) = data.extract().map_err(|_| raise(Kind::Input, format!("{what}: an array without an address")))?;
        let foreign = if cfg!(target_endian = "little") { '>' } else { '<' };
        let (order, letter, size) = (kind.chars().next(), kind.chars().nth(1), kind.get(2..).and_then(|n| n.parse().ok()).unwrap_or(0));
        let element = match (letter, size) {
            _ if order == Some(foreign) && size > 1 => Element::Other,
            (Some('f'), 2) => Element::F16,
            (Some('f'), 4) => Element::F32,
            (Some('f'), 8) => Element::F64,
            (Some('i'), size) => Element::Signed(size),
            (Some('u'), size) => Element::Unsigned(size),
            (Some('b'), 1) => Element::Bool,
            _ => Element::Other,
        };
        let given: Option<Vec<isize>> = match interface.get_item("strides") {
            Ok(strides) => strides.extract()?,
            Err(_) => None,
        };
        let strides = given.unwrap_or_else(|| compact(&shape).into_iter().map(|s| s * element.size() as isize).collect());
        let keeper = Keeper::Object { _object: object.clone().unbind() };
        let kind = dtype_name(object).unwrap_or(kind);
        Ok(Strided { start: start as *const u8, shape, strides, element, kind, keeper })
    }

    fn of_dlpack(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        // PyTorch hands out no tensor that has a gradient to come.
        let detached = match object.getattr("requires_grad").and_then(|r| r.is_truthy()) {
            Ok(true) => object.call_method0("detach")?,
            _ => object.clone(),
        };
        let refused = |error: PyErr| raise(Kind::Input, format!("{what}: {error}"));
        let (device, _): (i32, i32) = detached.call_method0("__dlpack_device__").and_then(|d| d.extract()).map_err(refused)?;
        if device != DLDeviceType::CPU.0 as i32 && device != DLDeviceType::CUDAHOST.0 as i32 {
            let place = object.getattr("device").map_or_else(|_| format!("device type {device}"), |d| d.to_string());
            return Err(raise(Kind::Input, format!("{what}: a tensor on {place} found, one on the CPU expected; move it there")));
        }
        // Without arguments, which older producers do not know.
        let capsule = detached.call_method0("__dlpack__").map_err(refused)?;
        let tensor = ImportRequest::new(capsule.as_borrowed()).and_then(|request| request.import(None, None)).map_err(refused)?;
        let broken = |error: dlpark::tensor::Error| raise(Kind::Input, format!("{what}: {error}"));
        let (start, shape, strides, element, kind) = {
            let view = tensor.validate().map_err(broken)?;
            let (code, bits, lanes) = (view.dtype().code, view.dtype().bits as usize, view.dtype().lanes);
            let element = match (code.0, bits) {
                _ if lanes != 1 => Element::Other,
                (0, bits) => Element::Signed(bits / 8),
                (1, bits) => Element::Unsigned(bits / 8),
                (2, 16) => Element::F16,
                (2, 32) => Element::F32,
                (2, 64) => Element::F64,
                (4, 16) => Element::Bf16,
                (6, 8) => Element::Bool,
                _ => Element::Other,
            };
            let shape: Vec<usize> = view.shape().iter().map(|&extent| extent as usize).collect();
            let strides: Vec<isize> =
                view.strides_or_compact().map_err(broken)?.iter().map(|&s| s as isize * element.size() as isize).collect();
            // The descriptor is the producer's word for its memory.
            let start = unsafe { view.offset_bytes_ptr() }.map_err(broken)?;
            (start, shape, strides, element, format!("{bits} bits of kind {}", code.0))
        };
        let kind = dtype_name(object).unwrap_or(kind);
        Ok(Strided { start, shape, strides, element, kind, keeper: Keeper::Tensor { _tensor: tensor } })
    }

    fn is_aligned(&self) -> bool {
        (self.start as usize).is_multiple_of(align_of::<f32>())
    }

    /// An array of floats, without a copy where it lies row-major or channels last.
    fn into_floats(self) -> Incoming {
        let count = self.shape.iter().product();
        let lies = |order: &[usize]| {
            let mut expected = size_of::<f32>() as isize;
            order.iter().rev().all(|&axis| {
                let fits = self.shape[axis] == 1 || self.strides[axis] == expected;
                expected *= self.shape[axis] as isize;
                fits
            })
        };
        let plain: Vec<usize> = (0..self.shape.len()).collect();
        let (row_major, channels_last) = (lies(&plain), self.shape.len() == 4 && lies(&[0, 2, 3, 1]));
        if count == 0 || !(row_major || channels_last) {
            let values = self.gather(|bytes: [u8; 4]| f32::from_ne_bytes(bytes));
            return Incoming { shape: self.shape, values: Values::Owned(values), channels_last: false };
        }
        let values = Values::Borrowed { start: self.start.cast(), count, _keeper: self.keeper };
        // Where both hold, channels last is the order that a session keeps.
        Incoming { shape: self.shape, values, channels_last }
    }

    /// Every element, row-major.
    fn gather<const N: usize, T>(&self, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let count: usize = self.shape.iter().product();
        let (mut index, mut offset, mut values) = (vec![0usize; self.shape.len()], 0isize, Vec::with_capacity(count));
        for _ in 0..count {
            // Within the memory that extents and strides describe.
            values.push(read(unsafe { self.start.offset(offset).cast::<[u8; N]>().read_unaligned() }));
            for axis in (0..self.shape.len()).rev() {
                index[axis] += 1;
                offset += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                offset -= self.strides[axis] * self.shape[axis] as isize;
                index[axis] = 0;
            }
        }
        values
    }
}

/// A number of half precision (IEEE 754 binary16) in single.
fn half_precision(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    match exponent {
        // 2^-24 times the fraction, exact in single precision.
        0 => f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7F80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// Strides in elements of a row-major array.
fn compact(shape: &[usize]) -> Vec<isize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product::<usize>() as isize).collect()
}

/// The element's type as its library prints it.
fn dtype_name(object: &Bound<'_, PyAny>) -> Option<String> {
    object.getattr("dtype").ok().map(|dtype| dtype.to_string())
}
