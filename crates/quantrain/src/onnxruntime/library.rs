//! Where ONNX Runtime's library is.
//!
//! Only what the user names leads to it: nothing of the folder that the command runs in is run or loaded, as a stranger may have filled it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ort::environment::Environment;

use super::OnnxRuntimeError;

/// What the library's name begins with, whatever its release.
#[cfg(target_os = "macos")]
pub(super) const STEM: &str = "libonnxruntime.";
#[cfg(windows)]
pub(super) const STEM: &str = "onnxruntime.dll";
#[cfg(not(any(target_os = "macos", windows)))]
pub(super) const STEM: &str = "libonnxruntime.so";

/// Python, as its installers call it.
#[cfg(windows)]
const PYTHON: &str = "python.exe";
#[cfg(not(windows))]
const PYTHON: &str = "python3";

/// The folders of a package or of a release, as its user names it, that may hold the library.
const FOLDERS: [&str; 3] = ["", "capi", "lib"];

/// Where Python's package lies, without importing it.
const FIND: &str = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";

/// ONNX Runtime's library, loaded.
#[derive(Clone)]
pub struct Library {
    path: PathBuf,
    pub(super) environment: Environment,
}

/// The library of this process, once there is one.
static LOADED: OnceLock<Library> = OnceLock::new();

impl Library {
    /// Loads the library that `named` leads to: a file, the folder it is in, or the folder of Python's package. Without a name, what the
    /// environment variable `ORT_DYLIB_PATH` leads to; else the package in the virtual environment that `VIRTUAL_ENV` names; else that of
    /// the `python3` of the search path. `None` where none of these has it.
    ///
    /// One library is loaded in the life of a process: the first that is found.
    ///
    /// # Errors
    /// What is named does not lead to the library, or what is found cannot be loaded.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, OnnxRuntimeError> {
        let path = match named {
            Some(path) => Some(at(path)?),
            None => of_environment(|name| std::env::var_os(name).filter(|value| !value.is_empty()))?,
        };
        let Some(path) = path else { return Ok(None) };
        let library = match LOADED.get() {
            Some(loaded) => loaded,
            None => {
                let loaded = Library::load(path)?;
                LOADED.get_or_init(|| loaded)
            }
        };
        Ok(Some(library.clone()))
    }

    fn load(path: PathBuf) -> Result<Self, OnnxRuntimeError> {
        let failed = |message: String| OnnxRuntimeError::Load { path: path.clone(), message };
        let environment = ort::init_from(&path).map_err(|e| failed(e.to_string()))?;
        let environment = environment.with_telemetry(false).build().map_err(|e| failed(e.to_string()))?;
        Ok(Library { path, environment })
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The library that a path leads to, by an absolute path: loaders look for others where they like.
fn at(path: &Path) -> Result<PathBuf, OnnxRuntimeError> {
    let library = match path.is_dir() {
        true => {
            FOLDERS.iter().find_map(|folder| in_folder(&path.join(folder))).ok_or_else(|| OnnxRuntimeError::Folder { path: path.into() })?
        }
        false => path.to_owned(),
    };
    library.canonicalize().map_err(|e| OnnxRuntimeError::Load { path: library, message: e.to_string() })
}

fn of_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<PathBuf>, OnnxRuntimeError> {
    if let Some(path) = variable("ORT_DYLIB_PATH").map(PathBuf::from) {
        // A relative one would mean another file in every folder.
        return if path.is_absolute() { at(&path).map(Some) } else { Err(OnnxRuntimeError::Relative { path }) };
    }
    let environment = variable("VIRTUAL_ENV").map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(environment.and_then(|e| in_environment(&e)).or_else(|| of_python(&variable("PATH")?)))
}

/// The library of the package in a virtual environment.
fn in_environment(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).into_iter().flatten().flatten().map(|e| e.path());
    let folders = versions.chain([environment.join("Lib")]).map(|folder| folder.join("site-packages/onnxruntime"));
    folders.filter(|package| package.is_dir()).find_map(|package| at(&package).ok())
}

/// The library of the package that Python finds, which looks into no folder but its own. Folders of the search path that depend on where
/// the command runs are left out.
fn of_python(search_path: &OsString) -> Option<PathBuf> {
    let folders = std::env::split_paths(search_path).filter(|folder| folder.is_absolute());
    let python = folders.map(|folder| folder.join(PYTHON)).find(|python| python.is_file())?;
    let output = Command::new(python).args(["-I", "-c", FIND]).output().ok().filter(|o| o.status.success())?;
    let package = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    if package.is_absolute() { at(&package).ok() } else { None }
}

/// The library in a folder, whatever release its name ends with.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let is_library = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(STEM));
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.filter_map(|e| Some(e.ok()?.path())).filter(is_library).collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file of the library's name in `capi/` of what is given.
    fn with_library(package: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join(package).join("capi");
        std::fs::create_dir_all(&capi).unwrap();
        for name in ["libonnxruntime_providers_shared.so", &format!("{STEM}.1.20.0")] {
            std::fs::write(capi.join(name), "no library").unwrap();
        }
        let library = capi.join(format!("{STEM}.1.20.0")).canonicalize().unwrap();
        (folder, library)
    }

    #[test]
    fn a_package_its_inner_folder_and_the_library_all_lead_to_the_library() {
        let (folder, library) = with_library("onnxruntime");
        let package = folder.path().join("onnxruntime");
        for path in [package.clone(), package.join("capi"), library.clone()] {
            assert_eq!(at(&path).unwrap(), library);
        }
        assert!(matches!(at(folder.path()), Err(OnnxRuntimeError::Folder { .. })));
        assert!(matches!(at(&folder.path().join("none.so")), Err(OnnxRuntimeError::Load { .. })));
    }

    #[test]
    fn what_is_no_library_is_an_error() {
        let (_folder, library) = with_library("onnxruntime");
        assert!(matches!(Library::find(Some(&library)), Err(OnnxRuntimeError::Load { .. })));
    }

    #[test]
    fn the_environment_leads_to_a_library_by_absolute_paths_only() {
        let (folder, library) = with_library("lib/python3.12/site-packages/onnxruntime");
        let of = |set: &[(&str, &Path)]| of_environment(|name| set.iter().find(|(n, _)| *n == name).map(|(_, path)| path.into()));
        assert_eq!(of(&[("VIRTUAL_ENV", folder.path())]).unwrap(), Some(library.clone()));
        assert_eq!(of(&[("ORT_DYLIB_PATH", &library), ("VIRTUAL_ENV", Path::new("/nowhere"))]).unwrap(), Some(library));
        for relative in [&[("VIRTUAL_ENV", Path::new(".venv"))][..], &[("PATH", Path::new("."))], &[("PATH", Path::new(":.:"))], &[]] {
            assert_eq!(of(relative).unwrap(), None);
        }
        assert!(matches!(of(&[("ORT_DYLIB_PATH", Path::new("libonnxruntime.so"))]), Err(OnnxRuntimeError::Relative { .. })));
        assert!(matches!(of(&[("ORT_DYLIB_PATH", folder.path())]), Err(OnnxRuntimeError::Folder { .. })));
    }
}
