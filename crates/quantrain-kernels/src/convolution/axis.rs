//! One spatial axis of a convolution, seen from where results are written.
//!
//! Forward, result `i` reads source `i·s + k·d − p` for every tap `k`. The gradient of the input is the same thing the
//! other way round: result `h` reads source `(h + p − k·d) / s` for every tap that leaves no remainder. Results of one
//! *phase*, `h mod s`, read the same taps at the same distances. So both directions are: for each phase, position `i`
//! reads source `i·step + distance` for a fixed list of taps. Forward has one phase, backward `s` of them and step 1.

use super::ConvolutionShape;

/// An axis, in the direction in which it is walked.
#[derive(Clone, Copy)]
pub(super) struct Axis {
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
pub(super) struct Tap {
    pub index: usize,
    pub distance: isize,
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
    fn backward_at_stride_two_shares_the_taps_between_the_phases() {
        assert_eq!(taps(axis(2, 1, 1, true), 0), [(1, 0)]);
        assert_eq!(taps(axis(2, 1, 1, true), 1), [(2, 0), (0, 1)]);
        assert_eq!([0, 1].map(|phase| axis(2, 1, 1, true).positions(phase)), [5, 4]);
    }
}
