//! What quantization does to each layer, measured on a few images: what a report shows, and whoever plots may read.
//!
//! The float path of the network as it stands is compared with its simulated integers: at each quantized tensor, everything before it
//! quantized too. Weights are compared with their codes, BatchNormalization folded in.

mod activations;
mod histogram;
mod weights;

pub use activations::TensorStatistics;
pub use histogram::Histogram;
pub use weights::WeightStatistics;

use std::collections::HashMap;

use quantrain_data::{Batch, DataError};
use quantrain_engine::{EngineError, Mode, Network, Purpose};
use quantrain_graph::{Graph, QuantGraph};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::runner::Runner;
use crate::{RunError, check_images};
use activations::{Capture, Comparison};

/// Images that are enough for pictures; more cost time that a run has better uses for.
pub const IMAGES: usize = 16;

/// A network layer by layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkStatistics {
    /// Number of images.
    pub images: usize,
    /// What runs in one go, in order.
    pub layers: Vec<LayerStatistics>,
    /// The quantized tensors; those that share a quantizer are one.
    pub tensors: Vec<TensorStatistics>,
    /// Bytes of all constants, 32 bits each.
    pub float_bytes: u64,
    /// Bytes of weight codes, of biases with 32 bits, and of what stays in float.
    pub quantized_bytes: u64,
}

/// A layer: a node with the BatchNormalization and the activation fused into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerStatistics {
    /// Its node.
    pub node: String,
    /// The operators, fused ones included.
    pub operators: Vec<String>,
    /// Extents of its output for one image, in ONNX's order.
    pub shape: Vec<usize>,
    /// The layers whose outputs it reads; what enters the network is none.
    pub inputs: Vec<usize>,
    /// Multiply-accumulates an image.
    pub multiply_accumulates: u64,
    /// The quantizer of its output, in [`NetworkStatistics::tensors`].
    pub tensor: Option<usize>,
    /// Why it runs in float.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<String>,
    /// Its weights, where they are quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightStatistics>,
}

/// Measures a calibrated network on the images of `batches`, of which each is held in memory once as float values.
///
/// # Errors
/// The network is not calibrated, images cannot be read or do not fit, or there are none.
pub fn measure(
    net: &QuantGraph,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    progress: &mut dyn Progress,
) -> Result<NetworkStatistics, RunError> {
    let quantizers = net.quantizers().iter().map(|q| q.quantizer().map_err(EngineError::from)).collect::<Result<Vec<_>, _>>()?;
    let not_calibrated = |tensor: &str| EngineError::NotCalibrated { tensor: tensor.to_owned() };
    let quantizers: Vec<_> = quantizers
        .into_iter()
        .zip(net.quantizers())
        .map(|(quantizer, q)| quantizer.ok_or_else(|| not_calibrated(&q.tensor)))
        .collect::<Result<_, _>>()?;
    let mut network = Network::new(net.clone());
    let mut runner = Runner::new(Purpose::Inference);
    let mut comparison = Comparison::new(quantizers);
    let mut images = 0;
    for batch in batches {
        let batch = batch?;
        check_images(&network, &batch)?;
        let mut capture = Capture::new(net.quantizers().len());
        runner.forward(&mut network, Mode::FLOAT, batch.size, &batch.inputs(), &mut capture, |_, _, _| ())?;
        comparison.expect(capture);
        runner.forward(&mut network, Mode::SIMULATE, batch.size, &batch.inputs(), &mut comparison, |_, _, _| ())?;
        images += batch.size;
        progress.advance(batch.size as u64, "");
        if progress.stop_requested() {
            return Err(RunError::Stopped { stage: "statistics" });
        }
    }
    if images == 0 {
        return Err(RunError::NoImages);
    }
    let layers = layers(net)?;
    let (float_bytes, quantized_bytes) = bytes(net.graph(), &layers);
    Ok(NetworkStatistics { images, layers, tensors: comparison.statistics(net), float_bytes, quantized_bytes })
}

fn layers(net: &QuantGraph) -> Result<Vec<LayerStatistics>, RunError> {
    let graph = net.graph();
    let writers: HashMap<_, _> = net.units().iter().enumerate().map(|(u, unit)| (unit.output(graph), u)).collect();
    let reasons: HashMap<_, _> = net.float_nodes().iter().map(|(node, reason)| (*node, reason)).collect();
    let of = |(u, unit): (usize, &quantrain_graph::Unit)| {
        let (core, output) = (graph.node(unit.core), unit.output(graph));
        let mut inputs: Vec<usize> = unit.inputs(graph).filter_map(|t| writers.get(&t).copied()).collect();
        inputs.dedup();
        Ok(LayerStatistics {
            node: core.name.clone(),
            operators: unit.nodes().map(|n| graph.node(n).op.name().to_owned()).collect(),
            shape: graph.tensor(output).shape.at(1),
            inputs,
            multiply_accumulates: graph.multiply_accumulates(unit.core) as u64,
            tensor: net.quantizer_of(output).map(|q| q.0),
            float: reasons.get(&unit.core).map(ToString::to_string),
            weights: WeightStatistics::of(net, u).map_err(EngineError::from)?,
        })
    };
    net.units().iter().enumerate().map(of).collect()
}

/// Bytes of the constants in float, and as they are quantized.
fn bytes(graph: &Graph, layers: &[LayerStatistics]) -> (u64, u64) {
    let float = 4 * graph.parameter_count() as u64;
    let saved = |w: &WeightStatistics| 4 * w.count as u64 - (w.count as u64 * u64::from(w.bits)).div_ceil(8);
    let saved: u64 = layers.iter().filter_map(|layer| layer.weights.as_ref()).map(saved).sum();
    (float, float.saturating_sub(saved))
}

#[cfg(test)]
mod tests;
