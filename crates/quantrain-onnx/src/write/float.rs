//! Float models: the graph as it is, or with BatchNormalization folded into weights.

use std::path::Path;

use quantrain_graph::{Graph, QuantGraph};

use super::error::WriteError;
use super::model::ModelWriter;
use super::unit::{self, Names};
use super::{operator, write_atomically};

/// What may be chosen about a float file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloatOptions {
    /// The operator set; the graph's own, at least 13 and what its operators need, if it is not given.
    pub opset: Option<i64>,
}

/// Writes the float network, every node and name kept, BatchNormalization included.
///
/// # Errors
/// An operator that ONNX does not have, in the operator set asked for or at all, or a file that cannot be written.
pub fn write_float(graph: &Graph, path: impl AsRef<Path>) -> Result<(), WriteError> {
    write_atomically(path, &float_bytes(graph)?)
}

/// As [`write_float`], with what may be chosen.
///
/// # Errors
/// As [`write_float`].
pub fn write_float_with(graph: &Graph, path: impl AsRef<Path>, options: &FloatOptions) -> Result<(), WriteError> {
    write_atomically(path, &bytes_with(graph, options)?)
}

/// Writes the float network with BatchNormalization folded into the weights of convolutions and products.
///
/// # Errors
/// As [`write_float`].
pub fn write_float_folded(net: &QuantGraph, path: impl AsRef<Path>) -> Result<(), WriteError> {
    let mut w = ModelWriter::new(net.graph(), operator::opset(net.graph(), None)?);
    let names = Names::of(net);
    for u in 0..net.units().len() {
        let parameters = unit::float_parameters(&mut w, net, u, None);
        unit::write(&mut w, net, u, &names, parameters, unit::activation(net, u))?;
    }
    write_atomically(path, &w.finish(net.graph(), &[])?)
}

/// Whether [`write_float_with`] would write the network, without a file.
///
/// # Errors
/// As [`write_float`].
pub fn check_float(graph: &Graph, options: &FloatOptions) -> Result<(), WriteError> {
    bytes_with(graph, options).map(drop)
}

pub(crate) fn float_bytes(graph: &Graph) -> Result<Vec<u8>, WriteError> {
    bytes_with(graph, &FloatOptions::default())
}

pub(super) fn bytes_with(graph: &Graph, options: &FloatOptions) -> Result<Vec<u8>, WriteError> {
    let mut w = ModelWriter::new(graph, operator::opset(graph, options.opset)?);
    for node in graph.nodes() {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &t in &node.inputs {
            inputs.push(if graph.constant(t).is_some() { w.constant(graph, t) } else { graph.tensor(t).name.clone() });
        }
        operator::write(&mut w, node, &graph.tensor(node.inputs[0]).shape, inputs, &graph.tensor(node.output).name)?;
    }
    w.finish(graph, &[])
}
