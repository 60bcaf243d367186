//! Operators that gather axes: reductions, ArgMax and Softmax.

use quantrain_graph::op::{ArgMax, Reduce, Reduction, Softmax};
use quantrain_kernels::integer::pooling::sum_pixels;
use quantrain_kernels::permute::permute;
use quantrain_kernels::softmax;

use super::moving::{Element, Mover, moved};
use super::steps::{Scaled, Steps, in_steps, put};
use super::{Kernel, Site, physical_axis, to_physical};
use crate::LowerError;
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred_integers, scale};

/// Which element of the output each element of the input falls to.
struct Falls {
    /// Extents of the input in memory order.
    extents: Vec<usize>,
    /// Stride of the output along each of them; 0 where it is reduced.
    strides: Vec<usize>,
    /// Elements that fall to one.
    count: usize,
}

impl Falls {
    fn new(site: &Site, reduced: &[bool], keep_dims: bool) -> Self {
        let (input, output) = (site.input(0), site.output());
        let (rank, left) = (input.len(), output.len());
        let stored = to_physical(&output);
        let stride_of = |axis: usize| stored[physical_axis(left, axis) + 1..].iter().product::<usize>();
        let mut extents = to_physical(&input);
        let mut strides = vec![0; rank];
        for (kept, axis) in (0..rank).filter(|&axis| !reduced[axis]).enumerate() {
            strides[physical_axis(rank, axis)] = stride_of(if keep_dims { axis } else { kept });
        }
        let count = input.iter().zip(reduced).filter(|(_, r)| **r).map(|(n, _)| n).product();
        if rank == 0 {
            extents.push(1);
            strides.push(0);
        }
        Falls { extents, strides, count }
    }

    /// Calls `f(input index, output index)` in order.
    fn walk(&self, mut f: impl FnMut(usize, usize)) {
        let (mut index, mut out) = (vec![0; self.extents.len()], 0);
        for i in 0..self.extents.iter().product() {
            f(i, out);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                out += self.strides[axis];
                if index[axis] < self.extents[axis] {
                    break;
                }
                out -= self.strides[axis] * index[axis];
                index[axis] = 0;
            }
        }
    }
}

/// A mean or a sum over some axes: `Σ·(s_x/(s_y·divisor))`, the divisor rounded to f32 first; sums of codes are integers (ONNX Runtime's
/// order).
struct Sum {
    falls: Falls,
    /// The count, of a sum 1.
    divisor: usize,
    /// `[images, pixels, channels]` where it is over whole images.
    image: Option<[usize; 3]>,
    input: Option<Grid>,
    output: Option<Grid>,
    clip: (f32, f32),
    len: usize,
}

pub(super) fn global_average(site: &Site) -> Box<dyn Kernel> {
    let falls = Falls::new(site, &[false, false, true, true], true);
    Box::new(Sum::new(site, falls.count, falls))
}

pub(super) fn reduce(op: &Reduce, site: &Site) -> Result<Box<dyn Kernel>, LowerError> {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    let reduced = op.reduced(x).map_err(|_| site.unsupported("an axis lies outside the rank"))?;
    let falls = Falls::new(site, &reduced, op.keep_dims);
    Ok(match op.function {
        Reduction::Mean => Box::new(Sum::new(site, falls.count, falls)),
        Reduction::Sum => Box::new(Sum::new(site, 1, falls)),
        Reduction::Max => moved(site, Mover::Extreme(Extreme { falls, least: false })),
        Reduction::Min => moved(site, Mover::Extreme(Extreme { falls, least: true })),
        Reduction::L2 => in_steps(site, Norm(falls)),
    })
}

/// The greatest values, or the least.
pub(super) struct Extreme {
    falls: Falls,
    least: bool,
}

impl Extreme {
    pub fn apply<T: Element>(&self, x: &[T], y: &mut [T]) {
        y.fill(if self.least { T::GREATEST } else { T::LEAST });
        self.falls.walk(|i, o| {
            if if self.least { x[i] < y[o] } else { x[i] > y[o] } {
                y[o] = x[i];
            }
        });
    }
}

/// `√Σx²`
struct Norm(Falls);

impl Steps for Norm {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        self.0.walk(|i, o| y[o] += x[0].values[i] * x[0].values[i]);
        let factor = x[0].scale / out_scale;
        y.iter_mut().for_each(|v| *v = v.sqrt() * factor);
    }
}

/// The index of the greatest value along an axis.
pub(super) struct Index {
    falls: Falls,
    last: bool,
}

