//! Dense and grouped convolution: tiles of output positions by panels of output channels, sums in registers.

use super::Convolution;
#[cfg(target_arch = "x86_64")]
use super::pairs::{Avx2, Avx512, Quads};
use super::pairs::{Lanes, Path, Portable, pair};
use super::requantize::Finish;
use super::window::{Element, Target, Window};
use crate::convolution::ConvolutionShape;
use rayon::prelude::*;

/// Pairs of weights that stay in the L2 cache beside what they are multiplied with.
const WEIGHTS: usize = 32 * 1024;
/// Positions that all panels are multiplied with in turn: a multiple of every tile.
const POSITIONS: usize = 48;

/// At most two registers of output channels of one group.
#[derive(Clone, Copy)]
struct Panel {
    group: usize,
    /// The first channel within the group.
    column: usize,
    columns: usize,
    /// Columns as packed: one or two registers.
    width: usize,
    /// Packed columns of all panels before.
    before: usize,
}

/// The panels of all groups, in order.
fn panels(path: Path, shape: &ConvolutionShape) -> impl Iterator<Item = Panel> + Clone + use<> {
    let (lanes, outputs) = (path.lanes(), shape.out_channels / shape.groups);
    let padded = outputs.next_multiple_of(lanes);
    (0..shape.groups).flat_map(move |group| {
        (0..outputs).step_by(2 * lanes).map(move |column| {
            let columns = (outputs - column).min(2 * lanes);
            Panel { group, column, columns, width: columns.next_multiple_of(lanes), before: group * padded + column }
        })
    })
}

/// Lanes of one column: taps times pairs or fours of channels.
fn depth(path: Path, shape: &ConvolutionShape) -> usize {
    shape.kernel[0] * shape.kernel[1] * (shape.in_channels / shape.groups).div_ceil(path.channels_of_a_lane())
}

/// Weights as `[panel][tap][pair or four of channels][column]` and biases as `[panel][column]`, zeros where there is no channel. Where stored
/// codes are multiplied as they are, the bias takes `zero·Σw` off again.
pub(super) fn pack(path: Path, shape: &ConvolutionShape, weights: &[i8], bias: &[i32], zero: u8) -> (Vec<i32>, Vec<i32>) {
    let in_lane = path.channels_of_a_lane();
    let (inputs, outputs) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let taps = shape.kernel[0] * shape.kernel[1];
    let (mut packed, mut biases) = (Vec::new(), Vec::new());
    for panel in panels(path, shape) {
        let channel = |c: usize| (c < panel.columns).then_some(panel.group * outputs + panel.column + c);
        for tap in 0..taps {
            for i in (0..inputs).step_by(in_lane) {
                let weight = |c: usize, i: usize| channel(c).filter(|_| i < inputs).map_or(0, |o| weights[(o * taps + tap) * inputs + i]);
                packed.extend((0..panel.width).map(|c| match in_lane {
                    4 => i32::from_le_bytes([0, 1, 2, 3].map(|k| weight(c, i + k) as u8)),
                    _ => pair(weight(c, i).into(), weight(c, i + 1).into()),
                }));
            }
        }
        let row = |o: usize| &weights[o * taps * inputs..][..taps * inputs];
        let stored = |o: usize| row(o).iter().fold(0i32, |sum, w| sum.wrapping_add(i32::from(*w) * i32::from(zero)));
        let start = |o: usize| if in_lane == 4 { bias[o].wrapping_sub(stored(o)) } else { bias[o] };
        biases.extend((0..panel.width).map(|c| channel(c).map_or(0, start)));
    }
    (packed, biases)
}

/// `[offset from a position's place, lanes]` of the stretches of consecutive elements that a position of a group reads.
fn runs(window: &Window, in_lane: usize) -> Vec<[u32; 2]> {
    let [rows, columns] = window.shape.kernel;
    let joined = window.shape.groups == 1 && window.shape.dilation[1] == 1;
    let lanes = window.group / in_lane;
    let run = |i: usize, j: usize, lanes: usize| [window.tap(i, j) as u32, lanes as u32];
    match joined {
        true => (0..rows).map(|i| run(i, 0, columns * lanes)).collect(),
        false => (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| run(i, j, lanes)).collect(),
    }
}

pub(super) fn run<F: Finish>(convolution: &Convolution, window: &Window, x: &[u8], finish: F, y: &mut [F::Out]) {
    match convolution.path.channels_of_a_lane() {
        4 => run_with::<F, u8>(convolution, window, x, finish, y),
        _ => run_with::<F, i16>(convolution, window, x, finish, y),
    }
}

