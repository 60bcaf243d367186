//! ONNX Runtime, loaded while running where it is found.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;
use thiserror::Error;

use super::inner::InnerSession;

/// The name that the system's loader knows the library by.
#[cfg(target_os = "macos")]
const LIBRARY: &str = "libonnxruntime.dylib";
#[cfg(windows)]
const LIBRARY: &str = "onnxruntime.dll";
#[cfg(not(any(target_os = "macos", windows)))]
const LIBRARY: &str = "libonnxruntime.so";

/// Where Python's package lies, without importing it.
const FIND: &str = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";

/// ONNX Runtime cannot be used.
#[derive(Debug, Error)]
pub enum OnnxRuntimeError {
    /// The library is not there or not the library.
    #[error("ONNX Runtime: {message}; name libonnxruntime of release 1.17 or later with --onnxruntime, or install Python's onnxruntime")]
    Load {
        /// What the loader says.
        message: String,
    },
    /// A folder without the library.
    #[error("{path}: no {LIBRARY} found in the folder; name the library itself")]
    Folder {
        /// The folder.
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
    library: PathBuf,
    opener: Opener,
    session: Session,
    /// Opened when outputs differ.
    inner: Option<InnerSession>,
}

/// Opens sessions of one file.
pub(super) struct Opener {
    environment: Environment,
    pub model: PathBuf,
    options: SessionOptions,
}

/// The library of this process, once there is one.
static LOADED: OnceLock<(PathBuf, Environment)> = OnceLock::new();

fn load(library: Option<&Path>) -> Result<(PathBuf, Environment), OnnxRuntimeError> {
    let failed = |message: String| OnnxRuntimeError::Load { message };
    let library = match library {
        Some(path) if path.is_dir() => in_folder(path).ok_or_else(|| OnnxRuntimeError::Folder { path: path.into() })?,
        // Relative names are looked for beside the program otherwise.
        Some(path) => path.canonicalize().map_err(|e| failed(format!("{}: {e}", path.display())))?,
        None => found(),
    };
    let environment = ort::init_from(&library).map_err(|e| failed(e.to_string()))?;
    let environment = environment.with_telemetry(false).build().map_err(|e| failed(e.to_string()))?;
    Ok((library, environment))
}

/// Images in the library's memory.
pub struct Planes(Tensor<f32>);

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
        let builder = Session::builder(&self.environment).map_err(|e| self.refused(e.to_string()))?;
        let builder = builder.with_intra_threads(self.options.threads).map_err(refuse)?;
        match self.options.exact {
            true => builder.with_config_entry("session.x64quantprecision", "1").map_err(refuse),
            false => Ok(builder),
        }
    }

    pub fn refused(&self, message: String) -> OnnxRuntimeError {
        OnnxRuntimeError::Run { model: self.model.clone(), message }
    }

    /// Images of `[N, H, W, C]` as the library takes them.
    pub fn input(&self, images: &[f32], &[n, h, w, c]: &[usize; 4]) -> Result<Tensor<f32>, OnnxRuntimeError> {
        Tensor::from_array(([n, c, h, w], transposed(images, [n, h * w, c]))).map_err(|e| self.refused(e.to_string()))
    }
}

impl OnnxRuntime {
    /// Opens a model in the library at `library` (a file, or the folder it is in); without one, in the library that `ORT_DYLIB_PATH` names, of Python's
    /// package (of the virtual environment that is active or lies in `.venv`, or of `python3`), or that the system's loader finds.
    ///
    /// One library is loaded in the life of a process: the first that is found.
    ///
    /// # Errors
    /// The library named cannot be loaded, none is found, or it refuses the model.
    pub fn open(model: &Path, library: Option<&Path>, options: SessionOptions) -> Result<Self, OnnxRuntimeError> {
        let (library, environment) = match LOADED.get() {
            Some(loaded) => loaded.clone(),
            None => {
                let loaded = load(library)?;
                LOADED.get_or_init(|| loaded).clone()
            }
        };
        let opener = Opener { environment, model: model.into(), options };
        let session = opener.builder()?.commit_from_file(model).map_err(|e| opener.refused(e.to_string()))?;
        Ok(OnnxRuntime { library, opener, session, inner: None })
    }

