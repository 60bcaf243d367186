//! Operators that move elements: Concat, Slice, Pad, Reshape, Flatten, Transpose.

use quantrain_graph::op::{self, Concat, DepthOrder, DepthToSpace, Pad, PadMode, Slice, SpaceToDepth, Tile, Transpose};

use super::{Site, axis_from_front, physical_axis, to_physical};
use crate::LowerError;

/// Runs of elements along one axis: Concat.
pub(super) struct Join {
    /// Elements of each input for one step of the outer axes.
    runs: Vec<usize>,
}

pub(super) fn concat(op: &Concat, site: &Site) -> Join {
    let rank = site.output().len();
    let axis = physical_axis(rank, axis_from_front(op.axis, rank));
    Join { runs: (0..site.node.inputs.len()).map(|i| to_physical(&site.input(i))[axis..].iter().product()).collect() }
}

impl Join {
    pub fn apply<T: Copy>(&self, x: &[&[T]], y: &mut [T]) {
        let total: usize = self.runs.iter().sum();
        for (o, mut y) in y.chunks_exact_mut(total).enumerate() {
            for (x, &run) in x.iter().zip(&self.runs) {
                let (to, rest) = y.split_at_mut(run);
                to.copy_from_slice(&x[o * run..][..run]);
                y = rest;
            }
        }
    }
}

/// Elements by their index along each axis: Slice, Pad, Gather, Tile.
pub(super) struct Gather {
    /// Of the outer axes in memory order, the stride of the input and which of its indices an output index reads; `None` reads `fill`.
    outer: Vec<(usize, Vec<Option<usize>>)>,
    /// Where the input has what one step of the outer axes reads, and how many elements in a row.
    runs: Vec<(Option<usize>, usize)>,
    pub fill: f32,
}

pub(super) fn slice(op: &Slice, site: &Site) -> Result<Gather, LowerError> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let walks = op.walks(shape).map_err(|_| site.unsupported("its attributes do not fit the input"))?;
    let input = site.input(0);
    let rank = input.len();
    let mut maps = vec![Vec::new(); rank];
    for axis in 0..rank {
        maps[physical_axis(rank, axis)] = match walks[axis] {
            Some(walk) => (0..walk.count).map(|i| walk.start.checked_add_signed(walk.step * i as isize)).collect(),
            None => (0..input[axis]).map(Some).collect(),
        };
    }
    Ok(Gather::new(&to_physical(&input), maps, 0.0))
}

pub(super) fn pad(op: &Pad, site: &Site) -> Result<Gather, LowerError> {
    let (input, output) = (site.input(0), site.output());
    let rank = input.len();
    if op.mode == PadMode::Reflect && (0..2 * rank).any(|i| op.pads[i] >= input[i % rank]) {
        return Err(site.unsupported("a reflection reaches less far than the input is long"));
    }
    let mut maps = vec![Vec::new(); rank];
    for axis in 0..rank {
        let (before, extent) = (op.pads[axis] as isize, input[axis] as isize);
        let source = |o: usize| {
            let i = o as isize - before;
            let i = match op.mode {
                PadMode::Constant(_) => i,
                PadMode::Edge => i.clamp(0, extent - 1),
                PadMode::Wrap => i.rem_euclid(extent),
                // Mirrored without repeating the edge.
                PadMode::Reflect if i.abs() >= extent => 2 * (extent - 1) - i,
                PadMode::Reflect => i.abs(),
            };
            usize::try_from(i).ok().filter(|_| i < extent)
        };
        maps[physical_axis(rank, axis)] = (0..output[axis]).map(source).collect();
    }
    let fill = if let PadMode::Constant(value) = op.mode { value } else { 0.0 };
    Ok(Gather::new(&to_physical(&input), maps, fill))
}

pub(super) fn gather(op: &op::Gather, site: &Site) -> Gather {
    let input = site.input(0);
    let rank = input.len();
    let axis = axis_from_front(op.axis, rank);
    let mut maps: Vec<Vec<_>> = to_physical(&input).iter().map(|&n| (0..n).map(Some).collect()).collect();
    maps[physical_axis(rank, axis)] = op.indices.iter().copied().map(Some).collect();
    Gather::new(&to_physical(&input), maps, 0.0)
}

pub(super) fn tile(op: &Tile, site: &Site) -> Gather {
    let input = to_physical(&site.input(0));
    let repeats = to_physical(&op.repeats);
    let maps = input.iter().zip(repeats).map(|(&n, times)| (0..n * times).map(|i| Some(i % n)).collect()).collect();
    Gather::new(&input, maps, 0.0)
}

impl Gather {
    /// `maps` has, along each axis of the input in memory order, which input index an output index reads.
    fn new(input: &[usize], maps: Vec<Vec<Option<usize>>>, fill: f32) -> Self {
        let is_whole = |axis: usize| maps[axis].len() == input[axis] && maps[axis].iter().enumerate().all(|(i, m)| *m == Some(i));
        // Innermost axes that are taken whole move in one go with the axis around them.
        let last = (0..input.len()).rev().find(|&axis| !is_whole(axis)).unwrap_or(0);
        let stride = |axis: usize| input[axis + 1..].iter().product::<usize>();
        let mut runs: Vec<(Option<usize>, usize)> = Vec::new();
        for source in maps.get(last).unwrap_or(&vec![Some(0)]) {
            let (from, len) = (source.map(|i| i * stride(last)), stride(last));
            match runs.last_mut() {
                Some((before, run)) if before.map(|b| b + *run) == from => *run += len,
                _ => runs.push((from, len)),
            }
        }
        Gather { outer: maps.into_iter().take(last).enumerate().map(|(axis, map)| (stride(axis), map)).collect(), runs, fill }
    }

