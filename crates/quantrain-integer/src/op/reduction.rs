//! Operators that gather axes: reductions, ArgMax and Softmax.

use quantrain_graph::op::{ArgMax, Reduce, Reduction, Softmax};
use quantrain_kernels::integer::pooling::sum_pixels;
use quantrain_kernels::permute::permute;
use quantrain_kernels::softmax;
use quantrain_lowering::Unsupported;
use quantrain_lowering::memory_order::Permuted;
use quantrain_lowering::reduction::{Falls, softmax_rows};

use super::moving::{Element, Mover, moved};
use super::steps::{FloatFormula, Scaled, Steps, in_steps, put};
use super::{Operator, Site};
use crate::LowerError;
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred_integers, scale};

/// A mean or a sum over some axes: `Σ·(s_x/(s_y·divisor))`, the divisor rounded to f32 first; sums of codes are integers (ONNX Runtime's
/// order).
pub struct Sum {
    falls: Falls,
    /// The count, of a sum 1.
    pub divisor: usize,
    /// `[images, pixels, channels]` where it is over whole images.
    pub image: Option<[usize; 3]>,
    /// Codes of the input.
    pub input: Option<Grid>,
    /// Codes of the output.
    pub output: Option<Grid>,
    /// The activation's limits in steps of the output.
    pub clip: (f32, f32),
    len: usize,
}

pub(super) fn global_average(site: &Site) -> Operator {
    let falls = Falls::new(&site.at, &[false, false, true, true], true);
    Operator::Sum(Sum::new(site, falls.count(), falls))
}

pub(super) fn reduce(op: &Reduce, site: &Site) -> Result<Operator, LowerError> {
    let falls = Falls::of_reduce(op, &site.at)?;
    Ok(match op.function {
        Reduction::Mean => Operator::Sum(Sum::new(site, falls.count(), falls)),
        Reduction::Sum => Operator::Sum(Sum::new(site, 1, falls)),
        Reduction::Max => moved(site, Mover::Extreme(Extreme { falls, least: false })),
        Reduction::Min => moved(site, Mover::Extreme(Extreme { falls, least: true })),
        Reduction::L2 => in_steps(site, FloatFormula::Norm(Norm(falls))),
        Reduction::Product => in_steps(site, FloatFormula::Product(Product(falls))),
    })
}

/// The greatest values, or the least.
pub struct Extreme {
    falls: Falls,
    least: bool,
}

impl Extreme {
    pub(super) fn apply<T: Element>(&self, x: &[T], y: &mut [T]) {
        y.fill(if self.least { T::GREATEST } else { T::LEAST });
        self.falls.walk(|i, o| {
            if if self.least { x[i] < y[o] } else { x[i] > y[o] } {
                y[o] = x[i];
            }
        });
    }
}

/// `√Σx²`
pub struct Norm(Falls);

impl Steps for Norm {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        self.0.walk(|i, o| y[o] += x[0].values[i] * x[0].values[i]);
        let factor = x[0].scale / out_scale;
        y.iter_mut().for_each(|v| *v = v.sqrt() * factor);
    }
}

/// `Πx`
pub struct Product(Falls);

impl Steps for Product {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        y.fill(1.0 / out_scale);
        self.0.walk(|i, o| y[o] *= x[0].values[i] * x[0].scale);
    }
}

/// The index of the greatest value along an axis.
pub struct Index {
    falls: Falls,
    last: bool,
}

pub(super) fn arg_max(op: &ArgMax, site: &quantrain_lowering::Site) -> Result<Index, Unsupported> {
    Ok(Index { falls: Falls::of_arg_max(op, site)?, last: op.last })
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
        let image = falls.whole_images();
        Sum { divisor, image, input: site.inputs[0], output: site.output, clip: site.clip_steps(), len: site.output_len(), falls }
    }

    /// What a sum of centred codes is multiplied with to give steps of the output.
    pub fn factor(&self) -> f32 {
        scale(self.input) / (scale(self.output) * self.divisor as f32)
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

impl Sum {
    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        let mut sums = match (&self.input, x[0]) {
            (Some(grid), x) => self.integer_sums(grid, x),
            (None, View::Reals(x)) => {
                let mut sums = vec![0.0; self.len];
                self.falls.walk(|i, o| sums[o] += x[i]);
                sums
            }
            (None, _) => unreachable!("a tensor without a grid holds reals"),
        };
        let factor = self.factor();
        sums.iter_mut().for_each(|s| *s *= factor);
        put(self.output, self.clip, &mut sums, y);
    }
}

/// Normalised exponentials, or their logarithms, of rows that lie together once axes are in the right order.
pub struct Normalized {
    classes: usize,
    log: bool,
    /// The order of axes that brings rows together, and the way back.
    order: [Permuted; 2],
}

pub(super) fn softmax(op: &Softmax, site: &quantrain_lowering::Site) -> Result<Normalized, Unsupported> {
    let (classes, there) = softmax_rows(op, site)?;
    Ok(Normalized { classes, log: op.log, order: [there.clone(), there.inverse()] })
}

impl Steps for Normalized {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let real: Vec<f32> = x[0].values.iter().map(|v| v * x[0].scale).collect();
        let (mut rows, mut results) = (vec![0.0; real.len()], vec![0.0; real.len()]);
        let [there, back] = &self.order;
        permute(&real, &there.extents, &there.permutation, &mut rows);
        if self.log {
            softmax::log_forward(self.classes, &rows, &mut results)
        } else {
            softmax::forward(self.classes, &rows, &mut results)
        }
        permute(&results, &back.extents, &back.permutation, y);
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}