    /// The library.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Runs images of `[N, H, W, C]`; gives every output as the engine has it in memory, images NHWC.
    ///
    /// # Errors
    /// The library says no, or an output is not of 32-bit floats.
    pub fn run(&mut self, images: &[f32], shape: &[usize; 4]) -> Result<Vec<Vec<f32>>, OnnxRuntimeError> {
        self.run_planes(&self.planes(images, shape)?)
    }

    /// Images of `[N, H, W, C]` as the library takes them, channels first.
    ///
    /// # Errors
    /// The library has no memory for them.
    pub fn planes(&self, images: &[f32], shape: &[usize; 4]) -> Result<Planes, OnnxRuntimeError> {
        self.opener.input(images, shape).map(Planes)
    }

    /// As [`OnnxRuntime::run`], of images that are there already: what takes time is the library.
    ///
    /// # Errors
    /// As there.
    pub fn run_planes(&mut self, images: &Planes) -> Result<Vec<Vec<f32>>, OnnxRuntimeError> {
        let refuse = |e: ort::Error| OnnxRuntimeError::Run { model: self.opener.model.clone(), message: e.to_string() };
        let outputs = self.session.run(ort::inputs![&images.0]).map_err(refuse)?;
        outputs
            .values()
            .map(|value| value.try_extract_tensor::<f32>().map(|(shape, x)| in_memory_order(shape, x)).map_err(refuse))
            .collect()
    }

    /// How its sessions are opened.
    pub(super) fn options(&self) -> SessionOptions {
        self.opener.options
    }

    /// The session of [`OnnxRuntime::inner`], where it was opened.
    pub(super) fn opened_inner(&self) -> Option<&InnerSession> {
        self.inner.as_ref()
    }

    /// A session that hands out the codes of inner tensors.
    ///
    /// # Errors
    /// The file cannot be read, or the library refuses it with more outputs.
    pub(super) fn inner(&mut self) -> Result<(&Opener, &mut InnerSession), OnnxRuntimeError> {
        let opened = match self.inner.take() {
            Some(inner) => inner,
            None => InnerSession::open(&self.opener)?,
        };
        Ok((&self.opener, self.inner.insert(opened)))
    }
}

/// A tensor of the library as the engine has it in memory: images NHWC.
pub(super) fn in_memory_order<T: Copy>(shape: &[i64], values: &[T]) -> Vec<T> {
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

/// The library as far as it is found without being named.
fn found() -> PathBuf {
    let named = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(of_python).unwrap_or_else(|| LIBRARY.into())
}

fn of_python() -> Option<PathBuf> {
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let environments = environment.into_iter().chain(std::env::current_dir().ok().map(|d| d.join(".venv")));
    let pythons = environments.map(|e| e.join("bin/python3")).filter(|p| p.exists()).chain([PathBuf::from("python3")]);
    pythons.into_iter().find_map(|python| {
        let output = Command::new(python).args(["-c", FIND]).output().ok().filter(|o| o.status.success())?;
        let package = String::from_utf8(output.stdout).ok()?;
        in_folder(&Path::new(package.trim()).join("capi"))
    })
}

/// The library in a folder, whatever release its name ends with.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let stem = LIBRARY.trim_end_matches(".dylib");
    let is_library = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(stem));
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.filter_map(|e| Some(e.ok()?.path())).filter(is_library).collect();
    found.sort();
    found.into_iter().next()
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

    #[test]
    fn a_library_is_found_in_a_folder_whatever_its_release() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(in_folder(folder.path()), None);
        for name in ["libonnxruntime_providers_shared.so", &format!("{LIBRARY}.1.20.0")] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(in_folder(folder.path()), Some(folder.path().join(format!("{LIBRARY}.1.20.0"))));
    }

    #[test]
    fn what_is_no_library_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            |path: &Path| OnnxRuntime::open(Path::new("model.onnx"), Some(path), SessionOptions { threads: 1, exact: false }).map(|_| ());
        assert!(matches!(open(folder.path()), Err(OnnxRuntimeError::Folder { .. })));
        assert!(matches!(open(&folder.path().join("none.so")), Err(OnnxRuntimeError::Load { .. })));
        std::fs::write(folder.path().join("text.so"), "no library").unwrap();
        assert!(matches!(open(&folder.path().join("text.so")), Err(OnnxRuntimeError::Load { .. })));
    }
}
