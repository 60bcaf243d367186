//! ONNX Runtime, loaded while running where it is found.

mod inner;
mod library;

use std::fmt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueRef};
use thiserror::Error;

pub(crate) use self::inner::{InnerRun, InnerSession};
pub use self::library::Library;

/// ONNX Runtime cannot be used.
#[derive(Debug, Error)]
pub enum OnnxRuntimeError {
    /// What was named or found is not there or not the library.
    #[error("{path}: not ONNX Runtime's library of release 1.17 or later: {message}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        message: String,
    },
    /// A folder without the library.
    #[error(
        "{path}: no {} found in the folder or in its capi; name the folder of Python's package onnxruntime, or the library",
        library::STEM
    )]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The environment names the library by a path that means another file in every folder.
    #[error("ORT_DYLIB_PATH: the relative path {path} found, an absolute one expected; `--onnxruntime` takes relative ones")]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// The library refuses the model.
    #[error("{model}: ONNX Runtime does not run it: {message}")]
    Run {
        /// The file.
        model: PathBuf,
        /// What the library says.
        message: String,
    },
    /// The file, or what the library's optimizer made of it, cannot be read.
    #[error("ONNX Runtime's inner tensors: {0}")]
    Read(#[from] quantrain_onnx::ReadError),
    /// A temporary file cannot be made.
    #[error("ONNX Runtime's inner tensors: no temporary file can be written: {0}")]
    Temporary(#[source] std::io::Error),
    /// A model takes and gives other things than the float network.
    #[error("{model}: {found} found in ONNX Runtime, {expected} expected as in the float network")]
    Interface {
        /// The file.
        model: PathBuf,
        /// Its inputs and outputs.
        found: String,
        /// Those of the float network.
        expected: String,
    },
    /// An output is NaN or infinite where that of the float network is not.
    #[error("{model}: output `{output}` is not finite in ONNX Runtime")]
    NotFinite {
        /// The file.
        model: PathBuf,
        /// The output.
        output: String,
    },
    /// Another number of values than the network has.
    #[error("output `{output}`: ONNX Runtime gives {found} values, {expected} expected")]
    Output {
        /// The output.
        output: String,
        /// Values that ONNX Runtime gives.
        found: usize,
        /// Values of the network.
        expected: usize,
    },
}

/// A model in ONNX Runtime's CPU provider, in a session as users open it.
pub struct OnnxRuntime {
    opener: Opener,
    session: Session,
    /// Opened when outputs differ.
    inner: Option<InnerSession>,
    /// The positions of the outputs that runs hand out.
    outputs: Vec<usize>,
}

/// Opens sessions of one file.
pub(crate) struct Opener {
    library: Library,
    pub model: PathBuf,
    options: SessionOptions,
}

/// The values of one input, as the engine has them in memory.
#[derive(Clone, Debug)]
pub struct Fed<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its extents, as in ONNX.
    pub shape: Vec<usize>,
    /// Its values; an image's are NHWC.
    pub values: &'a [f32],
}

/// The values of inputs in the library's memory.
pub struct Planes(Vec<(String, DynValue)>);

impl Planes {
    fn inputs(&self) -> Vec<(&str, SessionInputValue<'_>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), SessionInputValue::from(value))).collect()
    }
}

/// How sessions are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads within an operator.
    pub threads: usize,
    /// `session.x64quantprecision=1`: on x86-64 without VNNI, pairs of products of bytes are not saturated at 16 bits, and products are slower.
    pub exact: bool,
}

impl Opener {
    pub fn builder(&self) -> Result<SessionBuilder, OnnxRuntimeError> {
        let refuse = |e: ort::Error<SessionBuilder>| self.refused(e.to_string());
        let builder = Session::builder(&self.library.environment).map_err(|e| self.refused(e.to_string()))?;
        let builder = builder.with_intra_threads(self.options.threads).map_err(refuse)?;
        match self.options.exact {
            true => builder.with_config_entry("session.x64quantprecision", "1").map_err(refuse),
            false => Ok(builder),
        }
    }

    pub fn refused(&self, message: String) -> OnnxRuntimeError {
        OnnxRuntimeError::Run { model: self.model.clone(), message }
    }

    /// Values as a session takes them: in ONNX's order of axes, and in the type of each input.
    pub fn inputs(&self, session: &Session, feeds: &[Fed]) -> Result<Planes, OnnxRuntimeError> {
        let values = feeds.iter().map(|feed| Ok((feed.name.to_owned(), input(session, feed)?)));
        values.collect::<ort::Result<_>>().map(Planes).map_err(|e| self.refused(e.to_string()))
    }

    /// The file, where sessions cannot be opened of it as it stands: with exact products the library fails where weights share a zero point.
    pub fn rewritten(&self) -> Result<Option<Vec<u8>>, OnnxRuntimeError> {
        if !self.options.exact {
            return Ok(None);
        }
        let model = &self.model;
        let bytes = std::fs::read(model).map_err(|source| quantrain_onnx::ReadError::Io { file: model.clone(), source })?;
        Ok(quantrain_onnx::with_own_zero_points(model, &bytes)?)
    }
}

