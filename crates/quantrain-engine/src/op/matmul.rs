//! The product of two activations, over the last two axes.

use quantrain_graph::op::MatMul;
use quantrain_kernels::matmul::matmul;

use super::{Codes, Kernel, Replays, Scaled, Site, with_real};
use crate::EngineError;

pub(super) struct Product {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

pub(super) fn build(_: &MatMul, site: &Site) -> Result<Product, EngineError> {
    let (a, b) = (site.input(0), site.input(1));
    let rank = a.len();
    if rank != b.len() || rank == 4 || a[..rank - 2] != b[..rank - 2] {
        return Err(site.unsupported(
            "only products of two activations of rank 2 or 3 with equal outer axes, or with a constant matrix, are supported",
        ));
    }
    Ok(Product { batch: a[..rank - 2].iter().product(), m: a[rank - 2], n: b[rank - 1], k: a[rank - 1] })
}

impl Kernel for Product {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let Product { batch, m, n, k } = *self;
        for i in 0..batch {
            let (a, b) = (&x[0].values[i * m * k..][..m * k], &x[1].values[i * k * n..][..k * n]);
            matmul(m, n, k, a, false, b, false, &mut y[i * m * n..][..m * n], false);
        }
        let factor = x[0].scale * x[1].scale / out_scale;
        y.iter_mut().for_each(|v| *v *= factor);
    }

    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        let Product { m, n, k, .. } = *self;
        if !codes.exceed_f32(&[0, 1], k) {
            return false;
        }
        let factor = x[0].scale * x[1].scale / codes.output.map_or(1.0, |q| q.scale());
        for (i, y) in y.iter_mut().enumerate() {
            let (row, column) = (&x[0].values[i / n * k..][..k], &x[1].values[i / (m * n) * k * n + i % n..]);
            let products = row.iter().zip(column.iter().step_by(n)).map(|(&a, &b)| f64::from(a) * f64::from(b));
            *y = products.sum::<f64>() as f32 * factor;
        }
        true
    }

    /// `da = dy·bᵀ`, `db = aᵀ·dy`
    fn backward(&self, which: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let Product { batch, m, n, k } = *self;
        let other = x[1 - which];
        with_real(Scaled { values: dy, scale: other.scale }, |dy| {
            for i in 0..batch {
                let dy = &dy[i * m * n..][..m * n];
                if which == 0 {
                    matmul(m, k, n, dy, false, &other.values[i * k * n..][..k * n], true, &mut dx[i * m * k..][..m * k], accumulate);
                } else {
                    matmul(k, n, m, &other.values[i * m * k..][..m * k], true, dy, false, &mut dx[i * k * n..][..k * n], accumulate);
                }
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
