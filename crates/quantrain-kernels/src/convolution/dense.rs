//! Dense and grouped convolution, and the gradient of their input, as gathered products: see [`crate::product`].

use super::ConvolutionShape;
use super::axis::Axis;
use super::window::{Window, flattened};
use crate::parallel::{OneByOne, Shared, worker};
use crate::product::{Gathered, Panel, Panels, Place, gather, pack};
use crate::scratch::{Scratch, aligned, as_integers};
use crate::simd::simd;
use rayon::prelude::*;

/// Fewer tasks than this leave threads idle: then the panels are split between tasks too.
const TASKS: usize = 16;
/// Weights that fit the L2 cache beside what they are multiplied with.
const WEIGHTS: usize = 64 * 1024;
/// Places that are finished before the next ones begin: a multiple of every tile.
const PLACES: usize = 48;

/// `y` from `x` and `w`.
pub(super) fn forward(shape: &ConvolutionShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    let shape = flattened(shape);
    let (inputs, outputs) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let depth = shape.kernel[0] * shape.kernel[1] * inputs;
    let direction =
        Direction { window: Window::new(shape.batch, Axis::forward(&shape), shape.in_channels), groups: shape.groups, inputs, outputs };
    direction.run(x, y, false, |panel, _, to| {
        let from = &w[(panel.group * outputs + panel.column) * depth..];
        pack::from_columns(from, depth, depth, panel.columns, panel.width, to);
    });
}

/// `dx` from `dy` and `w`.
pub(super) fn input_gradient(shape: &ConvolutionShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    let shape = flattened(shape);
    let (inputs, outputs) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let taps = shape.kernel[0] * shape.kernel[1];
    let direction = Direction {
        window: Window::new(shape.batch, Axis::backward(&shape), shape.out_channels),
        groups: shape.groups,
        inputs: outputs,
        outputs: inputs,
    };
    let Window { rows, columns, .. } = direction.window;
    direction.run(dy, dx, accumulate, |panel, phase, mut to| {
        for row in rows.taps(phase[0]) {
            for column in columns.taps(phase[1]) {
                let tap = row.index * shape.kernel[1] + column.index;
                let from = &w[(panel.group * outputs * taps + tap) * inputs + panel.column..];
                let (panel_rows, rest) = to.split_at_mut(outputs * panel.width);
                pack::from_rows(from, taps * inputs, outputs, panel.columns, panel.width, panel_rows);
                to = rest;
            }
        }
    });
}

/// Either direction: what is read is the source, what is written the target.
struct Direction {
    window: Window,
    groups: usize,
    /// Channels of a group of the source.
    inputs: usize,
    /// Channels of a group of the target.
    outputs: usize,
}

/// The results that share their taps: see [`Axis`].
#[derive(Clone, Copy)]
struct Phase {
    /// The phase of the rows and of the columns.
    index: [usize; 2],
    number: usize,
    /// Elements of a gathered row, and those of all phases before.
    depth: usize,
    depth_before: usize,
}

impl Direction {
    fn phases(&self) -> impl Iterator<Item = Phase> {
        let Window { rows, columns, .. } = self.window;
        (0..rows.phases() * columns.phases()).scan(0, move |depth_before, number| {
            let index = [number / columns.phases(), number % columns.phases()];
            let taps = rows.taps(index[0]).count() * columns.taps(index[1]).count();
            let depth = taps * self.inputs;
            let phase = Phase { index, number, depth, depth_before: *depth_before };
            *depth_before += depth;
            Some(phase)
        })
    }

