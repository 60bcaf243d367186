//! Operators that move elements.

use quantrain_graph::op::{self, Concat, DepthOrder, DepthToSpace, Pad, PadMode, Slice, SpaceToDepth, Tile, Transpose, Walk};
use quantrain_kernels::Scratch;
use quantrain_kernels::elementwise::add_assign;
use quantrain_kernels::permute::{MOST_AXES, permute};

use super::{Kernel, Scaled, Site, change_unit};
use crate::EngineError;
use crate::layout::{keeps_order, logical_permutation, physical_axis, physical_permutation, to_physical};

/// Copies values of one unit into steps of another, by way of real values.
fn copy(x: &[f32], [from, to]: [f32; 2], y: &mut [f32]) {
    if from == to { y.copy_from_slice(x) } else { y.iter_mut().zip(x).for_each(|(y, x)| *y = x * from / to) }
}

fn accumulate_or_copy(dy: &[f32], dx: &mut [f32], accumulate: bool) {
    if accumulate { dx.iter_mut().zip(dy).for_each(|(d, g)| *d += g) } else { dx.copy_from_slice(dy) }
}

pub(super) struct Identity;

impl Kernel for Identity {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        copy(x[0].values, [x[0].scale, out_scale], y);
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        accumulate_or_copy(dy, dx, accumulate);
    }

    fn moves(&self) -> bool {
        true
    }
}

/// Runs of elements along one axis: Concat.
pub(super) struct Join {
    outer: usize,
    /// Elements of each input for one step of the outer axes.
    runs: Vec<usize>,
}

pub(super) fn concat(op: &Concat, site: &Site) -> Join {
    let output = site.output();
    let rank = output.len();
    let axis = if op.axis < 0 { (op.axis + rank as i64) as usize } else { op.axis as usize };
    let axis = physical_axis(rank, axis);
    let run = |i: usize| to_physical(&site.input(i))[axis..].iter().product();
    Join { outer: to_physical(&output)[..axis].iter().product(), runs: (0..site.node.inputs.len()).map(run).collect() }
}

impl Join {
    /// For each outer step the span of input `which` in the output.
    fn spans(&self, which: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (before, total): (usize, usize) = (self.runs[..which].iter().sum(), self.runs.iter().sum());
        let run = self.runs[which];
        (0..self.outer).map(move |o| o * total + before..o * total + before + run)
    }
}

impl Kernel for Join {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        for (i, x) in x.iter().enumerate() {
            for (span, x_run) in self.spans(i).zip(x.values.chunks_exact(self.runs[i])) {
                copy(x_run, [x.scale, out_scale], &mut y[span]);
            }
        }
    }

    fn backward(&self, which: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        for (span, dx_run) in self.spans(which).zip(dx.chunks_exact_mut(self.runs[which])) {
            accumulate_or_copy(&dy[span], dx_run, accumulate);
        }
    }

    fn moves(&self) -> bool {
        true
    }
}

/// Moves elements: along each axis in memory order an output index reads an input index, or nothing, which is `fill`.
pub(super) struct Gather {
    input: Vec<usize>,
    maps: Vec<AxisMap>,
    fill: f32,
}

/// Along one axis, which input index an output index reads. Rules, not lists: a plan is small whatever the extents.
enum AxisMap {
    /// The same.
    Whole(usize),
    /// Every step-th from a start.
    Walk(Walk),
    /// The same behind what comes `before`; around it what the mode says.
    Padded { before: isize, input: isize, output: usize, mode: PadMode },
    /// All, over and over again.
    Repeated { input: usize, output: usize },
    /// These.
    Listed(Vec<usize>),
}

impl AxisMap {
    /// Number of output indices.
    fn len(&self) -> usize {
        match self {
            AxisMap::Whole(n) => *n,
            AxisMap::Walk(walk) => walk.count,
            AxisMap::Padded { output, .. } | AxisMap::Repeated { output, .. } => *output,
            AxisMap::Listed(indices) => indices.len(),
        }
    }

