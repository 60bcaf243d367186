//! Reads ONNX files into a graph and writes quantized networks back; names of nodes, tensors, inputs and outputs survive.
//!
//! [`read`] gives a [`quantrain_graph::Graph`] or one error that says where the file and this crate part ways. Which operators of which
//! operator sets are read is one table, [`operators`].
//!
//! | written by | holds | for |
//! |---|---|---|
//! | [`write_float`] | the float network as it is | any runtime, reading back |
//! | [`write_float_folded`] | BatchNormalization folded into weights | any runtime |
//! | [`write_qdq`] | integers for weights, QuantizeLinear and DequantizeLinear pairs | ONNX Runtime, TensorRT, OpenVINO, TIDL 9.1 |
//! | [`write_clip`], [`write_tidl_settings`] | float weights, trained ranges as Clip; import settings | TIDL's own import |
//! | [`write_encodings`] | every quantizer as JSON (AIMET's format 0.6.1) | tools that quantize by themselves |
//!
//! ```no_run
//! use quantrain_graph::{QuantGraph, Range, Settings, Target};
//!
//! let graph = quantrain_onnx::read("model.onnx")?;
//! let mut net = QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default())?;
//! net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(0.0, 4.0))); // calibration finds better ones
//! quantrain_onnx::write_qdq(&net, "model.qdq.onnx", &Default::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate knows nothing of execution.
#![forbid(unsafe_code)]

mod error;
#[cfg(test)]
mod fixture;
mod inner;
mod proto;
mod read;
mod write;

pub use error::{InputShapeError, NodeError, ReadError, TensorError};
pub use inner::{Maker, Makers, code_tensors, with_outputs, with_own_zero_points};
pub use read::{Evaluate, InputShape, Operator, ReadOptions, operators, operators_page, read, read_bytes, read_bytes_with, read_with};
pub use write::{
    ClipOptions, FloatOptions, OPERATOR_SETS, QdqOptions, WriteError, check_clip, check_float, check_qdq, write_atomically, write_clip,
    write_encodings, write_float, write_float_folded, write_float_with, write_qdq, write_tidl_settings,
};