fn run_with<F: Finish, E: Multiplied>(convolution: &Convolution, window: &Window, x: &[u8], finish: F, y: &mut [F::Out]) {
    let shape = &window.shape;
    let (places, runs) = (window.places(), runs(window, convolution.path.channels_of_a_lane()));
    let panels: Vec<Panel> = panels(convolution.path, shape).collect();
    let depth = depth(convolution.path, shape);
    let outputs = shape.out_channels / shape.groups;
    let target = Target(y.as_mut_ptr());
    (0..window.tasks()).into_par_iter().for_each(|task| {
        let part = window.part(task);
        let places = &places[..part.rows * shape.out_width];
        let of_share = part.share * panels.len() / window.shares..(part.share + 1) * panels.len() / window.shares;
        let panels = &panels[of_share];
        let start = (part.image * shape.out_height + part.row) * shape.out_width;
        let weights: usize = panels.iter().map(|p| p.width * depth).sum();
        let block = if weights <= WEIGHTS { POSITIONS } else { places.len().max(1) };
        window.with_copy(part, x, |copy: &[E]| {
            for (b, places) in places.chunks(block).enumerate() {
                for panel in panels {
                    let channel = panel.group * outputs + panel.column;
                    let tile = Tile {
                        source: copy[panel.group * window.group..].as_ptr(),
                        runs: &runs,
                        weights: convolution.weights[panel.before * depth..].as_ptr(),
                        bias: convolution.bias[panel.before..].as_ptr(),
                        target: target.at((start + b * block) * shape.out_channels + channel),
                        step: shape.out_channels,
                        channel,
                        columns: panel.columns,
                        finish,
                    };
                    // SAFETY: places and runs lie in the copy, which holds every tap of its positions; the panel has `depth` rows;
                    // positions and panels of different tasks are written to different places of y.
                    unsafe { E::run(&tile, convolution.path, panel.width, places) };
                }
            }
        });
    });
}

/// The elements that a path multiplies.
trait Multiplied: Element {
    /// # Safety
    /// For every place, all runs are readable and `columns` elements of the target, `step` apart, are this call's own; the panel and its
    /// biases are `width` wide; the path is this machine's, and multiplies such elements.
    unsafe fn run<F: Finish>(tile: &Tile<F, Self>, path: Path, width: usize, places: &[u32]);
}

impl Multiplied for i16 {
    unsafe fn run<F: Finish>(tile: &Tile<F, i16>, path: Path, width: usize, places: &[u32]) {
        // SAFETY: the path proves its instructions; the rest is the caller's promise.
        unsafe {
            match path {
                Path::Portable if width == 8 => tile.rows::<Portable, 2, 1, 8>(places),
                Path::Portable => tile.rows::<Portable, 2, 2, 16>(places),
                #[cfg(target_arch = "x86_64")]
                Path::Avx2 => tile.avx2(width, places),
                #[cfg(target_arch = "x86_64")]
                Path::Avx512 => tile.avx512(width, places),
                #[cfg(target_arch = "x86_64")]
                Path::Vnni => unreachable!("this path multiplies bytes"),
            }
        }
    }
}

impl Multiplied for u8 {
    unsafe fn run<F: Finish>(tile: &Tile<F, u8>, path: Path, width: usize, places: &[u32]) {
        match path {
            // SAFETY: the path proves its instructions; the rest is the caller's promise.
            #[cfg(target_arch = "x86_64")]
            Path::Vnni => unsafe { tile.vnni(width, places) },
            _ => unreachable!("path {path:?}, width {width}, {} places: it multiplies pairs", places.len()),
        }
    }
}

/// A panel's share of some positions.
struct Tile<'a, F: Finish, E> {
    source: *const E,
    runs: &'a [[u32; 2]],
    weights: *const i32,
    bias: *const i32,
    target: *mut F::Out,
    /// Elements from one position of the target to the next.
    step: usize,
    channel: usize,
    columns: usize,
    finish: F,
}

impl<F: Finish> Tile<'_, F, i16> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(&self, width: usize, places: &[u32]) {
        // SAFETY: the features are enabled here; the rest is the caller's promise.
        unsafe { if width == 8 { self.rows::<Avx2, 6, 1, 8>(places) } else { self.rows::<Avx2, 6, 2, 16>(places) } }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    unsafe fn avx512(&self, width: usize, places: &[u32]) {
        // SAFETY: the features are enabled here; the rest is the caller's promise.
        unsafe { if width == 16 { self.rows::<Avx512, 12, 1, 16>(places) } else { self.rows::<Avx512, 12, 2, 32>(places) } }
    }
}

impl<F: Finish> Tile<'_, F, u8> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512vnni,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    unsafe fn vnni(&self, width: usize, places: &[u32]) {
        // SAFETY: the features are enabled here; the rest is the caller's promise.
        unsafe { if width == 16 { self.rows::<Quads, 12, 1, 16>(places) } else { self.rows::<Quads, 12, 2, 32>(places) } }
    }
}

