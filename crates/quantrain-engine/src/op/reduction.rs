//! Operators that gather axes.

use quantrain_graph::KernelLibrary;
use quantrain_graph::op::{ArgMax, Reduce, Reduction, Softmax};
use quantrain_kernels::permute::permute;
use quantrain_kernels::{Scratch, softmax};
use quantrain_lowering::Site;
use quantrain_lowering::memory_order::Permuted;
use quantrain_lowering::reduction::{Falls, softmax_rows};

use super::{Codes, Kernel, Replays, Scaled, with_real};
use crate::EngineError;

/// Whether an image's pixels are all averaged, and nothing else: a global average pool by another name.
pub(super) fn is_image_mean(op: &Reduce, site: &Site) -> bool {
    let x = &site.graph.tensor(site.node.inputs[0]).shape;
    op.function == Reduction::Mean && matches!(op.reduced(x).as_deref(), Ok([false, false, true, true]))
}

pub(super) fn reduce(op: &Reduce, site: &Site) -> Result<Box<dyn Kernel>, EngineError> {
    let falls = Falls::of_reduce(op, site)?;
    Ok(match op.function {
        Reduction::Mean => Box::new(Sum { divisor: falls.count() as f32, is_mean: true, falls }),
        Reduction::Sum => Box::new(Sum { divisor: 1.0, is_mean: false, falls }),
        Reduction::Max => Box::new(Extreme { falls, sign: 1.0 }),
        Reduction::Min => Box::new(Extreme { falls, sign: -1.0 }),
        Reduction::L2 => Box::new(Norm { falls }),
        Reduction::Product => Box::new(Product { falls }),
    })
}

struct Sum {
    falls: Falls,
    divisor: f32,
    is_mean: bool,
}

impl Kernel for Sum {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        y.fill(0.0);
        self.falls.walk(|i, o| y[o] += x[0].values[i]);
        let factor = x[0].scale / (out_scale * self.divisor);
        y.iter_mut().for_each(|v| *v *= factor);
    }

    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        let is_tflite = self.is_mean && codes.kernels.mean == KernelLibrary::Tflite;
        let of_codes = codes.factor_of_mean(self.falls.count()).filter(|_| is_tflite);
        if of_codes.is_none() && !codes.exceed_f32(&[0], self.falls.count()) {
            return false;
        }
        let mut sums = vec![0.0; y.len()];
        self.falls.walk(|i, o| sums[o] += f64::from(x[0].values[i]));
        let factor = x[0].scale / (codes.output.map_or(1.0, |q| q.scale()) * self.divisor);
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = of_codes.map_or(sum as f32 * factor, |f| f.apply(sum as i64) as f32));
        true
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
        let factor = 1.0 / self.divisor;
        self.falls.walk(|i, o| dx[i] += dy[o] * factor);
    }
}

/// The greatest values, or with sign −1 the least.
struct Extreme {
    falls: Falls,
    sign: f32,
}

impl Extreme {
    fn extremes(&self, x: &[f32], y: &mut [f32]) {
        y.fill(self.sign * f32::NEG_INFINITY);
        self.falls.walk(|i, o| {
            if self.sign * x[i] > self.sign * y[o] {
                y[o] = x[i];
            }
        });
    }
}

