//! Resize of height and width.

use quantrain_graph::op::{Interpolation, Resize};
use quantrain_kernels::resize::{self as kernels, AxisMap, CubicMap, ResizeShape};

use super::moving::{Element, Mover, moved};
use super::steps::{Scaled, Steps, change_unit, in_steps};
use super::{Kernel, Site};

/// One neighbour's element.
pub(super) struct Nearest {
    shape: ResizeShape,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

/// Four neighbours by their weights, real values summed in one order.
struct Linear {
    shape: ResizeShape,
    rows: AxisMap,
    columns: AxisMap,
}

/// Sixteen neighbours by their weights.
struct Cubic {
    shape: ResizeShape,
    rows: CubicMap,
    columns: CubicMap,
}

pub(super) fn build(op: &Resize, site: &Site) -> Box<dyn Kernel> {
    let (x, y) = (site.input(0), site.output());
    let shape = ResizeShape { batch: x[0], in_height: x[2], in_width: x[3], channels: x[1] };
    let size = [x[2], x[3]];
    let map = |axis: usize| op.axis_map(axis, size, y[axis + 2]);
    let index = |i: usize| u32::try_from(i).expect("an extent below 2^32");
    match op.interpolation {
        Interpolation::Nearest(_) => {
            let lower = |axis: usize| map(axis).iter().map(|m| m.0).collect();
            moved(site, Mover::Nearest(Nearest { shape, rows: lower(0), columns: lower(1) }))
        }
        Interpolation::Linear => {
            let table = |axis: usize| {
                let at = map(axis);
                AxisMap {
                    low: at.iter().map(|m| index(m.0)).collect(),
                    high: at.iter().map(|m| index(m.1)).collect(),
                    weight_high: at.iter().map(|m| m.2).collect(),
                }
            };
            in_steps(site, Linear { shape, rows: table(0), columns: table(1) })
        }
        Interpolation::Cubic { .. } => {
            let table = |axis: usize| {
                let taps = op.cubic_map(axis, size, y[axis + 2]);
                taps.iter().map(|taps| taps.map(|(i, weight)| (index(i), weight))).collect()
            };
            in_steps(site, Cubic { shape, rows: table(0), columns: table(1) })
        }
    }
}

impl Nearest {
    pub fn apply<T: Element>(&self, x: &[T], y: &mut [T]) {
        let (s, pixels) = (&self.shape, self.rows.len() * self.columns.len());
        for (i, y) in y.chunks_exact_mut(s.channels).enumerate() {
            let (n, row, column) = (i / pixels, self.rows[i % pixels / self.columns.len()], self.columns[i % self.columns.len()]);
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
