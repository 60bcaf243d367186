//! Checkpoints: everything that a run needs to go on with the same bits, in one safetensors file.
//!
//! The tensors are f32, by name; their order, the position of the run and whose checkpoint it is stand as JSON in the file's metadata, a
//! hash of all of it beside them. A file appears whole ([`crate::write_whole`]), and [`read`] tells a damaged one, whatever part of it is
//! damaged, from one of another version, network or recipe.

mod data;
mod fingerprint;

pub use data::DataFingerprint;
pub use fingerprint::{Fingerprint, network_fingerprint};

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::train::OSCILLATION;
use crate::{CheckpointError, FileError, write_whole};

/// Version of what the metadata holds.
const VERSION: u32 = 2;

/// The metadata's key.
const KEY: &str = "quantrain-checkpoint";

/// Whose checkpoint it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Of the network: see [`network_fingerprint`].
    pub network: Fingerprint,
    /// Of what the recipe says about results.
    pub recipe: Fingerprint,
}

/// Tensors by name, in an order that is kept.
pub type Tensors = Vec<(String, Vec<f32>)>;

/// The part that every version has.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Metadata<P> {
    version: u32,
    identity: Identity,
    tensors: Vec<String>,
    position: P,
}

/// Writes a checkpoint: a position (anything that serde knows) and tensors of different names.
///
/// # Errors
/// The file cannot be written, two tensors have one name, or a value is NaN or infinite; the checkpoint before stays then.
pub fn write<P: Serialize>(path: &Path, identity: &Identity, position: &P, tensors: &[(String, Vec<f32>)]) -> Result<(), CheckpointError> {
    let broken = |message: String| CheckpointError::Unwritable { path: path.into(), message };
    let names: Vec<String> = tensors.iter().map(|(name, _)| name.clone()).collect();
    let metadata = Metadata { version: VERSION, identity: *identity, tensors: names, position };
    let text = serde_json::to_string(&metadata).map_err(|e| broken(e.to_string()))?;
    if let Some(name) = not_finite(tensors) {
        return Err(CheckpointError::NotFinite { path: path.into(), tensor: name.into() });
    }
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let mut views = HashMap::new();
    for ((name, values), bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytes).map_err(|e| broken(e.to_string()))?;
        if views.insert(name, view).is_some() {
            return Err(broken(format!("two tensors are named `{name}`")));
        }
    }
    let hash = tensors.iter().zip(&bytes).fold(Fingerprint::of(&text), |hash, ((name, _), bytes)| hash.and(name.as_bytes()).and(bytes));
    // One entry: several would stand in any order, and a run would not have the same bits twice.
    let metadata = HashMap::from([(KEY.to_owned(), format!("{hash}\n{text}"))]);
    let file = serialize(views, Some(metadata)).map_err(|e| broken(e.to_string()))?;
    Ok(write_whole(path, &file)?)
}

/// Reads a checkpoint of this identity: its position and its tensors in the order they were written.
///
/// # Errors
/// The file cannot be read, is damaged, or was written by another version or for another network or recipe.
pub fn read<P: DeserializeOwned>(path: &Path, identity: &Identity) -> Result<(P, Tensors), CheckpointError> {
    let bytes = fs::read(path).map_err(|source| FileError::new(path, source))?;
    let damaged = |message: String| CheckpointError::Damaged { path: path.into(), message };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let entry = |key: &str| header.metadata().as_ref().and_then(|m| m.get(key)).ok_or_else(|| damaged(format!("no metadata `{key}`")));
    let (stored_hash, text) = entry(KEY)?.split_once('\n').ok_or_else(|| damaged("no hash".into()))?;
    let Header { version } = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    if version != VERSION {
        return Err(CheckpointError::Version { path: path.into(), found: version, expected: VERSION });
    }
    let metadata: Metadata<serde_json::Value> = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    let stored = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let mut hash = Fingerprint::of(text);
    let mut tensors = Vec::with_capacity(metadata.tensors.len());
    for name in metadata.tensors {
        let view = stored.tensor(&name).map_err(|e| damaged(e.to_string()))?;
        if view.dtype() != Dtype::F32 {
            return Err(damaged(format!("tensor `{name}`: {} found, F32 expected", view.dtype())));
        }
        hash = hash.and(name.as_bytes()).and(view.data());
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.push((name, values));
    }
    if hash.to_string() != stored_hash {
        return Err(damaged("its hash is not that of what it holds".into()));
    }
    if metadata.identity.network != identity.network {
        return Err(CheckpointError::OtherNetwork { path: path.into() });
    }
    if metadata.identity.recipe != identity.recipe {
        return Err(CheckpointError::OtherRecipe { path: path.into() });
    }
    // From the text once more: a `Value` in between would round single precision twice.
    let Metadata { position, .. } = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    if let Some(name) = not_finite(&tensors) {
        return Err(CheckpointError::NotFinite { path: path.into(), tensor: name.into() });
    }
    Ok((position, tensors))
}

/// The first tensor that holds NaN or an infinity: nothing can be trained on from it. In those of oscillations NaN stands for no code yet.
fn not_finite(tensors: &[(String, Vec<f32>)]) -> Option<&str> {
    let mut numbers = tensors.iter().filter(|(name, _)| !name.starts_with(OSCILLATION));
    numbers.find(|(_, values)| values.iter().any(|v| !v.is_finite())).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests;
