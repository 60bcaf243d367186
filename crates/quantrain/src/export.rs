//! A network as files.

use std::path::{Path, PathBuf};

use quantrain_c::Footprint;
use quantrain_graph::{QuantGraph, Range};
use quantrain_integer::IntegerProgram;

use crate::RunError;
use crate::recipe::{Export, ExportStyle};

/// Where files go.
pub(crate) struct ExportFiles {
    /// The ONNX or TensorFlow Lite file, or the C source; its header lies beside it.
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
        ExportStyle::C => written.extend(write_c(net, &model)?),
        ExportStyle::Tflite => {
            let bytes = quantrain_tflite::write(&IntegerProgram::lower(net)?)?;
            quantrain_onnx::write_atomically(&model, &bytes)?;
            written.push(model);
        }
    }
    if export.encodings {
        quantrain_onnx::write_encodings(net, &encodings)?;
        written.push(encodings);
    }
    Ok(written)
}

/// Writes a network as C beside `model`, both files or none; they are called by its name as an identifier.
fn write_c(net: &QuantGraph, model: &Path) -> Result<[PathBuf; 2], RunError> {
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    let files = quantrain_c::print(&IntegerProgram::lower(net)?, &name)?;
    let [header, source] = ["h", "c"].map(|extension| model.with_file_name(format!("{}.{extension}", files.name)));
    quantrain_onnx::write_atomically(&header, files.header.as_bytes())?;
    quantrain_onnx::write_atomically(&source, files.source.as_bytes()).inspect_err(|_| {
        // A header without its source is of no use; the first error counts.
        let _ = std::fs::remove_file(&header);
    })?;
    Ok([source, header])
}

/// What the network takes as C; where ranges are not known yet, any will do.
///
/// # Errors
/// The network has no integer program, or none that C can say.
pub fn c_footprint(net: &QuantGraph) -> Result<Footprint, RunError> {
    let mut net = net.clone();
    with_any_ranges(&mut net);
    Ok(quantrain_c::footprint(&IntegerProgram::lower(&net)?)?)
}

/// Ranges of a network that is not calibrated, where only its kind matters.
pub(crate) fn with_any_ranges(net: &mut QuantGraph) {
    let missing = net.quantizers_mut().iter_mut().filter(|q| q.range.is_none());
    missing.for_each(|q| q.range = Some(Range { min: 0.0, max: 1.0 }));
}