impl OnnxRuntime {
    /// Opens a model.
    ///
    /// # Errors
    /// The library refuses the model.
    pub fn open(library: &Library, model: &Path, options: SessionOptions) -> Result<Self, OnnxRuntimeError> {
        let opener = Opener { library: library.clone(), model: model.into(), options };
        let mut builder = opener.builder()?;
        let session = match opener.rewritten()? {
            Some(bytes) => builder.commit_from_memory(&bytes),
            None => builder.commit_from_file(model),
        };
        let session = session.map_err(|e| opener.refused(e.to_string()))?;
        let outputs = (0..session.outputs().len()).collect();
        Ok(OnnxRuntime { opener, session, inner: None, outputs })
    }

    /// Hands out the outputs of these names only.
    pub(crate) fn hand_out(&mut self, names: &[&str]) {
        let position = |name: &&str| self.session.outputs().iter().position(|output| output.name() == *name);
        self.outputs = names.iter().filter_map(position).collect();
    }

    /// Runs a batch; gives every output as the engine has it in memory, images NHWC.
    ///
    /// # Errors
    /// The library says no, or an output has no numbers.
    pub fn run(&mut self, feeds: &[Fed]) -> Result<Vec<Vec<f32>>, OnnxRuntimeError> {
        self.run_planes(&self.planes(feeds)?)
    }

    /// Values as the library takes them, channels first.
    ///
    /// # Errors
    /// The library has no memory for them.
    pub fn planes(&self, feeds: &[Fed]) -> Result<Planes, OnnxRuntimeError> {
        self.opener.inputs(&self.session, feeds)
    }

    /// As [`OnnxRuntime::run`], of values that are there already: what takes time is the library.
    ///
    /// # Errors
    /// As there.
    pub fn run_planes(&mut self, feeds: &Planes) -> Result<Vec<Vec<f32>>, OnnxRuntimeError> {
        let refuse = |e: ort::Error| OnnxRuntimeError::Run { model: self.opener.model.clone(), message: e.to_string() };
        let outputs = self.session.run(feeds.inputs()).map_err(refuse)?;
        let values: Vec<ValueRef> = outputs.values().collect();
        self.outputs.iter().map(|&i| reals(&values[i]).map_err(refuse)).collect()
    }

    /// What the model takes, and what it gives for a batch.
    ///
    /// # Errors
    /// The library says no.
    pub(crate) fn interface(&mut self, feeds: &[Fed]) -> Result<Interface, OnnxRuntimeError> {
        let kind = |input: &Outlet| input.dtype().tensor_type().map_or_else(|| "no tensor".into(), |kind| kind.to_string());
        let inputs = self.session.inputs().iter().map(|input| (input.name().to_owned(), kind(input))).collect();
        let fed = self.opener.inputs(&self.session, feeds)?;
        let outputs = self.session.run(fed.inputs()).map_err(|e| self.opener.refused(e.to_string()))?;
        let outputs = outputs.iter().map(|(name, value)| OutputKind::of(name, &value)).collect();
        Ok(Interface { inputs, outputs })
    }

    /// How its sessions are opened.
    pub(crate) fn options(&self) -> SessionOptions {
        self.opener.options
    }

    /// A session that hands out the codes of inner tensors.
    ///
    /// # Errors
    /// The file cannot be read, or the library refuses it with more outputs.
    pub(crate) fn inner(&mut self) -> Result<(&Opener, &mut InnerSession), OnnxRuntimeError> {
        let opened = match self.inner.take() {
            Some(inner) => inner,
            None => InnerSession::open(&self.opener, self.outputs.clone())?,
        };
        Ok((&self.opener, self.inner.insert(opened)))
    }
}

/// What a model takes and gives.
#[derive(Debug)]
pub(crate) struct Interface {
    /// Its inputs, name and type.
    pub inputs: Vec<(String, String)>,
    /// What a run gave.
    pub outputs: Vec<OutputKind>,
}

/// What one output of a run is.
#[derive(Debug)]
pub(crate) struct OutputKind {
    pub name: String,
    /// The type of its elements.
    pub kind: String,
    pub shape: Vec<i64>,
    /// Whether all values are; true where they are no 32-bit floats.
    pub is_finite: bool,
}

impl OutputKind {
    fn of(name: &str, value: &ValueRef) -> Self {
        let is_finite = value.try_extract_tensor::<f32>().map_or(true, |(_, values)| values.iter().all(|v| v.is_finite()));
        let kind = value.dtype().tensor_type().map_or_else(|| "no tensor".into(), |kind| kind.to_string());
        let shape = value.dtype().tensor_shape().map_or_else(Vec::new, |shape| shape.to_vec());
        OutputKind { name: name.into(), kind, shape, is_finite }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |shape: &[i64]| shape.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
        let outputs: Vec<String> = self.outputs.iter().map(|o| format!("{}: {} {}", o.name, o.kind, shape(&o.shape))).collect();
        let inputs: Vec<String> = self.inputs.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
        write!(f, "{} -> {}", inputs.join(", "), outputs.join(", "))
    }
}

