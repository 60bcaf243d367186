//! Tensors that hold values of very different ranges side by side though nothing joined them: one layer made boxes and scores, a constant
//! scales channels.

use std::collections::BTreeMap;

use super::{COARSEST, Finder, Spread};
use crate::block::Unit;
use crate::graph::{Graph, TensorId};
use crate::op::Binary;
use crate::parts::Parts;
use crate::{Op, QuantGraph, Range, Settings, placement};

/// More indices of an axis than this are places, not channels.
const MOST_CHANNELS: usize = 2048;

/// How many times the next wider range of a channel is as wide, where one layer makes two kinds of values. Logits of classes differ by less
/// from one to the next: docs/separation.md.
const GAP: f64 = 4.0;

/// How many times the factors of a constant differ, and a step is too coarse, where operators in integers follow: channels differ by 8 in any
/// network, and most that are small do not matter.
const SCALED: f64 = 64.0;

/// How far a tensor reaches at each index of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisExtents {
    /// The axis, in ONNX's order.
    pub axis: usize,
    /// Of each index.
    pub extents: Vec<Range>,
}

/// The tensors whose channels are measured, each with its axes: they lead to outputs only, or a constant scales their channels.
pub(crate) fn measured_along_axes(net: &QuantGraph, settings: &Settings) -> Vec<(TensorId, Vec<usize>)> {
    let finder = Finder::new(net, settings, &[]);
    let graph = net.graph();
    let wanted = |unit: &&Unit| {
        let (op, output) = (&graph.node(unit.core).op, unit.output(graph));
        let leads_out = finder.paths.leads_to_output(output) && !placement::moves(op);
        (leads_out || finder.is_scaled(unit)) && !finder.levels.is_computed(output)
    };
    let axes = |unit: &Unit| {
        let shape = &graph.tensor(unit.output(graph)).shape;
        let last = shape.rank().saturating_sub(1);
        let is_short = |axis: &usize| shape.fixed_at(*axis).is_ok_and(|n| (2..=MOST_CHANNELS).contains(&n));
        let axes: Vec<usize> = if last > 1 { vec![1, last] } else { vec![1] };
        axes.into_iter().filter(|axis| *axis <= last && is_short(axis)).collect::<Vec<_>>()
    };
    net.units().iter().filter(wanted).map(|unit| (unit.output(graph), axes(unit))).filter(|(_, axes)| !axes.is_empty()).collect()
}

/// What is sliced out of each tensor, moved or not on the way.
pub(super) fn slices(graph: &Graph, units: &[Unit], parts: &Parts) -> BTreeMap<TensorId, Vec<TensorId>> {
    let mut slices: BTreeMap<TensorId, Vec<TensorId>> = BTreeMap::new();
    for unit in units.iter().filter(|unit| is_slice(&graph.node(unit.core).op)) {
        let output = unit.output(graph);
        if let [part] = parts.get(output)
            && part.tensor != output
            && part.is_whole()
        {
            slices.entry(part.tensor).or_default().push(output);
        }
    }
    slices
}

fn is_slice(op: &Op) -> bool {
    matches!(op, Op::Slice(_) | Op::Gather(_))
}

impl Finder<'_> {
    /// Whether the unit takes a part out of a tensor.
    pub(super) fn is_slice(&self, unit: &Unit) -> bool {
        let output = unit.output(self.graph);
        is_slice(&self.graph.node(unit.core).op) && self.parts.get(output).len() == 1
    }

    /// A tensor that is taken apart into values of very different ranges, or whose channels are such.
    pub(super) fn of_axes(&self, unit: &Unit) -> Option<Spread> {
        let (op, output) = (&self.graph.node(unit.core).op, unit.output(self.graph));
        let whole = self.extents[output.0]?;
        let is_layer = placement::has_weights(op);
        if !placement::moves(op) {
            let limit = if is_layer { COARSEST.in_integers } else { self.limit(output) };
            let sliced = self.slices.get(&output).filter(|slices| slices.len() > 1);
            if let Some(spread) = sliced.and_then(|slices| self.coarsest(slices.iter().copied(), whole, limit)) {
                return Some(spread);
            }
        }
        let limit = if self.paths.leads_to_output(output) { COARSEST.in_integers } else { SCALED };
        self.along_axes.get(&output)?.iter().find_map(|along| {
            let losses: Vec<f64> = along.extents.iter().map(|own| self.loss(*own, whole)).collect();
            let lost = if is_layer { beyond_gap(&losses, limit)? } else { limit };
            let lost: Vec<usize> = (0..losses.len()).filter(|&i| losses[i] > lost).collect();
            let (first, last) = (*lost.first()?, *lost.last()?);
            let own = lost.iter().map(|&i| along.extents[i]).reduce(Range::union)?;
            let before = ":, ".repeat(along.axis);
            let part = format!("{}[{before}{first}:{}]", self.graph.tensor(output).name, last + 1);
            Some(Spread { part, own, shared: super::finite(whole) })
        })
    }

    /// Whether channels are multiplied by, or divided by, very different constants.
    fn is_scaled(&self, unit: &Unit) -> bool {
        let node = self.graph.node(unit.core);
        let factors = || node.inputs.iter().find_map(|&t| self.graph.constant(t));
        let Some(factors) = factors().filter(|_| matches!(node.op, Op::Binary(Binary::Mul | Binary::Div))) else { return false };
        let sizes = || factors.iter().map(|v| f64::from(v.abs())).filter(|v| *v > 0.0);
        sizes().fold(0.0, f64::max) > SCALED * sizes().fold(f64::INFINITY, f64::min)
    }
}

/// The limit above which losses are those of another kind of channels: behind the widest gap between two that follow each other in size.
fn beyond_gap(losses: &[f64], limit: f64) -> Option<f64> {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (gap, below) = sorted.windows(2).map(|w| (w[1] / w[0], w[0])).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (gap >= GAP && sorted.last().is_some_and(|loss| *loss > limit)).then_some(below.max(limit))
}
