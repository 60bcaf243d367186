//! Arrays of ours, which NumPy sees through `__array_interface__` and everybody else through DLPack, without a copy.

use std::sync::Arc;

use dlpark::ffi::{DLDataType, DLDevice, DLManagedTensor, DLManagedTensorVersioned};
use dlpark::metadata::Dynamic;
use dlpark::python::{DlpackExporter, ExportRequest, export_dlpack};
use dlpark::{DlpackFlags, Managed, ManagedTensorBase};
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use quantrain::Tensor;

use crate::session::Session;

/// An array of single precision. `numpy.asarray(a)`, `torch.from_dlpack(a)` and the like see its memory.
#[pyclass(frozen, module = "quantrain._native")]
pub struct Array {
    memory: Arc<Memory>,
    shape: Vec<usize>,
    /// In elements.
    strides: Vec<usize>,
}

/// Floats at a fixed place.
struct Memory {
    start: *mut f32,
    _keeper: Keeper,
}

/// What keeps the floats.
enum Keeper {
    Values { _values: Vec<f32> },
    Session { _session: Py<Session> },
}

// Floats are reached from Python alone, which says when; no reference of Rust's lasts from call to call.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Array {
    /// An array with values of its own.
    pub fn of(tensor: Tensor) -> Self {
        let Tensor { shape, mut values } = tensor;
        let strides = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let memory = Memory { start: values.as_mut_ptr(), _keeper: Keeper::Values { _values: values } };
        Array { memory: Arc::new(memory), shape, strides }
    }

    /// Values as a network has them in memory, seen with the extents of ONNX: an image's `[N, H, W, C]` as `[N, C, H, W]`.
    pub fn of_memory_order(extents: &[usize], values: Vec<f32>) -> Self {
        let array = Array::of(Tensor { shape: extents.to_vec(), values });
        let in_onnx_order = |of: &[usize]| match *of {
            [n, h, w, c] => vec![n, c, h, w],
            ref other => other.to_vec(),
        };
        Array { shape: in_onnx_order(&array.shape), strides: in_onnx_order(&array.strides), ..array }
    }

    /// A view of memory that a session keeps in its place for as long as it lives.
    pub fn view(session: Py<Session>, start: *mut f32, shape: Vec<usize>, strides: Vec<usize>) -> Self {
        Array { memory: Arc::new(Memory { start, _keeper: Keeper::Session { _session: session } }), shape, strides }
    }

    fn managed<M: ManagedTensorBase>(&self) -> PyResult<Managed<M>> {
        let extents = |values: &[usize]| values.iter().map(|&v| v as i64).collect::<Vec<i64>>();
        let refused = |error: dlpark::metadata::Error| PyBufferError::new_err(error.to_string());
        let prepared = Dynamic::new(extents(&self.shape), extents(&self.strides)).prepare_as::<M>().map_err(refused)?;
        let mut initialized = prepared.initialize(Arc::clone(&self.memory));
        initialized.set_data(self.memory.start.cast()).set_dtype(DLDataType::F32).set_device(DLDevice::CPU);
        // The memory is as large as extents and strides say, and lives as long as the tensor does.
        Ok(unsafe { initialized.finish() })
    }
}

impl DlpackExporter for Array {
    fn device(&self) -> DLDevice {
        DLDevice::CPU
    }

    fn flags(&self) -> DlpackFlags {
        DlpackFlags::empty()
    }

    fn prepare_export(&self, _: Python<'_>, _: &ExportRequest<'_>) -> PyResult<()> {
        Ok(())
    }

    fn export_legacy(&self, _: Python<'_>) -> PyResult<Managed<DLManagedTensor>> {
        self.managed()
    }

    fn export_versioned(&self, _: Python<'_>) -> PyResult<Managed<DLManagedTensorVersioned>> {
        self.managed()
    }
}

#[pymethods]
impl Array {
    /// Extents, outermost first.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    /// Of each axis, how many elements lie from one to the next.
    #[getter]
    fn strides<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.strides)
    }

    /// The address of the first element.
    #[getter]
    fn address(&self) -> usize {
        self.memory.start as usize
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        let bytes: Vec<usize> = self.strides.iter().map(|s| s * size_of::<f32>()).collect();
        interface.set_item("version", 3)?;
        interface.set_item("typestr", if cfg!(target_endian = "little") { "<f4" } else { ">f4" })?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        interface.set_item("strides", PyTuple::new(py, &bytes)?)?;
        interface.set_item("data", (self.memory.start as usize, false))?;
        Ok(interface)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(u32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        export_dlpack(self, py, ExportRequest::parse(stream.as_ref(), max_version, dl_device, copy)?)
    }

    fn __dlpack_device__(&self) -> (u32, i32) {
        (1, 0)
    }

    fn __repr__(&self) -> String {
        format!("quantrain.Array(shape={:?})", self.shape)
    }
}
