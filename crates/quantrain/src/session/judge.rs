//! What a session's network is worth, and whether a device computes what is simulated.

use std::borrow::Cow;

use quantrain_data::{Batch, DataError};
use quantrain_engine::{in_memory_order, physical_shape};

use super::tensor::Fed;
use super::{Feed, Pass, Session, SessionError};
use crate::metric::{Metric, Output};
use crate::onnxruntime::{Library, OnnxRuntime, SessionOptions};
use crate::recipe::{Export, ExportStyle};
use crate::verify::{Verification, verify};
use crate::{FileError, RunError};

/// What samples are annotated with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Labels<'a> {
    /// Nothing.
    None,
    /// A class for each sample.
    Classes(&'a [i64]),
    /// A class for each pixel, `[N, H, W]`.
    Pixels {
        /// The classes, row by row.
        classes: &'a [u8],
        /// Height and width.
        size: [usize; 2],
    },
}

impl Session {
    /// Runs samples, in integers or in float, and lets a metric judge the outputs, which it gets as [`crate::evaluate()`] hands them out.
    ///
    /// # Errors
    /// Feeds do not fit, the network is not calibrated, or labels do not fit the outputs.
    pub fn judge(&mut self, feeds: &[(&str, Feed<'_>)], labels: Labels<'_>, pass: Pass, metric: &mut dyn Metric) -> Result<(), RunError> {
        let outputs = self.forward(feeds, pass)?;
        let size = Fed::new(self.graph(), feeds)?.batch;
        let mut batch = Batch { size, ..Batch::default() };
        match labels {
            Labels::None => {}
            Labels::Classes(classes) => batch.labels = classes.to_vec(),
            Labels::Pixels { classes, size: [height, width] } => {
                (batch.height, batch.width, batch.masks) = (height, width, Some(classes.to_vec()));
            }
        }
        let graph = self.graph();
        let ports: Vec<_> = graph.outputs().iter().map(|&t| graph.tensor(t)).collect();
        let shapes: Vec<_> = ports.iter().map(|port| physical_shape(&port.shape, size)).collect();
        let mut ordered = vec![Vec::new(); outputs.len()];
        outputs.iter().zip(&mut ordered).for_each(|(output, to)| in_memory_order(&output.shape, &output.values, to));
        let named = ports.iter().zip(&shapes).zip(&ordered);
        let named: Vec<Output> = named.map(|((port, shape), values)| Output { name: &port.name, shape, values }).collect();
        metric.add(&batch, &named)
    }

    /// Exports the network and compares the ways to run the file on samples: the simulation, the integer program and, where `library` is given,
    /// ONNX Runtime, code for code.
    ///
    /// # Errors
    /// The network is not quantized or calibrated, holds what the integer program cannot run, or ONNX Runtime refuses it.
    pub fn verify<'f>(
        &mut self,
        samples: impl IntoIterator<Item = Vec<(&'f str, Feed<'f>)>>,
        library: Option<&Library>,
    ) -> Result<Verification, RunError> {
        if !self.recipe.quantization().enabled {
            return Err(SessionError::NotQuantized { what: "verify" }.into());
        }
        let batches = samples.into_iter().map(|feeds| -> Result<Batch, RunError> {
            let fed = Fed::new(self.graph(), &feeds)?;
            Ok(Batch { size: fed.batch, feeds: fed.values.into_iter().map(Cow::into_owned).collect(), ..Batch::default() })
        });
        let batches: Vec<Batch> = batches.collect::<Result<_, _>>()?;
        let folder = tempfile::tempdir().map_err(|source| FileError::new(&std::env::temp_dir(), source))?;
        let file = folder.path().join("model.qdq.onnx");
        let export = Export { style: ExportStyle::Qdq, encodings: false, ..*self.recipe.export() };
        self.export_as(&file, &export)?;
        let graph =
            quantrain_onnx::read_with(&file, &quantrain_onnx::ReadOptions { evaluate: Some(crate::EVALUATE), ..Default::default() })?;
        let options = SessionOptions { threads: rayon::current_num_threads(), exact: false };
        let mut runtime = library.map(|library| OnnxRuntime::open(library, &file, options)).transpose()?;
        verify(graph, self.recipe.target().clone(), runtime.as_mut(), batches.into_iter().map(Ok::<_, DataError>), &mut ())
    }
}
