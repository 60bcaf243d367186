//! The codes inside ONNX Runtime: a session of the same file in which the QuantizeLinear results are outputs too.
//!
//! Its optimizer fuses around them as it does without (the results of both sessions are compared), and its optimized model says which
//! operator makes each.

use std::collections::HashMap;

use ort::session::{Session, SessionOutputs};
use ort::value::{DynValue, ValueRef};
use quantrain_onnx::{Maker, Makers, code_tensors, with_outputs};

use super::{Fed, OnnxRuntimeError, Opener, in_memory_order, reals};

/// A session that hands out inner codes.
pub(crate) struct InnerSession {
    session: Session,
    /// Of each quantized tensor, the output that its codes are.
    outputs: HashMap<String, String>,
    makers: Makers,
    /// The positions of the file's own outputs that are compared.
    own: Vec<usize>,
}

/// What a run of an [`InnerSession`] hands out.
pub(crate) struct InnerRun<'s> {
    values: SessionOutputs<'s>,
    outputs: &'s HashMap<String, String>,
    own: &'s [usize],
}

impl InnerSession {
    pub(crate) fn open(opener: &Opener, own: Vec<usize>) -> Result<Self, OnnxRuntimeError> {
        let model = &opener.model;
        let bytes = match opener.rewritten()? {
            Some(bytes) => bytes,
            None => std::fs::read(model).map_err(|source| quantrain_onnx::ReadError::Io { file: model.clone(), source })?,
        };
        let tensors = code_tensors(model, &bytes)?;
        let mut names: Vec<&str> = tensors.iter().map(|(_, codes)| codes.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let optimized = tempfile::Builder::new().suffix(".onnx").tempfile().map_err(OnnxRuntimeError::Temporary)?;
        let mut builder = opener.builder()?.with_optimized_model_path(optimized.path()).map_err(|e| opener.refused(e.to_string()))?;
        let session = builder.commit_from_memory(&with_outputs(&bytes, names.into_iter())).map_err(|e| opener.refused(e.to_string()))?;
        Ok(InnerSession { session, outputs: tensors.into_iter().collect(), makers: Makers::read(optimized.path())?, own })
    }

    /// Runs a batch.
    pub(crate) fn run(&mut self, opener: &Opener, feeds: &[Fed]) -> Result<InnerRun<'_>, OnnxRuntimeError> {
        let fed = opener.inputs(&self.session, feeds)?;
        let values = self.session.run(fed.inputs()).map_err(|e| opener.refused(e.to_string()))?;
        Ok(InnerRun { values, outputs: &self.outputs, own: &self.own })
    }

    /// What computes the codes of a tensor.
    pub(crate) fn maker(&self, tensor: &str) -> Option<Maker> {
        self.makers.of(self.outputs.get(tensor)?)
    }

    /// Whether what computes the codes of a tensor has weights that are integers.
    pub(crate) fn has_integer_weights(&self, tensor: &str) -> bool {
        self.outputs.get(tensor).is_some_and(|codes| self.makers.have_integer_weights(codes))
    }
}

impl InnerRun<'_> {
    /// The codes of a tensor, as they lie in memory.
    pub(crate) fn codes(&self, tensor: &str) -> Option<Vec<i32>> {
        codes(self.values.get(self.outputs.get(tensor)?)?)
    }

    /// The file's own outputs as floats.
    pub(crate) fn reals(&self) -> Vec<Vec<f32>> {
        let values: Vec<ValueRef> = self.values.values().collect();
        self.own.iter().filter_map(|&i| reals(values.get(i)?).ok()).collect()
    }
}

/// The integers of an output; `None` where it has none.
fn codes(value: &DynValue) -> Option<Vec<i32>> {
    fn of<T: ort::value::PrimitiveTensorElementType + Copy + Into<i32>>(value: &DynValue) -> Option<Vec<i32>> {
        let (shape, codes) = value.try_extract_tensor::<T>().ok()?;
        Some(in_memory_order(shape, codes).into_iter().map(Into::into).collect())
    }
    of::<u8>(value).or_else(|| of::<i8>(value)).or_else(|| of::<u16>(value)).or_else(|| of::<i16>(value))
}