impl Kernel for Extreme {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        self.extremes(x[0].values, y);
        let factor = x[0].scale / out_scale;
        if factor != 1.0 {
            y.iter_mut().for_each(|v| *v *= factor);
        }
    }

    /// To the first of equal values, as in a MaxPool.
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
        let mut scratch = Scratch::take(dy.len());
        let wanted = &mut scratch.as_mut_slice()[..dy.len()];
        self.extremes(x[0].values, wanted);
        self.falls.walk(|i, o| {
            if x[0].values[i] == wanted[o] {
                dx[i] += dy[o];
                // Nothing equals NaN.
                wanted[o] = f32::NAN;
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }

    fn moves(&self) -> bool {
        true
    }
}

/// `√Σx²`
struct Norm {
    falls: Falls,
}

impl Kernel for Norm {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        y.fill(0.0);
        self.falls.walk(|i, o| y[o] += x[0].values[i] * x[0].values[i]);
        let factor = x[0].scale / out_scale;
        y.iter_mut().for_each(|v| *v = v.sqrt() * factor);
    }

    /// `dx = dy·x/y`, 0 where y is.
    fn backward(&self, _: usize, x: &[Scaled], y: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
        let factor = x[0].scale / y.scale;
        self.falls.walk(|i, o| {
            if y.values[o] != 0.0 {
                dx[i] += dy[o] * x[0].values[i] * factor / y.values[o];
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: true }
    }
}

/// `Πx`
struct Product {
    falls: Falls,
}

impl Kernel for Product {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        y.fill(1.0 / out_scale);
        let scale = x[0].scale;
        self.falls.walk(|i, o| y[o] *= x[0].values[i] * scale);
    }

    /// `dx = dy` times the product of the others, which a division would not give where a value is 0.
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
        let Scaled { values, scale, .. } = x[0];
        let mut scratch = Scratch::take(2 * dy.len());
        let (products, rest) = scratch.as_mut_slice().split_at_mut(dy.len());
        let zeros = &mut rest[..dy.len()];
        products.fill(1.0);
        zeros.fill(0.0);
        self.falls.walk(|i, o| match values[i] * scale {
            0.0 => zeros[o] += 1.0,
            v => products[o] *= v,
        });
        self.falls.walk(|i, o| {
            let v = values[i] * scale;
            if zeros[o] == 0.0 {
                dx[i] += dy[o] * products[o] / v;
            } else if zeros[o] == 1.0 && v == 0.0 {
                dx[i] += dy[o] * products[o];
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}

/// The index of the greatest value along an axis.
pub(super) struct Index {
    falls: Falls,
    last: bool,
}

pub(super) fn arg_max(op: &ArgMax, site: &Site) -> Result<Index, EngineError> {
    Ok(Index { falls: Falls::of_arg_max(op, site)?, last: op.last })
}

impl Kernel for Index {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let mut scratch = Scratch::take(2 * y.len());
        let (greatest, rest) = scratch.as_mut_slice().split_at_mut(y.len());
        let seen = &mut rest[..y.len()];
        greatest.fill(f32::NEG_INFINITY);
        seen.fill(0.0);
        y.fill(0.0);
        // Along the axis elements come in order.
        self.falls.walk(|i, o| {
            let v = x[0].values[i];
            if v > greatest[o] || self.last && v == greatest[o] {
                (greatest[o], y[o]) = (v, seen[o]);
            }
            seen[o] += 1.0;
        });
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// 0: an index does not change with values, but where it jumps.
    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, _: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            dx.fill(0.0);
        }
    }
}

/// Normalised exponentials, or their logarithms, of rows that lie together once axes are in the right order.
pub(super) struct Normalized {
    classes: usize,
    log: bool,
    /// The order of axes that brings rows together, and the way back; `None` where they lie together.
    order: Option<[Permuted; 2]>,
}

pub(super) fn softmax(op: &Softmax, site: &Site) -> Result<Normalized, EngineError> {
    let (classes, there) = softmax_rows(op, site)?;
    let order = (!there.keeps_order()).then(|| [there.clone(), there.inverse()]);
    Ok(Normalized { classes, log: op.log, order })
}

impl Normalized {
    fn there(&self, x: &[f32], y: &mut [f32]) {
        match &self.order {
            Some([there, _]) => permute(x, &there.extents, &there.permutation, y),
            None => y.copy_from_slice(x),
        }
    }
}

impl Kernel for Normalized {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let function = if self.log { softmax::log_forward } else { softmax::forward };
        with_real(x[0], |real| match &self.order {
            None => function(self.classes, real, y),
            Some([_, back]) => {
                let mut scratch = Scratch::take(2 * real.len());
                let (rows, results) = scratch.as_mut_slice()[..2 * real.len()].split_at_mut(real.len());
                self.there(real, rows);
                function(self.classes, rows, results);
                permute(results, &back.extents, &back.permutation, y);
            }
        });
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// `dx = y·(dy − Σ y·dy)`; of logarithms `dx = dy − e^y·Σ dy`.
    fn backward(&self, _: usize, _: &[Scaled], y: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let function = if self.log { softmax::log_backward } else { softmax::backward };
        with_real(y, |real| match &self.order {
            None => function(self.classes, real, dy, dx, accumulate),
            Some([_, back]) => {
                let len = real.len();
                let mut scratch = Scratch::take(3 * len);
                let (rows, rest) = scratch.as_mut_slice()[..3 * len].split_at_mut(len);
                let (given, results) = rest.split_at_mut(len);
                self.there(real, rows);
                self.there(dy, given);
                function(self.classes, rows, given, results, false);
                // Rows have done their work.
                permute(results, &back.extents, &back.permutation, rows);
                super::write(dx, accumulate, |i| rows[i]);
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: false, output: true }
    }
}
