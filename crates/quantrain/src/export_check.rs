//! Exported models in ONNX Runtime, before a run is called good.

use std::path::{Path, PathBuf};

use quantrain_graph::{ElementType, Graph, Note, QuantGraph, Range, TensorId};
use serde::Serialize;

use crate::RunError;
use crate::feeds::fed;
use crate::images::fixed_batch;
use crate::onnxruntime::{Interface, Library, OnnxRuntime, OnnxRuntimeError, SessionOptions};

/// Whether ONNX Runtime ran the exported models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ExportCheck {
    /// It did: outputs are finite, and have the names, types and shapes that they have in the float network.
    Opened {
        /// The library.
        library: PathBuf,
    },
    /// ONNX Runtime was not found.
    NotFound,
    /// The recipe leaves it out.
    LeftOut,
    /// No file that was written is one of ONNX.
    NoModel,
}

/// Images of the batch that is run, where the network does not fix it: what holds for a single one only shows.
const IMAGES: usize = 2;

/// Opens each of `models`, exports of `net`, and runs a batch, beside the float network in the file `float`.
pub(crate) fn check_exports(net: &QuantGraph, float: &Path, models: &[PathBuf]) -> Result<ExportCheck, RunError> {
    let failed = |source: OnnxRuntimeError| RunError::ExportCheck { source };
    let Some(library) = Library::find(None).map_err(failed)? else { return Ok(ExportCheck::NotFound) };
    let size = fixed_batch(net.graph()).unwrap_or(IMAGES);
    let values: Vec<Vec<f32>> = net.graph().inputs().iter().map(|&input| values(net, input, size)).collect();
    let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    let feeds = fed(net.graph(), size, &values);
    let run = |model: &Path| {
        OnnxRuntime::open(&library, model, SessionOptions { threads: rayon::current_num_threads(), exact: false })?.interface(&feeds)
    };
    // A network that ONNX Runtime does not run in float is nothing to compare with. Inputs that nothing depends on were left out.
    let expected = run(float).ok().map(|interface| without(interface, net.graph()));
    models.iter().try_for_each(|model| compare(model, &run(model)?, expected.as_ref())).map_err(failed)?;
    Ok(ExportCheck::Opened { library: library.path().to_owned() })
}

/// The interface without the inputs that no output depends on.
fn without(mut interface: Interface, graph: &Graph) -> Interface {
    let left_out = |note: &Note, name: &str| matches!(note, Note::InputLeftOut { input } if input == name);
    interface.inputs.retain(|(name, _)| !graph.notes.iter().any(|note| left_out(note, name)));
    interface
}

fn compare(model: &Path, found: &Interface, expected: Option<&Interface>) -> Result<(), OnnxRuntimeError> {
    let is_broken = |interface: &Interface, i: usize| interface.outputs.get(i).is_some_and(|o| !o.is_finite);
    let broken = (0..found.outputs.len()).find(|&i| is_broken(found, i) && !expected.is_some_and(|expected| is_broken(expected, i)));
    if let Some(i) = broken {
        return Err(OnnxRuntimeError::NotFinite { model: model.into(), output: found.outputs[i].name.clone() });
    }
    match expected.map(Interface::to_string) {
        Some(expected) if expected != found.to_string() => {
            Err(OnnxRuntimeError::Interface { model: model.into(), found: found.to_string(), expected })
        }
        _ => Ok(()),
    }
}

/// Values spread over the range that an input was calibrated to; whole numbers that it takes where it is one of integers or truths.
fn values(net: &QuantGraph, input: TensorId, size: usize) -> Vec<f32> {
    /// Multiples of it fall into all parts of an interval.
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    let (graph, kind) = (net.graph(), net.graph().element_type(input));
    let count = graph.tensor(input).shape.elements(size);
    if kind.limits().is_some() {
        let most = if kind == ElementType::Bool { 2 } else { graph.indexed_extents().get(&input).copied().unwrap_or(128).min(128) };
        return (0..count).map(|i| (i % most) as f32).collect();
    }
    let quantizer = net.quantizer_of(input).map(|q| &net.quantizers()[q.0]);
    let range = quantizer.and_then(|q| q.quantizer().ok().flatten()).map_or(Range::new(-1.0, 1.0), |q| q.range());
    (0..count).map(|i| range.min + (range.max - range.min) * (i as f64 * GOLDEN_RATIO).fract() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnxruntime::OutputKind;

    fn interface(kind: &str, is_finite: bool) -> Interface {
        let output = OutputKind { name: "y".into(), kind: kind.into(), shape: vec![2, 10], is_finite };
        Interface { inputs: vec![("x".into(), "f32".into())], outputs: vec![output] }
    }

    #[test]
    fn an_export_has_the_outputs_of_the_float_network_and_finite_ones() {
        let check = |found, expected: Option<Interface>| compare(Path::new("m.onnx"), &found, expected.as_ref());
        assert!(check(interface("f32", true), Some(interface("f32", true))).is_ok());
        assert!(check(interface("f32", true), None).is_ok());
        // What is infinite in float may be so here.
        assert!(check(interface("f32", false), Some(interface("f32", false))).is_ok());
        let errors = [check(interface("f32", false), Some(interface("f32", true))), check(interface("f32", false), None)];
        assert!(errors.iter().all(|e| matches!(e, Err(OnnxRuntimeError::NotFinite { .. }))));
        let error = check(interface("f32", true), Some(interface("i64", true))).unwrap_err().to_string();
        assert!(error.contains("x: f32 -> y: f32 2x10") && error.contains("x: f32 -> y: i64 2x10"), "{error}");
    }

    #[test]
    fn an_input_that_nothing_depends_on_may_be_gone() {
        let mut graph = Graph::default();
        graph.notes.push(Note::InputLeftOut { input: "state".into() });
        let mut both = interface("f32", true);
        both.inputs.push(("state".into(), "f32".into()));
        assert_eq!(without(both, &graph).to_string(), interface("f32", true).to_string());
    }
}
