//! What a tensor is joined of: the regions of it that other tensors, only moved, make up.
//!
//! Boxes and scores that a Concat joins stay what they are behind a Reshape, a Transpose, a second Concat: each has a region of the result.

use std::ops::Range;

use crate::graph::{Graph, Node, TensorId};
use crate::op::{Binary, Concat, Gather, Pad, PadMode, Reduce, Slice, Transpose};
use crate::{Op, Shape};

/// A region of a tensor whose values are another tensor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose values these are.
    pub tensor: TensorId,
    /// Along each axis, in ONNX's order, the indices of the region; `None` for all of them.
    pub region: Vec<Option<Range<usize>>>,
}

impl Part {
    fn whole(tensor: TensorId, rank: usize) -> Self {
        Part { tensor, region: vec![None; rank] }
    }

    /// Whether the region is the whole tensor.
    pub fn is_whole(&self) -> bool {
        self.region.iter().all(Option::is_none)
    }
}

/// Of each tensor of a graph, its parts; one that is not joined has a single part, the tensor that its values are moved from.
#[derive(Clone, Debug)]
pub struct Parts(Vec<Vec<Part>>);

impl Parts {
    /// Follows operators that move elements.
    pub fn moved(graph: &Graph) -> Self {
        Parts::of(graph, false)
    }

    /// Follows operators that move elements, and functions of each element: a part is still told apart behind a Sigmoid or a factor.
    pub fn computed(graph: &Graph) -> Self {
        Parts::of(graph, true)
    }

    /// The parts of a tensor.
    pub fn get(&self, tensor: TensorId) -> &[Part] {
        &self.0[tensor.0]
    }

    fn of(graph: &Graph, through_functions: bool) -> Self {
        let whole = |(t, tensor): (usize, &crate::Tensor)| vec![Part::whole(TensorId(t), tensor.shape.rank())];
        let mut parts = Parts(graph.tensors().iter().enumerate().map(whole).collect());
        for node in graph.nodes() {
            let found = match &node.op {
                Op::Binary(Binary::Add) if parts.of_sum(graph, node).is_some() => parts.of_sum(graph, node),
                Op::Activation(_) | Op::Binary(_) | Op::Where(_) if through_functions => parts.of_function(graph, node),
                _ => parts.of_move(graph, node, through_functions),
            };
            parts.0[node.output.0] = found.unwrap_or_else(|| vec![Part::whole(node.output, graph.tensor(node.output).shape.rank())]);
        }
        parts
    }

    /// A function of each element keeps the regions of the operand that has several; what is not joined becomes a tensor of its own.
    fn of_function(&self, graph: &Graph, node: &Node) -> Option<Vec<Part>> {
        let shape = &graph.tensor(node.output).shape;
        let joined = node.inputs.iter().find(|&&t| self.get(t).len() > 1 && graph.tensor(t).shape == *shape)?;
        Some(self.get(*joined).to_vec())
    }

    /// A sum of tensors that are 0 where the other is not joins them as a Concat does.
    fn of_sum(&self, graph: &Graph, node: &Node) -> Option<Vec<Part>> {
        let &[a, b] = &node.inputs[..] else { return None };
        let shape = &graph.tensor(node.output).shape;
        let whole = [a, b].iter().all(|&t| graph.constant(t).is_none() && graph.tensor(t).shape == *shape);
        let apart = |p: &Part, q: &Part| p.region.iter().zip(&q.region).any(are_apart);
        let (a, b) = (self.get(a), self.get(b));
        (whole && a.iter().all(|p| b.iter().all(|q| apart(p, q)))).then(|| [a, b].concat())
    }