pub(super) fn arg_max(op: &ArgMax, site: &Site) -> Result<Index, LowerError> {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    let axis = x.axis(op.axis).map_err(|_| site.unsupported("its axis lies outside the rank"))?;
    let reduced: Vec<bool> = (0..x.rank()).map(|a| a == axis).collect();
    Ok(Index { falls: Falls::new(site, &reduced, op.keep_dims), last: op.last })
}

impl Steps for Index {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let (mut greatest, mut seen) = (vec![f32::NEG_INFINITY; y.len()], vec![0.0; y.len()]);
        self.falls.walk(|i, o| {
            let v = x[0].values[i];
            if v > greatest[o] || self.last && v == greatest[o] {
                (greatest[o], y[o]) = (v, seen[o]);
            }
            seen[o] += 1.0;
        });
        y.iter_mut().for_each(|v| *v /= out_scale);
    }
}

impl Sum {
    fn new(site: &Site, divisor: usize, falls: Falls) -> Self {
        let whole_image = |f: &Falls| f.extents.len() == 4 && f.strides[1..3] == [0, 0] && f.count == f.extents[1] * f.extents[2];
        let image = whole_image(&falls).then(|| [falls.extents[0], falls.count, falls.extents[3]]);
        Sum { divisor, image, input: site.inputs[0], output: site.output, clip: site.clip_steps(), len: site.output_len(), falls }
    }

    /// The sums of centred codes, as floats.
    fn integer_sums(&self, grid: &Grid, x: View) -> Vec<f32> {
        if let (Some([images, pixels, channels]), View::Bytes(x)) = (self.image, x)
            && pixels < (1 << 22)
        {
            let mut sums = vec![0; self.len];
            sum_pixels(images, pixels, channels, x, &mut sums);
            let zeros = grid.zero() * pixels as i32;
            return sums.into_iter().map(|s| (s - zeros) as f32).collect();
        }
        let x = centred_integers(grid, x);
        let mut sums = vec![0i64; self.len];
        self.falls.walk(|i, o| sums[o] += i64::from(x[i]));
        sums.into_iter().map(|s| s as f32).collect()
    }
}

impl Kernel for Sum {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let mut sums = match (&self.input, x[0]) {
            (Some(grid), x) => self.integer_sums(grid, x),
            (None, View::Reals(x)) => {
                let mut sums = vec![0.0; self.len];
                self.falls.walk(|i, o| sums[o] += x[i]);
                sums
            }
            (None, _) => unreachable!("a tensor without a grid holds reals"),
        };
        let factor = scale(self.input) / (scale(self.output) * self.divisor as f32);
        sums.iter_mut().for_each(|s| *s *= factor);
        put(self.output, self.clip, &mut sums, y);
    }
}

/// Normalised exponentials, or their logarithms, of rows that lie together once axes are in the right order.
pub(super) struct Normalized {
    classes: usize,
    log: bool,
    /// Extents and order of axes that bring rows together, and those for the way back.
    order: [(Vec<usize>, Vec<usize>); 2],
}

pub(super) fn softmax(op: &Softmax, site: &Site) -> Result<Normalized, LowerError> {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    let axes = op.normalized(x).map_err(|_| site.unsupported("its axis lies outside the rank, or is the batch"))?;
    let rank = x.rank();
    let extents = to_physical(&site.input(0));
    let mut inside = vec![false; rank];
    axes.for_each(|axis| inside[physical_axis(rank, axis)] = true);
    let there: Vec<usize> = (0..rank).filter(|&a| !inside[a]).chain((0..rank).filter(|&a| inside[a])).collect();
    let classes = (0..rank).filter(|&a| inside[a]).map(|a| extents[a]).product();
    let mut back = vec![0; rank];
    there.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    let moved = there.iter().map(|&axis| extents[axis]).collect();
    Ok(Normalized { classes, log: op.log, order: [(extents, there), (moved, back)] })
}

impl Steps for Normalized {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let real: Vec<f32> = x[0].values.iter().map(|v| v * x[0].scale).collect();
        let (mut rows, mut results) = (vec![0.0; real.len()], vec![0.0; real.len()]);
        let [(extents, there), (moved, back)] = &self.order;
        permute(&real, extents, there, &mut rows);
        if self.log {
            softmax::log_forward(self.classes, &rows, &mut results)
        } else {
            softmax::forward(self.classes, &rows, &mut results)
        }
        permute(&results, moved, back, y);
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}
