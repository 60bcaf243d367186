//! The walk: all quantizers one by one, at the cost of a few forwards.
//!
//! Two trunks run unit by unit, one in float, one with everything quantized. Before each unit come the branches that begin there: with one
//! quantizer switched, a copy of the trunk's buffers is run from that unit to the end. So what lies before a switch is computed once for all.

use quantrain_engine::{EngineError, Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::{QuantGraph, Quantizer, QuantizerId, Range};
use quantrain_integer::IntegerProgram;

use super::{Nearness, WIDTHS, of_weights};
use crate::RunError;
use crate::execution::integer_program;
use crate::metric::Tally;
use crate::runner::{Runner, read_outputs};
use crate::sqnr::OutputNoise;

/// A quantizer in the list.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Weights(usize),
    Activations(QuantizerId),
}

/// Where a branch leaves its trunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    /// With the inputs.
    Inputs,
    /// Before a unit.
    Unit(usize),
}

/// What was found of the outputs so far.
#[derive(Clone)]
pub(super) struct Found {
    noise: OutputNoise,
    tally: Tally,
}

impl Found {
    /// Beside the float outputs.
    fn add(&mut self, samples: &Samples, expected: &[Vec<f32>], outputs: &[Vec<f32>]) -> Result<(), RunError> {
        self.noise.add(samples.size, expected, outputs.iter());
        match outputs.first().zip(samples.labels) {
            Some((scores, labels)) => self.tally.add(scores, labels),
            None => Ok(()),
        }
    }

    /// As it is told; accuracy only where all samples have labels.
    pub fn nearness(&self, labelled: bool) -> Nearness {
        Nearness { sqnr: self.noise.decibels(), top1: labelled.then(|| self.tally.accuracy().top1) }
    }
}

/// Samples that are run at once.
pub(super) struct Samples<'b> {
    pub size: usize,
    /// Of each input.
    pub values: Vec<&'b [f32]>,
    pub labels: Option<&'b [i64]>,
}

/// What was found of one quantizer.
#[derive(Clone)]
pub(super) struct OfQuantizer {
    /// It alone at each of [`WIDTHS`].
    pub alone: [Found; 2],
    pub left_in_float: Found,
}

/// What was found of whole networks.
#[derive(Clone)]
pub(super) struct OfNetworks {
    pub float: Found,
    pub quantized: Found,
    pub weights: Found,
    pub activations: Found,
    pub with_biases: Found,
}

/// The network in its forms, all with quantizers that can be switched and weights that are values.
pub(super) struct Walk {
    pub list: Vec<Which>,
    starts: Vec<Start>,
    float: Network,
    /// With weights and quantizers at the recipe's widths.
    quantized: Network,
    /// At each of [`WIDTHS`].
    at_widths: [Network; 2],
    /// The network as a device has it, with codes of biases, and its integer program where that is whole.
    device: (Network, Option<IntegerProgram>),
    pub of_quantizers: Vec<OfQuantizer>,
    pub of_networks: OfNetworks,
    planned: Option<Planned>,
}

/// What runs so many samples: the buffers of the trunk and of a branch.
struct Planned {
    plan: Plan,
    trunk: Workspace,
    branch: Workspace,
}

impl Walk {
    /// `ranges` are those of every activation quantizer at each of [`WIDTHS`].
    pub fn new(net: &QuantGraph, ranges: [Vec<Range>; 2]) -> Result<Self, RunError> {
        let weights = (0..net.units().len()).filter(|&u| net.weight_quantizer(u).is_some()).map(Which::Weights);
        let activations = (0..net.quantizers().len()).map(|q| Which::Activations(QuantizerId(q)));
        let list: Vec<Which> = weights.chain(activations).collect();
        let [at_8, at_4] = ranges;
        let nothing = Found { noise: OutputNoise::of(net.graph()), tally: Tally::default() };
        let of_quantizer = OfQuantizer { alone: [nothing.clone(), nothing.clone()], left_in_float: nothing.clone() };
        let of_networks = OfNetworks {
            float: nothing.clone(),
            quantized: nothing.clone(),
            weights: nothing.clone(),
            activations: nothing.clone(),
            with_biases: nothing,
        };
        let mut device = Network::new(net.clone());
        let program = integer_program(&mut device, Mode::SIMULATE);
        Ok(Walk {
            starts: list.iter().map(|which| start(net, *which)).collect(),
            of_quantizers: vec![of_quantizer; list.len()],
            list,
            float: of_values(net.clone(), |_| None)?,
            quantized: of_values(net.clone(), |u| net.weight_quantizer(u).map(|w| w.scheme.bits))?,
            at_widths: [at_width(net, WIDTHS[0], at_8)?, at_width(net, WIDTHS[1], at_4)?],
            device: (device, program),
            of_networks,
            planned: None,
        })
    }