    /// `None` where values are not just moved, or where what was one region is one no more.
    fn of_move(&self, graph: &Graph, node: &Node, through_functions: bool) -> Option<Vec<Part>> {
        let shape = |t: TensorId| &graph.tensor(t).shape;
        if let Op::Concat(op) = &node.op {
            return self.of_concat(graph, op, node);
        }
        let (from, to) = (shape(*node.inputs.first()?), shape(node.output));
        let moved = |part: &Part| -> Option<Option<Part>> {
            let region = match &node.op {
                Op::Identity => Some(part.region.clone()),
                Op::Transpose(op) => Some(transposed(op, part)),
                Op::Reshape(_) | Op::Flatten(_) => Some(reshaped(&part.region, from, to)?),
                Op::Slice(op) => sliced(op, part, from)?,
                Op::Gather(op) => gathered(op, part, from)?,
                // Windows and pixels: channels stay apart.
                Op::MaxPool(_) | Op::Resize(_) if part.region.iter().skip(2).all(Option::is_none) => Some(part.region.clone()),
                Op::AveragePool(_) | Op::GlobalAveragePool(_) if through_functions && part.region.iter().skip(2).all(Option::is_none) => {
                    Some(part.region.clone())
                }
                Op::Reduce(op) if through_functions => Some(reduced(op, part, from)?),
                Op::Pad(op) if op.mode == PadMode::Constant(0.0) => Some(padded(op, part, from)?),
                Op::Tile(_) | Op::DepthToSpace(_) | Op::SpaceToDepth(_) if part.is_whole() => Some(vec![None; to.rank()]),
                _ => return None,
            };
            Some(region.map(|region| Part { region, ..*part }))
        };
        let parts: Vec<Option<Part>> = self.get(node.inputs[0]).iter().map(moved).collect::<Option<_>>()?;
        let parts: Vec<Part> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then_some(parts)
    }

    fn of_concat(&self, graph: &Graph, op: &Concat, node: &Node) -> Option<Vec<Part>> {
        let axis = graph.tensor(node.output).shape.axis(op.axis).ok()?;
        let mut offset = 0;
        let mut parts = Vec::new();
        for &input in &node.inputs {
            let extent = graph.tensor(input).shape.fixed_at(axis).ok()?;
            for part in self.get(input) {
                let mut region = part.region.clone();
                let along = region[axis].clone().unwrap_or(0..extent);
                // A single input is all there is.
                region[axis] = (node.inputs.len() > 1).then_some(along.start + offset..along.end + offset);
                parts.push(Part { tensor: part.tensor, region });
            }
            offset += extent;
        }
        Some(parts)
    }
}

fn transposed(op: &Transpose, part: &Part) -> Vec<Option<Range<usize>>> {
    op.permutation.iter().map(|&axis| part.region[axis].clone()).collect()
}

/// Whether two regions along an axis have no index in common.
fn are_apart(regions: (&Option<Range<usize>>, &Option<Range<usize>>)) -> bool {
    matches!(regions, (Some(a), Some(b)) if a.end <= b.start || b.end <= a.start)
}

/// A region behind a Pad, which surrounds it with zeros; `None` where an axis that it lengthens is free.
fn padded(op: &Pad, part: &Part, from: &Shape) -> Option<Vec<Option<Range<usize>>>> {
    let rank = part.region.len();
    let along = |axis: usize| {
        let (begin, end) = (*op.pads.get(axis)?, *op.pads.get(axis + rank)?);
        if (begin, end) == (0, 0) {
            return Some(part.region[axis].clone());
        }
        let whole = 0..from.fixed_at(axis).ok()?;
        let region = part.region[axis].clone().unwrap_or(whole);
        Some(Some(region.start + begin..region.end + begin))
    };
    (0..rank).map(along).collect()
}

/// A region behind a reduction; `None` where that gathers several regions.
fn reduced(op: &Reduce, part: &Part, from: &Shape) -> Option<Vec<Option<Range<usize>>>> {
    let reduced = op.reduced(from).ok()?;
    if part.region.iter().zip(&reduced).any(|(region, reduced)| *reduced && region.is_some()) {
        return None;
    }
    let left = part.region.iter().zip(&reduced).filter(|(_, reduced)| op.keep_dims || !**reduced);
    Some(left.map(|(region, _)| region.clone()).collect())
}

