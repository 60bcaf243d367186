//! What each quantizer costs: the outputs' distance from the float network's when it alone is quantized, and what is won when it alone is
//! left in float.
//!
//! Weights are quantized here as values: a block multiplies with ŵ in float, so that weights and activations can be switched one by one.
//! Biases stay float.

mod search;
mod walk;

pub use crate::sqnr::EQUAL;
pub use search::{Budget, Choice, Mix, search};

use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::{QuantGraph, Range};
use serde::Serialize;

use crate::feeds::part;
use crate::observe::{ObserverKind, ObserverSettings};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::runner::Runner;
use crate::{RunError, check_images};
use walk::{OfQuantizer, Samples, Walk, Which};

/// Widths at which a quantizer is tried alone.
pub const WIDTHS: [u8; 2] = [8, 4];

/// How near outputs are to the float network's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Nearness {
    /// Output SQNR in dB, at most [`EQUAL`]; of several outputs that of their mean relative noise.
    pub sqnr: f64,
    /// Top-1 accuracy in percent, where the images have labels.
    pub top1: Option<f64>,
}

/// What a quantizer quantizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The weights of a layer.
    Weights,
    /// The values of a tensor.
    Activations,
}

/// The cost of one quantizer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The layer's node, or the tensor.
    pub name: String,
    /// What is quantized.
    pub kind: Kind,
    /// It alone at 8 bits (weights at the target's own width, where that is less), everything else in float.
    pub alone_8: Nearness,
    /// It alone at 4 bits.
    pub alone_4: Nearness,
    /// Everything quantized as the recipe says, but this.
    pub left_in_float: Nearness,
    /// The unit whose weights it quantizes, or that writes the tensor.
    #[serde(skip)]
    unit: Option<usize>,
}

/// The costs of all quantizers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The float network.
    pub float: Nearness,
    /// Everything quantized as the recipe says.
    pub quantized: Nearness,
    /// Kinds of quantizers on and off.
    pub kinds: Kinds,
    /// The worst first, by SQNR alone at 8 bits.
    pub costs: Vec<Cost>,
    /// Number of images.
    pub images: usize,
}

/// Which kind of integers hurts: the network with some of them, at the recipe's widths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kinds {
    /// Weights alone.
    pub weights: Nearness,
    /// Activations alone.
    pub activations: Nearness,
    /// Both, with biases in float.
    pub without_biases: Nearness,
    /// With the codes of biases, under the recipe's limit: what a device computes.
    pub with_biases: Nearness,
}

/// Measures every quantizer of a calibrated network on `batches`.
///
/// # Errors
/// Images do not fit, there are none, or values are not finite.
pub fn measure(net: &QuantGraph, batches: &[Batch], progress: &mut dyn Progress) -> Result<Sensitivity, RunError> {
    let mut walk = Walk::new(net, [ranges(net, batches, WIDTHS[0])?, ranges(net, batches, WIDTHS[1])?])?;
    let images: usize = batches.iter().map(|batch| batch.size).sum();
    progress.begin("sensitivity", (images * walk.list.len() * (WIDTHS.len() + 1)) as u64);
    for batch in batches {
        check_images(walk.network(), batch)?;
        let (at_once, inputs) = (walk.at_once(batch.size)?, batch.inputs());
        for first in (0..batch.size).step_by(at_once) {
            let size = at_once.min(batch.size - first);
            let labels = batch.labels.get(first..first + size);
            let values = inputs.iter().map(|x| part(x, batch.size, first, size)).collect();
            let samples = Samples { size, values, labels };
            walk.take_up(&samples, &mut || {
                progress.advance(size as u64, "");
                if progress.stop_requested() { Err(RunError::Stopped { stage: "sensitivity" }) } else { Ok(()) }
            })?;
        }
    }
    progress.end();
    let labelled = batches.iter().all(|b| b.labels.len() == b.size);
    Ok(told(net, &walk, images, labelled))
}

/// What a walk has found, in order.
fn told(net: &QuantGraph, walk: &Walk, images: usize, labelled: bool) -> Sensitivity {
    let found = &walk.of_networks;
    let kinds = Kinds {
        weights: found.weights.nearness(labelled),
        activations: found.activations.nearness(labelled),
        without_biases: found.quantized.nearness(labelled),
        with_biases: found.with_biases.nearness(labelled),
    };
    let mut costs: Vec<Cost> = walk.list.iter().zip(&walk.of_quantizers).map(|(which, found)| cost(net, *which, found, labelled)).collect();
    costs.sort_by(|a, b| a.alone_8.sqnr.total_cmp(&b.alone_8.sqnr));
    Sensitivity { float: found.float.nearness(labelled), quantized: kinds.without_biases, kinds, costs, images }
}

fn cost(net: &QuantGraph, which: Which, found: &OfQuantizer, labelled: bool) -> Cost {
    let (graph, units) = (net.graph(), net.units());
    let (name, kind, unit) = match which {
        Which::Weights(u) => (graph.node(units[u].core).name.clone(), Kind::Weights, Some(u)),
        Which::Activations(q) => {
            let unit = units.iter().position(|unit| net.quantizer_of(unit.output(graph)) == Some(q));
            (net.quantizers()[q.0].tensor.clone(), Kind::Activations, unit)
        }
    };
    let [alone_8, alone_4] = [0, 1].map(|width| found.alone[width].nearness(labelled));
    Cost { name, kind, alone_8, alone_4, left_in_float: found.left_in_float.nearness(labelled), unit }
}

/// A width as weights of a unit get it: at 8 bits no more than the target's own, which may have fewer, or than they have.
fn of_weights(net: &QuantGraph, unit: usize, bits: u8) -> u8 {
    let own = net.target().weights().bits.max(net.weight_quantizer(unit).map_or(0, |w| w.scheme.bits));
    if bits == WIDTHS[0] { bits.min(own) } else { bits }
}

/// The ranges of all activation quantizers at a width, by squared error.
fn ranges(net: &QuantGraph, batches: &[Batch], bits: u8) -> Result<Vec<Range>, RunError> {
    let mut net = net.clone();
    net.quantizers_mut().iter_mut().for_each(|q| q.scheme = q.scheme.with_bits(bits));
    let mut network = Network::new(net);
    let mut ranges = Ranges::new(&network, &ObserverSettings::new(ObserverKind::MeanSquaredError));
    let mut runner = Runner::new(Purpose::Inference);
    if batches.is_empty() {
        return Err(RunError::NoImages);
    }
    for batch in batches {
        check_images(&network, batch)?;
        runner.forward(&mut network, Mode::FLOAT, batch.size, &batch.inputs(), &mut ranges, |_, _, _| ())?;
    }
    ranges.apply(&mut network)?;
    Ok(network.quant_graph().quantizers().iter().filter_map(|q| q.range).collect())
}

#[cfg(test)]
mod tests;