    /// Samples that are run at once, of so many.
    ///
    /// # Errors
    /// The network cannot be run, or one sample takes more memory than it may.
    pub fn at_once(&self, batch: usize) -> Result<usize, RunError> {
        Ok(Runner::new(Purpose::Inference).at_once(&self.float, batch)?)
    }

    /// The network in float.
    pub fn network(&self) -> &Network {
        &self.float
    }

    /// Takes up samples; `step` is called after each branch and may stop the walk.
    ///
    /// # Errors
    /// The network cannot be run, or what `step` gives.
    pub fn take_up(&mut self, samples: &Samples, step: &mut dyn FnMut() -> Result<(), RunError>) -> Result<(), RunError> {
        let mut planned = match self.planned.take().filter(|planned| planned.plan.batch() == samples.size) {
            Some(planned) => planned,
            None => {
                let plan = Plan::new(self.float.quant_graph(), samples.size, Purpose::Inference)?;
                Planned { trunk: Workspace::new(&plan), branch: Workspace::new(&plan), plan }
            }
        };
        let expected = self.whole(samples, &mut planned)?;
        self.alone(samples, &expected, &mut planned, step)?;
        self.left_in_float(samples, &expected, &mut planned, step)?;
        self.planned = Some(planned);
        Ok(())
    }

    /// Runs whole networks; gives the float outputs.
    fn whole(&mut self, samples: &Samples, planned: &mut Planned) -> Result<Vec<Vec<f32>>, RunError> {
        let Walk { float, quantized, device, of_networks: found, .. } = self;
        let mut run = |network: &mut Network, mode: Mode| -> Result<Vec<Vec<f32>>, EngineError> {
            let mut outputs = Vec::new();
            network.forward(&planned.plan, &mut planned.trunk, mode, &samples.values, &mut ())?;
            read_outputs(network, &planned.plan, &planned.trunk, &mut outputs);
            Ok(outputs)
        };
        let expected = run(float, Mode::FLOAT)?;
        found.float.add(samples, &expected, &expected)?;
        found.weights.add(samples, &expected, &run(quantized, Mode::FLOAT)?)?;
        found.activations.add(samples, &expected, &run(float, Mode::SIMULATE)?)?;
        found.quantized.add(samples, &expected, &run(quantized, Mode::SIMULATE)?)?;
        let outputs = match device {
            (_, Some(program)) => program.run(samples.size, &samples.values, &mut ())?,
            (network, None) => run(network, Mode::SIMULATE)?,
        };
        found.with_biases.add(samples, &expected, &outputs)?;
        Ok(expected)
    }

    /// Every quantizer alone: branches off the float network.
    fn alone(&mut self, samples: &Samples, expected: &[Vec<f32>], planned: &mut Planned, step: Step) -> Result<(), RunError> {
        let Walk { list, starts, float, at_widths, of_quantizers, .. } = self;
        along(float, Mode::FLOAT, samples, planned, starts, &mut |network, branch, i| {
            for (width, found) in at_widths.iter_mut().zip(&mut of_quantizers[i].alone) {
                let on = match list[i] {
                    Which::Weights(_) => None,
                    Which::Activations(q) => quantizer(width, q)?,
                };
                let outputs = switched(network, list[i], on, width, |network| branch.run(network, Mode::FLOAT))?;
                found.add(samples, expected, &outputs)?;
                step()?;
            }
            Ok(())
        })
    }

    /// Every quantizer left out: branches off the quantized network.
    fn left_in_float(&mut self, samples: &Samples, expected: &[Vec<f32>], planned: &mut Planned, step: Step) -> Result<(), RunError> {
        let Walk { list, starts, float, quantized, of_quantizers, .. } = self;
        along(quantized, Mode::SIMULATE, samples, planned, starts, &mut |network, branch, i| {
            let outputs = switched(network, list[i], None, float, |network| branch.run(network, Mode::SIMULATE))?;
            of_quantizers[i].left_in_float.add(samples, expected, &outputs)?;
            step()
        })
    }
}

