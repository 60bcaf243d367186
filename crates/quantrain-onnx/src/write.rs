//! From a graph to a file. Every file appears whole: a temporary sibling is written, synced and renamed.

mod activation;
mod border;
mod chain;
mod check;
mod clip;
mod encodings;
mod error;
pub(crate) mod float;
mod model;
mod normalization;
mod operator;
pub(crate) mod qdq;
mod recurrent;
mod tidl;
mod unit;

pub use clip::{ClipOptions, check_clip, write_clip};
pub use encodings::write_encodings;
pub use error::WriteError;
pub use float::{FloatOptions, check_float, write_float, write_float_folded, write_float_with};
pub use qdq::{QdqOptions, check_qdq, write_qdq};
pub use tidl::write_tidl_settings;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quantrain_graph::{QuantGraph, Quantizer, QuantizerId};

/// The operator sets that files are written in.
pub const OPERATOR_SETS: std::ops::RangeInclusive<i64> = 13..=25;

/// The last operator set that files are written in unasked: more runtimes know it than those behind.
const NEWEST_UNASKED: i64 = 23;

/// Writes a file that either appears whole or not at all; a file of that name is replaced.
///
/// # Errors
/// The folder cannot be written to, or the disk is full.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), WriteError> {
    let path = path.as_ref();
    let temporary = sibling(path);
    let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // What is left of a failed attempt is of no use; that it may not go away changes nothing.
        let _ = fs::remove_file(&temporary);
        WriteError::Io { file: path.into(), source }
    })
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sibling(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Scale and zero point of each activation quantizer.
fn activation_quantizers(net: &QuantGraph) -> Result<Vec<Quantizer>, WriteError> {
    let calibrated =
        |q: &quantrain_graph::ActivationQuantizer| q.quantizer()?.ok_or_else(|| WriteError::NotCalibrated { tensor: q.tensor.clone() });
    net.quantizers().iter().map(calibrated).collect()
}

/// Whether a unit's output has the quantizer of its input: it only carries values.
fn carried(net: &QuantGraph, unit: usize) -> Option<QuantizerId> {
    let unit = &net.units()[unit];
    let graph = net.graph();
    let output = net.quantizer_of(unit.output(graph))?;
    let op = &graph.node(unit.core).op;
    let input = unit.inputs(graph).next().and_then(|t| net.quantizer_of(t));
    (net.target().placement(op) == quantrain_graph::Placement::Carried && input == Some(output)).then_some(output)
}

#[cfg(test)]
mod tests;