    pub fn apply<T: Copy>(&self, x: &[T], fill: T, y: &mut [T]) {
        let mut rest = y;
        self.descend(&self.outer, Some(0), x, fill, &mut rest);
    }

    fn descend<T: Copy>(&self, outer: &[(usize, Vec<Option<usize>>)], at: Option<usize>, x: &[T], fill: T, y: &mut &mut [T]) {
        if let [(stride, map), outer @ ..] = outer {
            for source in map {
                self.descend(outer, at.zip(*source).map(|(at, i)| at + i * stride), x, fill, y);
            }
            return;
        }
        for &(from, len) in &self.runs {
            let (to, rest) = std::mem::take(y).split_at_mut(len);
            match at.zip(from) {
                Some((at, from)) => to.copy_from_slice(&x[at + from..][..len]),
                None => to.fill(fill),
            }
            *y = rest;
        }
    }
}

/// Another order of axes in memory, then another shape, then memory order again: Reshape, Flatten, Transpose.
pub(super) struct Reorder {
    /// Shape and permutation of each step that moves anything.
    steps: Vec<(Vec<usize>, Vec<usize>)>,
}

/// Axis i of ONNX's order is axis `p[i]` in memory.
fn logical_permutation(rank: usize) -> Vec<usize> {
    (0..rank).map(|axis| physical_axis(rank, axis)).collect()
}

/// Axis i in memory is axis `p[i]` of ONNX's order.
fn physical_permutation(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 2, 3, 1] } else { (0..rank).collect() }
}

pub(super) fn reshape(site: &Site) -> Reorder {
    let (input, output) = (site.input(0), site.output());
    Reorder::new(vec![(to_physical(&input), logical_permutation(input.len())), (output.clone(), physical_permutation(output.len()))])
}

pub(super) fn transpose(op: &Transpose, site: &Site) -> Reorder {
    let input = site.input(0);
    let (logical, physical) = (logical_permutation(input.len()), physical_permutation(input.len()));
    let whole = physical.iter().map(|&axis| logical[op.permutation[axis]]).collect();
    Reorder::new(vec![(to_physical(&input), whole)])
}

/// Whether a permutation of axes leaves elements where they are: only extents of 1 change places.
fn keeps_order(shape: &[usize], permutation: &[usize]) -> bool {
    permutation.iter().filter(|&&axis| shape[axis] != 1).is_sorted()
}

/// In memory a pixel's channels lie together: rows of blocks change places with their columns.
pub(super) fn depth_to_space(op: &DepthToSpace, site: &Site) -> Reorder {
    let (b, x) = (op.block, site.input(0));
    let channels = x[1] / (b * b);
    Reorder::new(vec![match op.order {
        DepthOrder::BlockFirst => (vec![x[0], x[2], x[3], b, b, channels], vec![0, 1, 3, 2, 4, 5]),
        DepthOrder::ChannelFirst => (vec![x[0], x[2], x[3], channels, b, b], vec![0, 1, 4, 2, 5, 3]),
    }])
}

pub(super) fn space_to_depth(op: &SpaceToDepth, site: &Site) -> Reorder {
    let (b, x) = (op.block, site.input(0));
    Reorder::new(vec![(vec![x[0], x[2] / b, b, x[3] / b, b, x[1]], vec![0, 1, 3, 2, 4, 5])])
}

impl Reorder {
    fn new(steps: Vec<(Vec<usize>, Vec<usize>)>) -> Self {
        Reorder { steps: steps.into_iter().filter(|(shape, permutation)| !keeps_order(shape, permutation)).collect() }
    }

    pub fn apply<T: Copy>(&self, x: &[T], y: &mut [T]) {
        match &self.steps[..] {
            [] => y.copy_from_slice(x),
            [(shape, permutation), rest @ ..] => {
                permute(x, shape, permutation, y);
                for (shape, permutation) in rest {
                    let before = y.to_vec();
                    permute(&before, shape, permutation, y);
                }
            }
        }
    }
}

/// Axis i of `y` is axis `permutation[i]` of `x`, whose extents are `shape`.
fn permute<T: Copy>(x: &[T], shape: &[usize], permutation: &[usize], y: &mut [T]) {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let extents: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
    let strides: Vec<usize> = permutation.iter().map(|&axis| strides[axis]).collect();
    let (mut index, mut at) = (vec![0; extents.len()], 0);
    for y in y {
        *y = x[at];
        for axis in (0..extents.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < extents[axis] {
                break;
            }
            at -= strides[axis] * index[axis];
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_and_its_inverse_cancel() {
        let x: Vec<u16> = (0..2 * 3 * 4 * 5).collect();
        let (mut y, mut z) = (vec![0; x.len()], vec![0; x.len()]);
        permute(&x, &[2, 3, 4, 5], &[0, 3, 1, 2], &mut y);
        assert_eq!(y[..4], [0, 5, 10, 15]);
        permute(&y, &[2, 5, 3, 4], &[0, 2, 3, 1], &mut z);
        assert_eq!(x, z);
    }

    #[test]
    fn a_gather_fills_what_no_input_reaches() {
        let maps = vec![vec![Some(1), None], vec![Some(0), Some(1), Some(2)]];
        let gather = Gather::new(&[2, 3], maps, 0.0);
        let mut y = [0u8; 6];
        gather.apply(&[1, 2, 3, 4, 5, 6], 9, &mut y);
        assert_eq!(y, [4, 5, 6, 9, 9, 9]);
    }
}
