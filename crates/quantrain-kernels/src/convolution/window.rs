//! Which part of the source one task reads: some whole images, or a band of the rows of one.

use super::ConvolutionShape;
use super::axis::Axis;
use crate::product::Run;

/// How a convolution is cut into tasks, and what a task sees of the source.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub rows: Axis,
    pub columns: Axis,
    /// Channels of the source.
    channels: usize,
    batch: usize,
    /// Images of a task; more than one only if it takes all their rows.
    pub images: usize,
    /// Positions (rows of a phase) of a task.
    pub positions: usize,
    /// Bands of an image.
    bands: usize,
    /// Whether a task copies its part, with zeros around the image.
    padded: bool,
    /// The place of distance 0 from the start of the task's part: nonzero only if padded.
    origin: [isize; 2],
    /// Rows and columns of one image of the task's part.
    height: usize,
    width: usize,
}

/// The share of one task.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub image: usize,
    pub images: usize,
    pub position: usize,
    pub positions: usize,
}

/// Elements of the source that a task reads at most, where it can choose: half of a small L2 cache.
const SOURCE: usize = 32 * 1024;
/// Positions times columns that make a task worth its cost.
const WORTHWHILE: usize = 192;

impl Window {
    pub fn new(batch: usize, [rows, columns]: [Axis; 2], channels: usize) -> Self {
        let padded = !(rows.stays_inside() && columns.stays_inside());
        let ((top, bottom), (left, right)) = (rows.distances(), columns.distances());
        let all = rows.positions(0);
        let width = if padded { (columns.positions(0).max(1) - 1) * columns.step() + (right - left) as usize + 1 } else { columns.source };
        let halo = (bottom - top) as usize + 1;
        let places = (columns.positions(0) * columns.phases()).max(1);
        let fit = (SOURCE / (width * channels)).saturating_sub(halo) / rows.step() + 1;
        // At least so many positions that the weights are used often enough for each time they are read.
        let least = 48usize.div_ceil(places * rows.phases());
        let bands = all.div_ceil(fit.max(least)).max(1);
        let positions = all.div_ceil(bands).max(1);
        let height = if padded || bands > 1 { (positions - 1) * rows.step() + halo } else { rows.source };
        let images = if bands > 1 {
            1
        } else {
            let fit = (SOURCE / (height * width * channels)).max(1);
            fit.min(WORTHWHILE.div_ceil(places * positions * rows.phases()))
        };
        let origin = if padded { [top, left] } else { [0, 0] };
        Self {
            rows,
            columns,
            channels,
            batch,
            images,
            positions,
            bands: all.div_ceil(positions).max(1),
            padded,
            origin,
            height: if padded { height } else { rows.source },
            width,
        }
    }

    pub fn tasks(&self) -> usize {
        self.batch.div_ceil(self.images) * self.bands
    }

    pub fn part(&self, task: usize) -> Part {
        let (image, position) = (task / self.bands * self.images, task % self.bands * self.positions);
        Part {
            image,
            images: self.images.min(self.batch - image),
            position,
            positions: self.positions.min(self.rows.positions(0) - position),
        }
    }

    /// Elements of the copy of a task's part; zero where it reads the source itself.
    pub fn copy_len(&self) -> usize {
        if self.padded { self.images * self.height * self.width * self.channels } else { 0 }
    }

    /// Where, from the start of the task's part, position `i` of row and `j` of column of image `n` reads at distance 0.
    pub fn place(&self, n: usize, i: usize, j: usize) -> usize {
        ((n * self.height + i * self.rows.step()) * self.width + j * self.columns.step()) * self.channels
    }

    /// How far from a place a tap at these distances reads.
    pub fn offset(&self, row: isize, column: isize) -> usize {
        let [row, column] = [row - self.origin[0], column - self.origin[1]];
        (row as usize * self.width + column as usize) * self.channels
    }

    /// The runs of a phase for one group of `inputs` channels, taps in the order of [`Axis::taps`], neighbours joined;
    /// length 0 after the last.
    pub fn fill_runs(&self, phase: [usize; 2], inputs: usize, runs: &mut [Run]) {
        runs.fill([0, 0]);
        let mut count = 0;
        for row in self.rows.taps(phase[0]) {
            for column in self.columns.taps(phase[1]) {
                let offset = self.offset(row.distance, column.distance) as u32;
                match runs[..count].last_mut() {
                    Some(last) if last[0] + last[1] == offset => last[1] += inputs as u32,
                    _ => {
                        runs[count] = [offset, inputs as u32];
                        count += 1;
                    }
                }
            }
        }
    }

    /// The start of the task's part: in `source` itself, or in `copy` once that holds the part, padded.
    pub fn read<'a>(&self, part: Part, source: &'a [f32], copy: &'a mut [f32]) -> &'a [f32] {
        let row = self.columns.source * self.channels;
        let image = self.rows.source * row;
        let first_row = part.position * self.rows.step();
        if !self.padded {
            return &source[part.image * image + first_row * row..];
        }
        let line = self.width * self.channels;
        let left = ((-self.origin[1]).max(0) as usize * self.channels).min(line);
        let skip = (self.origin[1].max(0) as usize * self.channels).min(row);
        let middle = (line - left).min(row - skip);
        for n in 0..part.images {
            let lines = copy[n * self.height * line..][..self.height * line].chunks_exact_mut(line);
            for (r, to) in lines.enumerate() {
                let from = first_row as isize + r as isize + self.origin[0];
                if !(0..self.rows.source as isize).contains(&from) {
                    to.fill(0.0);
                    continue;
                }
                let from = &source[(part.image + n) * image + from as usize * row + skip..][..middle];
                to[..left].fill(0.0);
                to[left..left + middle].copy_from_slice(from);
                to[left + middle..].fill(0.0);
            }
        }
        copy
    }
}

/// A convolution of single elements without padding, as one row of places for every element: then bands cut it anywhere.
pub(super) fn flattened(shape: &ConvolutionShape) -> ConvolutionShape {
    let pointwise = shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.padding_begin == [0, 0];
    let same = [shape.in_height, shape.in_width] == [shape.out_height, shape.out_width];
    if !(pointwise && same) {
        return *shape;
    }
    let places = shape.batch * shape.in_height * shape.in_width;
    ConvolutionShape { batch: 1, in_height: places, in_width: 1, out_height: places, out_width: 1, ..*shape }
}
