//! Operators that move elements: by their index along each axis (Slice, Pad, Gather, Tile), in runs (Concat), or to another order of axes
//! (Reshape, Flatten, Transpose, DepthToSpace, SpaceToDepth).

use quantrain_graph::op::{self, Concat, DepthOrder, DepthToSpace, Pad, PadMode, Slice, SpaceToDepth, Tile, Transpose, Walk};

use crate::memory_order::{Permuted, axis_from_front, logical_permutation, physical_axis, physical_permutation, to_physical};
use crate::{Site, Unsupported};

/// Along each axis in memory order an output index reads an input index, or nothing, which is `fill`.
pub struct Gathered {
    /// Extents of the input in memory order.
    pub input: Vec<usize>,
    /// One for each axis.
    pub maps: Vec<AxisMap>,
    /// What nothing becomes, in real units.
    pub fill: f32,
}

/// Along one axis, which input index an output index reads. Rules, not lists: a plan is small whatever the extents.
pub enum AxisMap {
    /// The same.
    Whole(usize),
    /// Every step-th from a start.
    Walk(Walk),
    /// The same behind what comes `before`; around it what the mode says.
    Padded {
        /// Output indices before the first of the input.
        before: isize,
        /// Extent of the input.
        input: isize,
        /// Extent of the output.
        output: usize,
        /// What is read around the input.
        mode: PadMode,
    },
    /// All, over and over again.
    Repeated {
        /// Extent of the input.
        input: usize,
        /// Extent of the output.
        output: usize,
    },
    /// These.
    Listed(Vec<usize>),
}

impl AxisMap {
    /// Number of output indices.
    pub fn extent(&self) -> usize {
        match self {
            AxisMap::Whole(n) => *n,
            AxisMap::Walk(walk) => walk.count,
            AxisMap::Padded { output, .. } | AxisMap::Repeated { output, .. } => *output,
            AxisMap::Listed(indices) => indices.len(),
        }
    }

    /// The input index that output index `o` reads, if it reads one.
    pub fn source(&self, o: usize) -> Option<usize> {
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
                    PadMode::Reflect if i.abs() >= *input => 2 * (input - 1) - i,
                    PadMode::Reflect => i.abs(),
                };
                usize::try_from(i).ok().filter(|_| i < *input)
            }
            AxisMap::Repeated { input, .. } => Some(o % input),
            AxisMap::Listed(indices) => Some(indices[o]),
        }
    }

    /// Whether each index of `input` reads itself.
    pub fn is_whole(&self, input: usize) -> bool {
        self.extent() == input
            && match self {
                AxisMap::Whole(_) | AxisMap::Repeated { .. } => true,
                AxisMap::Walk(walk) => walk.start == 0 && (walk.step == 1 || walk.count == 1),
                AxisMap::Padded { before, .. } => *before == 0,
                AxisMap::Listed(indices) => indices.iter().enumerate().all(|(o, i)| o == *i),
            }
    }
}

/// All of input 0, in memory order.
fn whole(site: &Site) -> Gathered {
    let input = to_physical(&site.input(0));
    Gathered { maps: input.iter().map(|&n| AxisMap::Whole(n)).collect(), input, fill: 0.0 }
}

/// A Slice.
///
/// # Errors
/// Its attributes do not fit the input.
pub fn slice(op: &Slice, site: &Site) -> Result<Gathered, Unsupported> {
    let shape = &site.graph.tensor(site.node.inputs[0]).shape;
    let walks = op.walks(shape).map_err(|_| site.unsupported("its attributes do not fit the input"))?;
    let mut gathered = whole(site);
    for (axis, walk) in walks.iter().enumerate() {
        walk.iter().for_each(|&walk| gathered.maps[physical_axis(walks.len(), axis)] = AxisMap::Walk(walk));
    }
    Ok(gathered)
}

