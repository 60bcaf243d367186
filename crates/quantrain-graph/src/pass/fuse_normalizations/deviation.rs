//! What a normalisation divides by: the root of a mean of squares, kept from 0 in one way or another.

use super::super::Linked;
use super::super::arithmetic::{number, producer};
use crate::graph::{NodeId, TensorId};
use crate::op::{Activation, Binary, Epsilon, Reduce, Reduction};
use crate::{Dim, Op, Shape};

/// `√(factor·moment)` kept from 0, or one through that: the moment is the mean of the squares of x, or of its distances from its mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deviation {
    /// The tensor that is normalised.
    pub x: TensorId,
    /// Which of its axes the moment gathers.
    pub reduced: Vec<bool>,
    /// Whether the mean is taken away.
    pub centred: bool,
    /// Whether it is one through the deviation.
    pub inverse: bool,
    /// What the moment is multiplied by, in a variance of n − 1 or a sum of squares.
    pub factor: f64,
    /// What keeps the deviation of `factor·moment` from being 0.
    pub epsilon: Epsilon,
    /// The nodes that compute it, some of them twice.
    pub nodes: Vec<NodeId>,
}

/// No exporter writes a deviation with more nodes.
const MOST_NODES: usize = 24;

/// Nothing that a float cannot hold is less.
const LEAST: f32 = f32::MIN_POSITIVE;

/// A moment below a root.
struct Moment {
    x: TensorId,
    reduced: Vec<bool>,
    centred: bool,
    factor: f64,
}

/// How a value is kept from 0.
#[derive(Clone, Copy)]
enum Guard {
    Added(f64),
    Least(f64),
}

impl Guard {
    /// That of something multiplied.
    fn times(self, factor: f64) -> Self {
        match self {
            Guard::Added(e) => Guard::Added(e * factor),
            Guard::Least(e) => Guard::Least(e * factor),
        }
    }
}

impl Deviation {
    /// A tensor as a deviation, or one through it.
    pub fn of(graph: &Linked, tensor: TensorId) -> Option<Deviation> {
        let mut walk = Walk { graph, nodes: Vec::new() };
        let (mut at, mut inverse, mut outside) = (tensor, false, None);
        let (moment, inside) = loop {
            let (id, op, inputs) = walk.step(at)?;
            let x = *inputs.first()?;
            match op {
                Op::Activation(Activation::Sqrt) => break walk.moment(x)?,
                Op::Activation(Activation::Pow { exponent: 0.5 }) => break walk.moment(x)?,
                // One through the root, and nothing was added to that.
                Op::Activation(Activation::Pow { exponent: -0.5 }) if outside.is_none() => {
                    inverse = !inverse;
                    break walk.moment(x)?;
                }
                Op::Reduce(reduce) if reduce.function == Reduction::L2 => {
                    let count = gathered(graph, x, reduce)?;
                    let reduced = reduce.reduced(&graph.tensor(x).shape).ok()?;
                    break (Moment { x, reduced, centred: false, factor: count }, None);
                }
                Op::Activation(Activation::Reciprocal) if outside.is_none() => (at, inverse) = (x, !inverse),
                Op::Binary(Binary::Div) if outside.is_none() && number(graph, x) == Some(1.0) => (at, inverse) = (inputs[1], !inverse),
                Op::Reshape(_) | Op::Tile(_) | Op::Identity | Op::Activation(Activation::Relu | Activation::Abs) => at = x,
                _ => (at, outside) = walk.guard(id, outside)?,
            }
        };
        let epsilon = match (inside, outside) {
            (None, None) => Epsilon::OfVariance(LEAST),
            (Some(Guard::Added(e)), None) => Epsilon::OfVariance(positive(e)?),
            (Some(Guard::Least(e)), None) => Epsilon::Least(positive(e)?),
            (None, Some(Guard::Added(e))) => Epsilon::OfDeviation(positive(e)?),
            (None, Some(Guard::Least(e))) => Epsilon::Least(positive(e * e)?),
            (Some(_), Some(_)) => return None,
        };
        let Moment { x, reduced, centred, factor } = moment;
        let found = Deviation { x, reduced, centred, inverse, factor, epsilon, nodes: walk.nodes };
        (found.factor > 0.0 && found.is_aligned(graph, tensor)).then_some(found)
    }

    /// Whether a tensor that is one value for each group of x stands where x is: reduced axes are 1, or repeated.
    fn is_aligned(&self, graph: &Linked, tensor: TensorId) -> bool {
        let (x, found) = (&graph.tensor(self.x).shape, &graph.tensor(tensor).shape);
        found == x || *found == kept(x, &self.reduced)
    }

