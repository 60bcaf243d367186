//! Resize of height and width.

use quantrain_graph::op::{Interpolation, Resize};
use quantrain_kernels::resize::{self as kernels, AxisMap, CubicMap, ResizeShape};

use super::{Kernel, Scaled, Site, change_unit, with_real};

pub(super) struct Spatial {
    shape: ResizeShape,
    tables: Tables,
}

/// Which pixels an output reads, along rows and along columns.
enum Tables {
    Nearest([AxisMap; 2]),
    Linear([AxisMap; 2]),
    Cubic([CubicMap; 2]),
}

pub(super) fn build(op: &Resize, site: &Site) -> Spatial {
    let (x, y) = (site.input(0), site.output());
    let size = [x[2], x[3]];
    let index = |i: usize| u32::try_from(i).expect("an extent below 2^32");
    let map = |axis: usize| {
        let at = op.axis_map(axis, size, y[axis + 2]);
        AxisMap {
            low: at.iter().map(|m| index(m.0)).collect(),
            high: at.iter().map(|m| index(m.1)).collect(),
            weight_high: at.iter().map(|m| m.2).collect(),
        }
    };
    let cubic = |axis: usize| op.cubic_map(axis, size, y[axis + 2]).iter().map(|taps| taps.map(|(i, w)| (index(i), w))).collect();
    let tables = match op.interpolation {
        Interpolation::Nearest(_) => Tables::Nearest([map(0), map(1)]),
        Interpolation::Linear => Tables::Linear([map(0), map(1)]),
        Interpolation::Cubic { .. } => Tables::Cubic([cubic(0), cubic(1)]),
    };
    Spatial { shape: ResizeShape { batch: x[0], in_height: x[2], in_width: x[3], channels: x[1] }, tables }
}

impl Kernel for Spatial {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        match &self.tables {
            Tables::Nearest([rows, columns]) => {
                kernels::nearest_forward(&self.shape, rows, columns, x[0].values, y);
                change_unit(y, x[0].scale, out_scale);
            }
            Tables::Linear([rows, columns]) => {
                with_real(x[0], |real| kernels::linear_forward(&self.shape, rows, columns, real, y));
                change_unit(y, 1.0, out_scale);
            }
            Tables::Cubic([rows, columns]) => {
                with_real(x[0], |real| kernels::cubic_forward(&self.shape, rows, columns, real, y));
                change_unit(y, 1.0, out_scale);
            }
        }
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        match &self.tables {
            Tables::Nearest([rows, columns]) => kernels::nearest_backward(&self.shape, rows, columns, dy, dx, accumulate),
            Tables::Linear([rows, columns]) => kernels::linear_backward(&self.shape, rows, columns, dy, dx, accumulate),
            Tables::Cubic([rows, columns]) => kernels::cubic_backward(&self.shape, rows, columns, dy, dx, accumulate),
        }
    }

    fn moves(&self) -> bool {
        matches!(self.tables, Tables::Nearest(_))
    }
}
