//! The transposed convolution: results of one phase, a stride apart, are a convolution of stride 1 with those taps that reach them.

use super::convolution::{Convolution, ConvolutionParameters};
use super::requantize::Finish;
use crate::convolution::ConvolutionShape;
use crate::convolution::axis::{Axis, Tap};
use rayon::prelude::*;

/// The convolution of one phase of rows and one of columns.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    convolution: Convolution,
    /// Its first row and column in the output.
    first: [usize; 2],
}

/// The taps of a phase, as those of a convolution of stride 1.
struct Taps {
    /// Their indices in the kernel; `None` has the weight 0.
    indices: Vec<Option<usize>>,
    padding: usize,
    dilation: usize,
}

impl Taps {
    fn new(axis: Axis, phase: usize) -> Self {
        let taps: Vec<Tap> = axis.taps(phase).collect();
        let distance = |tap: usize| taps.get(tap).map_or(0, |t| t.distance);
        let dilation = if taps.len() > 1 { distance(1).abs_diff(distance(0)) } else { 1 };
        // A kernel begins at its padding or before that: where the first tap lies behind, taps of weight 0 go ahead of it.
        let ahead = usize::try_from(distance(0)).unwrap_or(0).div_ceil(dilation).max(usize::from(taps.is_empty()));
        let padding = (ahead * dilation).checked_add_signed(-distance(0)).expect("the first tap is at the padding or behind it");
        Taps { indices: std::iter::repeat_n(None, ahead).chain(taps.iter().map(|t| Some(t.index))).collect(), padding, dilation }
    }
}

/// The phases of a transposed convolution.
pub(super) fn phases(parameters: &ConvolutionParameters) -> Vec<Phase> {
    let shape = &parameters.shape;
    let [rows, columns] = Axis::transposed(shape);
    let all = (0..rows.phases()).flat_map(|i| (0..columns.phases()).map(move |j| [i, j]));
    let some = all.filter(|[i, j]| rows.positions(*i) * columns.positions(*j) > 0);
    some.map(|first @ [i, j]| {
        let [down, right] = [Taps::new(rows, i), Taps::new(columns, j)];
        let of_phase = ConvolutionShape {
            out_height: rows.positions(i),
            out_width: columns.positions(j),
            kernel: [down.indices.len(), right.indices.len()],
            stride: [1, 1],
            padding_begin: [down.padding, right.padding],
            dilation: [down.dilation, right.dilation],
            transposed: false,
            ..*shape
        };
        let weights = weights(parameters, &down.indices, &right.indices);
        let convolution = Convolution::new(&ConvolutionParameters { shape: of_phase, weights: &weights, ..parameters.clone() });
        Phase { convolution, first }
    })
    .collect()
}

fn weights(parameters: &ConvolutionParameters, rows: &[Option<usize>], columns: &[Option<usize>]) -> Vec<i8> {
    let s = &parameters.shape;
    let inputs = s.in_channels / s.groups;
    let mut weights = Vec::with_capacity(s.out_channels * rows.len() * columns.len() * inputs);
    for o in 0..s.out_channels {
        for (i, j) in rows.iter().flat_map(|i| columns.iter().map(move |j| (i, j))) {
            match (i, j) {
                (Some(i), Some(j)) => {
                    weights.extend_from_slice(&parameters.weights[((o * s.kernel[0] + i) * s.kernel[1] + j) * inputs..][..inputs]);
                }
                _ => weights.extend(std::iter::repeat_n(0, inputs)),
            }
        }
    }
    weights
}

/// Runs every phase and puts its results where they belong.
pub(super) fn run<F: Finish>(phases: &[Phase], shape: &ConvolutionShape, x: &[u8], finish: F, y: &mut [F::Out]) {
    if shape.stride == [1, 1] {
        return phases.iter().for_each(|phase| phase.convolution.finish(shape.batch, x, finish, y));
    }
    let line = shape.out_width * shape.out_channels;
    for Phase { convolution, first } in phases {
        let of_phase = convolution.shape;
        let mut part = vec![F::Out::default(); shape.batch * of_phase.out_height * of_phase.out_width * of_phase.out_channels];
        convolution.finish(shape.batch, x, finish, &mut part);
        y.par_chunks_mut(line).enumerate().for_each(|(at, y)| {
            let (n, oh) = (at / shape.out_height, at % shape.out_height);
            let Some(row) = oh.checked_sub(first[0]).filter(|row| row.is_multiple_of(shape.stride[0])) else { return };
            let pixels = of_phase.out_width * of_phase.out_channels;
            let from = &part[(n * of_phase.out_height + row / shape.stride[0]) * pixels..][..pixels];
            let places = y.chunks_exact_mut(shape.out_channels).skip(first[1]).step_by(shape.stride[1]);
            places.zip(from.chunks_exact(shape.out_channels)).for_each(|(y, from)| y.copy_from_slice(from));
        });
    }
}
