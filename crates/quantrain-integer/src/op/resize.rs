//! Resize of height and width.

use quantrain_graph::op::Resize;
use quantrain_kernels::resize::{self as kernels, AxisMap, CubicMap, ResizeShape};
use quantrain_lowering::resize::{Maps, maps};

use super::moving::{Element, Mover, moved};
use super::steps::{FloatFormula, Scaled, Steps, change_unit, in_steps};
use super::{Operator, Site};

/// One neighbour's element.
pub struct Nearest {
    /// Sizes.
    pub shape: ResizeShape,
    /// The row of the input of each row.
    pub rows: Vec<u32>,
    /// The column of the input of each column.
    pub columns: Vec<u32>,
}

/// Four neighbours by their weights, real values summed in one order.
pub struct Linear {
    /// Sizes.
    pub shape: ResizeShape,
    /// Where each row reads.
    pub rows: AxisMap,
    /// Where each column reads.
    pub columns: AxisMap,
}

/// Sixteen neighbours by their weights.
pub struct Cubic {
    shape: ResizeShape,
    rows: CubicMap,
    columns: CubicMap,
}

pub(super) fn build(op: &Resize, site: &Site) -> Operator {
    let (shape, maps) = maps(op, &site.at);
    match maps {
        Maps::Nearest([rows, columns]) => moved(site, Mover::Nearest(Nearest { shape, rows: rows.low, columns: columns.low })),
        Maps::Linear([rows, columns]) => in_steps(site, FloatFormula::Linear(Linear { shape, rows, columns })),
        Maps::Cubic([rows, columns]) => in_steps(site, FloatFormula::Cubic(Cubic { shape, rows, columns })),
    }
}

impl Nearest {
    pub(super) fn apply<T: Element>(&self, x: &[T], y: &mut [T]) {
        let (s, pixels) = (&self.shape, self.rows.len() * self.columns.len());
        for (i, y) in y.chunks_exact_mut(s.channels).enumerate() {
            let (n, pixel) = (i / pixels, i % pixels);
            let (row, column) = (self.rows[pixel / self.columns.len()] as usize, self.columns[pixel % self.columns.len()] as usize);
            y.copy_from_slice(&x[((n * s.in_height + row) * s.in_width + column) * s.channels..][..s.channels]);
        }
    }
}

impl Steps for Linear {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        kernels::linear_forward(&self.shape, &self.rows, &self.columns, &x[0].real(), y);
        change_unit(y, 1.0, out_scale);
    }
}

impl Steps for Cubic {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        kernels::cubic_forward(&self.shape, &self.rows, &self.columns, &x[0].real(), y);
        change_unit(y, 1.0, out_scale);
    }
}
