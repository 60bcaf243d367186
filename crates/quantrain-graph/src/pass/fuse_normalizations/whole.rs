//! A normalisation as a whole: what a graph's operators have in common, and which of them stands for it.

use super::super::aligned::Aligned;
use super::super::arithmetic::producer;
use super::super::{Input, Linked, Patch, Step};
use crate::graph::{NodeId, TensorId};
use crate::op::{Epsilon, GroupNormalization, InstanceNormalization, LayerNormalization, RmsNormalization, Transpose};
use crate::{Op, Shape};

/// `scale·(x − mean)/deviation + offset`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normalization {
    pub x: TensorId,
    pub statistics: Statistics,
    pub scale: Aligned,
    pub offset: Option<Aligned>,
}

/// Which values are normalised together.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statistics {
    /// Those along some axes.
    Axes {
        /// Which.
        reduced: Vec<bool>,
        /// Their mean is taken away.
        centred: bool,
        /// What keeps the deviation from being 0.
        epsilon: Epsilon,
    },
    /// Those of a group of channels.
    Groups(GroupNormalization),
}

/// ε of `√moment`, given that of `√(factor·moment)`.
pub(super) fn of_moment(epsilon: Epsilon, factor: f64) -> Epsilon {
    let divided = |epsilon: f32, by: f64| ((f64::from(epsilon) / by) as f32).max(f32::MIN_POSITIVE);
    match epsilon {
        Epsilon::OfVariance(e) => Epsilon::OfVariance(divided(e, factor)),
        Epsilon::OfDeviation(e) => Epsilon::OfDeviation(divided(e, factor.sqrt())),
        Epsilon::Least(e) => Epsilon::Least(divided(e, factor)),
    }
}

impl Normalization {
    /// What a node of the graph computes, where it is a normalisation.
    pub fn of_node(graph: &Linked, node: NodeId) -> Option<Normalization> {
        let node = graph.node(node);
        let &x = node.inputs.first()?;
        let rank = graph.tensor(x).shape.rank();
        let from = |first: usize| (0..rank).map(|axis| axis >= first).collect::<Vec<bool>>();
        let axis = |axis: i64| graph.tensor(x).shape.axis(axis).ok();
        let along_channels = |t: TensorId| graph.constant(t).map(|values| Aligned::along(1, rank, values));
        let along_last = |t: TensorId, first: usize| {
            let extents = graph.tensor(x).shape.at(1).split_off(first);
            graph.constant(t).and_then(|values| Aligned::behind(first, &extents, values))
        };
        let parameter = |i: usize, first: Option<usize>| {
            let &t = node.inputs.get(i)?;
            first.map_or_else(|| along_channels(t), |first| along_last(t, first))
        };
        let (statistics, first) = match &node.op {
            Op::LayerNormalization(op) => {
                let first = axis(op.axis)?;
                (Statistics::Axes { reduced: from(first), centred: true, epsilon: op.epsilon }, Some(first))
            }
            Op::RmsNormalization(op) => {
                let first = axis(op.axis)?;
                (Statistics::Axes { reduced: from(first), centred: false, epsilon: op.epsilon }, Some(first))
            }
            Op::InstanceNormalization(op) => {
                (Statistics::Axes { reduced: from(2), centred: true, epsilon: Epsilon::OfVariance(op.epsilon) }, None)
            }
            Op::GroupNormalization(op) => (Statistics::Groups(*op), None),
            _ => return None,
        };
        Some(Normalization { x, statistics, scale: parameter(1, first)?, offset: parameter(2, first) })
    }

    /// As [`Normalization::of_node`], also where axes are ordered for it and back; with the nodes.
    pub fn ending_at(graph: &Linked, node: NodeId) -> Option<(Normalization, Vec<NodeId>)> {
        let (Op::Transpose(back), &[inner]) = (&graph.node(node).op, &graph.node(node).inputs[..]) else {
            return Normalization::of_node(graph, node).map(|of| (of, vec![node]));
        };
        let normalised = graph.producer(inner)?;
        let of = Normalization::of_node(graph, normalised)?;
        let (before, Op::Transpose(there), &[x]) = producer(graph, of.x)? else { return None };
        let moved: Vec<usize> = back.permutation.iter().filter_map(|&axis| there.permutation.get(axis).copied()).collect();
        let Statistics::Axes { reduced, centred, epsilon } = of.statistics else { return None };
        if !moved.iter().copied().eq(0..reduced.len()) {
            return None;
        }
        let reduced = back.permutation.iter().map(|&axis| reduced[axis]).collect();
        let statistics = Statistics::Axes { reduced, centred, epsilon };
        let ordered = |parameter: Aligned| parameter.transposed(&back.permutation);
        let whole = Normalization { x, statistics, scale: ordered(of.scale), offset: of.offset.map(ordered) };
        Some((whole, vec![before, normalised, node]))
    }

    /// The same of channels that lie in groups: `self` normalises `[N, groups, …]` made of x, of `rank` axes and so many channels.
    pub fn in_groups(&self, x: TensorId, rank: usize, groups: usize, channels: usize) -> Option<Normalization> {
        let Statistics::Axes { reduced, centred: true, epsilon: Epsilon::OfVariance(epsilon) } = &self.statistics else { return None };
        let whole = reduced.iter().enumerate().all(|(axis, &reduced)| reduced == (axis > 1));
        if !whole || groups == 0 || !channels.is_multiple_of(groups) {
            return None;
        }
        let of_channels = |of: &Aligned| {
            let of_groups = only_along(of, &[1])?.spread(&at(reduced.len(), &[(1, groups)]))?;
            let values: Vec<f32> = (0..channels).map(|c| of_groups[c * groups / channels] as f32).collect();
            Some(Aligned::along(1, rank, &values))
        };
        let offset = self.offset.as_ref().map(of_channels);
        let scale = of_channels(&self.scale)?;
        let statistics = Statistics::Groups(GroupNormalization { groups, epsilon: *epsilon });
        Some(Normalization { x, statistics, scale, offset: offset.map_or(Some(None), |o| o.map(Some))? })
    }