    fn source(&self, o: usize) -> Option<usize> {
        match self {
            AxisMap::Whole(_) => Some(o),
            AxisMap::Walk(walk) => walk.start.checked_add_signed(walk.step * o as isize),
            AxisMap::Padded { before, input, mode, .. } => {
                let i = o as isize - before;
                let i = match mode {
                    PadMode::Constant(_) => i,
                    PadMode::Edge => i.clamp(0, input - 1),
                    PadMode::Wrap => i.rem_euclid(*input),
                    // Mirrored without repeating the edge.
                    PadMode::Reflect => {
                        let i = if i < 0 { -i } else { i };
                        if i >= *input { 2 * (input - 1) - i } else { i }
                    }
                };
                usize::try_from(i).ok().filter(|_| i < *input)
            }
            AxisMap::Repeated { input, .. } => Some(o % input),
            AxisMap::Listed(indices) => Some(indices[o]),
        }
    }

    /// Whether each index of `input` reads itself.
    fn is_whole(&self, input: usize) -> bool {
        self.len() == input
            && match self {
                AxisMap::Whole(_) | AxisMap::Repeated { .. } => true,
                AxisMap::Walk(walk) => walk.start == 0 && (walk.step == 1 || walk.count == 1),
                AxisMap::Padded { before, .. } => *before == 0,
                AxisMap::Listed(indices) => indices.iter().enumerate().all(|(o, i)| o == *i),
            }
    }
}

pub(super) fn slice(op: &Slice, site: &Site) -> Result<Gather, EngineError> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let walks = op.walks(shape).map_err(|_| site.unsupported("its attributes do not fit the input"))?;
    let input = to_physical(&site.input(0));
    let mut maps: Vec<AxisMap> = input.iter().map(|&n| AxisMap::Whole(n)).collect();
    for (axis, walk) in walks.iter().enumerate() {
        walk.iter().for_each(|&walk| maps[physical_axis(input.len(), axis)] = AxisMap::Walk(walk));
    }
    Ok(Gather { input, maps, fill: 0.0 })
}

pub(super) fn pad(op: &Pad, site: &Site) -> Result<Gather, EngineError> {
    let (input, output) = (site.input(0), site.output());
    let rank = input.len();
    if op.mode == PadMode::Reflect && (0..2 * rank).any(|i| op.pads[i] >= input[i % rank]) {
        return Err(site.unsupported("a reflection reaches less far than the input is long"));
    }
    let mut maps: Vec<AxisMap> = to_physical(&input).iter().map(|&n| AxisMap::Whole(n)).collect();
    for axis in 0..rank {
        let (before, input) = (op.pads[axis] as isize, input[axis] as isize);
        maps[physical_axis(rank, axis)] = AxisMap::Padded { before, input, output: output[axis], mode: op.mode };
    }
    let fill = if let PadMode::Constant(value) = op.mode { value } else { 0.0 };
    Ok(Gather { input: to_physical(&input), maps, fill })
}

pub(super) fn gather(op: &op::Gather, site: &Site) -> Gather {
    let input = to_physical(&site.input(0));
    let rank = input.len();
    let axis = if op.axis < 0 { (op.axis + rank as i64) as usize } else { op.axis as usize };
    let mut maps: Vec<AxisMap> = input.iter().map(|&n| AxisMap::Whole(n)).collect();
    maps[physical_axis(rank, axis)] = AxisMap::Listed(op.indices.clone());
    Gather { input, maps, fill: 0.0 }
}

pub(super) fn tile(op: &Tile, site: &Site) -> Gather {
    let input = to_physical(&site.input(0));
    let repeats = to_physical(&op.repeats);
    let maps = input.iter().zip(repeats).map(|(&input, times)| AxisMap::Repeated { input, output: input * times }).collect();
    Gather { input, maps, fill: 0.0 }
}

impl Gather {
    /// Elements that lie together: the product of the innermost axes that are taken whole.
    fn run(&self) -> (usize, usize) {
        let inner = (0..self.input.len()).rev().take_while(|&axis| self.maps[axis].is_whole(self.input[axis])).count();
        let axis = self.input.len() - inner;
        (axis, self.input[axis..].iter().product())
    }