    /// `pack(panel, phase, to)` packs the weights of a panel for a phase, taps in the order of [`Axis::taps`].
    fn run(&self, source: &[f32], target: &mut [f32], accumulate: bool, pack: impl Fn(Panel, [usize; 2], &mut [f32]) + Sync) {
        if target.is_empty() {
            return;
        }
        let simd = simd();
        let window = &self.window;
        let panels = Panels::new(simd, self.groups, self.outputs);
        let taps = window.rows.kernel * window.columns.kernel;
        let phases = window.rows.phases() * window.columns.phases();
        let most_places = window.images * window.positions * window.columns.positions(0);
        // Every tap belongs to one phase, so all phases together pack every weight once.
        let packed_len = aligned(taps * self.inputs * panels.width());
        let tables_len = aligned(2 * phases * (most_places + taps));
        let copy_len = aligned(window.copy_len());
        let mut scratch = Scratch::take(packed_len + tables_len + copy_len * rayon::current_num_threads());
        let (packed, rest) = scratch.as_mut_slice().split_at_mut(packed_len);
        let (tables, copies) = rest.split_at_mut(tables_len);
        let (places, runs) = as_integers(tables).as_chunks_mut().0.split_at_mut(phases * most_places);
        self.pack_all(&panels, packed, pack);
        for phase in self.phases() {
            self.fill_places(phase, &mut places[phase.number * most_places..][..most_places]);
            window.fill_runs(phase.index, self.inputs, &mut runs[phase.number * taps..][..taps]);
        }
        let (packed, places, runs) = (&*packed, &*places, &*runs);

        let line = window.rows.phases() * window.columns.target * self.groups * self.outputs;
        let image = window.rows.target * window.columns.target * self.groups * self.outputs;
        let (target, copies) = (Shared::new(target), Shared::new(copies));
        let shares = TASKS.div_ceil(window.tasks()).min(panels.count());
        (0..window.tasks() * shares).into_par_iter().one_by_one().for_each(|task| {
            let part = window.part(task / shares);
            let panels_of_task = panels.share(task % shares, shares);
            // SAFETY: a thread runs one task at a time, and each has its own copy.
            let copy = unsafe { copies.range(worker() * copy_len, copy_len) };
            let source = window.read(part, source, copy);
            let start = part.image * image + part.position * line;
            for phase in self.phases() {
                let positions = window.rows.positions(phase.index[0]);
                let rows = positions.saturating_sub(part.position).min(part.positions);
                let count = part.images * rows * window.columns.positions(phase.index[1]);
                let runs = &runs[phase.number * taps..][..taps];
                let merged = runs.iter().position(|run| run[1] == 0).unwrap_or(taps);
                let places = &places[phase.number * most_places..][..count];
                // Weights that fit the L2 cache are taken in turn for a few places, so that results are whole lines.
                let block = if phase.depth * panels.width() <= WEIGHTS { PLACES } else { count.max(1) };
                for places in places.chunks(block) {
                    for panel in panels_of_task.clone().map(|index| panels.get(index)) {
                        let weights = phase.depth_before * panels.width() + panel.before * phase.depth;
                        let product = Gathered {
                            places,
                            runs: &runs[..merged],
                            source: source[panel.group * self.inputs..].as_ptr(),
                            panel: packed[weights..].as_ptr(),
                            target: target.from(start + panel.group * self.outputs + panel.column),
                            columns: panel.columns,
                            accumulate,
                        };
                        // SAFETY: places and runs lie in the task's part of the source, which holds every tap of its
                        // positions; results of different parts, phases and panels lie in different places.
                        unsafe { gather(simd, &product) }
                    }
                }
            }
        });
    }

    fn pack_all(&self, panels: &Panels, packed: &mut [f32], pack: impl Fn(Panel, [usize; 2], &mut [f32]) + Sync) {
        let packed = Shared::new(packed);
        (0..panels.count()).into_par_iter().for_each(|index| {
            let panel = panels.get(index);
            for phase in self.phases() {
                let start = phase.depth_before * panels.width() + panel.before * phase.depth;
                // SAFETY: every panel of every phase has its own part.
                pack(panel, phase.index, unsafe { packed.range(start, phase.depth * panel.width) });
            }
        });
    }

    /// The places of a phase for a whole task: a task at the edge uses the first of them.
    fn fill_places(&self, phase: Phase, places: &mut [Place]) {
        let Window { rows, columns, images, positions, .. } = self.window;
        let channels = self.groups * self.outputs;
        let mut places = places.iter_mut();
        for n in 0..images {
            for i in 0..positions.min(rows.positions(phase.index[0])) {
                let row = n * rows.target + i * rows.phases() + phase.index[0];
                for (j, place) in (0..columns.positions(phase.index[1])).zip(&mut places) {
                    let column = j * columns.phases() + phase.index[1];
                    let target = (row * columns.target + column) * channels;
                    *place = [self.window.place(n, i, j), target].map(|offset| offset as u32);
                }
            }
        }
    }
}