impl<F: Finish, E: Copy> Tile<'_, F, E> {
    /// Tiles of `R` positions by `N` registers, `W` columns; what is left over in tiles of four positions.
    ///
    /// # Safety
    /// As [`Multiplied::run`], with the instructions of `V`.
    #[inline(always)]
    unsafe fn rows<V: Lanes<Element = E>, const R: usize, const N: usize, const W: usize>(&self, places: &[u32]) {
        let (whole, rest) = places.as_chunks::<R>();
        // SAFETY: passed on.
        unsafe {
            for (t, places) in whole.iter().enumerate() {
                self.tile::<V, R, N, W>(places, R, self.target.add(t * R * self.step));
            }
            for (t, some) in rest.chunks(4).enumerate() {
                // Missing positions repeat the last and are not stored.
                let mut places = [some[some.len() - 1]; 4];
                places[..some.len()].copy_from_slice(some);
                self.tile::<V, 4, N, W>(&places, some.len(), self.target.add((whole.len() * R + 4 * t) * self.step));
            }
        }
    }

    /// One register tile, of which the first `stored` positions are stored.
    ///
    /// # Safety
    /// As [`Tile::rows`].
    #[inline(always)]
    unsafe fn tile<V, const R: usize, const N: usize, const W: usize>(&self, places: &[u32; R], stored: usize, target: *mut F::Out)
    where
        V: Lanes<Element = E>,
    {
        // SAFETY: reads stay within runs, panel and biases by the caller's promise, writes within `columns`.
        unsafe {
            let starts = places.map(|place| self.source.add(place as usize));
            let mut bias = [V::load(self.bias); N];
            for (j, bias) in bias.iter_mut().enumerate() {
                *bias = V::load(self.bias.add(j * V::LANES));
            }
            let mut sums = [bias; R];
            let mut weights = self.weights;
            // Four bytes, two numbers of 16 bits: what a lane holds.
            let in_lane = size_of::<i32>() / size_of::<E>();
            for &[offset, lanes] in self.runs {
                let rows = starts.map(|start| start.add(offset as usize));
                for k in 0..lanes as usize {
                    let mut w = bias;
                    for (j, w) in w.iter_mut().enumerate() {
                        *w = V::load(weights.add(j * V::LANES));
                    }
                    weights = weights.add(W);
                    for i in 0..R {
                        let x = V::splat(rows[i].add(in_lane * k));
                        for j in 0..N {
                            sums[i][j] = sums[i][j].add_products(x, w[j]);
                        }
                    }
                }
            }
            if self.columns == W && F::is_short::<V>() {
                // A loop of known length, so that sums stay in registers.
                for i in 0..R {
                    if i < stored {
                        self.write(sums[i], target.add(i * self.step));
                    }
                }
            } else {
                for (i, sums) in sums.into_iter().enumerate().take(stored) {
                    let mut line = [F::Out::default(); W];
                    self.write(sums, line.as_mut_ptr());
                    copy_few(line.as_ptr(), target.add(i * self.step), self.columns);
                }
            }
        }
    }
}

impl<F: Finish, E> Tile<'_, F, E> {
    /// # Safety
    /// All columns of the panel are writable; the rest as [`Tile::rows`].
    #[inline(always)]
    unsafe fn write<V: Lanes, const N: usize>(&self, sums: [V; N], to: *mut F::Out) {
        for j in 0..N {
            // SAFETY: the caller's promise.
            unsafe { self.finish.write(self.channel + j * V::LANES, sums[j], to.add(j * V::LANES)) };
        }
    }
}

/// Copies without a call, before which every register would be saved.
///
/// # Safety
/// `count` elements are readable and writable.
#[inline(always)]
pub(super) unsafe fn copy_few<T: Copy>(from: *const T, to: *mut T, count: usize) {
    let mut done = 0;
    // SAFETY: pieces lie within `count`.
    unsafe {
        while done + 8 <= count {
            to.add(done).cast::<[T; 8]>().write_unaligned(from.add(done).cast::<[T; 8]>().read_unaligned());
            done += 8;
        }
        if count & 4 != 0 {
            to.add(done).cast::<[T; 4]>().write_unaligned(from.add(done).cast::<[T; 4]>().read_unaligned());
            done += 4;
        }
        if count & 2 != 0 {
            to.add(done).cast::<[T; 2]>().write_unaligned(from.add(done).cast::<[T; 2]>().read_unaligned());
            done += 2;
        }
        if count & 1 != 0 {
            to.add(done).write(*from.add(done));
        }
    }
}
