//! `(x − mean)/√(variance + ε)·s + b` and its kin, several nodes → one normalisation, which is quantized, or stays in float, as a whole.

mod deviation;
mod form;
mod whole;

use std::collections::VecDeque;

use self::deviation::Deviation;
use self::form::Normalised;
use self::whole::{Normalization, Statistics};
use super::aligned::Aligned;
use super::arithmetic::producer;
use super::{Linked, Pass, Patch};
use crate::Op;
use crate::graph::{NodeId, TensorId};
use crate::op::{Activation, Binary};

/// Recognises normalisations by each sample's own statistics that exporters spell out: layer, RMS, instance and group normalisation.
///
/// What counts is what is computed, not how: the order of products and sums, constants on either side or none, ε within, behind or in the
/// place of the root, variances of n − 1, axes of any order, a distance from the mean computed twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct FuseNormalizations;

impl Pass for FuseNormalizations {
    fn name(&self) -> &'static str {
        "fuse normalizations"
    }

    fn find(&self, graph: &Linked, at: NodeId) -> Option<Patch> {
        match graph.node(at).op {
            Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) => spelled_out(graph, at).or_else(|| behind(graph, at)),
            Op::Reshape(_) => grouped(graph, at),
            _ => None,
        }
    }
}

/// Sums and products between a normalisation's end and its deviation.
const MOST_BETWEEN: usize = 12;

/// The normalisation that ends at a node and is spelled out from its deviation on.
fn spelled_out(graph: &Linked, at: NodeId) -> Option<Patch> {
    let mut open = VecDeque::from([at]);
    let mut seen = 0;
    while let Some(node) = open.pop_front().filter(|_| seen < MOST_BETWEEN) {
        seen += 1;
        for &tensor in &graph.node(node).inputs {
            if let Some(patch) = Deviation::of(graph, tensor).and_then(|deviation| from_deviation(graph, at, tensor, deviation)) {
                return Some(patch);
            }
            let between = |op: &Op| {
                let sum = matches!(op, Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div));
                sum || matches!(op, Op::Identity | Op::Activation(Activation::Neg))
            };
            open.extend(producer(graph, tensor).filter(|(_, op, _)| between(op)).map(|(id, _, _)| id));
        }
    }
    None
}

fn from_deviation(graph: &Linked, at: NodeId, root: TensorId, deviation: Deviation) -> Option<Patch> {
    let Normalised { scale, offset, nodes } = Normalised::of(graph, graph.node(at).output, &deviation, root)?;
    let statistics = Statistics::Axes {
        reduced: deviation.reduced,
        centred: deviation.centred,
        epsilon: whole::of_moment(deviation.epsilon, deviation.factor),
    };
    // x/√(factor·moment) is x/√moment, divided by √factor.
    let scale = scale.map(|s| s / deviation.factor.sqrt());
    Normalization { x: deviation.x, statistics, scale, offset }.patch(graph, [nodes, deviation.nodes].concat())
}

/// A constant factor or addend behind a normalisation becomes part of its scale or offset.
fn behind(graph: &Linked, at: NodeId) -> Option<Patch> {
    let node = graph.node(at);
    let &[a, b] = &node.inputs[..] else { return None };
    let (tensor, constant, second) = if graph.constant(b).is_some() { (a, b, true) } else { (b, a, false) };
    graph.single_reader(tensor)?;
    let (of, mut nodes) = Normalization::ending_at(graph, graph.producer(tensor)?)?;
    let c = Aligned::constant(graph, constant, graph.tensor(of.x).shape.rank())?;
    let none = || Aligned::number(0.0, graph.tensor(of.x).shape.rank());
    let offset = || of.offset.clone().unwrap_or_else(none);
    let scaled = |factor: &Aligned| Some((of.scale.zip(factor, |s, f| s * f)?, of.offset.as_ref().map(|o| o.zip(factor, |o, f| o * f))));
    let (scale, offset) = match (&node.op, second) {
        (Op::Binary(Binary::Mul), _) => scaled(&c)?,
        (Op::Binary(Binary::Div), true) => scaled(&c.map(|c| 1.0 / c))?,
        (Op::Binary(Binary::Add), _) => (of.scale.clone(), Some(offset().zip(&c, |o, c| o + c))),
        (Op::Binary(Binary::Sub), true) => (of.scale.clone(), Some(offset().zip(&c, |o, c| o - c))),
        (Op::Binary(Binary::Sub), false) => (of.scale.clone().map(|s| -s), Some(offset().zip(&c, |o, c| c - o))),
        _ => return None,
    };
    let offset = match offset {
        Some(offset) => Some(offset?),
        None => None,
    };
    nodes.push(at);
    Normalization { scale, offset, ..of }.patch(graph, nodes)
}

/// Channels reshaped into groups, normalised, and reshaped back.
fn grouped(graph: &Linked, back: NodeId) -> Option<Patch> {
    let normalised = graph.producer(*graph.node(back).inputs.first()?)?;
    let of = Normalization::of_node(graph, normalised)?;
    let (there, Op::Reshape(_), &[x]) = producer(graph, of.x)? else { return None };
    let (from, to) = (&graph.tensor(x).shape, &graph.tensor(of.x).shape);
    if graph.tensor(graph.node(back).output).shape != *from || from.rank() < 3 || from.0.first() != to.0.first() {
        return None;
    }
    let (groups, channels) = (to.fixed_at(1).ok()?, from.fixed_at(1).ok()?);
    of.in_groups(x, from.rank(), groups, channels)?.patch(graph, vec![there, normalised, back])
}

#[cfg(test)]
mod tests;
