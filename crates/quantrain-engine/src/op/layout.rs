//! Operators that move elements.

use quantrain_graph::op::Concat;
use quantrain_kernels::Scratch;
use quantrain_kernels::elementwise::add_assign;
use quantrain_kernels::permute::{MOST_AXES, permute};
use quantrain_lowering::Site;
use quantrain_lowering::layout::{self as lowered, Gathered};
use quantrain_lowering::memory_order::Permuted;

use super::{Kernel, Scaled, change_unit};

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
    let (runs, outer) = lowered::concat(op, site);
    Join { outer, runs }
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

/// Elements by their index along each axis: Slice, Pad, Gather, Tile.
pub(super) struct Gather(pub Gathered);

impl Gather {
    /// Elements that lie together: the product of the innermost axes that are taken whole.
    fn run(&self) -> (usize, usize) {
        let inner = (0..self.0.input.len()).rev().take_while(|&axis| self.0.maps[axis].is_whole(self.0.input[axis])).count();
        let axis = self.0.input.len() - inner;
        (axis, self.0.input[axis..].iter().product())
    }

    /// Calls `f(first output index, first input index, run)` for every run, in order.
    fn walk(&self, mut f: impl FnMut(usize, Option<usize>, usize)) {
        let (axes, run) = self.run();
        let mut strides = [1; MOST_AXES];
        for axis in (1..self.0.input.len()).rev() {
            strides[axis - 1] = strides[axis] * self.0.input[axis];
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
        let map = &self.0.maps[axis];
        for o in 0..map.extent() {
            let at = at.zip(map.source(o)).map(|(at, i)| at + i * strides[axis]);
            self.descend(axis + 1, axes, at, strides, f);
        }
    }
}

impl Kernel for Gather {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let fill = self.0.fill / out_scale;
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
        // Another fill has a code to be found, the lowest one for a value far below.
        self.0.fill == 0.0
    }
}

/// Another order of axes in memory: Reshape, Flatten, Transpose, DepthToSpace, SpaceToDepth.
pub(super) struct Reorder {
    there: Vec<Permuted>,
    back: Vec<Permuted>,
}

impl Reorder {
    pub fn new(there: Vec<Permuted>) -> Self {
        Reorder { back: there.iter().rev().map(Permuted::inverse).collect(), there }
    }
}

/// Applies permutations one after the other.
fn reorder(steps: &[Permuted], x: &[f32], y: &mut [f32]) {
    let apply = |step: &Permuted, x: &[f32], y: &mut [f32]| permute(x, &step.extents, &step.permutation, y);
    match steps {
        [] => y.copy_from_slice(x),
        [step] => apply(step, x, y),
        [step, rest @ ..] => {
            let mut scratch = Scratch::take(x.len());
            let between = &mut scratch.as_mut_slice()[..x.len()];
            apply(step, x, between);
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
