//! The codes inside ONNX Runtime: a session of the same file in which the QuantizeLinear results are outputs too.
//!
//! Its optimizer fuses around them as it does without (the results of both sessions are compared), and its optimized model says which
//! operator makes each.

use std::collections::HashMap;

use ort::session::{Session, SessionOutputs};
use ort::value::ValueRef;
use quantrain_onnx::{Maker, Makers, code_tensors, with_outputs};

use super::{OnnxRuntimeError, Opener, in_memory_order};

/// A session that hands out inner codes.
pub(crate) struct InnerSession {
    session: Session,
    /// Of each quantized tensor, the output that its codes are.
    outputs: HashMap<String, String>,
    makers: Makers,
}

/// Codes by the name of their output, and the outputs of 32-bit floats.
type Inner = (HashMap<String, Vec<i32>>, Vec<Vec<f32>>);

impl InnerSession {
    pub(crate) fn open(opener: &Opener) -> Result<Self, OnnxRuntimeError> {
        let model = &opener.model;
        let bytes = std::fs::read(model).map_err(|source| quantrain_onnx::ReadError::Io { file: model.clone(), source })?;
        let tensors = code_tensors(model, &bytes)?;
        let mut names: Vec<&str> = tensors.iter().map(|(_, codes)| codes.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let optimized = tempfile::Builder::new().suffix(".onnx").tempfile().map_err(OnnxRuntimeError::Temporary)?;
        let mut builder = opener.builder()?.with_optimized_model_path(optimized.path()).map_err(|e| opener.refused(e.to_string()))?;
        let session = builder.commit_from_memory(&with_outputs(&bytes, names.into_iter())).map_err(|e| opener.refused(e.to_string()))?;
        Ok(InnerSession { session, outputs: tensors.into_iter().collect(), makers: Makers::read(optimized.path())? })
    }

    /// The codes of every quantized tensor by the name of its output, and the file's own outputs, as they lie in memory.
    pub(crate) fn run(&mut self, opener: &Opener, images: &[f32], shape: &[usize; 4]) -> Result<Inner, OnnxRuntimeError> {
        let input = opener.input(images, shape)?;
        let outputs: SessionOutputs = self.session.run(ort::inputs![input]).map_err(|e| opener.refused(e.to_string()))?;
        let integers = outputs.iter().filter_map(|(name, value)| Some((name.to_owned(), codes(&value)?))).collect();
        let reals = outputs.values().filter_map(|value| value.try_extract_tensor::<f32>().ok().map(|(s, x)| in_memory_order(s, x)));
        Ok((integers, reals.collect()))
    }

    /// The output that a tensor's codes are.
    pub(crate) fn output_of(&self, tensor: &str) -> Option<&str> {
        self.outputs.get(tensor).map(String::as_str)
    }

    /// What computes the codes of a tensor.
    pub(crate) fn maker(&self, tensor: &str) -> Option<Maker> {
        self.makers.of(self.output_of(tensor)?)
    }
}

/// The integers of an output; `None` where it has none.
fn codes(value: &ValueRef) -> Option<Vec<i32>> {
    fn of<T: ort::value::PrimitiveTensorElementType + Copy + Into<i32>>(value: &ValueRef) -> Option<Vec<i32>> {
        let (shape, codes) = value.try_extract_tensor::<T>().ok()?;
        Some(in_memory_order(shape, codes).into_iter().map(Into::into).collect())
    }
    of::<u8>(value).or_else(|| of::<i8>(value)).or_else(|| of::<u16>(value)).or_else(|| of::<i16>(value))
}