/// The values of an output as floats, whatever numbers or truths it has, as they lie in memory.
pub(crate) fn reals(value: &ValueRef) -> ort::Result<Vec<f32>> {
    fn of<T: ort::value::PrimitiveTensorElementType + Copy>(value: &ValueRef, real: fn(T) -> f32) -> ort::Result<Vec<f32>> {
        let (shape, values) = value.try_extract_tensor::<T>()?;
        Ok(in_memory_order(shape, values).into_iter().map(real).collect())
    }
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float16) => of::<f16>(value, f16::to_f32),
        Some(TensorElementType::Bfloat16) => of::<bf16>(value, bf16::to_f32),
        Some(TensorElementType::Float64) => of::<f64>(value, |v| v as f32),
        Some(TensorElementType::Int8) => of::<i8>(value, f32::from),
        Some(TensorElementType::Uint8) => of::<u8>(value, f32::from),
        Some(TensorElementType::Int16) => of::<i16>(value, f32::from),
        Some(TensorElementType::Uint16) => of::<u16>(value, f32::from),
        Some(TensorElementType::Int32) => of::<i32>(value, |v| v as f32),
        Some(TensorElementType::Uint32) => of::<u32>(value, |v| v as f32),
        Some(TensorElementType::Int64) => of::<i64>(value, |v| v as f32),
        Some(TensorElementType::Uint64) => of::<u64>(value, |v| v as f32),
        Some(TensorElementType::Bool) => of::<bool>(value, |v| f32::from(u8::from(v))),
        _ => of::<f32>(value, |v| v),
    }
}

/// Values in the order of axes and in the type that an input of a session has.
fn input(session: &Session, feed: &Fed) -> ort::Result<DynValue> {
    fn tensor<T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
        shape: Vec<usize>,
        values: Vec<T>,
    ) -> ort::Result<DynValue> {
        Tensor::from_array((shape, values)).map(Tensor::into_dyn)
    }
    let shape = feed.shape.clone();
    let values = match *feed.shape {
        [n, c, h, w] => transposed(feed.values, [n, h * w, c]),
        _ => feed.values.to_vec(),
    };
    match session.inputs().iter().find(|input| input.name() == feed.name).and_then(|input| input.dtype().tensor_type()) {
        Some(TensorElementType::Float16) => tensor(shape, of(&values, f16::from_f32)),
        Some(TensorElementType::Bfloat16) => tensor(shape, of(&values, bf16::from_f32)),
        Some(TensorElementType::Float64) => tensor(shape, of(&values, f64::from)),
        Some(TensorElementType::Int8) => tensor(shape, of(&values, |v| v as i8)),
        Some(TensorElementType::Uint8) => tensor(shape, of(&values, |v| v as u8)),
        Some(TensorElementType::Int16) => tensor(shape, of(&values, |v| v as i16)),
        Some(TensorElementType::Uint16) => tensor(shape, of(&values, |v| v as u16)),
        Some(TensorElementType::Int32) => tensor(shape, of(&values, |v| v as i32)),
        Some(TensorElementType::Uint32) => tensor(shape, of(&values, |v| v as u32)),
        Some(TensorElementType::Int64) => tensor(shape, of(&values, |v| v as i64)),
        Some(TensorElementType::Uint64) => tensor(shape, of(&values, |v| v as u64)),
        Some(TensorElementType::Bool) => tensor(shape, of(&values, |v| v != 0.0)),
        _ => tensor(shape, values),
    }
}

/// Each value in another type.
fn of<T>(values: &[f32], convert: fn(f32) -> T) -> Vec<T> {
    values.iter().copied().map(convert).collect()
}

/// A tensor of the library as the engine has it in memory: images NHWC.
pub(crate) fn in_memory_order<T: Copy>(shape: &[i64], values: &[T]) -> Vec<T> {
    match *shape {
        [n, c, h, w] => transposed(values, [n, c, h * w].map(|extent| extent as usize)),
        _ => values.to_vec(),
    }
}

/// `[n, rows, columns]` as `[n, columns, rows]`.
fn transposed<T: Copy>(values: &[T], [_, rows, columns]: [usize; 3]) -> Vec<T> {
    let images = values.chunks_exact((rows * columns).max(1));
    images.flat_map(|x| (0..columns).flat_map(move |c| (0..rows).map(move |r| x[r * columns + c]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels_and_planes_again() {
        let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let pixels = transposed(&x, [2, 2, 3]);
        assert_eq!(pixels, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
        assert_eq!(transposed(&pixels, [2, 3, 2]), x);
    }
}