/// A region of a Slice's input in its output, `Some(None)` where nothing of it is left.
fn sliced(op: &Slice, part: &Part, from: &Shape) -> Option<Option<Vec<Option<Range<usize>>>>> {
    let mut region = part.region.clone();
    for (along, walk) in region.iter_mut().zip(op.walks(from).ok()?) {
        let (Some(indices), Some(walk)) = (along.clone(), walk) else { continue };
        let source = |o: usize| walk.start.checked_add_signed(walk.step * o as isize);
        match run(walk.count, |o| source(o).is_some_and(|i| indices.contains(&i)))? {
            Some(found) => *along = (found != (0..walk.count)).then_some(found),
            None => return Some(None),
        }
    }
    Some(Some(region))
}

/// As [`sliced`], for a Gather.
fn gathered(op: &Gather, part: &Part, from: &Shape) -> Option<Option<Vec<Option<Range<usize>>>>> {
    let axis = from.axis(op.axis).ok()?;
    let mut region = part.region.clone();
    if let Some(indices) = region[axis].clone() {
        match run(op.indices.len(), |o| indices.contains(&op.indices[o]))? {
            Some(found) => region[axis] = (found != (0..op.indices.len())).then_some(found),
            None => return Some(None),
        }
    }
    Some(Some(region))
}

/// The one run of indices below `count` that `holds`; `Some(None)` where there is none, `None` where there are several.
fn run(count: usize, holds: impl Fn(usize) -> bool) -> Option<Option<Range<usize>>> {
    let Some(start) = (0..count).find(|&o| holds(o)) else { return Some(None) };
    let end = (start..count).find(|&o| !holds(o)).unwrap_or(count);
    (!(end..count).any(holds)).then_some(Some(start..end))
}

/// Any batch that no other extent has as a factor keeps axes of the batch apart from others.
const BATCH: usize = 1_000_003;

/// A region after a Reshape; `None` where it is no region any more.
///
/// Both shapes fall into groups of axes with the same number of elements. In a group a region survives if it is whole, or a run of elements:
/// one along the outermost axis that is longer than 1.
fn reshaped(region: &[Option<Range<usize>>], from: &Shape, to: &Shape) -> Option<Vec<Option<Range<usize>>>> {
    let (from, to) = (from.at(BATCH), to.at(BATCH));
    let mut result = vec![None; to.len()];
    let (mut i, mut j) = (0, 0);
    while i < from.len() && j < to.len() {
        let (first, start) = (i, j);
        let (mut p, mut q) = (from[i], to[j]);
        (i, j) = (i + 1, j + 1);
        while p != q {
            let (product, axis, extents) = if p < q { (&mut p, &mut i, &from) } else { (&mut q, &mut j, &to) };
            *product = product.saturating_mul(*extents.get(*axis)?);
            *axis += 1;
        }
        let outermost = (first..i).find(|&axis| from[axis] > 1);
        let cut: Vec<usize> = (first..i).filter(|&axis| region[axis].is_some()).collect();
        match (&cut[..], outermost) {
            ([], _) => {}
            (&[axis], Some(outer)) if axis == outer => {
                let inner: usize = from[axis + 1..i].iter().product();
                let along = region[axis].clone()?;
                let to_outer = (start..j).find(|&axis| to[axis] > 1)?;
                let to_inner: usize = to[to_outer + 1..j].iter().product();
                let (low, high) = (along.start * inner, along.end * inner);
                if low % to_inner != 0 || high % to_inner != 0 {
                    return None;
                }
                result[to_outer] = Some(low / to_inner..high / to_inner);
            }
            _ => return None,
        }
    }
    // What is left on either side has extent 1.
    Some(result)
}

#[cfg(test)]
mod tests;
