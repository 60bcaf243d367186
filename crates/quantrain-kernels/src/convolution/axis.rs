//! One spatial axis of a convolution, seen from where results are written.
//!
//! Forward, result `i` reads source `i·s + k·d − p` for every tap `k`. The gradient of the input is the same thing the
//! other way round: result `h` reads source `(h + p − k·d) / s` for every tap that leaves no remainder. Results of one
//! *phase*, `h mod s`, read the same taps at the same distances. So both directions are: for each phase, position `i`
//! reads source `i·step + distance` for a fixed list of taps. Forward has one phase, backward `s` of them and step 1.

use super::ConvolutionShape;
use std::ops::Range;

/// An axis, in the direction in which it is walked.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    /// Places that are read.
    pub source: usize,
    /// Places that are written.
    pub target: usize,
    pub kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    backward: bool,
}

/// A tap of a phase: its index in the kernel, and how far from `i·step` it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    pub index: usize,
    pub distance: isize,
}

/// The taps of a phase: equal steps from one to the next, of the index as of the distance, which rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progression {
    pub count: usize,
    pub index: isize,
    pub index_step: isize,
    pub distance: isize,
    pub distance_step: isize,
}

impl Progression {
    /// The taps that read `0..length` from `position`.
    pub fn inside(self, position: usize, length: usize) -> Self {
        let reads = |tap: usize| position as isize + self.distance + tap as isize * self.distance_step;
        let first = (0..self.count).find(|tap| reads(*tap) >= 0).unwrap_or(self.count);
        let end = (first..self.count).find(|tap| reads(*tap) >= length as isize).unwrap_or(self.count);
        let skipped = first as isize;
        Self {
            count: end - first,
            index: self.index + skipped * self.index_step,
            distance: self.distance + skipped * self.distance_step,
            ..self
        }
    }

    /// The positions of `0..positions`, `step` apart, from which every tap reads `0..length`.
    pub fn whole(&self, positions: usize, step: usize, length: usize) -> Range<usize> {
        let last = self.distance + (self.count as isize - 1) * self.distance_step;
        let before = (-self.distance).max(0) as usize;
        let end = ((length as isize - last).max(0) as usize).div_ceil(step).min(positions);
        before.div_ceil(step).min(end)..end
    }
}

impl Axis {
    /// Rows and columns, reading the input.
    pub fn forward(shape: &ConvolutionShape) -> [Axis; 2] {
        [0, 1].map(|axis| Axis {
            source: [shape.in_height, shape.in_width][axis],
            target: [shape.out_height, shape.out_width][axis],
            kernel: shape.kernel[axis],
            stride: shape.stride[axis],
            padding: shape.padding_begin[axis],
            dilation: shape.dilation[axis],
            backward: false,
        })
    }

    /// Rows and columns, reading the gradient of the output.
    pub fn backward(shape: &ConvolutionShape) -> [Axis; 2] {
        Self::forward(shape).map(|axis| Axis { source: axis.target, target: axis.source, backward: true, ..axis })
    }

    /// Rows and columns of a transposed convolution, reading its input.
    pub fn transposed(shape: &ConvolutionShape) -> [Axis; 2] {
        Self::forward(shape).map(|axis| Axis { backward: true, ..axis })
    }

    pub fn phases(&self) -> usize {
        if self.backward { self.stride } else { 1 }
    }

    /// Source places between two positions of a phase.
    pub fn step(&self) -> usize {
        if self.backward { 1 } else { self.stride }
    }

    /// Results of a phase: position `i` is written to `i·phases + phase`.
    pub fn positions(&self, phase: usize) -> usize {
        self.target.saturating_sub(phase).div_ceil(self.phases())
    }