    /// Calls `f(first output index, first input index, run)` for every run, in order.
    fn walk(&self, mut f: impl FnMut(usize, Option<usize>, usize)) {
        let (axes, run) = self.run();
        let mut strides = [1; MOST_AXES];
        for axis in (1..self.input.len()).rev() {
            strides[axis - 1] = strides[axis] * self.input[axis];
        }
        let mut index = 0;
        self.descend(0, axes, Some(0), &strides, &mut |at| {
            f(index, at, run);
            index += run;
        });
    }

    fn descend(&self, axis: usize, axes: usize, at: Option<usize>, strides: &[usize], f: &mut impl FnMut(Option<usize>)) {
        if axis == axes {
            return f(at);
        }
        let map = &self.maps[axis];
        for o in 0..map.len() {
            let at = at.zip(map.source(o)).map(|(at, i)| at + i * strides[axis]);
            self.descend(axis + 1, axes, at, strides, f);
        }
    }
}

impl Kernel for Gather {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let fill = self.fill / out_scale;
        self.walk(|o, i, run| match i {
            Some(i) => copy(&x[0].values[i..i + run], [x[0].scale, out_scale], &mut y[o..o + run]),
            None => y[o..o + run].fill(fill),
        });
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
        self.walk(|o, i, run| {
            if let Some(i) = i {
                accumulate_or_copy(&dy[o..o + run], &mut dx[i..i + run], true);
            }
        });
    }

    fn moves(&self) -> bool {
        true
    }
}

/// Another order of axes in memory, then another shape, then memory order again: Reshape, Flatten, Transpose.
pub(super) struct Reorder {
    /// Shape and permutation of each step that moves anything.
    there: Vec<(Vec<usize>, Vec<usize>)>,
    /// The same for the way back.
    back: Vec<(Vec<usize>, Vec<usize>)>,
}

pub(super) fn reshape(site: &Site) -> Reorder {
    let (input, output) = (site.input(0), site.output());
    Reorder::new(vec![(to_physical(&input), logical_permutation(input.len())), (output.clone(), physical_permutation(output.len()))])
}

pub(super) fn transpose(op: &Transpose, site: &Site) -> Reorder {
    let (input, output) = (site.input(0), site.output());
    let rank = input.len();
    let (logical, physical) = (logical_permutation(rank), physical_permutation(rank));
    let whole = (0..rank).map(|axis| logical[op.permutation[physical[axis]]]).collect();
    debug_assert_eq!(output.len(), rank);
    Reorder::new(vec![(to_physical(&input), whole)])
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
        let there: Vec<_> = steps.into_iter().filter(|(shape, permutation)| !keeps_order(shape, permutation)).collect();
        let inverse = |(shape, permutation): &(Vec<usize>, Vec<usize>)| {
            let mut back = vec![0; permutation.len()];
            permutation.iter().enumerate().for_each(|(to, &from)| back[from] = to);
            (permutation.iter().map(|&axis| shape[axis]).collect(), back)
        };
        Reorder { back: there.iter().rev().map(inverse).collect(), there }
    }
}

/// Applies permutations one after the other.
fn reorder(steps: &[(Vec<usize>, Vec<usize>)], x: &[f32], y: &mut [f32]) {
    match steps {
        [] => y.copy_from_slice(x),
        [(shape, permutation)] => permute(x, shape, permutation, y),
        [(shape, permutation), rest @ ..] => {
            let mut scratch = Scratch::take(x.len());
            let between = &mut scratch.as_mut_slice()[..x.len()];
            permute(x, shape, permutation, between);
            reorder(rest, between, y);
        }
    }
}

impl Kernel for Reorder {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        reorder(&self.there, x[0].values, y);
        change_unit(y, x[0].scale, out_scale);
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if accumulate {
            let mut scratch = Scratch::take(dy.len());
            let moved = &mut scratch.as_mut_slice()[..dy.len()];
            reorder(&self.back, dy, moved);
            add_assign(moved, dx);
        } else {
            reorder(&self.back, dy, dx);
        }
    }

    fn moves(&self) -> bool {
        true
    }
}
