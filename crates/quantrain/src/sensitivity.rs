//! What each quantizer costs: the outputs' distance from the float network's when it alone is quantized, and what is won when it alone is
//! left in float.
//!
//! Weights are quantized here as values: a block multiplies with ŵ in float, so that weights and activations can be switched one by one.
//! Biases stay float.

mod search;

pub use crate::sqnr::EQUAL;
pub use search::{Budget, Choice, Mix, search};

use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::{QuantGraph, QuantizerId, Range};
use serde::Serialize;

use crate::metric::Tally;
use crate::observe::{ObserverKind, ObserverSettings};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::runner::Runner;
use crate::sqnr::OutputNoise;
use crate::{RunError, check_images};

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

/// Which quantizers are on.
enum Switches {
    Nothing,
    /// Those of one kind.
    Kind(Kind),
    All,
    /// One of the list alone, at a width.
    Alone(usize, u8),
    /// All but one of the list.
    Without(usize),
}

/// A quantizer in the list.
#[derive(Clone, Copy)]
enum Which {
    Weights(usize),
    Activations(QuantizerId),
}

impl Which {
    fn kind(self) -> Kind {
        match self {
            Which::Weights(_) => Kind::Weights,
            Which::Activations(_) => Kind::Activations,
        }
    }
}

/// Measures every quantizer of a calibrated network on `batches`.
///
/// # Errors
/// Images do not fit, there are none, or values are not finite.
pub fn measure(net: &QuantGraph, batches: &[Batch], progress: &mut dyn Progress) -> Result<Sensitivity, RunError> {
    let mut bench = Bench::new(net, batches)?;
    let count = bench.list.len();
    progress.begin("sensitivity", (count * (WIDTHS.len() + 1)) as u64);
    let mut measured = |bench: &Bench, switches| -> Result<Nearness, RunError> {
        let found = bench.run(&switches)?;
        progress.advance(1, "");
        if progress.stop_requested() { Err(RunError::Stopped { stage: "sensitivity" }) } else { Ok(found) }
    };
    bench.float = bench.outputs(&Switches::Nothing)?;
    let (float, quantized) = (bench.run(&Switches::Nothing)?, bench.run(&Switches::All)?);
    let kinds = Kinds {
        weights: bench.run(&Switches::Kind(Kind::Weights))?,
        activations: bench.run(&Switches::Kind(Kind::Activations))?,
        without_biases: quantized,
        with_biases: bench.nearness(&bench.outputs_of(net.clone())?)?,
    };
    let mut costs = Vec::with_capacity(count);
    for i in 0..count {
        let [alone_8, alone_4] = [measured(&bench, Switches::Alone(i, WIDTHS[0]))?, measured(&bench, Switches::Alone(i, WIDTHS[1]))?];
        let left_in_float = measured(&bench, Switches::Without(i))?;
        let (name, kind, unit) = bench.describe(i);
        costs.push(Cost { name, kind, alone_8, alone_4, left_in_float, unit });
    }
    progress.end();
    costs.sort_by(|a, b| a.alone_8.sqnr.total_cmp(&b.alone_8.sqnr));
    Ok(Sensitivity { float, quantized, kinds, costs, images: batches.iter().map(|b| b.size).sum() })
}

/// A width as weights of a unit get it: at 8 bits no more than the target's own, which may have fewer, or than they have.
fn of_weights(net: &QuantGraph, unit: usize, bits: u8) -> u8 {
    let own = net.target().weights().bits.max(net.weight_quantizer(unit).map_or(0, |w| w.scheme.bits));
    if bits == WIDTHS[0] { bits.min(own) } else { bits }
}

/// The network, the images, and what the float network answers.
struct Bench<'b> {
    net: &'b QuantGraph,
    batches: &'b [Batch],
    list: Vec<Which>,
    /// Every output of each batch.
    float: Vec<Vec<Vec<f32>>>,
    /// The range of each activation quantizer at each of [`WIDTHS`].
    ranges: [Vec<Range>; 2],
}