type Step<'s> = &'s mut dyn FnMut() -> Result<(), RunError>;

/// A branch: the buffers of its trunk, and where it leaves it.
struct Branch<'p> {
    plan: &'p Plan,
    trunk: &'p Workspace,
    own: &'p mut Workspace,
    start: Start,
    inputs: &'p [&'p [f32]],
}

impl Branch<'_> {
    /// Runs from the start to the end; gives the outputs.
    fn run(&mut self, network: &mut Network, mode: Mode) -> Result<Vec<Vec<f32>>, EngineError> {
        match self.start {
            Start::Inputs => network.forward_prepared(self.plan, self.own, mode, self.inputs, &mut ())?,
            Start::Unit(u) => {
                self.own.copy_from(self.trunk);
                network.forward_rest(u, self.plan, self.own, mode, &mut ())?;
            }
        }
        let mut outputs = Vec::new();
        read_outputs(network, self.plan, self.own, &mut outputs);
        Ok(outputs)
    }
}

/// Runs a trunk, and calls `visit` with each branch of `starts`, by number, where it leaves.
fn along(
    network: &mut Network,
    mode: Mode,
    samples: &Samples,
    Planned { plan, trunk, branch }: &mut Planned,
    starts: &[Start],
    visit: &mut dyn FnMut(&mut Network, &mut Branch, usize) -> Result<(), RunError>,
) -> Result<(), RunError> {
    network.forward_begin(plan, trunk, mode, &samples.values, &mut ())?;
    let units = network.quant_graph().units().len();
    for start in std::iter::once(Start::Inputs).chain((0..units).map(Start::Unit)) {
        for (i, _) in starts.iter().enumerate().filter(|(_, s)| **s == start) {
            let mut branch = Branch { plan, trunk, own: branch, start, inputs: &samples.values };
            visit(network, &mut branch, i)?;
        }
        if let Start::Unit(u) = start {
            network.forward_next(u, plan, trunk, mode, &mut ())?;
        }
    }
    Ok(())
}

/// Calls `run` with one quantizer of `network` replaced: weights by those of `other`, an activation quantizer by `on`.
fn switched<T>(
    network: &mut Network,
    which: Which,
    on: Option<Quantizer>,
    other: &mut Network,
    run: impl FnOnce(&mut Network) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    match which {
        Which::Weights(u) => {
            network.swap_weights(u, other);
            let result = run(network);
            network.swap_weights(u, other);
            result
        }
        Which::Activations(q) => {
            let before = network.use_quantizer(q, on);
            let result = run(network);
            network.use_quantizer(q, before);
            result
        }
    }
}

/// Where the first value arises that a quantizer has a say in.
fn start(net: &QuantGraph, which: Which) -> Start {
    let (graph, units) = (net.graph(), net.units());
    match which {
        Which::Weights(u) => Start::Unit(u),
        Which::Activations(q) if graph.inputs().iter().any(|&t| net.quantizer_of(t) == Some(q)) => Start::Inputs,
        Which::Activations(q) => {
            let first = units.iter().position(|unit| net.quantizer_of(unit.output(graph)) == Some(q));
            first.map_or(Start::Inputs, Start::Unit)
        }
    }
}

/// A network whose weights are values: those of each unit at a width, or as they are.
fn of_values(mut net: QuantGraph, bits: impl Fn(usize) -> Option<u8>) -> Result<Network, RunError> {
    for u in 0..net.units().len() {
        if let Some(bits) = bits(u) {
            net.round_weights(u, bits).map_err(EngineError::from)?;
        }
    }
    net.release_weights();
    Ok(Network::new(net))
}

/// A network at one of [`WIDTHS`], activations in ranges for that.
fn at_width(net: &QuantGraph, bits: u8, ranges: Vec<Range>) -> Result<Network, RunError> {
    let mut at = net.clone();
    for (q, range) in at.quantizers_mut().iter_mut().zip(ranges) {
        (q.scheme, q.range) = (q.scheme.with_bits(bits), Some(range));
    }
    of_values(at, |u| net.weight_quantizer(u).map(|_| of_weights(net, u, bits)))
}

/// An activation quantizer as a network has it.
fn quantizer(network: &Network, q: QuantizerId) -> Result<Option<Quantizer>, EngineError> {
    Ok(network.quant_graph().quantizers()[q.0].quantizer()?)
}