    /// The nodes that compute the mean of x, where a tensor is that, over the same axes.
    pub fn mean(&self, graph: &Linked, tensor: TensorId) -> Option<Vec<NodeId>> {
        let mut walk = Walk { graph, nodes: Vec::new() };
        let reduced = walk.mean(tensor, self.x)?;
        (reduced == self.reduced && self.is_aligned(graph, tensor)).then_some(walk.nodes)
    }
}

/// The shape of x with reduced axes of 1.
fn kept(x: &Shape, reduced: &[bool]) -> Shape {
    Shape(x.0.iter().zip(reduced).map(|(&d, &gone)| if gone { Dim::Fixed(1) } else { d }).collect())
}

/// How many values of x fall to one.
fn gathered(graph: &Linked, x: TensorId, reduce: &Reduce) -> Option<f64> {
    let shape = &graph.tensor(x).shape;
    let reduced = reduce.reduced(shape).ok()?;
    let extent = |(axis, _): (usize, &bool)| Some(shape.fixed_at(axis).ok()? as f64);
    reduced.iter().enumerate().filter(|(_, gone)| **gone).map(extent).product()
}

/// A number that a float holds, and not 0.
fn positive(value: f64) -> Option<f32> {
    (value >= 0.0 && value.is_finite()).then(|| (value as f32).max(LEAST))
}

/// From a tensor back, the nodes on the way noted.
struct Walk<'g> {
    graph: &'g Linked,
    nodes: Vec<NodeId>,
}

impl<'g> Walk<'g> {
    /// The node that writes a tensor.
    fn step(&mut self, tensor: TensorId) -> Option<(NodeId, &'g Op, &'g [TensorId])> {
        let found = producer(self.graph, tensor).filter(|_| self.nodes.len() < MOST_NODES)?;
        self.nodes.push(found.0);
        Some(found)
    }

    /// What a guard reads, and how it keeps that from 0; two guards are none.
    fn guard(&mut self, node: NodeId, before: Option<Guard>) -> Option<(TensorId, Option<Guard>)> {
        let node = self.graph.node(node);
        let (x, guard) = match (&node.op, &node.inputs[..]) {
            (Op::Activation(Activation::Clip { min, max: f32::INFINITY }), &[x]) => (x, Guard::Least(f64::from(*min))),
            (Op::Binary(op @ (Binary::Add | Binary::Max)), &[a, b]) => {
                let (x, n) = number(self.graph, b).map(|n| (a, n)).or_else(|| number(self.graph, a).map(|n| (b, n)))?;
                (x, if *op == Binary::Add { Guard::Added(n) } else { Guard::Least(n) })
            }
            (Op::Where(_), &[condition, a, b]) => self.choice(condition, a, b)?,
            _ => return None,
        };
        let neutral = matches!(guard, Guard::Added(0.0) | Guard::Least(..=0.0));
        match (before, neutral) {
            (before, true) => Some((x, before)),
            (None, false) => Some((x, Some(guard))),
            (Some(_), false) => None,
        }
    }

    /// A number instead of a value that is 0, or less than that number.
    fn choice(&mut self, condition: TensorId, a: TensorId, b: TensorId) -> Option<(TensorId, Guard)> {
        let (x, n, number_first) = match (number(self.graph, a), number(self.graph, b)) {
            (Some(n), None) => (b, n, true),
            (None, Some(n)) => (a, n, false),
            _ => return None,
        };
        let (_, Op::Binary(Binary::Relation(relation)), &[left, right]) = self.step(condition)? else { return None };
        let limit = if left == x { number(self.graph, right)? } else { number(self.graph, left).filter(|_| right == x)? };
        let holds = |value: f64| match left == x {
            true => relation.holds(value as f32, limit as f32),
            false => relation.holds(limit as f32, value as f32),
        };
        // Which values give way: 0 alone, or all below the number.
        let gives_way = |value: f64| holds(value) == number_first;
        let above = limit.max(n).max(1e-30) * 1.001;
        match (gives_way(0.0), gives_way(above), n > 0.0) {
            (true, false, true) if limit == 0.0 => Some((x, Guard::Least(0.0))),
            (true, false, true) if limit == n => Some((x, Guard::Least(n))),
            _ => None,
        }
    }

