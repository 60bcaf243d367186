//! Tensors whose data lie in a file beside the model.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::proto::{GraphProto, ModelProto, TensorProto};
use crate::{ReadError, TensorError};

/// `TensorProto.data_location` of data in another file.
pub(in crate::read) const EXTERNAL: i32 = 1;

/// Fetches the data of all external tensors; locations are relative to the folder of the model and do not leave it, through links neither.
pub(in crate::read) fn load(model: &mut ModelProto, file: &Path) -> Result<(), ReadError> {
    let folders = Folders::of(file);
    let mut files = HashMap::new();
    let Some(graph) = &mut model.graph else { return Ok(()) };
    each_tensor(graph, &mut |tensor| {
        if tensor.data_location != Some(EXTERNAL) {
            return Ok(());
        }
        let fetched = fetch(tensor, &folders, &mut files);
        let name = || tensor.name.clone().unwrap_or_default();
        tensor.raw_data = Some(fetched.map_err(|source| ReadError::Initializer { file: file.into(), tensor: name(), source })?);
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    })
}

/// Initializers and attributes, those of the graphs inside nodes too.
fn each_tensor(graph: &mut GraphProto, f: &mut impl FnMut(&mut TensorProto) -> Result<(), ReadError>) -> Result<(), ReadError> {
    graph.initializer.iter_mut().try_for_each(&mut *f)?;
    for attribute in graph.node.iter_mut().flat_map(|n| &mut n.attribute) {
        attribute.t.iter_mut().try_for_each(&mut *f)?;
        attribute.g.as_deref_mut().map_or(Ok(()), |inner| each_tensor(inner, f))?;
    }
    Ok(())
}

/// Where the data of a model may lie.
struct Folders {
    /// The folder that locations are relative to.
    named: PathBuf,
    /// The folders that files may lie in once links are followed: that one, and that of the model itself. Caches of downloads hold links to
    /// both files in one store.
    real: Vec<PathBuf>,
}

impl Folders {
    fn of(file: &Path) -> Self {
        let named = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let model = file.canonicalize().ok().and_then(|file| Some(file.parent()?.to_owned()));
        let real = named.canonicalize().ok().into_iter().chain(model).collect();
        Folders { named, real }
    }

    /// Opens a file, and tells its length.
    fn open(&self, location: &Path) -> Result<(File, u64), String> {
        let path = self.named.join(location).canonicalize().map_err(|e| e.to_string())?;
        if !self.real.iter().any(|folder| path.starts_with(folder)) {
            return Err("it is a link to a file that is not in the folder of the model".into());
        }
        // A pipe or a device has no end that could be known before, and opening one may take forever.
        if !path.metadata().map_err(|e| e.to_string())?.is_file() {
            return Err("it is no regular file".into());
        }
        let file = File::open(&path).map_err(|e| e.to_string())?;
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        Ok((file, length))
    }
}

fn fetch(tensor: &TensorProto, folders: &Folders, files: &mut HashMap<PathBuf, (File, u64)>) -> Result<Vec<u8>, TensorError> {
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key)).and_then(|e| e.value.as_deref());
    let location = entry("location").unwrap_or_default();
    let external = |problem: String| TensorError::External { location: location.into(), problem };
    let number = |key: &str| entry(key).map(|text| text.parse::<u64>().map_err(|_| external(format!("{key} is `{text}`")))).transpose();
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let relative = Path::new(location);
    if location.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(external("it is not in the folder of the model".into()));
    }
    let path = relative.to_owned();
    if !files.contains_key(&path) {
        files.insert(path.clone(), folders.open(relative).map_err(external)?);
    }
    let Some((file, size)) = files.get_mut(&path) else { return Err(external("it cannot be opened".into())) };
    let wanted = length.or_else(|| size.checked_sub(offset)).filter(|n| offset.checked_add(*n).is_some_and(|end| end <= *size));
    let Some(wanted) = wanted.and_then(|n| usize::try_from(n).ok()) else {
        let length = length.map_or("all".into(), |n| n.to_string());
        return Err(external(format!("it has {size} bytes, {length} from byte {offset} on expected; is it complete?")));
    };
    // What the extents do not need is not read, so that no tensor takes more memory than it has values.
    let mut bytes = vec![0; wanted.min(expected_bytes(tensor))];
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(|e| external(e.to_string()))?;
    if bytes.len() < wanted { Err(TensorError::Length { found: wanted, unit: "bytes", expected: bytes.len() }) } else { Ok(bytes) }
}

/// Bytes that values of the widest type would take.
fn expected_bytes(tensor: &TensorProto) -> usize {
    let extent = |&d: &i64| usize::try_from(d).unwrap_or(usize::MAX);
    tensor.dims.iter().fold(8usize, |n, d| n.saturating_mul(extent(d)))
}
