//! Resize of height and width.

use quantrain_graph::op::{Interpolation, Resize};
use quantrain_kernels::resize::{self as kernels, AxisMap, ResizeShape};

use super::{Kernel, Scaled, Site, change_unit, with_real};

pub(super) struct Spatial {
    shape: ResizeShape,
    rows: AxisMap,
    columns: AxisMap,
    nearest: bool,
}

pub(super) fn build(op: &Resize, site: &Site) -> Spatial {
    let (x, y) = (site.input(0), site.output());
    let map = |axis: usize| {
        let at = op.axis_map(axis, x[axis + 2], y[axis + 2]);
        let index = |i: usize| u32::try_from(i).expect("an extent below 2^32");
        AxisMap {
            low: at.iter().map(|m| index(m.0)).collect(),
            high: at.iter().map(|m| index(m.1)).collect(),
            weight_high: at.iter().map(|m| m.2).collect(),
        }
    };
    Spatial {
        shape: ResizeShape { batch: x[0], in_height: x[2], in_width: x[3], channels: x[1] },
        rows: map(0),
        columns: map(1),
        nearest: matches!(op.interpolation, Interpolation::Nearest(_)),
    }
}

impl Kernel for Spatial {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        if self.nearest {
            kernels::nearest_forward(&self.shape, &self.rows, &self.columns, x[0].values, y);
            change_unit(y, x[0].scale, out_scale);
        } else {
            with_real(x[0], |real| kernels::linear_forward(&self.shape, &self.rows, &self.columns, real, y));
            change_unit(y, 1.0, out_scale);
        }
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let run = if self.nearest { kernels::nearest_backward } else { kernels::linear_backward };
        run(&self.shape, &self.rows, &self.columns, dy, dx, accumulate);
    }

    fn moves(&self) -> bool {
        self.nearest
    }
}
