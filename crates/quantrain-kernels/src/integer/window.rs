//! Which part of the input one task reads: as 16-bit centred codes with zeros around the image, or as stored bytes with the zero point around it.

use crate::convolution::ConvolutionShape;
use crate::simd::{Simd, simd, simd_kernel};
use std::cell::RefCell;

/// Elements that a task copies, where it can choose: they stay in the L1 or L2 cache.
const SOURCE: usize = 24 * 1024;
/// The same of a depthwise convolution: a strip of channels is read at a time, so that L2 will do, and many rows share what is copied above
/// and below them.
const DEPTHWISE_SOURCE: usize = 128 * 1024;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Fewer multiplications than this are not worth another task.
const WORTHWHILE: usize = 200_000;

/// An element of what a task reads.
pub(super) trait Element: Copy + Default + Send + Sync + 'static {
    /// A stored code; that of 0.0 is `zero`.
    fn of(stored: u8, zero: u8) -> Self;

    /// Stored codes that are such elements already.
    fn as_they_are(stored: &[u8]) -> Option<&[Self]>;

    /// Stored codes as such elements.
    fn convert(simd: Simd, zero: u8, from: &[u8], to: &mut [Self]);

    /// Lends memory that is kept.
    fn with_memory<R>(work: impl FnOnce(&mut Vec<Self>) -> R) -> R;
}

/// Centred codes.
impl Element for i16 {
    #[inline(always)]
    fn of(stored: u8, zero: u8) -> i16 {
        i16::from(stored) - i16::from(zero)
    }

    fn as_they_are(_: &[u8]) -> Option<&[i16]> {
        None
    }

    fn convert(simd: Simd, zero: u8, from: &[u8], to: &mut [i16]) {
        widen(simd, zero, from, to);
    }

    fn with_memory<R>(work: impl FnOnce(&mut Vec<i16>) -> R) -> R {
        thread_local! {
            static COPY: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
        }
        COPY.with_borrow_mut(work)
    }
}

/// Stored codes.
impl Element for u8 {
    #[inline(always)]
    fn of(stored: u8, _: u8) -> u8 {
        stored
    }

    fn as_they_are(stored: &[u8]) -> Option<&[u8]> {
        Some(stored)
    }

    fn convert(_: Simd, _: u8, from: &[u8], to: &mut [u8]) {
        to.copy_from_slice(from);
    }

    fn with_memory<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        thread_local! {
            static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        COPY.with_borrow_mut(work)
    }
}

/// How a convolution is cut into tasks.
pub(super) struct Window {
    pub shape: ConvolutionShape,
    zero: u8,
    simd: Simd,
    /// Channels of one group as they lie in the copy, and of all groups.
    pub group: usize,
    pub channels: usize,
    /// Columns of the copy.
    pub width: usize,
    /// Rows of the output of a task, and tasks of an image.
    pub rows: usize,
    pub bands: usize,
    /// Tasks that share one band, each for some of the output channels.
    pub shares: usize,
}

/// The rows of the output that a task writes.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub image: usize,
    pub row: usize,
    pub rows: usize,
    pub share: usize,
}

impl Window {
    /// Channels are padded to whole `multiple`s: those of each group, or those of the whole pixel. Output channels are shared out in
    /// panels of `panel`, where they are.
    pub fn new(shape: &ConvolutionShape, zero: u8, multiple: usize, panel: usize, whole_pixels: bool) -> Self {
        let shape = flattened(shape);
        let inputs = shape.in_channels / shape.groups;
        let (group, channels) = if whole_pixels {
            (1, shape.in_channels.next_multiple_of(multiple))
        } else {
            let group = inputs.next_multiple_of(multiple);
            (group, group * shape.groups)
        };
        let width = (shape.out_width.max(1) - 1) * shape.stride[1] + (shape.kernel[1] - 1) * shape.dilation[1] + 1;
        let threads = rayon::current_num_threads();
        let most = if threads == 1 { 1 } else { (shape.multiplications() / WORTHWHILE).clamp(1, 2 * threads) };
        let wanted = most.div_ceil(shape.batch.max(1));
        // Weights that outweigh the input are shared out, where there are enough; else every task would read all of them.
        let source = shape.in_height * shape.in_width * channels;
        let panels = shape.out_channels.div_ceil(panel);
        let split_channels = !whole_pixels && shape.groups == 1 && shape.weight_len() > source && panels >= wanted.min(threads);
        let halo = (shape.kernel[0] - 1) * shape.dilation[0] + 1;
        let copied = if whole_pixels { DEPTHWISE_SOURCE } else { SOURCE };
        let fit = (copied / (width * channels).max(1)).saturating_sub(halo) / shape.stride[0] + 1;
        let rows = if split_channels { fit } else { fit.min(shape.out_height.div_ceil(wanted)) };
        let bands = shape.out_height.div_ceil(rows).max(1);
        let rows = shape.out_height.div_ceil(bands).max(1);
        let bands = shape.out_height.div_ceil(rows).max(1);
        let shares = if split_channels { wanted.div_ceil(bands).min(panels) } else { 1 };
        Self { shape, zero, simd: simd(), group, channels, width, rows, bands, shares }
    }

    pub fn tasks(&self) -> usize {
        self.shape.batch * self.bands * self.shares
    }

