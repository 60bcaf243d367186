//! A network as files.

use std::path::PathBuf;

use quantrain_graph::QuantGraph;

use crate::RunError;
use crate::recipe::{Export, ExportStyle};

/// Where files go.
pub(crate) struct ExportFiles {
    /// The ONNX file.
    pub model: PathBuf,
    /// Settings of TIDL's import, for the style clip.
    pub import_settings: PathBuf,
    /// Scales and zero points in JSON, where they are wanted.
    pub encodings: PathBuf,
}

/// Writes a network, in float where it is not quantized; gives the files written.
///
/// # Errors
/// The network is not calibrated, a bias does not fit, or a file cannot be written.
pub(crate) fn write_network(net: &QuantGraph, files: ExportFiles, export: &Export, quantized: bool) -> Result<Vec<PathBuf>, RunError> {
    let ExportFiles { model, import_settings, encodings } = files;
    if !quantized {
        quantrain_onnx::write_float_with(net.graph(), &model, &export.float())?;
        return Ok(vec![model]);
    }
    let mut written = Vec::new();
    match export.style {
        ExportStyle::Qdq => {
            quantrain_onnx::write_qdq(net, &model, &export.qdq())?;
            written.push(model);
        }
        ExportStyle::Clip => {
            quantrain_onnx::write_clip(net, &model, &export.clip())?;
            quantrain_onnx::write_tidl_settings(net, &import_settings)?;
            written.extend([model, import_settings]);
        }
    }
    if export.encodings {
        quantrain_onnx::write_encodings(net, &encodings)?;
        written.push(encodings);
    }
    Ok(written)
}