impl<'b> Bench<'b> {
    fn new(net: &'b QuantGraph, batches: &'b [Batch]) -> Result<Self, RunError> {
        let weights = (0..net.units().len()).filter(|&u| net.weight_quantizer(u).is_some()).map(Which::Weights);
        let activations = (0..net.quantizers().len()).map(|q| Which::Activations(QuantizerId(q)));
        let list = weights.chain(activations).collect();
        let ranges = [ranges(net, batches, WIDTHS[0])?, ranges(net, batches, WIDTHS[1])?];
        Ok(Bench { net, batches, list, float: Vec::new(), ranges })
    }

    fn describe(&self, i: usize) -> (String, Kind, Option<usize>) {
        let (graph, units) = (self.net.graph(), self.net.units());
        match self.list[i] {
            Which::Weights(u) => (graph.node(units[u].core).name.clone(), Kind::Weights, Some(u)),
            Which::Activations(q) => {
                let unit = units.iter().position(|unit| self.net.quantizer_of(unit.output(graph)) == Some(q));
                (self.net.quantizers()[q.0].tensor.clone(), Kind::Activations, unit)
            }
        }
    }

    /// The network with some quantizers.
    fn switched(&self, switches: &Switches) -> Result<QuantGraph, RunError> {
        let mut net = self.net.clone();
        let mut keep = vec![false; net.quantizers().len()];
        for (i, which) in self.list.iter().enumerate() {
            let (on, width) = match *switches {
                Switches::Nothing => (false, None),
                Switches::Kind(kind) => (kind == which.kind(), None),
                Switches::All => (true, None),
                Switches::Alone(one, bits) => (i == one, Some(bits)),
                Switches::Without(one) => (i != one, None),
            };
            match *which {
                Which::Weights(u) if on => {
                    let own = net.weight_quantizer(u).map_or(WIDTHS[0], |w| w.scheme.bits);
                    let bits = width.map_or(own, |bits| of_weights(&net, u, bits));
                    net.round_weights(u, bits).map_err(quantrain_engine::EngineError::from)?;
                }
                Which::Weights(_) => {}
                Which::Activations(q) => {
                    keep[q.0] = on;
                    if let Some(at) = width.filter(|_| on).and_then(|bits| WIDTHS.iter().position(|w| *w == bits)) {
                        let quantizer = &mut net.quantizers_mut()[q.0];
                        quantizer.scheme = quantizer.scheme.with_bits(WIDTHS[at]);
                        quantizer.range = Some(self.ranges[at][q.0]);
                    }
                }
            }
        }
        net.release_weights();
        net.retain_quantizers(|q| keep[q.0]);
        Ok(net)
    }

    fn outputs(&self, switches: &Switches) -> Result<Vec<Vec<Vec<f32>>>, RunError> {
        self.outputs_of(self.switched(switches)?)
    }

    fn outputs_of(&self, net: QuantGraph) -> Result<Vec<Vec<Vec<f32>>>, RunError> {
        let mut network = Network::new(net);
        let mut runner = Runner::new(Purpose::Inference);
        let run = |batch: &Batch| {
            let mut outputs = Vec::new();
            runner.outputs(&mut network, Mode::SIMULATE, batch.size, &[&batch.images], &mut outputs)?;
            Ok(outputs)
        };
        self.batches.iter().map(run).collect()
    }

    fn run(&self, switches: &Switches) -> Result<Nearness, RunError> {
        self.nearness(&self.outputs(switches)?)
    }

    fn nearness(&self, outputs: &[Vec<Vec<f32>>]) -> Result<Nearness, RunError> {
        let (mut sqnr, mut tally) = (OutputNoise::of(self.net.graph()), Tally::default());
        let labelled = self.batches.iter().all(|b| b.labels.len() == b.size);
        for ((y, float), batch) in outputs.iter().zip(&self.float).zip(self.batches) {
            sqnr.add(batch.size, float, y.iter());
            if let Some(scores) = y.first().filter(|_| labelled) {
                tally.add(scores, &batch.labels)?;
            }
        }
        Ok(Nearness { sqnr: sqnr.decibels(), top1: labelled.then(|| tally.accuracy().top1) })
    }
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
        runner.forward(&mut network, Mode::FLOAT, batch.size, &[&batch.images], &mut ranges, |_, _, _| ())?;
    }
    ranges.apply(&mut network)?;
    Ok(network.quant_graph().quantizers().iter().filter_map(|q| q.range).collect())
}

#[cfg(test)]
mod tests;
