//! What measured ranges change of a target's rules: values that cannot share a quantizer are kept apart.
//!
//! A quantizer has one step for all that it quantizes. Boxes in pixels joined with scores up to 1 leave the scores one code; so does a mask
//! of −10⁴ that is added to scores before a Softmax. Rules are chosen before any value is seen; [`QuantGraph::separations_by`] says,
//! once a calibration knows how far each tensor reaches, where they do not hold.

mod axes;
mod marks;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::block::Unit;
use crate::graph::{Graph, TensorId};
use crate::levels::Levels;
use crate::op::{Binary, PadMode};
use crate::parts::Parts;
use crate::placement::{self, Paths};
use crate::target::Placement;
use crate::{Op, QuantGraph, Quantizer, Range, Scheme, Settings};
pub use axes::AxisExtents;
pub(crate) use axes::measured_along_axes;

/// How many times coarser than its own step a shared one may be for a part of a tensor.
struct Coarsest {
    /// Where the tensor leads to outputs and float operators only: no operator in integers would gain by shared codes.
    in_float: f64,
    /// Elsewhere.
    in_integers: f64,
}

/// Measured on joined outputs and inside networks: docs/separation.md.
const COARSEST: Coarsest = Coarsest { in_float: 2.0, in_integers: 8.0 };

/// A tensor whose values the rules of the target would give a step that is too coarse for some of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// The tensor.
    pub tensor: String,
    /// What is done instead.
    pub remedy: Remedy,
    /// Which values lose, and to what; `None` where the tensor only carries values that are kept apart before it.
    pub spread: Option<Spread>,
}

/// What is done where the rules of the target do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// The tensor has no quantizer where no operator in integers needs one, else one of 16 bits where the target has them.
    Apart,
    /// The tensor is float: some of its values only mark places, which vanish in an operator behind it.
    Masked,
    /// The operator is float, as what it reads is kept apart; its result is not.
    Float,
    /// The inputs keep their quantizers, the result has one of its own.
    Requantized,
    /// Values below this one only mark places: the range leaves them out, and they become the lowest code. A Pad carries its input's quantizer.
    Saturated {
        /// Between the marks and all other values.
        below: f32,
    },
}

/// The values that a shared step is too coarse for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The tensor that they are.
    pub part: String,
    /// How far they reach.
    pub own: Range,
    /// How far all that would share a quantizer reach.
    pub shared: Range,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { part, own, shared } = self;
        write!(f, "`{part}` [{:.4}, {:.4}] needs a finer step than [{:.4}, {:.4}]", own.min, own.max, shared.min, shared.max)
    }
}

/// Finds the separations of a network. `extents` has the least and greatest value of each tensor that leaves a unit, `along_axes` those of
/// each index of an axis.
pub(crate) fn find(
    net: &QuantGraph,
    settings: &Settings,
    extents: &[Option<Range>],
    along_axes: &BTreeMap<TensorId, Vec<AxisExtents>>,
) -> Vec<Separation> {
    let mut finder = Finder { along_axes: along_axes.clone(), ..Finder::new(net, settings, extents) };
    net.units().iter().for_each(|unit| finder.look_at(unit));
    finder.requantize(net, settings);
    finder.found.into_iter().map(|(_, separation)| separation).collect()
}

/// The tensors that a calibration may find separations for, each with what it is made of.
pub(crate) fn candidates(net: &QuantGraph, settings: &Settings) -> Vec<(TensorId, Vec<TensorId>)> {
    let finder = Finder::new(net, settings, &[]);
    let graph = net.graph();
    let made_of = |unit: &Unit| {
        let (node, output) = (graph.node(unit.core), unit.output(graph));
        match &node.op {
            Op::Concat(_) => {
                let mut parts: Vec<TensorId> = finder.parts.get(output).iter().map(|p| p.tensor).collect();
                parts.sort_unstable();
                parts.dedup();
                (parts.len() > 1).then_some(parts)
            }
            Op::Pad(pad) => matches!(pad.mode, PadMode::Constant(fill) if fill != 0.0).then(|| node.inputs.clone()),
            Op::Where(_) => Some(node.inputs.iter().skip(1).copied().collect()),
            Op::Binary(op @ (Binary::Add | Binary::Sub)) => node
                .inputs
                .iter()
                .enumerate()
                .find_map(|(i, &t)| finder.low_values(output, t, *op == Binary::Sub && i == 1).map(|_| node.inputs.clone())),
            _ => None,
        }
    };
    let quantized = |unit: &&Unit| net.quantizer_of(unit.output(graph)).is_some();
    net.units().iter().filter(quantized).filter_map(|unit| Some((unit.output(graph), made_of(unit)?))).collect()
}