    /// A tensor below the root: a moment, multiplied and guarded.
    fn moment(&mut self, tensor: TensorId) -> Option<(Moment, Option<Guard>)> {
        let (mut at, mut factor, mut guard) = (tensor, 1.0, None);
        loop {
            let (id, op, inputs) = self.step(at)?;
            let x = *inputs.first()?;
            match op {
                Op::Reduce(reduce) if matches!(reduce.function, Reduction::Mean | Reduction::Sum) => {
                    let count = if reduce.function == Reduction::Sum { gathered(self.graph, x, reduce)? } else { 1.0 };
                    let (x, centred) = self.square(x, reduce)?;
                    let reduced = reduce.reduced(&self.graph.tensor(x).shape).ok()?;
                    return Some((Moment { x, reduced, centred, factor: factor * count }, guard));
                }
                // The mean of squares without the square of the mean.
                Op::Binary(Binary::Sub) if self.graph.constant(inputs[1]).is_none() => {
                    let (x, reduced) = self.mean_of_squares(inputs[0])?;
                    let mean = self.squared(inputs[1])?;
                    let same = self.mean(mean, x)? == reduced;
                    return same.then_some((Moment { x, reduced, centred: true, factor }, guard));
                }
                Op::Binary(Binary::Mul) => {
                    let (x, n) = number(self.graph, inputs[1]).map(|n| (x, n)).or_else(|| Some((inputs[1], number(self.graph, x)?)))?;
                    (at, factor) = (x, factor * n);
                }
                Op::Binary(Binary::Div) => (at, factor) = (x, factor / number(self.graph, inputs[1])?),
                Op::Reshape(_) | Op::Tile(_) | Op::Identity | Op::Activation(Activation::Relu | Activation::Abs) => at = x,
                _ => {
                    let (x, found) = self.guard(id, None)?;
                    // What was multiplied behind the guard multiplies it too.
                    if let Some(found) = found {
                        guard = Some(guard.xor(Some(found.times(factor)))?);
                    }
                    at = x;
                }
            }
        }
    }

    /// What is squared and gathered: x, or its distance from its mean over the same axes.
    fn square(&mut self, tensor: TensorId, gathers: &Reduce) -> Option<(TensorId, bool)> {
        let base = self.squared(tensor)?;
        let shape = &self.graph.tensor(base).shape;
        let reduced = gathers.reduced(shape).ok()?;
        let before = self.nodes.len();
        match self.distance(base) {
            Some((x, over)) if over == reduced && self.graph.tensor(x).shape == *shape => Some((x, true)),
            _ => {
                self.nodes.truncate(before);
                Some((base, false))
            }
        }
    }

    /// The tensor that is squared; a distance may be computed twice.
    fn squared(&mut self, tensor: TensorId) -> Option<TensorId> {
        match self.step(tensor)? {
            (_, Op::Activation(Activation::Pow { exponent: 2.0 }), &[base]) => Some(base),
            (_, Op::Binary(Binary::Mul), &[a, b]) if a == b => Some(a),
            (_, Op::Binary(Binary::Mul), &[a, b]) => {
                let before = self.nodes.len();
                let other = self.distance(b)?;
                let same = Walk { graph: self.graph, nodes: Vec::new() }.distance(a)? == other;
                if !same {
                    self.nodes.truncate(before);
                }
                same.then_some(a)
            }
            _ => None,
        }
    }

    /// `x − mean(x)`, and the axes of the mean.
    fn distance(&mut self, tensor: TensorId) -> Option<(TensorId, Vec<bool>)> {
        let (_, Op::Binary(Binary::Sub), &[x, mean]) = self.step(tensor)? else { return None };
        let reduced = self.mean(mean, x)?;
        let shape = &self.graph.tensor(x).shape;
        let found = &self.graph.tensor(mean).shape;
        (found == shape || *found == kept(shape, &reduced)).then_some((x, reduced))
    }

    /// The axes over which a tensor is the mean of x.
    fn mean(&mut self, tensor: TensorId, x: TensorId) -> Option<Vec<bool>> {
        let mut at = tensor;
        loop {
            match self.step(at)? {
                (_, Op::Reduce(reduce), &[of]) if reduce.function == Reduction::Mean && of == x => {
                    return reduce.reduced(&self.graph.tensor(x).shape).ok();
                }
                (_, Op::Reshape(_) | Op::Tile(_) | Op::Identity, &[before]) => at = before,
                _ => return None,
            }
        }
    }

    /// The tensor whose squares a tensor is the mean of, and over which axes.
    fn mean_of_squares(&mut self, tensor: TensorId) -> Option<(TensorId, Vec<bool>)> {
        let mut at = tensor;
        loop {
            match self.step(at)? {
                (_, Op::Reduce(reduce), &[of]) if reduce.function == Reduction::Mean => {
                    let x = self.squared(of)?;
                    return Some((x, reduce.reduced(&self.graph.tensor(x).shape).ok()?));
                }
                (_, Op::Reshape(_) | Op::Tile(_) | Op::Identity, &[before]) => at = before,
                _ => return None,
            }
        }
    }
}
