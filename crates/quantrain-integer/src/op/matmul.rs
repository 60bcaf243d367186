//! The product of two activations, over the last two axes.

use quantrain_graph::op::MatMul;
use quantrain_kernels::matmul::matmul;

use super::steps::{Scaled, Steps, in_steps, put};
use super::{Kernel, Site};
use crate::LowerError;
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred_integers, scale};

/// The factors' extents, of each of `batch` products.
#[derive(Clone, Copy)]
struct Extents {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

pub(super) fn build(_: &MatMul, site: &Site) -> Result<Box<dyn Kernel>, LowerError> {
    let (a, b) = (site.input(0), site.input(1));
    let rank = a.len();
    if rank != b.len() || rank == 4 || a[..rank - 2] != b[..rank - 2] {
        return Err(site.unsupported(
            "only products of two activations of rank 2 or 3 with equal outer axes, or with a constant matrix, are supported",
        ));
    }
    let extents = Extents { batch: a[..rank - 2].iter().product(), m: a[rank - 2], n: b[rank - 1], k: a[rank - 1] };
    Ok(match site.inputs[..] {
        [Some(a), Some(b)] => Box::new(OfCodes { extents, inputs: [a, b], output: site.output, clip: site.clip_steps() }),
        _ => in_steps(site, OfReals(extents)),
    })
}

/// `f32(Σ a·b)·(s_a·s_b / s_y)`, the sum an integer.
struct OfCodes {
    extents: Extents,
    inputs: [Grid; 2],
    output: Option<Grid>,
    clip: (f32, f32),
}

impl Kernel for OfCodes {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let Extents { batch, m, n, k } = self.extents;
        let [a, b] = [0, 1].map(|i| centred_integers(&self.inputs[i], x[i]));
        let factor = self.inputs[0].scale() * self.inputs[1].scale() / scale(self.output);
        let mut steps = Vec::with_capacity(batch * m * n);
        for i in 0..batch * m {
            let row = &a[i * k..][..k];
            let columns = &b[i / m * k * n..][..k * n];
            steps.extend((0..n).map(|j| {
                let sum: i64 = row.iter().zip(columns[j..].iter().step_by(n)).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                sum as f32 * factor
            }));
        }
        put(self.output, self.clip, &mut steps, y);
    }
}

/// A product of which a factor is real.
struct OfReals(Extents);

impl Steps for OfReals {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let Extents { batch, m, n, k } = self.0;
        for i in 0..batch {
            let (a, b) = (&x[0].values[i * m * k..][..m * k], &x[1].values[i * k * n..][..k * n]);
            matmul(m, n, k, a, false, b, false, &mut y[i * m * n..][..m * n], false);
        }
        let factor = x[0].scale * x[1].scale / out_scale;
        y.iter_mut().for_each(|v| *v *= factor);
    }
}