/// What is known of a tensor.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nothing special.
    Plain,
    /// It holds values that are kept apart.
    Apart,
    /// It holds marks, and is float.
    Masked,
    /// It holds marks up to this value, which become the lowest code; its extent is that of all other values.
    Saturated(f32),
}

struct Finder<'n> {
    graph: &'n Graph,
    units: &'n [Unit],
    parts: Parts,
    paths: Paths,
    levels: Levels,
    scheme: Scheme,
    extents: Vec<Option<Range>>,
    along_axes: BTreeMap<TensorId, Vec<AxisExtents>>,
    /// Of tensors, what is sliced out of them.
    slices: BTreeMap<TensorId, Vec<TensorId>>,
    states: Vec<State>,
    found: Vec<(TensorId, Separation)>,
}

impl<'n> Finder<'n> {
    fn new(net: &'n QuantGraph, settings: &Settings, extents: &[Option<Range>]) -> Self {
        let graph = net.graph();
        let extent = |t: usize| match &graph.tensors()[t].constant {
            Some(values) => Some(values.iter().fold(Range::new(f32::INFINITY, f32::NEG_INFINITY), |r, &v| r.union(Range::new(v, v)))),
            None => extents.get(t).copied().flatten(),
        };
        let activations = net.target().activations();
        let parts = Parts::moved(graph);
        Finder {
            graph,
            units: net.units(),
            slices: axes::slices(graph, net.units(), &parts),
            parts,
            paths: placement::paths(graph, net.units(), net.target(), settings),
            levels: Levels::of(graph),
            scheme: activations.with_bits(settings.activation_bits.unwrap_or(activations.bits)),
            extents: (0..graph.tensors().len()).map(extent).collect(),
            along_axes: BTreeMap::new(),
            states: vec![State::Plain; graph.tensors().len()],
            found: Vec::new(),
        }
    }

    fn look_at(&mut self, unit: &Unit) {
        let op = &self.graph.node(unit.core).op;
        let output = unit.output(self.graph);
        // What is computed of few known values is float anyway.
        if self.levels.is_computed(output) || self.look_behind_marks(unit) {
            return;
        }
        let found = match op {
            Op::Concat(_) => self.joined(output).map(|spread| (Remedy::Apart, Some(spread))),
            Op::Pad(pad) => match pad.mode {
                PadMode::Constant(fill) => self.padded(unit, fill),
                PadMode::Reflect | PadMode::Edge | PadMode::Wrap => None,
            },
            Op::Binary(op @ (Binary::Add | Binary::Sub)) => {
                let masked = self.masked(unit, *op).map(|spread| (Remedy::Masked, Some(spread)));
                masked.or_else(|| self.joined(output).map(|spread| (Remedy::Apart, Some(spread))))
            }
            Op::Where(_) => self.chosen(unit),
            _ => None,
        };
        let found = found.or_else(|| self.carries(unit).then_some((Remedy::Apart, None)));
        let Some((remedy, spread)) = found.or_else(|| Some((Remedy::Apart, Some(self.of_axes(unit)?)))) else { return };
        // What is taken out of a tensor is one of its parts again.
        let remedy = if remedy == Remedy::Apart && self.is_slice(unit) { Remedy::Float } else { remedy };
        match remedy {
            Remedy::Apart => self.states[output.0] = State::Apart,
            Remedy::Masked => self.states[output.0] = State::Masked,
            Remedy::Float | Remedy::Saturated { .. } | Remedy::Requantized => {}
        }
        self.add(output, remedy, spread);
    }

    fn add(&mut self, tensor: TensorId, remedy: Remedy, spread: Option<Spread>) {
        self.found.push((tensor, Separation { tensor: self.graph.tensor(tensor).name.clone(), remedy, spread }));
    }

    /// Whether a tensor holds values that are kept apart.
    fn is_apart(&self, tensor: TensorId) -> bool {
        self.states[tensor.0] == State::Apart
    }

    /// Whether what the unit computes still holds values that are kept apart.
    fn carries(&self, unit: &Unit) -> bool {
        let (op, output) = (&self.graph.node(unit.core).op, unit.output(self.graph));
        let of_inputs = || unit.inputs(self.graph).any(|t| self.is_apart(t));
        if placement::is_function(op) || placement::is_mean(op) {
            return of_inputs();
        }
        let parts = self.parts.get(output);
        let is_own = parts.iter().any(|p| p.tensor == output);
        placement::moves(op)
            && if is_own { of_inputs() } else { parts.iter().any(|p| self.is_apart(p.tensor)) || self.joined(output).is_some() }
    }

