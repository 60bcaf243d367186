//! Operators that move elements.

use quantrain_lowering::layout::Gathered;
use quantrain_lowering::memory_order::{Permuted, walk};

/// Runs of elements along one axis: Concat.
pub struct Join {
    /// Elements of each input for one step of the outer axes.
    pub runs: Vec<usize>,
}

impl Join {
    /// Of the elements of each input for one step, and the number of steps.
    pub(super) fn new((runs, _): (Vec<usize>, usize)) -> Self {
        Join { runs }
    }

    pub(super) fn apply<T: Copy>(&self, x: &[&[T]], y: &mut [T]) {
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
pub struct Gather {
    /// Of the outer axes in memory order, the stride of the input and which of its indices an output index reads; `None` reads `fill`.
    pub outer: Vec<(usize, Vec<Option<usize>>)>,
    /// Where the input has what one step of the outer axes reads, and how many elements in a row.
    pub runs: Vec<(Option<usize>, usize)>,
    /// What is put where the input has nothing, in real units.
    pub fill: f32,
}

impl Gather {
    pub(super) fn new(gathered: &Gathered) -> Self {
        let Gathered { input, maps, fill } = gathered;
        // Innermost axes that are taken whole move in one go with the axis around them.
        let last = (0..input.len()).rev().find(|&axis| !maps[axis].is_whole(input[axis])).unwrap_or(0);
        let stride = |axis: usize| input.iter().skip(axis + 1).product::<usize>();
        let sources = |axis: usize| (0..maps[axis].extent()).map(move |o| maps[axis].source(o));
        let mut runs: Vec<(Option<usize>, usize)> = Vec::new();
        let innermost: Vec<Option<usize>> = if input.is_empty() { vec![Some(0)] } else { sources(last).collect() };
        for source in innermost {
            let (from, len) = (source.map(|i| i * stride(last)), stride(last));
            match runs.last_mut() {
                Some((before, run)) if before.map(|b| b + *run) == from => *run += len,
                _ => runs.push((from, len)),
            }
        }
        Gather { outer: (0..last).map(|axis| (stride(axis), sources(axis).collect())).collect(), runs, fill: *fill }
    }

    /// Whether some of the output is filled.
    pub fn has_holes(&self) -> bool {
        self.runs.iter().any(|(from, _)| from.is_none()) || self.outer.iter().any(|(_, map)| map.contains(&None))
    }

    pub(super) fn apply<T: Copy>(&self, x: &[T], fill: T, y: &mut [T]) {
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

/// Another order of axes in memory: Reshape, Flatten, Transpose, DepthToSpace, SpaceToDepth.
///
/// The permutations that move anything, one after the other.
pub struct Reorder(pub Vec<Permuted>);

impl Reorder {
    pub(super) fn apply<T: Copy>(&self, x: &[T], y: &mut [T]) {
        match &self.0[..] {
            [] => y.copy_from_slice(x),
            [first, rest @ ..] => {
                permute(x, first, y);
                for step in rest {
                    let before = y.to_vec();
                    permute(&before, step, y);
                }
            }
        }
    }
}

/// Writes the elements of `x` in another order.
fn permute<T: Copy>(x: &[T], Permuted { extents: shape, permutation }: &Permuted, y: &mut [T]) {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let extents: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
    let strides: Vec<usize> = permutation.iter().map(|&axis| strides[axis]).collect();
    walk(&extents, [&strides], |i, [at]| y[i] = x[at]);
}

#[cfg(test)]
mod tests {
    use quantrain_graph::op::PadMode;
    use quantrain_lowering::layout::AxisMap;

    use super::*;

    #[test]
    fn a_permutation_and_its_inverse_cancel() {
        let x: Vec<u16> = (0..2 * 3 * 4 * 5).collect();
        let (mut y, mut z) = (vec![0; x.len()], vec![0; x.len()]);
        let there = Permuted { extents: vec![2, 3, 4, 5], permutation: vec![0, 3, 1, 2] };
        permute(&x, &there, &mut y);
        assert_eq!(y[..4], [0, 5, 10, 15]);
        permute(&y, &there.inverse(), &mut z);
        assert_eq!(x, z);
    }

    #[test]
    fn a_gather_fills_what_no_input_reaches() {
        let below = AxisMap::Padded { before: -1, input: 2, output: 2, mode: PadMode::Constant(0.0) };
        let gather = Gather::new(&Gathered { input: vec![2, 3], maps: vec![below, AxisMap::Whole(3)], fill: 0.0 });
        let mut y = [0u8; 6];
        gather.apply(&[1, 2, 3, 4, 5, 6], 9, &mut y);
        assert_eq!(y, [4, 5, 6, 9, 9, 9]);
    }
}