    /// The taps of a phase, by rising distance.
    pub fn taps(self, phase: usize) -> impl Iterator<Item = Tap> {
        (0..self.kernel).filter_map(move |k| {
            let index = if self.backward { self.kernel - 1 - k } else { k };
            let [padding, reach, stride] = [self.padding, index * self.dilation, self.stride].map(|value| value as isize);
            if !self.backward {
                return Some(Tap { index, distance: reach - padding });
            }
            let offset = phase as isize + padding - reach;
            (offset.rem_euclid(stride) == 0).then(|| Tap { index, distance: offset.div_euclid(stride) })
        })
    }

    /// The taps of a phase as a progression.
    pub fn progression(&self, phase: usize) -> Progression {
        let mut taps = self.taps(phase);
        let first = taps.next().unwrap_or(Tap { index: 0, distance: 0 });
        let second = taps.next().unwrap_or(first);
        Progression {
            count: self.taps(phase).count(),
            index: first.index as isize,
            index_step: second.index as isize - first.index as isize,
            distance: first.distance,
            distance_step: second.distance - first.distance,
        }
    }

    /// The least and greatest distance of any tap of any phase.
    pub fn distances(&self) -> (isize, isize) {
        let all = (0..self.phases()).flat_map(|phase| self.taps(phase)).map(|tap| tap.distance);
        all.fold((isize::MAX, isize::MIN), |(least, greatest), d| (least.min(d), greatest.max(d)))
    }

    /// Whether every read lies on the source, so that no zeros are needed around it.
    pub fn stays_inside(&self) -> bool {
        let (least, greatest) = self.distances();
        let last = (self.positions(0).max(1) - 1) * self.step();
        least >= 0 && last as isize + greatest < self.source as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(stride: usize, padding: usize, dilation: usize, backward: bool) -> Axis {
        Axis { source: 9, target: 9, kernel: 3, stride, padding, dilation, backward }
    }

    fn taps(axis: Axis, phase: usize) -> Vec<(usize, isize)> {
        axis.taps(phase).map(|tap| (tap.index, tap.distance)).collect()
    }

    #[test]
    fn forward_reads_ahead_by_the_dilation_from_the_padding() {
        assert_eq!(taps(axis(2, 1, 3, false), 0), [(0, -1), (1, 2), (2, 5)]);
        assert_eq!(axis(2, 1, 3, false).step(), 2);
    }

    #[test]
    fn backward_at_stride_one_is_the_flipped_kernel() {
        assert_eq!(taps(axis(1, 1, 1, true), 0), [(2, -1), (1, 0), (0, 1)]);
    }

    #[test]
    fn a_progression_holds_the_taps_of_its_phase_that_read_the_source() {
        for (stride, padding, dilation, backward) in [(1, 1, 1, false), (2, 1, 2, true), (3, 2, 2, true), (2, 0, 3, false)] {
            let axis = axis(stride, padding, dilation, backward);
            for phase in 0..axis.phases() {
                let taps = axis.progression(phase);
                for position in 0..axis.positions(phase) {
                    let reads = |tap: &Tap| position as isize * axis.step() as isize + tap.distance;
                    let expected: Vec<Tap> = axis.taps(phase).filter(|tap| (0..9).contains(&reads(tap))).collect();
                    let inside = taps.inside(position * axis.step(), 9);
                    let found = (0..inside.count as isize).map(|i| Tap {
                        index: (inside.index + i * inside.index_step) as usize,
                        distance: inside.distance + i * inside.distance_step,
                    });
                    assert_eq!(found.collect::<Vec<_>>(), expected);
                    let whole = taps.whole(axis.positions(phase), axis.step(), 9).contains(&position);
                    assert_eq!(whole, expected.len() == axis.taps(phase).count());
                }
            }
        }
    }

    #[test]
    fn backward_at_stride_two_shares_the_taps_between_the_phases() {
        assert_eq!(taps(axis(2, 1, 1, true), 0), [(1, 0)]);
        assert_eq!(taps(axis(2, 1, 1, true), 1), [(2, 0), (0, 1)]);
        assert_eq!([0, 1].map(|phase| axis(2, 1, 1, true).positions(phase)), [5, 4]);
    }
}