    /// Where the parts of a tensor differ too much: the one that loses most.
    fn joined(&self, tensor: TensorId) -> Option<Spread> {
        let parts: Vec<TensorId> = self.parts.get(tensor).iter().map(|p| p.tensor).collect();
        if parts.len() < 2 {
            return None;
        }
        let shared = parts.iter().filter_map(|t| self.extents[t.0]).reduce(Range::union)?;
        self.coarsest(parts.into_iter(), shared, self.limit(tensor))
    }

    /// The tensor that loses most where all have the step of `shared`, if one loses too much.
    fn coarsest(&self, tensors: impl Iterator<Item = TensorId>, shared: Range, limit: f64) -> Option<Spread> {
        let losses = tensors.filter_map(|t| Some((t, self.extents[t.0]?))).map(|(t, own)| (self.loss(own, shared), t, own));
        let (loss, part, own) = losses.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (loss > limit).then(|| Spread { part: self.graph.tensor(part).name.clone(), own, shared: finite(shared) })
    }

    /// How many times coarser the step of `shared` is than that of `own`, as far as 8 bits would tell: wider codes have steps to spare.
    fn loss(&self, own: Range, shared: Range) -> f64 {
        let step = |r: Range| Quantizer::from_range(&self.scheme, finite(r)).map(|q| f64::from(q.scale()));
        // All zero has every code.
        let (Ok(own_step), Ok(shared)) = (step(own), step(shared)) else { return 1.0 };
        if (own.min, own.max) == (0.0, 0.0) {
            return 1.0;
        }
        shared / own_step / 2f64.powi(i32::from(self.scheme.bits.max(8)) - 8)
    }

    fn limit(&self, tensor: TensorId) -> f64 {
        let leads_out = self.paths.leads_to_float(tensor) || self.paths.leads_to_output(tensor);
        if leads_out { COARSEST.in_float } else { COARSEST.in_integers }
    }

    /// Parts that differ little may share a quantizer with others through several joins; the join of the greatest spread is cut.
    fn requantize(&mut self, net: &QuantGraph, settings: &Settings) {
        let shares = |unit: &&Unit| net.target().placement(&self.graph.node(unit.core).op) == Placement::Shared;
        let mut joins: Vec<Unit> = self
            .units
            .iter()
            .filter(shares)
            .filter(|unit| matches!(self.states[unit.output(self.graph).0], State::Plain | State::Saturated(_)))
            .copied()
            .collect();
        loop {
            let separations: Vec<Separation> = self.found.iter().map(|(_, s)| s.clone()).collect();
            let Ok(placed) = placement::assign(self.graph, self.units, net.target(), settings, &separations) else { return };
            let mut shared = vec![None; placed.quantizers.len()];
            for (extent, q) in self.extents.iter().zip(&placed.of_tensor) {
                if let (Some(extent), Some(q)) = (extent, q) {
                    shared[q.0] = Some(shared[q.0].map_or(*extent, |r: Range| r.union(*extent)));
                }
            }
            let group = |unit: &Unit| placed.of_tensor[unit.output(self.graph).0];
            let lost = |unit: &Unit| self.coarsest(unit.inputs(self.graph), shared[group(unit)?.0]?, self.limit(unit.output(self.graph)));
            let Some((of_group, spread)) = joins.iter().find_map(|unit| Some((group(unit)?, lost(unit)?))) else { return };
            let spread_of = |unit: &Unit| {
                let steps = unit.inputs(self.graph).filter_map(|t| self.extents[t.0]).map(|own| self.loss(own, self.extents_of(unit)));
                steps.fold(1.0, f64::max)
            };
            let widest = (0..joins.len()).filter(|&i| group(&joins[i]) == Some(of_group));
            let Some(widest) = widest.max_by(|&a, &b| spread_of(&joins[a]).total_cmp(&spread_of(&joins[b]))) else { return };
            let output = joins.remove(widest).output(self.graph);
            self.add(output, Remedy::Requantized, Some(spread));
        }
    }

    fn extents_of(&self, unit: &Unit) -> Range {
        unit.inputs(self.graph).filter_map(|t| self.extents[t.0]).reduce(Range::union).unwrap_or(Range::new(0.0, 0.0))
    }
}

/// Masks may reach to −∞, which neither a quantizer nor JSON knows.
fn finite(r: Range) -> Range {
    Range::new(r.min.max(f32::MIN), r.max.min(f32::MAX))
}

#[cfg(test)]
mod tests;