    pub fn part(&self, task: usize) -> Part {
        let (share, band) = (task % self.shares, task / self.shares);
        let (image, row) = (band / self.bands, band % self.bands * self.rows);
        Part { image, row, rows: self.rows.min(self.shape.out_height - row), share }
    }

    /// Where in the copy each output position of a full task starts to read.
    pub fn places(&self) -> Vec<u32> {
        let [down, right] = self.shape.stride.map(|step| step * self.channels);
        let mut places = Vec::with_capacity(self.rows * self.shape.out_width);
        for i in 0..self.rows {
            places.extend((0..self.shape.out_width).map(|j| (i * down * self.width + j * right) as u32));
        }
        places
    }

    /// How far from its place a position reads tap `(i, j)`.
    pub fn tap(&self, i: usize, j: usize) -> usize {
        (i * self.shape.dilation[0] * self.width + j * self.shape.dilation[1]) * self.channels
    }

    /// Calls `work` with the copy of a task's part, or with the input itself where that would be the same.
    pub fn with_copy<E: Element, R>(&self, part: Part, x: &[u8], work: impl FnOnce(&[E]) -> R) -> R {
        let s = &self.shape;
        let height = (part.rows - 1) * s.stride[0] + (s.kernel[0] - 1) * s.dilation[0] + 1;
        let len = height * self.width * self.channels;
        let first = (part.image * s.in_height + part.row * s.stride[0]) * s.in_width * s.in_channels;
        let is_whole = [self.width, self.channels] == [s.in_width, s.in_channels] && s.padding_begin == [0, 0];
        if is_whole
            && part.row * s.stride[0] + height <= s.in_height
            && let Some(x) = E::as_they_are(x)
        {
            return work(&x[first..][..len]);
        }
        E::with_memory(|memory| {
            let most = len + LINE / size_of::<E>();
            if memory.len() < most {
                memory.resize(most, E::default());
            }
            // A register is loaded from one cache line then, where channels fill lines.
            let start = memory.as_ptr().align_offset(LINE);
            let copy = &mut memory[start..][..len];
            self.read(part, x, copy);
            work(copy)
        })
    }

    fn read<E: Element>(&self, part: Part, x: &[u8], copy: &mut [E]) {
        let (s, padding) = (&self.shape, E::of(self.zero, self.zero));
        let image = &x[part.image * s.in_height * s.in_width * s.in_channels..];
        let first = (part.row * s.stride[0]) as isize - s.padding_begin[0] as isize;
        let left = s.padding_begin[1].min(self.width);
        let columns = s.in_width.min(self.width - left);
        for (i, line) in copy.chunks_exact_mut(self.width * self.channels).enumerate() {
            let row = first + i as isize;
            if !(0..s.in_height as isize).contains(&row) {
                line.fill(padding);
                continue;
            }
            let from = &image[row as usize * s.in_width * s.in_channels..][..columns * s.in_channels];
            let (before, rest) = line.split_at_mut(left * self.channels);
            let (middle, after) = rest.split_at_mut(columns * self.channels);
            before.fill(padding);
            after.fill(padding);
            if self.channels == s.in_channels {
                E::convert(self.simd, self.zero, from, middle);
            } else if [self.in_run(), self.run()] == [3, 4] {
                // The usual first layer: too few channels for a call a pixel.
                for (from, to) in from.as_chunks().0.iter().zip(middle.as_chunks_mut().0) {
                    let [r, g, b] = from.map(|stored| E::of(stored, self.zero));
                    *to = [r, g, b, padding];
                }
            } else {
                for (from, to) in from.chunks_exact(self.in_run()).zip(middle.chunks_exact_mut(self.run())) {
                    let (used, unused) = to.split_at_mut(from.len());
                    E::convert(self.simd, self.zero, from, used);
                    // Their weights are zero.
                    unused.fill(padding);
                }
            }
        }
    }

    /// Channels that are padded together, as they lie in the input.
    fn in_run(&self) -> usize {
        if self.run() == self.channels { self.shape.in_channels } else { self.shape.in_channels / self.shape.groups }
    }

    /// The same as they lie in the copy.
    fn run(&self) -> usize {
        if self.group == 1 { self.channels } else { self.group }
    }
}

simd_kernel! {
    fn widen(zero: u8, from: &[u8], to: &mut [i16]) {
        for (from, to) in from.iter().zip(to) {
            *to = i16::of(*from, zero);
        }
    }
}

/// A convolution of single elements without padding, as one row of places for every element: then bands cut it anywhere.
fn flattened(shape: &ConvolutionShape) -> ConvolutionShape {
    let pointwise = shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.padding_begin == [0, 0];
    let same = [shape.in_height, shape.in_width] == [shape.out_height, shape.out_width];
    if !(pointwise && same) {
        return *shape;
    }
    let places = shape.batch * shape.in_height * shape.in_width;
    ConvolutionShape { batch: 1, in_height: places, in_width: 1, out_height: places, out_width: 1, ..*shape }
}

/// A slice that several tasks write at once, each its own places.
pub(super) struct Target<T>(pub *mut T);

// SAFETY: the pointer stands for an exclusive borrow; whoever writes through it promises not to overlap.
unsafe impl<T: Send> Send for Target<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Target<T> {}

impl<T> Target<T> {
    pub fn at(&self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}