/// A Pad.
///
/// # Errors
/// A reflection does not reach far enough.
pub fn pad(op: &Pad, site: &Site) -> Result<Gathered, Unsupported> {
    let (input, output) = (site.input(0), site.output());
    let rank = input.len();
    if op.mode == PadMode::Reflect && (0..2 * rank).any(|i| op.pads[i] >= input[i % rank]) {
        return Err(site.unsupported("a reflection reaches less far than the input is long"));
    }
    let mut gathered = whole(site);
    for axis in 0..rank {
        let (before, input) = (op.pads[axis] as isize, input[axis] as isize);
        gathered.maps[physical_axis(rank, axis)] = AxisMap::Padded { before, input, output: output[axis], mode: op.mode };
    }
    if let PadMode::Constant(value) = op.mode {
        gathered.fill = value;
    }
    Ok(gathered)
}

/// A Gather with constant indices.
pub fn gather(op: &op::Gather, site: &Site) -> Gathered {
    let mut gathered = whole(site);
    let rank = gathered.input.len();
    gathered.maps[physical_axis(rank, axis_from_front(op.axis, rank))] = AxisMap::Listed(op.indices.clone());
    gathered
}

/// A Tile.
pub fn tile(op: &Tile, site: &Site) -> Gathered {
    let input = to_physical(&site.input(0));
    let repeated = |(&input, times): (&usize, usize)| AxisMap::Repeated { input, output: input * times };
    Gathered { maps: input.iter().zip(to_physical(&op.repeats)).map(repeated).collect(), input, fill: 0.0 }
}

/// Elements of each input of a Concat for one step of the axes around its own, and how many such steps there are.
pub fn concat(op: &Concat, site: &Site) -> (Vec<usize>, usize) {
    let output = to_physical(&site.output());
    let rank = output.len();
    let axis = physical_axis(rank, axis_from_front(op.axis, rank));
    let run = |i: usize| to_physical(&site.input(i))[axis..].iter().product();
    ((0..site.node.inputs.len()).map(run).collect(), output[..axis].iter().product())
}

/// The permutations that move anything, one after the other.
fn moving(steps: impl IntoIterator<Item = (Vec<usize>, Vec<usize>)>) -> Vec<Permuted> {
    let steps = steps.into_iter().map(|(extents, permutation)| Permuted { extents, permutation });
    steps.filter(|step| !step.keeps_order()).collect()
}

/// ONNX's order, then another shape, then memory order again.
pub fn reshape(site: &Site) -> Vec<Permuted> {
    let (input, output) = (site.input(0), site.output());
    moving([(to_physical(&input), logical_permutation(input.len())), (output.clone(), physical_permutation(output.len()))])
}

/// The permutation of a Transpose, in memory order.
pub fn transpose(op: &Transpose, site: &Site) -> Vec<Permuted> {
    let input = site.input(0);
    let (logical, physical) = (logical_permutation(input.len()), physical_permutation(input.len()));
    let whole = physical.iter().map(|&axis| logical[op.permutation[axis]]).collect();
    moving([(to_physical(&input), whole)])
}

/// In memory a pixel's channels lie together: rows of blocks change places with their columns.
pub fn depth_to_space(op: &DepthToSpace, site: &Site) -> Vec<Permuted> {
    let (b, x) = (op.block, site.input(0));
    let channels = x[1] / (b * b);
    moving([match op.order {
        DepthOrder::BlockFirst => (vec![x[0], x[2], x[3], b, b, channels], vec![0, 1, 3, 2, 4, 5]),
        DepthOrder::ChannelFirst => (vec![x[0], x[2], x[3], channels, b, b], vec![0, 1, 4, 2, 5, 3]),
    }])
}

/// The same the other way.
pub fn space_to_depth(op: &SpaceToDepth, site: &Site) -> Vec<Permuted> {
    let (b, x) = (op.block, site.input(0));
    moving([(vec![x[0], x[2] / b, b, x[3] / b, b, x[1]], vec![0, 1, 3, 2, 4, 5])])
}