    /// The patch that puts it in the place of nodes; `None` where no operator computes it.
    pub fn patch(&self, graph: &Linked, nodes: Vec<NodeId>) -> Option<Patch> {
        let patch = Patch::ending_at(*nodes.iter().max()?, nodes, Vec::new());
        let parameters = Parameters { graph, nodes: &patch.nodes };
        let steps = match &self.statistics {
            Statistics::Groups(op) => vec![self.step(Op::GroupNormalization(*op), &parameters, &[1], true)?],
            Statistics::Axes { reduced, centred, epsilon } => self.over_axes(&parameters, reduced, *centred, *epsilon)?,
        };
        Some(Patch { steps, ..patch })
    }

    fn over_axes(&self, parameters: &Parameters, reduced: &[bool], centred: bool, epsilon: Epsilon) -> Option<Vec<Step>> {
        let rank = reduced.len();
        let inside: Vec<usize> = (0..rank).filter(|&axis| reduced[axis]).collect();
        let outside: Vec<usize> = (0..rank).filter(|&axis| !reduced[axis]).collect();
        let first = *inside.first()?;
        let axis = -i64::try_from(inside.len()).ok()?;
        let op = || match centred {
            true => Op::LayerNormalization(LayerNormalization { axis, epsilon }),
            false => Op::RmsNormalization(RmsNormalization { axis, epsilon }),
        };
        let of_pixels = centred && rank > 2 && first == 2 && inside.len() == rank - 2;
        let of_channels = |epsilon: Option<f32>| {
            let op = Op::InstanceNormalization(InstanceNormalization { epsilon: epsilon.filter(|_| of_pixels)? });
            Some(vec![self.step(op, parameters, &[1], true)?])
        };
        if rank > 3
            && let Some(steps) = of_channels(epsilon.of_variance())
        {
            return Some(steps);
        }
        if first + inside.len() == rank {
            let step = self.step(op(), parameters, &inside, false);
            return step.map(|step| vec![step]).or_else(|| of_channels(epsilon.of_variance()));
        }
        // The axes that are normalised go to the end, and back.
        let there: Vec<usize> = outside.iter().chain(&inside).copied().collect();
        let back = (0..rank).map(|axis| there.iter().position(|&a| a == axis)).collect::<Option<Vec<_>>>()?;
        let mut normalised = self.step(op(), parameters, &inside, false)?;
        normalised.inputs[0] = Input::Before;
        let transposed = |permutation, x| Step { op: Op::Transpose(Transpose { permutation }), inputs: vec![x] };
        Some(vec![transposed(there, Input::Tensor(self.x)), normalised, transposed(back, Input::Before)])
    }

    /// An operator whose parameters lie along these axes; `None` where they do not.
    fn step(&self, op: Op, parameters: &Parameters, axes: &[usize], with_offset: bool) -> Option<Step> {
        let shape = &parameters.graph.tensor(self.x).shape;
        let own: Vec<usize> = axes.iter().map(|&axis| shape.fixed_at(axis).ok()).collect::<Option<_>>()?;
        let extents = at(shape.rank(), &axes.iter().copied().zip(own.iter().copied()).collect::<Vec<_>>());
        let values = |of: &Aligned| only_along(of, axes)?.spread(&extents);
        let mut inputs = vec![Input::Tensor(self.x), parameters.input("scale", &own, values(&self.scale)?)];
        match &self.offset {
            Some(_) if op.input_count().1 < 3 => return None,
            Some(offset) => inputs.push(parameters.input("offset", &own, values(offset)?)),
            None if with_offset => inputs.push(parameters.input("offset", &own, vec![0.0; own.iter().product()])),
            None => {}
        }
        Some(Step { op, inputs })
    }
}

/// Values that depend on no other axes than these.
fn only_along<'a>(of: &'a Aligned, axes: &[usize]) -> Option<&'a Aligned> {
    (0..of.rank()).all(|axis| axes.contains(&axis) || !of.depends_on(axis)).then_some(of)
}

/// Extents of 1, but for some axes.
fn at(rank: usize, axes: &[(usize, usize)]) -> Vec<usize> {
    let mut extents = vec![1; rank];
    axes.iter().for_each(|&(axis, extent)| extents[axis] = extent);
    extents
}

/// The constants of a group of nodes.
struct Parameters<'g> {
    graph: &'g Linked,
    nodes: &'g [NodeId],
}

impl Parameters<'_> {
    /// A parameter: the file's own constant where its shape and values are the same, else a new one.
    fn input(&self, name: &str, shape: &[usize], values: Vec<f64>) -> Input {
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        let read = self.nodes.iter().flat_map(|&n| &self.graph.node(n).inputs);
        let same = |t: &&TensorId| self.graph.constant(**t) == Some(&values) && self.graph.tensor(**t).shape == Shape::fixed(shape);
        if let Some(&own) = read.clone().find(same) {
            return Input::Tensor(own);
        }
        let last = self.nodes.last().map_or("", |&n| self.graph.tensor(self.graph.node(n).output).name.as_str());
        Input::Constant { wish: format!("{last}.{name}"), shape: shape.to_vec(), values }
    }
}
